//! The instance table.

use crate::{CASE_TIME_MAX, Case, Process, Scene, StateStores, cases};
use domain::id::InstanceId;
use domain::lease::{Epoch, Seq};
use domain::member::{Health, Heartbeat, LeaseSeen, Member, MemberState};
use domain::ports::{MEMBERS_READ_MAX, Release, Renewal};
use std::time::Duration;

pub(super) fn cases<A: StateStores>() -> Vec<Case<A>> {
    cases!("state_store", Scene:
        members_are_listed_by_id_with_their_heartbeats,
        the_lines_of_dead_processes_hide_no_live_one,
        a_heartbeat_replaces_the_line,
        every_state_and_status_survives,
        leaving_removes_the_own_line_only,
        a_heartbeat_counts_the_changes_of_the_last_hour,
        two_processes_with_one_id_are_detected,
        the_lease_is_shown_with_the_age_of_its_last_write,
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
        sync_p95: None,
    }
}

pub(super) async fn heartbeat(process: &Process, member: &Member) -> Heartbeat {
    process.state.heartbeat(member).await.expect("heartbeat")
}

async fn listed(process: &Process) -> Vec<Member> {
    process.state.members().await.expect("members").into_iter().map(|seen| seen.member).collect()
}

async fn members_are_listed_by_id_with_their_heartbeats(scene: Scene) {
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

/// A service that crashes repeatedly under fresh ids leaves many entries in a day.
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

async fn a_heartbeat_replaces_the_line(scene: Scene) {
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
        sync_p95: Some(Duration::from_micros(12_345)),
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
    assert_eq!(
        listed(&b).await,
        [line(&restarted), line(&b)],
        "the line belongs to the restarted process now"
    );
    restarted.state.leave(&restarted.opening.id, restarted.opening.nonce).await.expect("leave");
    assert_eq!(listed(&b).await, [line(&b)]);
    restarted.state.leave(&restarted.opening.id, restarted.opening.nonce).await.expect("leaving twice");
}

async fn a_heartbeat_counts_the_changes_of_the_last_hour(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    assert_eq!(heartbeat(&a, &line(&a)).await.changes_last_hour, 0);
    a.lead().await;
    b.lead().await;
    assert_eq!(heartbeat(&a, &line(&a)).await.changes_last_hour, 2);
    let elsewhere = scene.neighbour().process("a").await;
    assert_eq!(heartbeat(&elsewhere, &line(&elsewhere)).await.changes_last_hour, 0, "of this group");
}

async fn two_processes_with_one_id_are_detected(scene: Scene) {
    let (first, second) = (scene.process("a").await, scene.process("a").await);
    let line_of = |process: &Process, started_ms| Member { started_ms, ..line(process) };
    let (first_line, second_line) = (line_of(&first, 1_000), line_of(&second, 2_000));
    assert_eq!(heartbeat(&first, &first_line).await.displaced, None);
    assert_eq!(heartbeat(&first, &first_line).await.displaced, None);
    assert_eq!(
        heartbeat(&second, &second_line).await.displaced,
        None,
        "a restart finds an old line, which is no error"
    );
    let displaced = heartbeat(&first, &first_line).await.displaced;
    assert_eq!(displaced, Some((second.opening.nonce, 2_000)), "the first had written it before");
    let displaced = heartbeat(&second, &second_line).await.displaced;
    assert_eq!(displaced, Some((first.opening.nonce, 1_000)));
    assert_eq!(listed(&first).await, [second_line], "the line is the latest writer's");
}

/// Waits until the lease is older than `age` by the store's clock.
pub(super) async fn until_older(process: &Process, age: Duration) -> LeaseSeen {
    loop {
        let lease = process.state.lease().await.expect("the lease");
        if lease.renewed_age > age {
            return lease;
        }
        // Between two reads: no event reports an age.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn the_lease_is_shown_with_the_age_of_its_last_write(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let open = b.state.lease().await.expect("the lease");
    assert_eq!((&open.holder, open.epoch, open.released), (&None, Epoch(0), true), "it was never claimed");
    assert_eq!((open.since_ms, open.forgot_ms), (None, None));
    let token = a.lead().await;
    let age = Duration::from_millis(50);
    let led = until_older(&b, age).await;
    assert_eq!((led.holder.as_ref(), led.epoch, led.released), (Some(&a.opening.id), Epoch(1), false));
    assert_eq!(led.ttl, a.opening.ttl);
    let term = a.state.history(1).await.expect("history").remove(0);
    assert_eq!(led.since_ms, Some(term.from_ms), "since the claim");
    until_older(&b, age * 4).await;
    // A renewal makes it young again. On a busy machine the read may come late, so the next renewal is read.
    let mut seq = Seq(0);
    let after = loop {
        seq = seq.next();
        let renewed = a.state.renew(&token, seq, token.timeline).await;
        assert!(matches!(renewed, Ok(Renewal::Renewed { .. })), "{renewed:?}");
        let after = b.state.lease().await.expect("the lease");
        if after.renewed_age < age * 4 {
            break after;
        }
    };
    assert_eq!(after.since_ms, led.since_ms, "a renewal begins no term");
    assert_eq!(a.state.release(&token, seq.next(), "planned").await, Ok(Release::Released));
    assert!(b.state.lease().await.expect("the lease").released);
}
