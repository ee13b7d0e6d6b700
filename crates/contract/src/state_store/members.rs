//! The instance table.

use crate::{CASE_TIME_MAX, Case, Process, Scene, StateStores, cases};
use domain::id::InstanceId;
use domain::lease::Epoch;
use domain::member::{Health, Heartbeat, Member, MemberState};
use domain::ports::MEMBERS_READ_MAX;

pub(super) fn cases<A: StateStores>() -> Vec<Case<A>> {
    cases!("state_store", Scene:
        members_are_listed_by_id_as_they_beat,
        the_lines_of_dead_processes_hide_no_live_one,
        a_beat_replaces_the_line,
        every_state_and_status_survives,
        leaving_removes_the_own_line_only,
        a_beat_counts_the_changes_of_the_last_hour,
        two_processes_under_one_id_find_out,
    )
}

pub(super) fn line(process: &Process) -> Member {
    let opening = &process.opening;
    Member {
        id: opening.id.clone(),
        nonce: opening.nonce,
        host: opening.host.clone(),
        address: format!("http://{}:5000", opening.host),
        state: MemberState::Standby,
        epoch: Epoch(7),
        fallback: false,
        alerts: Health::Ok,
        version: "0.1.0".to_owned(),
        started_ms: 1_700_000_000_123,
        settings: domain::settings::SharedSettings::default(),
        cannot_lead: None,
    }
}

pub(super) async fn heartbeat(process: &Process, member: &Member) -> Heartbeat {
    process.state.heartbeat(member).await.expect("beat")
}

async fn listed(process: &Process) -> Vec<Member> {
    process.state.members().await.expect("members").into_iter().map(|seen| seen.member).collect()
}

async fn members_are_listed_by_id_as_they_beat(scene: Scene) {
    let (a, b, c) = (scene.process("a").await, scene.process("b").await, scene.process("c").await);
    assert_eq!(listed(&a).await, []);
    for process in [&c, &a, &b] {
        heartbeat(process, &line(process)).await;
    }
    assert_eq!(listed(&b).await, [line(&a), line(&b), line(&c)]);
    for seen in b.state.members().await.expect("members") {
        assert!(seen.heartbeat_age < CASE_TIME_MAX, "written by this case: {seen:?}");
    }
}

/// A service that crashes again and again under fresh ids leaves that many lines in a day.
async fn the_lines_of_dead_processes_hide_no_live_one(scene: Scene) {
    let process = scene.process("z").await;
    for n in 0..MEMBERS_READ_MAX {
        let id = InstanceId::parse(&format!("dead-{n:04}")).expect("an id");
        heartbeat(&process, &Member { id, ..line(&process) }).await;
    }
    heartbeat(&process, &line(&process)).await;
    let listed = listed(&process).await;
    assert_eq!(listed.len(), MEMBERS_READ_MAX as usize);
    assert_eq!(listed.last(), Some(&line(&process)));
    assert!(listed.is_sorted_by_key(|member| member.id.clone()));
}

async fn a_beat_replaces_the_line(scene: Scene) {
    let process = scene.process("a").await;
    heartbeat(&process, &line(&process)).await;
    let changed = Member {
        host: "other's host".to_owned(),
        address: "https://10.0.0.7:5443".to_owned(),
        state: MemberState::Active,
        epoch: Epoch(8),
        fallback: true,
        alerts: Health::Critical,
        version: "0.2.0".to_owned(),
        settings: domain::settings::SharedSettings::default()
            .with("leader_ttl", "10s")
            .with_hash_of("signals.handler", Some("http://127.0.0.1:1/orders")),
        cannot_lead: Some("the disk is full".to_owned()),
        ..line(&process)
    };
    heartbeat(&process, &changed).await;
    assert_eq!(listed(&process).await, [changed]);
    heartbeat(&process, &line(&process)).await;
    assert_eq!(listed(&process).await, [line(&process)], "it can lead again");
}

async fn every_state_and_status_survives(scene: Scene) {
    let process = scene.process("a").await;
    for state in MemberState::ALL {
        for alerts in [Health::Ok, Health::Warning, Health::Critical] {
            let member = Member { state, alerts, ..line(&process) };
            heartbeat(&process, &member).await;
            assert_eq!(listed(&process).await, [member]);
        }
    }
}

async fn leaving_removes_the_own_line_only(scene: Scene) {
    let (a, restarted, b) = (scene.process("a").await, scene.process("a").await, scene.process("b").await);
    heartbeat(&a, &line(&a)).await;
    heartbeat(&b, &line(&b)).await;
    heartbeat(&restarted, &line(&restarted)).await;
    a.state.leave(&a.opening.id, a.opening.nonce).await.expect("leave");
    assert_eq!(listed(&b).await, [line(&restarted), line(&b)], "the line is the restarted process's now");
    restarted.state.leave(&restarted.opening.id, restarted.opening.nonce).await.expect("leave");
    assert_eq!(listed(&b).await, [line(&b)]);
    restarted.state.leave(&restarted.opening.id, restarted.opening.nonce).await.expect("leaving twice");
}

async fn a_beat_counts_the_changes_of_the_last_hour(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    assert_eq!(heartbeat(&a, &line(&a)).await.changes_last_hour, 0);
    a.lead().await;
    b.lead().await;
    assert_eq!(heartbeat(&a, &line(&a)).await.changes_last_hour, 2);
    let elsewhere = scene.neighbour().process("a").await;
    assert_eq!(heartbeat(&elsewhere, &line(&elsewhere)).await.changes_last_hour, 0, "of this group");
}

async fn two_processes_under_one_id_find_out(scene: Scene) {
    let (first, second) = (scene.process("a").await, scene.process("a").await);
    let line_of = |process: &Process, started_ms| Member { started_ms, ..line(process) };
    let (first_line, second_line) = (line_of(&first, 1_000), line_of(&second, 2_000));
    assert_eq!(heartbeat(&first, &first_line).await.displaced, None);
    assert_eq!(heartbeat(&first, &first_line).await.displaced, None);
    assert_eq!(
        heartbeat(&second, &second_line).await.displaced,
        None,
        "a restart finds a line and that is well"
    );
    let displaced = heartbeat(&first, &first_line).await.displaced;
    assert_eq!(displaced, Some((second.opening.nonce, 2_000)), "the first had written it before");
    let displaced = heartbeat(&second, &second_line).await.displaced;
    assert_eq!(displaced, Some((first.opening.nonce, 1_000)));
    assert_eq!(listed(&first).await, [second_line], "the line is the latest writer's");
}
