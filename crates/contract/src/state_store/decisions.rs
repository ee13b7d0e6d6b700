//! Decisions of operators: instances removed on purpose, and acknowledged recoveries.

use super::members::{heartbeat, line, until_older};
use crate::{Case, Opening, Process, Scene, StateStores, cases};
use domain::decision::Subject;
use domain::id::InstanceId;
use domain::lease::Seq;
use domain::ledger::Actor;
use domain::ports::{Release, Removal};
use domain::recovery::RecoveryCode;
use std::time::Duration;

/// Younger than any heartbeat that a case has written.
const OLD: Duration = Duration::ZERO;
/// Older than any.
const RECENT: Duration = Duration::from_hours(1);

/// Long enough for the statements of a busy machine, and short enough to wait for.
const SHORT_TTL: Duration = Duration::from_secs(3);

pub(super) fn cases<A: StateStores>() -> Vec<Case<A>> {
    cases!("state_store", Scene:
        a_removed_instance_is_left_out_until_it_writes_a_heartbeat,
        an_instance_that_may_be_alive_or_leads_is_not_removed,
        an_instance_that_is_not_in_the_table_cannot_be_removed,
        an_acknowledgement_is_kept_with_its_verdict,
        decisions_are_of_one_group_and_the_newest_is_first,
    )
}

fn anna() -> Actor {
    Actor { who: "anna".to_owned(), origin: "host-1".to_owned() }
}

async fn remove(by: &Process, id: &InstanceId, recent: Duration) -> Removal {
    by.state.remove_instance(id, recent, &anna(), "the host was sold").await.expect("remove")
}

async fn ids(process: &Process) -> Vec<InstanceId> {
    process.state.members().await.expect("members").into_iter().map(|seen| seen.member.id).collect()
}

async fn a_removed_instance_is_left_out_until_it_writes_a_heartbeat(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    heartbeat(&a, &line(&a)).await;
    heartbeat(&b, &line(&b)).await;
    assert_eq!(remove(&b, &a.opening.id, OLD).await, Removal::Removed);
    assert_eq!(ids(&b).await, std::slice::from_ref(&b.opening.id));
    let decision = b.state.decisions(10).await.expect("decisions").remove(0);
    assert_eq!((decision.actor, decision.reason.as_str()), (anna(), "the host was sold"));
    let started_ms = line(&a).started_ms;
    assert_eq!(decision.subject, Subject::InstanceRemoved { id: a.opening.id.clone(), started_ms });
    assert!(decision.at_ms > 0);
    // The store writes times in milliseconds: the next heartbeat must have another one.
    loop {
        heartbeat(&a, &line(&a)).await;
        if ids(&b).await.len() == 2 {
            break;
        }
    }
    assert_eq!(ids(&b).await, [a.opening.id.clone(), b.opening.id.clone()], "it is alive after all");
    assert_eq!(b.state.decisions(10).await.expect("decisions").len(), 1, "the decision remains");
}

async fn an_instance_that_may_be_alive_or_leads_is_not_removed(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    heartbeat(&a, &line(&a)).await;
    let answer = remove(&b, &a.opening.id, RECENT).await;
    assert!(matches!(answer, Removal::Alive { heartbeat_age } if heartbeat_age < RECENT), "{answer:?}");
    let token = a.lead().await;
    assert_eq!(remove(&b, &a.opening.id, RECENT).await, Removal::Leads);
    assert_eq!(remove(&b, &a.opening.id, OLD).await, Removal::Leads);
    assert_eq!(ids(&b).await, std::slice::from_ref(&a.opening.id));
    assert_eq!(b.state.decisions(10).await, Ok(vec![]), "a refusal is no decision");
    assert_eq!(a.state.release(&token, Seq(1), "planned").await, Ok(Release::Released));
    assert_eq!(remove(&b, &a.opening.id, OLD).await, Removal::Removed, "it released the lease");
    // A lease that has ended protects its holder no longer.
    let c = scene.start(Opening { ttl: SHORT_TTL, ..Opening::new(scene.group(), "c") }).await;
    heartbeat(&c, &line(&c)).await;
    c.lead().await;
    assert_eq!(remove(&b, &c.opening.id, OLD).await, Removal::Leads);
    until_older(&b, SHORT_TTL).await;
    assert_eq!(remove(&b, &c.opening.id, OLD).await, Removal::Removed);
}

async fn an_instance_that_is_not_in_the_table_cannot_be_removed(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    assert_eq!(remove(&b, &a.opening.id, OLD).await, Removal::Unknown);
    heartbeat(&a, &line(&a)).await;
    let elsewhere = scene.neighbour().process("b").await;
    assert_eq!(remove(&elsewhere, &a.opening.id, OLD).await, Removal::Unknown, "it is of another group");
    assert_eq!(remove(&b, &a.opening.id, OLD).await, Removal::Removed);
    assert_eq!(remove(&b, &a.opening.id, OLD).await, Removal::Unknown, "it was removed before");
    assert_eq!(b.state.decisions(10).await.expect("decisions").len(), 1);
}

async fn an_acknowledgement_is_kept_with_its_verdict(scene: Scene) {
    let process = scene.process("a").await;
    let verdicts = [None, Some(RecoveryCode::DataCorrupt), Some(RecoveryCode::ValidationFailed)];
    for verdict in verdicts {
        process.state.acknowledge_recovery(verdict, &anna(), "rows corrected").await.expect("acknowledge");
    }
    let decisions = process.state.decisions(10).await.expect("decisions");
    let kept: Vec<_> = decisions.iter().rev().map(|one| one.subject.clone()).collect();
    assert_eq!(kept, verdicts.map(|verdict| Subject::RecoveryAcknowledged { verdict }));
    assert!(decisions.iter().all(|one| one.actor == anna() && one.reason == "rows corrected"));
    let long = "é".repeat(300);
    let actor = Actor { who: long.clone(), origin: "\0".to_owned() };
    process.state.acknowledge_recovery(None, &actor, &long).await.expect("a long text is cut");
    let decision = process.state.decisions(1).await.expect("decisions").remove(0);
    assert_eq!((decision.actor.who.chars().count(), decision.reason.chars().count()), (128, 256));
}

async fn decisions_are_of_one_group_and_the_newest_is_first(scene: Scene) {
    let (process, elsewhere) = (scene.process("a").await, scene.neighbour().process("a").await);
    for reason in ["1", "2", "3"] {
        process.state.acknowledge_recovery(None, &anna(), reason).await.expect("acknowledge");
    }
    let reasons = |decisions: Vec<domain::decision::Decision>| {
        decisions.into_iter().map(|one| one.reason).collect::<Vec<_>>()
    };
    assert_eq!(reasons(process.state.decisions(2).await.expect("decisions")), ["3", "2"]);
    assert_eq!(elsewhere.state.decisions(10).await, Ok(vec![]));
}
