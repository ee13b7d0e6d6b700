//! Tests in which a leader is stopped in the middle of a large answer of PostgreSQL. The server waits without
//! a timeout until the leader reads on, and the locks of that session remain. The lease must not be among
//! them: another instance takes over, and no signal is executed twice.

use crate::TTL;
use crate::group::Group;
use crate::servers::Servers;
use crate::wait::{block_on, until};
use contract::event::EventKind;
use contract::signal_ledger::{client, signal};
use domain::ledger::{Limits, NewSignal};
use domain::ports::{CLAIM_MAX, SignalClaim, SignalLedger};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::thread;
use testkit::http;
use testkit::process::{Launch, Signal as Unix};
use testkit::proxy::{Direction, Mode, Proxy};

/// Size of one payload. All of them are more than the buffers of a connection hold: a server's grow to at
/// most 4 MB, and those of a client that does not read stay at 128 KiB.
const PAYLOAD_BYTES: usize = 60_000;
/// Bytes of all replies that the leader reads before it stops: enough for its heartbeats until then, and a
/// small part of the large answer.
const READ_BYTES: u64 = 256 * 1024;
/// For each session that waits until its client reads: its number of locks of the lease table or of any of
/// its rows.
const SENDING: &str = "\
    SELECT (SELECT count(*) FROM pg_locks AS l
            WHERE l.pid = a.pid AND l.relation = 'coordinator_lease'::regclass AND l.mode <> 'AccessShareLock')::text
    FROM pg_stat_activity AS a WHERE a.datname = current_database() AND a.wait_event = 'ClientWrite'";

#[test]
fn a_leader_that_is_stopped_while_it_reads_its_claim_is_superseded() {
    let servers = Servers::start_without_relay();
    let mut group = without_limits(&servers);
    let proxy = block_on(Proxy::start(servers.postgres.address()));
    let leader = through(&group, &servers, &proxy, "a");
    group.start_as("a", &leader);
    group.wait_active("a");
    group.start("b");
    group.wait_ready("b");
    let first = group.wait_lead(0);
    submit_all(&*group.database.ledger());

    block_on(proxy.set(Mode::StallAfter(Direction::Replies, READ_BYTES)));
    let address = group.process("a").address();
    let claim = thread::spawn(move || claim_at(&address));
    stop_while_it_reads(&mut group, "a");
    let next = group.wait_lead(first.epoch);
    assert_eq!(next.name, "b");
    group.wait_active("b");

    block_on(proxy.set(Mode::Pass));
    group.process("a").signal(Unix::CONT);
    group.wait_event("a", EventKind::Lost, first.epoch);
    let handed_out = claim.join().expect("the claim's client ends");
    assert_eq!(ids(&handed_out), Vec::<(String, u64)>::new(), "the lease had ended");
    each_is_executed_once(&mut group, "b");
    group.finish();
}

#[test]
fn a_leader_that_is_stopped_while_it_reads_what_it_takes_over_is_superseded() {
    let servers = Servers::start_without_relay();
    let mut group = without_limits(&servers);
    group.start("a");
    group.wait_active("a");
    let ledger = group.database.ledger();
    submit_all(&*ledger);
    // Claimed in the leader's name: the leader may have executed them when it stops.
    let claim = block_on(ledger.claim_signals(&group.database.token(), Limits::NONE, CLAIM_MAX));
    assert!(matches!(claim, Ok(SignalClaim::Claimed(claimed)) if claimed.len() == usize::from(CLAIM_MAX)));
    let proxy = block_on(Proxy::start(servers.postgres.address()));
    let successor = through(&group, &servers, &proxy, "b");
    group.start_as("b", &successor);
    group.wait_ready("b");
    let first = group.wait_lead(0);

    block_on(proxy.set(Mode::StallAfter(Direction::Replies, READ_BYTES)));
    group.process("a").kill();
    stop_while_it_reads(&mut group, "b");
    let second = group.wait_lead(first.epoch);
    assert_eq!(second.name, "b");
    group.start("c");
    let third = group.wait_lead(second.epoch);
    assert_eq!(third.name, "c");
    group.wait_active("c");

    block_on(proxy.set(Mode::Pass));
    group.process("b").signal(Unix::CONT);
    group.wait_event("b", EventKind::Lost, second.epoch);
    each_is_executed_once(&mut group, "c");
    group.finish();
}

/// The service of these tests claims all signals at once.
fn without_limits(servers: &Servers) -> Group {
    let mut group = servers.group(TTL);
    for limit in ["COORDINATOR_SIGNALS_MAX_PER_MINUTE", "COORDINATOR_SIGNALS_MAX_PER_DAY"] {
        group.set(limit, "none");
    }
    group
}

fn through(group: &Group, servers: &Servers, proxy: &Proxy, name: &str) -> Launch {
    let url = servers.url.replace(&servers.postgres.address(), &proxy.address().to_string());
    group.launch_through(name, &url)
}

/// Submits as many signals as one claim grants, each with another instrument.
fn submit_all(ledger: &dyn SignalLedger) {
    let large = |n: u16| {
        let mut new = signal(&format!("s-{n}"));
        new.instruction.payload = json!({ "note": "x".repeat(PAYLOAD_BYTES) }).to_string();
        new
    };
    let all: Vec<NewSignal> = (0..CLAIM_MAX).map(large).collect();
    let accepted = block_on(ledger.submit(&all, &client())).expect("the database answers");
    assert_eq!(accepted.len(), all.len());
}

/// Waits until the server has an answer that it cannot send, and stops the instance.
fn stop_while_it_reads(group: &mut Group, name: &str) {
    let locks = until("the server waits until its client reads", || group.database.text(SENDING));
    group.freeze(name);
    assert_eq!(locks, "0", "the lease is locked for as long as {name} does not read");
}

/// The answer to a service that claims all signals at the instance at `address`.
fn claim_at(address: &str) -> Value {
    let body = json!({ "max": CLAIM_MAX, "wait_ms": 0 }).to_string();
    let json = [("Content-Type", "application/json")];
    let answer = http::request(address, "POST", "/signals/claim", &json, &body);
    // An instance that did not answer has granted no signal.
    answer.map_or(Value::Null, |answer| answer.json())
}

/// The id and the attempt of every signal that a claim granted.
fn ids(claimed: &Value) -> Vec<(String, u64)> {
    let signals = claimed["signals"].as_array().map_or(&[][..], Vec::as_slice);
    let one = |signal: &Value| Some((signal["id"].as_str()?.to_owned(), signal["attempt"].as_u64()?));
    signals.iter().map(|signal| one(signal).expect("a signal with id and attempt")).collect()
}

/// All signals are in doubt at the new leader. The service reports that it did not receive them, and receives
/// each of them once.
fn each_is_executed_once(group: &mut Group, name: &str) {
    let all = u64::from(CLAIM_MAX);
    let in_state = |group: &Group, state: &str| {
        let query = format!("SELECT count(*)::text FROM coordinator_signal WHERE state = '{state}'");
        group.database.text(&query).expect("a count").parse::<u64>().expect("a number")
    };
    until("all are in doubt", || (in_state(group, "in_doubt") == all).then_some(()));
    let address = group.process(name).address();
    assert_eq!(ids(&claim_at(&address)), [], "a signal in doubt is not granted");
    let report = |group: &mut Group, id: &str, attempt: u64, outcome: &str| {
        let result = json!({ "attempt": attempt, "outcome": outcome });
        let answer = group.process(name).post(&format!("/signals/{id}/result"), &[], &result);
        let answer = answer.expect("it listens");
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    for n in 0..CLAIM_MAX {
        report(group, &format!("s-{n}"), 1, "not_executed");
    }
    let mut executed: BTreeMap<String, u32> = BTreeMap::new();
    for (id, attempt) in ids(&claim_at(&address)) {
        *executed.entry(id.clone()).or_default() += 1;
        report(group, &id, attempt, "done");
    }
    assert_eq!(executed.len(), usize::from(CLAIM_MAX));
    assert!(executed.values().all(|times| *times == 1), "{executed:?}");
    assert_eq!(ids(&claim_at(&address)), [], "nothing is left");
    assert_eq!(in_state(group, "done"), all);
}
