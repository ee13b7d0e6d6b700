//! Tests that drop every request to the ledger and every write of the lease at each of its suspensions, those
//! in the client's library included: first at the first, then at the second, until the request ends before it
//! is dropped.
//!
//! After each drop the store is as before or as after the whole request, and never in between; the same store
//! continues to work; and another connection finds what it acknowledges then.

use crate::database::Database;
use crate::process::Process;
use crate::quick;
use crate::request::{Request, View, submit};
use crate::wait::{PATIENCE, block_on, until};
use contract::signal_ledger::client;
use coordinator::crash_point::dropped_at;
use domain::lease::Token;
use domain::ledger::{Limits, Outcome, Signal, SignalId};
use domain::ports::{CLAIM_MAX, InFlight, Migrate, Recorded, Report, Schema, SignalClaim, Switch};
use testkit::backend;
use testkit::directory::directory;
use tokio::time::timeout;

/// More suspensions than any request has; opening a connection has the most.
const SUSPENSIONS_MAX: u32 = 200;

/// Connections of the process before the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Connections {
    /// None is open: the request opens one.
    Cold,
    /// One for the lease and one for the rest are open and idle.
    Warm,
}

#[test]
fn every_suspension_of_every_request_on_the_embedded_store() {
    let directory = directory();
    for request in Request::ALL {
        every_suspension(&Database::Sqlite(directory.path().join(format!("{request:?}.db"))), request);
    }
}

#[test]
fn every_suspension_of_every_request_on_postgresql() {
    let server = backend::postgres();
    quick::create(&server.url());
    for request in Request::ALL {
        let url = block_on(server.create_database());
        every_suspension(&Database::Postgres(quick::login(&url)), request);
    }
}

fn every_suspension(database: &Database, request: Request) {
    let others = Process::open(database, "others");
    assert_eq!(block_on(others.state.migrate(Migrate::Apply)), Ok(Schema::Current));
    for connections in [Connections::Cold, Connections::Warm] {
        let mut drops = 0;
        while is_dropped(database, &others, request, connections, drops + 1) {
            drops += 1;
            assert!(drops < SUSPENSIONS_MAX, "{request:?} does not end");
        }
        println!("{request:?}, {connections:?}: dropped at {drops} suspensions");
        assert!(drops > 0 || connections == Connections::Warm, "a connection is not opened at once");
    }
}

/// Makes the request and drops it at that suspension. Returns whether it reached that suspension.
fn is_dropped(
    database: &Database,
    others: &Process,
    request: Request,
    connections: Connections,
    suspension: u32,
) -> bool {
    let at = format!("{request:?}-{connections:?}-{suspension}");
    let prepared = request.prepare(others, &SignalId::parse(&at).expect("an id"));
    let process = Process::open(database, &at);
    if connections == Connections::Warm {
        block_on(process.state.observe()).expect("the store answers");
        block_on(process.ledger.counts()).expect("the store answers");
    }
    let before = View::of(database, &prepared.id);
    let after = request.changes(&before);
    let sessions = process.sessions(database);

    let answer = block_on(dropped_at(suspension, request.make(&process, &prepared)));
    // A request that only reads may continue in the background, as the wait for hints does.
    if answer.is_none() && before != after {
        rest(database, &process, sessions);
    }
    let found = View::of(database, &prepared.id);
    match &answer {
        Some(answer) => assert_eq!((answer, &found), (&Ok(true), &after), "{at}"),
        None => assert!([&before, &after].contains(&&found), "{at}: {found:?} of {before:?} or {after:?}"),
    }
    go_on(database, &process, others, &at);
    answer.is_none()
}

/// Waits until the dropped request has ended. SQLite's statements take turns on one connection of each kind;
/// PostgreSQL's session of a dropped request ends when its statement has ended.
fn rest(database: &Database, process: &Process, sessions_before: u64) {
    match database {
        Database::Sqlite(_) => {
            block_on(process.state.observe()).expect("the store answers");
            block_on(process.ledger.counts()).expect("the store answers");
        }
        Database::Postgres(_) => until("the session of a dropped request ends", || {
            (process.sessions(database) == sessions_before.saturating_sub(1)).then_some(())
        }),
    }
}

/// The same store accepts a signal and the lease and acknowledges both, and the database has them; the store
/// also receives hints about others' signals. Afterwards no signal waits.
fn go_on(database: &Database, process: &Process, others: &Process, at: &str) {
    let id = SignalId::parse(&format!("{at}-later")).expect("an id");
    submit(process, &id);
    assert_eq!(View::of(database, &id).signal.as_deref(), Some("received"), "{at}: acknowledged");
    submit(others, &SignalId::parse(&format!("{at}-of-others")).expect("an id"));
    let hint = block_on(async { timeout(PATIENCE, process.ledger.submitted()).await });
    assert!(hint.is_ok(), "{at}: no hint of a signal that was submitted");
    let token = process.lead();
    assert_eq!(View::of(database, &id).epoch, token.epoch.0, "{at}: acknowledged");
    // The dropped request may have turned the switch.
    let resumed = block_on(process.ledger.switch(Switch::Resume, &client(), "tested"));
    assert!(resumed.is_ok(), "{at}: {resumed:?}");
    let doubted = block_on(process.ledger.take_over(&token, InFlight::Only(&[]))).expect("the store answers");
    for signal in doubted.expect("the token holds the lease") {
        record(process, &token, &signal, Outcome::Received, at);
    }
    loop {
        match block_on(process.ledger.claim_signals(&token, Limits::NONE, CLAIM_MAX)) {
            Ok(SignalClaim::Claimed(signals)) => {
                for signal in signals {
                    record(process, &token, &signal, Outcome::Done, at);
                }
            }
            Ok(SignalClaim::Empty) => return,
            other => panic!("{at}: {other:?}"),
        }
    }
}

fn record(process: &Process, token: &Token, of: &Signal, outcome: Outcome, at: &str) {
    let report = Report { id: of.id.clone(), attempt: of.attempt, outcome, note: None };
    let answer = block_on(process.ledger.record(token, &[report]));
    assert_eq!(answer, Ok(Some(vec![Recorded::Recorded])), "{at}");
}
