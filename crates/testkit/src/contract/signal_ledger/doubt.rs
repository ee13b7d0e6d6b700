//! Doubt: what a former leader claimed and did not settle is never sent blindly.

use super::{accepted, claim, claim_one, ids, settle, signal_about, submit, take_over};
use crate::contract::{Case, Process, Scene, StateStores, cases};
use domain::lease::Token;
use domain::ledger::{FORGOTTEN, Settlement, Signal, SignalCounts, SignalState};
use domain::ports::{Claim, ClaimRequest, InFlight, Recorded, SignalClaim};
use std::time::Duration;

pub(super) fn cases<A: StateStores>() -> Vec<Case<A>> {
    cases!("signal_ledger", Scene:
        taking_over_marks_what_others_claimed,
        taking_over_again_tells_the_same,
        taking_over_marks_the_own_claims_that_are_not_in_flight,
        what_others_claimed_is_not_in_flight_whatever_is_said,
        a_doubt_is_not_claimed_until_it_is_resolved,
        a_doubt_is_resolved_each_way,
        a_late_resolution_of_an_earlier_doubt_is_refused,
        a_doubt_outlives_the_leader_that_marked_it,
        what_the_store_may_have_forgotten_is_asked_about_before_it_is_sent,
        what_is_older_than_the_moment_is_asked_about_whenever_it_comes,
    )
}

/// `a` claims the signals, then `b` leads. Their ids do not sort as they arrived.
async fn orphaned(a: &Process, b: &Process, names: &[&str]) -> (Token, Vec<Signal>) {
    let old = a.lead().await;
    let mut signals = Vec::new();
    for name in names {
        submit(&*a.ledger, name).await;
        signals.push(claim(&*a.ledger, &old).await);
    }
    (b.lead().await, signals)
}

async fn taking_over_marks_what_others_claimed(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let (token, claimed) = orphaned(&a, &b, &["z", "y"]).await;
    submit(&*a.ledger, "waiting").await;
    let doubtful = take_over(&b, &token).await;
    let expected: Vec<Signal> =
        claimed.into_iter().map(|signal| Signal { state: SignalState::InDoubt, ..signal }).collect();
    assert_eq!(doubtful, expected, "oldest first, each with its attempt");
    let counts = SignalCounts { received: 1, in_doubt: 2, ..SignalCounts::default() };
    assert_eq!(b.ledger.counts().await, Ok(counts));
}

async fn taking_over_again_tells_the_same(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let (token, _) = orphaned(&a, &b, &["s-1"]).await;
    let doubtful = take_over(&b, &token).await;
    assert_eq!(take_over(&b, &token).await, doubtful);
    let lines = b.ledger.audit(Some(&doubtful[0].id), 10).await.expect("audit");
    assert_eq!(lines.iter().filter(|line| line.what == "in_doubt").count(), 1, "{lines:?}");
}

/// A claim whose answer was lost: only the store knows of it. What is being worked on is left alone.
async fn taking_over_marks_the_own_claims_that_are_not_in_flight(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    submit(&*process.ledger, "lost").await;
    submit(&*process.ledger, "working").await;
    let lost = claim(&*process.ledger, &token).await;
    let working = claim(&*process.ledger, &token).await;
    let over = async |in_flight: InFlight<'_>| {
        process.ledger.take_over(&token, in_flight).await.expect("take over").expect("the token is the row's")
    };
    assert_eq!(over(InFlight::All).await, [], "somebody else works on them");
    assert_eq!(ids(&over(InFlight::Only(std::slice::from_ref(&working.id))).await), ["lost"]);
    let settle = async |of: &Signal, as_| settle(&*process.ledger, &token, of, as_).await;
    assert_eq!(settle(&working, Settlement::Done).await, Some(Recorded::Recorded));
    assert_eq!(settle(&lost, Settlement::Received).await, Some(Recorded::Recorded));
    let again = claim(&*process.ledger, &token).await;
    assert_eq!((&again.id, again.attempt), (&lost.id, 2), "not sent after all: it is sent now");
    assert_eq!(settle(&lost, Settlement::Done).await, Some(Recorded::Refused), "of the first attempt");
    assert_eq!(settle(&again, Settlement::Done).await, Some(Recorded::Recorded));
    assert_eq!(take_over(&process, &token).await, [], "what is settled is left alone");
}

async fn what_others_claimed_is_not_in_flight_whatever_is_said(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    for (name, n) in [("z", 0), ("y", 1)] {
        let (token, claimed) = orphaned(&a, &b, &[name]).await;
        let named = [claimed[0].id.clone()];
        let in_flight = if n == 0 { InFlight::All } else { InFlight::Only(&named) };
        let doubtful = b.ledger.take_over(&token, in_flight).await.expect("take over");
        assert_eq!(doubtful.expect("the token is the row's").len(), n + 1, "{in_flight:?}");
    }
}

async fn a_doubt_is_not_claimed_until_it_is_resolved(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let (token, _) = orphaned(&a, &b, &["s-1"]).await;
    assert_eq!(claim_one(&*b.ledger, &token).await, SignalClaim::Empty, "not before the takeover either");
    take_over(&b, &token).await;
    assert_eq!(claim_one(&*b.ledger, &token).await, SignalClaim::Empty);
}

async fn a_doubt_is_resolved_each_way(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let (token, signals) = orphaned(&a, &b, &["done", "rejected", "again"]).await;
    submit(&*a.ledger, "later").await;
    take_over(&b, &token).await;
    let ways = [Settlement::Done, Settlement::Rejected, Settlement::Received];
    for (signal, as_) in signals.iter().zip(ways) {
        let answer = settle(&*b.ledger, &token, signal, as_).await;
        assert_eq!(answer, Some(Recorded::Recorded), "{}", signal.id);
        for other in ways.into_iter().filter(|other| *other != as_) {
            let answer = settle(&*b.ledger, &token, signal, other).await;
            assert_eq!(answer, Some(Recorded::Refused), "{} is in doubt no more", signal.id);
        }
    }
    let counts = SignalCounts { received: 2, done: 1, rejected: 1, ..SignalCounts::default() };
    assert_eq!(b.ledger.counts().await, Ok(counts));
    let next = claim(&*b.ledger, &token).await;
    assert_eq!(next.id, signals[2].id, "back in its place in the order of arrival");
    assert_eq!((next.state, next.attempt), (SignalState::Claimed(token), 2));
}

/// A resolution whose answer was lost may arrive when the signal was sent again and is in doubt again. It must not
/// put back to wait what may have been executed.
async fn a_late_resolution_of_an_earlier_doubt_is_refused(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    submit(&*process.ledger, "s-1").await;
    claim(&*process.ledger, &token).await;
    let first = take_over(&process, &token).await.remove(0);
    settle(&*process.ledger, &token, &first, Settlement::Received).await.expect("the token is the row's");
    claim(&*process.ledger, &token).await;
    let second = take_over(&process, &token).await.remove(0);
    assert_eq!((first.attempt, second.attempt), (1, 2));
    let late = settle(&*process.ledger, &token, &first, Settlement::Received).await;
    assert_eq!(late, Some(Recorded::Refused));
    assert_eq!(claim_one(&*process.ledger, &token).await, SignalClaim::Empty);
}

async fn a_doubt_outlives_the_leader_that_marked_it(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let (second, _) = orphaned(&a, &b, &["s-1"]).await;
    take_over(&b, &second).await;
    let third = a.lead().await;
    assert_eq!(ids(&take_over(&a, &third).await), ["s-1"]);
}

/// `process` leads, and knows that the store has forgotten.
async fn lead_after_forgetting(process: &Process) -> Token {
    let request = ClaimRequest { forgotten: true, ..process.request(&process.look().await) };
    match process.state.claim(&request).await {
        Ok(Claim::Granted(token)) => token,
        other => panic!("the row is as seen: {other:?}"),
    }
}

async fn what_the_store_may_have_forgotten_is_asked_about_before_it_is_sent(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let waiting = submit(&*a.ledger, "waiting").await;
    let token = lead_after_forgetting(&b).await;
    assert_eq!(claim_one(&*b.ledger, &token).await, SignalClaim::Empty, "not even before the take-over");
    let doubtful = take_over(&b, &token).await;
    let expected = Signal {
        state: SignalState::InDoubt,
        attempt: 1,
        claimed_ms: Some(waiting.received_ms),
        note: Some(FORGOTTEN.to_owned()),
        ..waiting
    };
    assert_eq!(doubtful, [expected], "it may have been sent since it was received");
    assert_eq!(take_over(&b, &token).await, doubtful);
    assert_eq!(claim_one(&*b.ledger, &token).await, SignalClaim::Empty);
    assert_eq!(
        settle(&*b.ledger, &token, &doubtful[0], Settlement::Received).await,
        Some(Recorded::Recorded)
    );
    assert_eq!(take_over(&b, &token).await, [], "it was asked about once");
    let sent = claim(&*b.ledger, &token).await;
    assert_eq!((ids(std::slice::from_ref(&sent)), sent.attempt), (vec!["waiting"], 2));
    // The next time that the store forgets, it is in doubt again.
    settle(&*b.ledger, &token, &sent, Settlement::Received).await;
    let again = lead_after_forgetting(&a).await;
    assert_eq!(ids(&take_over(&a, &again).await), ["waiting"]);
}

async fn what_is_older_than_the_moment_is_asked_about_whenever_it_comes(scene: Scene) {
    let process = scene.process("a").await;
    let token = lead_after_forgetting(&process).await;
    assert_eq!(take_over(&process, &token).await, []);
    // What is received in the very millisecond counts as older.
    tokio::time::sleep(Duration::from_millis(5)).await;
    submit(&*process.ledger, "again").await;
    let mut new = signal_about("new", "of another instrument");
    new.instruction.timestamp_s = 4_102_444_800;
    accepted(&*process.ledger, &new).await;
    assert_eq!(claim(&*process.ledger, &token).await.id, new.id.expect("it has one"));
    assert_eq!(claim_one(&*process.ledger, &token).await, SignalClaim::Empty);
    let doubtful = process.ledger.take_over(&token, InFlight::All).await.expect("take over");
    assert_eq!(ids(&doubtful.expect("the token is the row's")), ["again"]);
}
