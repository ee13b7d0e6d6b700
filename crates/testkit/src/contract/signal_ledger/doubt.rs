//! Doubt: what a former leader claimed and did not settle is never sent blindly.

use super::{claim, submit};
use crate::contract::{Case, Process, Scene, StateStores, cases};
use domain::lease::Token;
use domain::ledger::{Settlement, Signal, SignalCounts, SignalId, SignalState};
use domain::ports::{Recorded, SignalClaim};

pub(super) fn cases<A: StateStores>() -> Vec<Case<A>> {
    cases!("signal_ledger", Scene:
        taking_over_marks_what_others_claimed,
        taking_over_again_tells_the_same,
        taking_over_marks_the_own_claims_too,
        a_doubt_is_not_claimed_until_it_is_resolved,
        a_doubt_is_resolved_each_way,
        only_a_doubt_is_resolved,
        a_doubt_outlives_the_leader_that_marked_it,
    )
}

async fn take_over(process: &Process, token: &Token) -> Vec<Signal> {
    process.ledger.take_over(token).await.expect("take over").expect("the token is the row's")
}

fn ids(signals: &[Signal]) -> Vec<&str> {
    signals.iter().map(|signal| signal.id.as_str()).collect()
}

/// `a` claims the signals, then `b` leads. Their ids do not sort as they arrived.
async fn orphaned(a: &Process, b: &Process, names: &[&str]) -> (Token, Vec<SignalId>) {
    let old = a.lead().await;
    let mut ids = Vec::new();
    for name in names {
        submit(&*a.ledger, name).await;
        ids.push(claim(&*a.ledger, &old).await.id);
    }
    (b.lead().await, ids)
}

async fn taking_over_marks_what_others_claimed(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let (token, _) = orphaned(&a, &b, &["z", "y"]).await;
    submit(&*a.ledger, "waiting").await;
    let doubtful = take_over(&b, &token).await;
    assert_eq!(ids(&doubtful), ["z", "y"], "oldest first");
    assert!(doubtful.iter().all(|signal| signal.state == SignalState::InDoubt), "{doubtful:?}");
    let counts = SignalCounts { received: 1, in_doubt: 2, ..SignalCounts::default() };
    assert_eq!(b.ledger.counts().await, Ok(counts));
}

async fn taking_over_again_tells_the_same(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let (token, _) = orphaned(&a, &b, &["s-1"]).await;
    let doubtful = take_over(&b, &token).await;
    assert_eq!(take_over(&b, &token).await, doubtful);
}

/// A claim whose answer was lost: only the store knows of it.
async fn taking_over_marks_the_own_claims_too(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    submit(&*process.ledger, "s-1").await;
    let id = claim(&*process.ledger, &token).await.id;
    assert_eq!(ids(&take_over(&process, &token).await), ["s-1"]);
    let settle = async || process.ledger.settle(&token, &id, Settlement::Done).await;
    assert_eq!(settle().await, Ok(Recorded::Fenced), "whoever still works on it has lost it");
    assert_eq!(process.ledger.resolve(&token, &id, Settlement::Received).await, Ok(Recorded::Recorded));
    assert_eq!(claim(&*process.ledger, &token).await.id, id, "not sent after all: it is sent now");
    assert_eq!(settle().await, Ok(Recorded::Recorded));
    assert_eq!(take_over(&process, &token).await, [], "what is settled is left alone");
}

async fn a_doubt_is_not_claimed_until_it_is_resolved(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let (token, _) = orphaned(&a, &b, &["s-1"]).await;
    assert_eq!(b.ledger.claim_next(&token).await, Ok(SignalClaim::Empty), "not before the takeover either");
    take_over(&b, &token).await;
    assert_eq!(b.ledger.claim_next(&token).await, Ok(SignalClaim::Empty));
}

async fn a_doubt_is_resolved_each_way(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let (token, ids) = orphaned(&a, &b, &["done", "rejected", "again"]).await;
    submit(&*a.ledger, "later").await;
    take_over(&b, &token).await;
    let ways = [Settlement::Done, Settlement::Rejected, Settlement::Received];
    for (id, as_) in ids.iter().zip(ways) {
        assert_eq!(b.ledger.resolve(&token, id, as_).await, Ok(Recorded::Recorded), "{id}");
        assert_eq!(b.ledger.resolve(&token, id, as_).await, Ok(Recorded::Fenced), "{id} is in doubt no more");
    }
    let counts = SignalCounts { received: 2, done: 1, rejected: 1, ..SignalCounts::default() };
    assert_eq!(b.ledger.counts().await, Ok(counts));
    let next = claim(&*b.ledger, &token).await;
    assert_eq!(next.id, ids[2], "back in its place in the order of arrival");
    assert_eq!(next.state, SignalState::Claimed(token));
}

async fn only_a_doubt_is_resolved(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    let id = submit(&*process.ledger, "s-1").await.id;
    let resolve = async |as_| process.ledger.resolve(&token, &id, as_).await;
    assert_eq!(resolve(Settlement::Done).await, Ok(Recorded::Fenced), "it waits");
    claim(&*process.ledger, &token).await;
    assert_eq!(resolve(Settlement::Received).await, Ok(Recorded::Fenced), "it is claimed");
    process.ledger.settle(&token, &id, Settlement::Rejected).await.expect("settle");
    assert_eq!(resolve(Settlement::Received).await, Ok(Recorded::Fenced), "it is settled");
    let unknown = super::signal_id("nobody-submitted-this");
    assert_eq!(process.ledger.resolve(&token, &unknown, Settlement::Done).await, Ok(Recorded::Fenced));
}

async fn a_doubt_outlives_the_leader_that_marked_it(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let (second, _) = orphaned(&a, &b, &["s-1"]).await;
    take_over(&b, &second).await;
    let third = a.lead().await;
    assert_eq!(ids(&take_over(&a, &third).await), ["s-1"]);
}
