//! Tests that a superseded token changes nothing: the real fenced statements, on the database of real
//! processes. They depend on no timing, so a stopped leader is fenced like a dead one.

use crate::TTL;
use crate::group::Group;
use crate::servers::Servers;
use crate::wait::{PATIENCE, block_on, until};
use contract::event::EventKind;
use contract::signal_ledger::{client, signal};
use domain::lease::Token;
use domain::ledger::{Limits, Outcome, Signal, SignalId, SignalState};
use domain::ports::{InFlight, Recorded, Report, SignalClaim, SignalLedger, Submit};
use std::slice::from_ref;
use std::time::Duration;
use testkit::process::Signal as Unix;

/// The end of the first leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// By SIGKILL.
    Killed,
    /// By SIGSTOP; it continues later.
    Stopped,
}

#[test]
fn of_a_killed_leader_on_the_embedded_store() {
    superseded(Group::embedded(TTL).on_one_host(), End::Killed);
}

#[test]
fn of_a_stopped_leader_on_the_embedded_store() {
    superseded(Group::embedded(TTL), End::Stopped);
}

#[test]
fn of_a_killed_leader_on_postgresql() {
    let servers = Servers::start();
    superseded(servers.group(TTL), End::Killed);
}

#[test]
fn of_a_stopped_leader_on_postgresql() {
    let servers = Servers::start();
    superseded(servers.group(TTL), End::Stopped);
}

#[test]
fn of_a_row_that_was_given_back_on_the_embedded_store() {
    given_back(Group::embedded(TTL));
}

#[test]
fn of_a_row_that_was_given_back_on_postgresql() {
    let servers = Servers::start();
    given_back(servers.group(TTL));
}

fn superseded(mut group: Group, end: End) {
    let first = group.start_pair();
    let ledger = group.database.ledger();
    submit(&*ledger, &["s-1", "s-2", "s-3"]);
    let old = group.database.token();
    assert_eq!(old.epoch.0, first.epoch);
    // Claimed in the leader's name, and without a recorded outcome when the leader stops.
    let taken = claimed(&*ledger, &old);
    match end {
        End::Killed => group.process(&first.name).kill(),
        End::Stopped => group.freeze(&first.name),
    }
    let next = group.wait_lead(first.epoch);
    // The new leader's own work takes over the signals that the old one may have sent.
    until("it is in doubt", || {
        let found = block_on(ledger.find(&taken.id)).expect("the database answers");
        found.filter(|signal| signal.state == SignalState::InDoubt)
    });
    assert_refused(&group, &*ledger, &old, &taken);

    let current = group.database.token();
    assert_eq!(current.epoch.0, next.epoch);
    let in_doubt = block_on(ledger.take_over(&current, InFlight::All)).expect("the database answers");
    let in_doubt: Vec<SignalId> = in_doubt.expect("the token is current").into_iter().map(|s| s.id).collect();
    assert_eq!(in_doubt, from_ref(&taken.id), "what the old leader may have sent");
    let second = claimed(&*ledger, &current);
    assert_ne!(second.id, taken.id, "it is not sent again blindly");
    let settled = block_on(ledger.record(&current, &[report(&second, Outcome::Done)]));
    assert_eq!(settled, Ok(Some(vec![Recorded::Recorded])));

    if end == End::Stopped {
        group.process(&first.name).signal(Unix::CONT);
        group.wait_event(&first.name, EventKind::Lost, first.epoch);
        assert_refused(&group, &*ledger, &old, &taken);
        let third = claimed(&*ledger, &current);
        assert!(third.id != taken.id && third.id != second.id, "the current token still works: {third:?}");
    }
    group.finish();
}

fn given_back(mut group: Group) {
    group.start("a");
    let lead = group.wait_lead(0);
    group.wait_active("a");
    let ledger = group.database.ledger();
    submit(&*ledger, &["s-1", "s-2"]);
    let old = group.database.token();
    assert_eq!(old.epoch.0, lead.epoch);
    let taken = claimed(&*ledger, &old);
    group.process("a").signal(Unix::TERM);
    assert_eq!(group.process("a").wait_exit(PATIENCE).code(), Some(0));
    assert_eq!(group.database.token(), old, "no instance has claimed the lease since");
    assert_refused(&group, &*ledger, &old, &taken);
    group.finish();
}

fn submit(ledger: &dyn SignalLedger, ids: &[&str]) {
    for id in ids {
        let answer = block_on(ledger.submit_one(&signal(id), &client()));
        assert!(matches!(answer, Ok(Submit::Accepted(_))), "{answer:?}");
    }
}

fn claimed(ledger: &dyn SignalLedger, token: &Token) -> Signal {
    match block_on(ledger.claim_signals(token, Limits::NONE, 1)) {
        Ok(SignalClaim::Claimed(mut signals)) => signals.remove(0),
        other => panic!("the current token {token} is refused: {other:?}"),
    }
}

fn report(of: &Signal, outcome: Outcome) -> Report {
    Report { id: of.id.clone(), attempt: of.attempt, outcome, note: None }
}

/// Asserts that every statement under that token is fenced and that the ledger does not change.
#[track_caller]
fn assert_refused(group: &Group, ledger: &dyn SignalLedger, old: &Token, taken: &Signal) {
    let before = group.database.signals();
    assert!(before.is_some());
    assert_eq!(block_on(ledger.claim_signals(old, Limits::NONE, 1)), Ok(SignalClaim::Fenced));
    for outcome in [Outcome::Done, Outcome::Sent, Outcome::Rejected, Outcome::Received] {
        assert_eq!(block_on(ledger.record(old, &[report(taken, outcome)])), Ok(None));
    }
    assert_eq!(block_on(ledger.take_over(old, InFlight::All)), Ok(None));
    assert_eq!(block_on(ledger.sweep(old, Duration::ZERO)), Ok(None));
    assert_eq!(group.database.signals(), before);
}
