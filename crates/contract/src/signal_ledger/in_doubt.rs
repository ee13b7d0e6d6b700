//! Signals in doubt: a signal that a former leader claimed without an outcome is never sent without a lookup.

use super::{
    accepted, claim, claim_one, ids, lead_after_forgetting, record, signal_about, submit, take_over,
};
use crate::{Case, LeaseColumn, Process, Scene, StateStores, Tamper, Value, cases};
use domain::lease::{Seq, Token};
use domain::ledger::{FORGOTTEN, ORPHANED, Outcome, Signal, SignalCounts, SignalState};
use domain::ports::{InFlight, Recorded, Release, Renewal, SignalClaim};
use std::time::Duration;

pub(super) fn cases<A: StateStores>() -> Vec<Case<A>> {
    cases!("signal_ledger", Scene:
        taking_over_marks_what_others_claimed,
        taking_over_again_tells_the_same,
        taking_over_marks_the_own_claims_that_are_not_in_flight,
        a_signal_that_others_claimed_is_never_in_flight,
        a_signal_in_doubt_is_not_claimed_until_it_is_resolved,
        a_signal_in_doubt_is_resolved_each_way,
        a_late_resolution_of_an_earlier_attempt_is_refused,
        a_signal_stays_in_doubt_after_the_leader_that_marked_it,
        a_signal_that_the_store_may_have_forgotten_is_in_doubt_before_it_is_sent,
        a_signal_older_than_the_moment_is_in_doubt_whenever_it_is_submitted,
        an_older_copy_of_the_own_lease_accepts_no_effect_and_its_renewal_notes_the_moment,
        a_release_of_an_older_copy_notes_the_moment,
    )
}

/// `a` claims the signals, then `b` leads. The order of their ids differs from their order of arrival.
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
    let in_doubt = take_over(&b, &token).await;
    let why = || Some(ORPHANED.to_owned());
    let expected: Vec<Signal> = claimed
        .into_iter()
        .map(|signal| Signal { state: SignalState::InDoubt, note: why(), ..signal })
        .collect();
    assert_eq!(in_doubt, expected, "oldest first, each with its attempt");
    let counts = SignalCounts { received: 1, in_doubt: 2, ..SignalCounts::default() };
    assert_eq!(b.ledger.counts().await, Ok(counts));
}

async fn taking_over_again_tells_the_same(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let (token, _) = orphaned(&a, &b, &["s-1"]).await;
    let in_doubt = take_over(&b, &token).await;
    assert_eq!(take_over(&b, &token).await, in_doubt);
    let lines = b.ledger.audit(Some(&in_doubt[0].id), 10).await.expect("audit");
    assert_eq!(lines.iter().filter(|line| line.what == "in_doubt").count(), 1, "{lines:?}");
}

/// The answer to a claim was lost: only the store knows of it. Signals in progress stay claimed.
async fn taking_over_marks_the_own_claims_that_are_not_in_flight(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    submit(&*process.ledger, "lost").await;
    submit(&*process.ledger, "working").await;
    let lost = claim(&*process.ledger, &token).await;
    let working = claim(&*process.ledger, &token).await;
    let over = async |in_flight: InFlight<'_>| {
        process
            .ledger
            .take_over(&token, in_flight)
            .await
            .expect("take over")
            .expect("the token holds the lease")
    };
    assert_eq!(over(InFlight::All).await, [], "another task works on them");
    assert_eq!(ids(&over(InFlight::Only(std::slice::from_ref(&working.id))).await), ["lost"]);
    let record_one = async |of: &Signal, as_| record(&*process.ledger, &token, of, as_).await;
    assert_eq!(record_one(&working, Outcome::Done).await, Some(Recorded::Recorded));
    assert_eq!(record_one(&lost, Outcome::Received).await, Some(Recorded::Recorded));
    let again = claim(&*process.ledger, &token).await;
    assert_eq!((&again.id, again.attempt), (&lost.id, 2), "it was not sent, so it is claimed again");
    assert_eq!(
        record_one(&lost, Outcome::Done).await,
        Some(Recorded::Refused),
        "a report of the first attempt"
    );
    assert_eq!(record_one(&again, Outcome::Done).await, Some(Recorded::Recorded));
    assert_eq!(take_over(&process, &token).await, [], "a finished signal is unchanged");
}

async fn a_signal_that_others_claimed_is_never_in_flight(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    for (name, n) in [("z", 0), ("y", 1)] {
        let (token, claimed) = orphaned(&a, &b, &[name]).await;
        let named = [claimed[0].id.clone()];
        let in_flight = if n == 0 { InFlight::All } else { InFlight::Only(&named) };
        let in_doubt = b.ledger.take_over(&token, in_flight).await.expect("take over");
        assert_eq!(in_doubt.expect("the token holds the lease").len(), n + 1, "{in_flight:?}");
    }
}

async fn a_signal_in_doubt_is_not_claimed_until_it_is_resolved(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let (token, _) = orphaned(&a, &b, &["s-1"]).await;
    assert_eq!(claim_one(&*b.ledger, &token).await, SignalClaim::Empty, "not before the takeover either");
    take_over(&b, &token).await;
    assert_eq!(claim_one(&*b.ledger, &token).await, SignalClaim::Empty);
}

async fn a_signal_in_doubt_is_resolved_each_way(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let (token, signals) = orphaned(&a, &b, &["done", "rejected", "again"]).await;
    submit(&*a.ledger, "later").await;
    take_over(&b, &token).await;
    let ways = [Outcome::Done, Outcome::Rejected, Outcome::Received];
    for (signal, as_) in signals.iter().zip(ways) {
        let answer = record(&*b.ledger, &token, signal, as_).await;
        assert_eq!(answer, Some(Recorded::Recorded), "{}", signal.id);
        for other in ways.into_iter().filter(|other| *other != as_) {
            let answer = record(&*b.ledger, &token, signal, other).await;
            assert_eq!(answer, Some(Recorded::Refused), "{} is no longer in doubt", signal.id);
        }
    }
    let counts = SignalCounts { received: 2, done: 1, rejected: 1, ..SignalCounts::default() };
    assert_eq!(b.ledger.counts().await, Ok(counts));
    let next = claim(&*b.ledger, &token).await;
    assert_eq!(next.id, signals[2].id, "back in its place in the order of arrival");
    assert_eq!((next.state, next.attempt), (SignalState::Claimed(token), 2));
}

/// A resolution whose answer was lost may arrive when the signal was sent again and is in doubt again. It must not
/// return a signal to waiting that may have been executed.
async fn a_late_resolution_of_an_earlier_attempt_is_refused(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    submit(&*process.ledger, "s-1").await;
    claim(&*process.ledger, &token).await;
    let first = take_over(&process, &token).await.remove(0);
    record(&*process.ledger, &token, &first, Outcome::Received).await.expect("the token holds the lease");
    claim(&*process.ledger, &token).await;
    let second = take_over(&process, &token).await.remove(0);
    assert_eq!((first.attempt, second.attempt), (1, 2));
    let late = record(&*process.ledger, &token, &first, Outcome::Received).await;
    assert_eq!(late, Some(Recorded::Refused));
    assert_eq!(claim_one(&*process.ledger, &token).await, SignalClaim::Empty);
}

async fn a_signal_stays_in_doubt_after_the_leader_that_marked_it(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let (second, _) = orphaned(&a, &b, &["s-1"]).await;
    take_over(&b, &second).await;
    let third = a.lead().await;
    assert_eq!(ids(&take_over(&a, &third).await), ["s-1"]);
}

async fn a_signal_that_the_store_may_have_forgotten_is_in_doubt_before_it_is_sent(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let waiting = submit(&*a.ledger, "waiting").await;
    let token = lead_after_forgetting(&b).await;
    assert_eq!(claim_one(&*b.ledger, &token).await, SignalClaim::Empty, "not even before the take-over");
    let in_doubt = take_over(&b, &token).await;
    let expected = Signal {
        state: SignalState::InDoubt,
        attempt: 1,
        claimed_ms: Some(waiting.received_ms),
        note: Some(FORGOTTEN.to_owned()),
        ..waiting
    };
    assert_eq!(in_doubt, [expected], "it may have been sent since it was received");
    assert_eq!(take_over(&b, &token).await, in_doubt);
    assert_eq!(claim_one(&*b.ledger, &token).await, SignalClaim::Empty);
    assert_eq!(record(&*b.ledger, &token, &in_doubt[0], Outcome::Received).await, Some(Recorded::Recorded));
    assert_eq!(take_over(&b, &token).await, [], "it becomes in doubt only once");
    let sent = claim(&*b.ledger, &token).await;
    assert_eq!((ids(std::slice::from_ref(&sent)), sent.attempt), (vec!["waiting"], 2));
    // The next time that the store forgets, it is in doubt again.
    record(&*b.ledger, &token, &sent, Outcome::Received).await;
    let again = lead_after_forgetting(&a).await;
    assert_eq!(ids(&take_over(&a, &again).await), ["waiting"]);
}

async fn a_signal_older_than_the_moment_is_in_doubt_whenever_it_is_submitted(scene: Scene) {
    let process = scene.process("a").await;
    let token = lead_after_forgetting(&process).await;
    assert_eq!(take_over(&process, &token).await, []);
    // A signal that is received in the same millisecond counts as older.
    tokio::time::sleep(Duration::from_millis(5)).await;
    submit(&*process.ledger, "again").await;
    let mut new = signal_about("new", "of another instrument");
    new.instruction.timestamp_s = 4_102_444_800;
    accepted(&*process.ledger, &new).await;
    assert_eq!(claim(&*process.ledger, &token).await.id, new.id.expect("it has one"));
    assert_eq!(claim_one(&*process.ledger, &token).await, SignalClaim::Empty);
    let in_doubt = process.ledger.take_over(&token, InFlight::All).await.expect("take over");
    assert_eq!(ids(&in_doubt.expect("the token holds the lease")), ["again"]);
}

/// Rule M23. A backup from the same term is restored while its leader lives: its lease has the leader's token, and a
/// seq that the leader has passed.
async fn an_older_copy_of_the_own_lease_accepts_no_effect_and_its_renewal_notes_the_moment(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    submit(&*process.ledger, "held").await;
    let held = claim(&*process.ledger, &token).await;
    submit(&*process.ledger, "waiting").await;
    let renew = async |seq| process.state.renew(&token, Seq(seq), token.timeline).await;
    let renewed = |forgotten| Ok(Renewal::Renewed { timeline: token.timeline, resign: None, forgotten });
    assert_eq!(renew(5).await, renewed(false));
    assert_eq!(renew(9).await, renewed(false));
    restore(&scene, 5).await;
    assert_eq!(claim_one(&*process.ledger, &token).await, SignalClaim::Fenced);
    assert_eq!(process.ledger.take_over(&token, InFlight::All).await, Ok(None));
    assert_eq!(record(&*process.ledger, &token, &held, Outcome::Done).await, None);
    assert_eq!(process.ledger.sweep(&token, Duration::ZERO).await, Ok(None));
    assert_eq!(renew(10).await, renewed(true));
    assert_eq!(renew(11).await, renewed(true), "the first answer may be lost");
    assert_eq!(claim_one(&*process.ledger, &token).await, SignalClaim::Empty);
    assert_eq!(ids(&take_over(&process, &token).await), ["held", "waiting"]);
    assert_eq!(record(&*process.ledger, &token, &held, Outcome::Done).await, Some(Recorded::Recorded));
}

/// The lease is over, and its former leader releases it before another instance claims it.
async fn a_release_of_an_older_copy_notes_the_moment(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let token = a.lead().await;
    submit(&*a.ledger, "waiting").await;
    a.state.renew(&token, Seq(9), token.timeline).await.expect("renew");
    restore(&scene, 8).await;
    assert_eq!(a.state.release(&token, Seq(9), "the test").await, Ok(Release::Released));
    let next = b.lead().await;
    assert_eq!(claim_one(&*b.ledger, &next).await, SignalClaim::Empty);
    assert_eq!(ids(&take_over(&b, &next).await), ["waiting"]);
}

/// Sets the lease to the state of a backup with this seq.
async fn restore(scene: &Scene, seq: i64) {
    let backup =
        Tamper::Lease { group: scene.group().clone(), column: LeaseColumn::Seq, value: Value::Number(seq) };
    scene.tamper(backup).await.expect("a seq is a number");
}
