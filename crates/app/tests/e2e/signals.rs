//! Tests of signals from outside: any instance accepts them, a real service executes each once and is queried
//! over HTTP when a leader dies, and the operator resolves the rest at the command line.

use crate::TTL;
use crate::group::{Group, THREE};
use crate::servers::Servers;
use crate::wait::{PATIENCE, until};
use serde_json::{Value, json};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;
use testkit::broker::{Conduct, HttpBroker, Order};
use testkit::http::{self, Response};
use testkit::process::{Launch, Signal};

/// Longer than any test: an order whose answer is not awaited.
const NEVER: Duration = Duration::from_mins(10);

/// A signal that arose just now.
pub fn submission(id: &str, instrument: &str) -> Value {
    let now_s = coordinator::clock::calendar_ms() / 1_000;
    json!({ "id": id, "instrument": instrument, "signal_type": "ENTRY", "position": id, "timestamp": now_s })
}

pub fn post(group: &mut Group, name: &str, body: &Value) -> Response {
    group.process(name).post("/signals", &[], body).expect("it listens")
}

/// Submits a signal and asserts that it is accepted.
pub fn accepted(group: &mut Group, name: &str, id: &str, instrument: &str) {
    let answer = post(group, name, &submission(id, instrument));
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.header("location"), Some(format!("/signals/{id}").as_str()));
}

fn state(group: &mut Group, name: &str, id: &str) -> String {
    group.json(name, &format!("/signals/{id}"))["state"].as_str().expect("a state").to_owned()
}

fn wait_state(group: &mut Group, name: &str, id: &str, wanted: &str) {
    until(&format!("{id} is {wanted}"), || (state(group, name, id) == wanted).then_some(()));
}

/// The launch of an instance that sends signals to `broker`, and queries it about those in doubt.
fn with_lookup(group: &Group, name: &str, broker: &HttpBroker) -> Launch {
    without_lookup(group, name, broker).environment("COORDINATOR_SIGNALS_LOOKUP", &broker.url())
}

fn without_lookup(group: &Group, name: &str, broker: &HttpBroker) -> Launch {
    group.launch(name).environment("COORDINATOR_SIGNALS_HANDLER", &broker.url())
}

fn on_both(test: fn(Group)) {
    test(Group::embedded(TTL).on_one_host());
    let servers = Servers::start();
    test(servers.group(TTL));
}

#[test]
fn a_signal_is_accepted_by_any_instance_and_executed_once() {
    on_both(|mut group| {
        let broker = HttpBroker::start();
        for name in THREE {
            let launch = with_lookup(&group, name, &broker);
            group.start_as(name, &launch);
        }
        for name in THREE {
            group.wait_ready(name);
        }
        let body = submission("s-1", "NIFTY");
        let statuses: Vec<u16> = THREE.iter().map(|name| post(&mut group, name, &body).status).collect();
        assert_eq!(statuses, [201, 200, 200], "the first is accepted, the others are repetitions");
        let renamed = json!({ "id": "another", "instrument": "NIFTY", "signal_type": "ENTRY", "position": "s-1",
            "timestamp": body["timestamp"] });
        assert_eq!(post(&mut group, "a", &renamed).status, 200, "the same signal under another name");
        let mut other = body.clone();
        other["payload"] = json!({ "quantity": 50 });
        assert_eq!(post(&mut group, "b", &other).status, 409, "the same id with another payload");
        let order = broker.wait_orders(1, PATIENCE);
        for name in THREE {
            wait_state(&mut group, name, "s-1", "done");
        }
        let shown = group.json("c", "/signals/s-1");
        assert_eq!((&shown["fingerprint"], shown["attempt"].as_u64()), (&json!(order.key), Some(1)));
        let mut steps: Vec<&str> = shown["audit"]
            .as_array()
            .expect("lines")
            .iter()
            .filter_map(|line| line["what"].as_str())
            .collect();
        steps.reverse();
        assert_eq!(steps, ["received", "claimed", "done"]);
        assert_eq!(broker.times().into_iter().collect::<Vec<_>>(), [("s-1".to_owned(), 1)]);
        let prevented: f64 = THREE
            .iter()
            .filter_map(|name| group.metric(name, "coordinator_signals_duplicates_prevented_total"))
            .sum();
        assert!((prevented - 3.0).abs() < 0.1, "{prevented}");
        group.finish();
    });
}

/// Without a crash and without another leader: the leader's own request takes too long, and arrives after the
/// lookup and after the next attempt.
#[test]
fn an_attempt_that_arrives_after_its_lookup_is_not_executed() {
    on_both(|mut group| {
        // The first attempt is on its way until the signal is done.
        let (arrives, is_done) = mpsc::channel();
        let is_done = Mutex::new(is_done);
        let on_its_way = Arc::new(AtomicBool::new(false));
        let accepted_once = Arc::clone(&on_its_way);
        let late = move |order: &Order| {
            if order.attempt == 1 {
                accepted_once.store(true, Relaxed);
                let _ = is_done.lock().expect("no test panics here").recv();
            }
            Conduct::done()
        };
        let broker = HttpBroker::with(late, |_| true);
        let launch =
            with_lookup(&group, "a", &broker).environment("COORDINATOR_SIGNALS_HANDLER_TIMEOUT", "1s");
        group.start_as("a", &launch);
        group.wait_ready("a");
        group.wait_active("a");
        accepted(&mut group, "a", "s-1", "NIFTY");
        wait_state(&mut group, "a", "s-1", "done");
        // On a busy machine the first attempt may reach the broker after its lookup, and another attempt may be late too.
        let later = u64::from(on_its_way.load(Relaxed));
        let turned_away = (broker.turned_away() + later).max(1);
        arrives.send(()).expect("the broker lives");
        until("the first attempt is turned away", || (broker.turned_away() >= turned_away).then_some(()));
        assert_eq!(broker.times().into_iter().collect::<Vec<_>>(), [("s-1".to_owned(), 1)]);
        let executed = broker.orders()[0].attempt;
        assert!(executed > 1, "{executed}");
        assert_eq!(group.json("a", "/signals/s-1")["attempt"], executed);
        group.finish();
    });
}

#[test]
fn what_a_killed_leader_had_sent_is_looked_up_and_not_sent_again() {
    on_both(|mut group| {
        let slow = |order: &Order| match order.id.as_str() {
            "on-its-way" => Conduct::ExecutesSlowly(NEVER),
            _ => Conduct::done(),
        };
        let broker = HttpBroker::with(slow, |_| true);
        for name in ["a", "b"] {
            let launch = with_lookup(&group, name, &broker);
            group.start_as(name, &launch);
            group.wait_ready(name);
        }
        let leader = group.wait_lead(0);
        let next = if leader.name == "a" { "b" } else { "a" };
        accepted(&mut group, next, "on-its-way", "NIFTY");
        broker.wait_orders(1, PATIENCE);
        accepted(&mut group, next, "behind", "NIFTY");
        group.process(&leader.name).kill();
        accepted(&mut group, next, "without-a-leader", "BANK");
        for id in ["on-its-way", "behind", "without-a-leader"] {
            wait_state(&mut group, next, id, "done");
        }
        assert!(broker.lookups() > 0);
        let orders: Vec<String> = broker.orders().into_iter().map(|order| order.id).collect();
        assert_eq!(orders.len(), 3, "{orders:?}");
        let nifty: Vec<&String> = orders.iter().filter(|id| *id != "without-a-leader").collect();
        assert_eq!(nifty, ["on-its-way", "behind"], "in order of arrival");
        group.finish();
    });
}

#[test]
fn without_a_lookup_the_operator_decides() {
    on_both(|mut group| {
        let conduct = |order: &Order| match order.id.as_str() {
            "cut" => Conduct::ExecutesAndCuts,
            "failed" => Conduct::Refuses(503, "a proxy's page".to_owned()),
            _ => Conduct::done(),
        };
        let broker = HttpBroker::with(conduct, |_| false);
        let launch = without_lookup(&group, "a", &broker);
        group.start_as("a", &launch);
        group.wait_active("a");
        for id in ["cut", "failed"] {
            accepted(&mut group, "a", id, id);
            accepted(&mut group, "a", &format!("{id}-next"), id);
            wait_state(&mut group, "a", id, "in_doubt");
            assert_eq!(
                state(&mut group, "a", &format!("{id}-next")),
                "received",
                "no signal overtakes one in doubt"
            );
        }
        until("the alert is shown", || {
            let alerts = group.json("a", "/coordinator/metrics")["alerts"].clone();
            (alerts["signals_in_doubt"]["status"] == "CRITICAL").then_some(())
        });
        let listed = group.command(&["signals", "list", "--state", "in_doubt", "--json"]).json();
        let ids: Vec<&str> = listed["signals"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|one| one["id"].as_str())
            .collect();
        assert_eq!((ids, listed["open"]["in_doubt"].as_u64()), (vec!["failed", "cut"], Some(2)));
        let listed = group.command(&["signals", "list", "--state", "in_doubt"]);
        assert!(listed.stdout.contains("in doubt 2") && listed.stdout.contains("HTTP 503"), "{listed:?}");

        let reason = ["--reason", "asked the broker"];
        let executed = group.command(&[&["signals", "resolve", "cut", "--executed"][..], &reason].concat());
        assert_eq!((executed.code, executed.stdout.trim()), (Some(0), "cut is done"), "{executed:?}");
        let stale = ["signals", "resolve", "failed", "--executed", "--attempt", "7"];
        let stale = group.command(&[&stale[..], &reason].concat());
        stale.refused(&["failed is in_doubt (attempt 1)", "by attempt 7"]);
        let again = group.command(&[&["signals", "resolve", "cut", "--not-executed"][..], &reason].concat());
        again.refused(&["cut is done"]);
        let unknown =
            group.command(&[&["signals", "resolve", "unknown", "--executed"][..], &reason].concat());
        unknown.refused(&["there is no signal unknown"]);
        let rejected =
            group.command(&[&["signals", "resolve", "failed", "--not-executed"][..], &reason].concat());
        assert_eq!(rejected.stdout.trim(), "failed is rejected", "{rejected:?}");
        for id in ["cut-next", "failed-next"] {
            wait_state(&mut group, "a", id, "done");
        }
        let shown = group.command(&["signals", "show", "cut"]);
        assert!(
            shown.stdout.contains("done (attempt 1)") && shown.stdout.contains("asked the broker"),
            "{shown:?}"
        );
        let mut executed: Vec<String> = broker.orders().into_iter().map(|order| order.id).collect();
        executed.sort();
        assert_eq!(executed, ["cut", "cut-next", "failed-next"]);
        group.finish();
    });
}

#[test]
fn a_decision_to_send_again_sends_it_once_more() {
    let mut group = Group::embedded(TTL);
    let first = |order: &Order| if order.attempt == 1 { Conduct::Cuts } else { Conduct::done() };
    let broker = HttpBroker::with(first, |_| false);
    let launch = without_lookup(&group, "a", &broker);
    group.start_as("a", &launch);
    group.wait_active("a");
    accepted(&mut group, "a", "s-1", "NIFTY");
    wait_state(&mut group, "a", "s-1", "in_doubt");
    let again = ["signals", "resolve", "s-1", "--not-executed", "--send-again", "--reason", "no order there"];
    // Without the attempt, the decision could concern one that the operator has not checked.
    assert_eq!(group.command(&again).code, Some(2));
    let said = group.command(&[&again[..], &["--attempt", "1"]].concat());
    assert_eq!(said.stdout.trim(), "s-1 waits again: the leader sends it", "{said:?}");
    wait_state(&mut group, "a", "s-1", "done");
    let orders: Vec<u32> = broker.orders().into_iter().map(|order| order.attempt).collect();
    assert_eq!(orders, [2]);
    group.finish();
}

#[test]
fn the_kill_switch_outlives_its_leader() {
    on_both(|mut group| {
        let broker = HttpBroker::start();
        for name in ["a", "b"] {
            let launch = with_lookup(&group, name, &broker);
            group.start_as(name, &launch);
            group.wait_ready(name);
        }
        let leader = group.wait_lead(0);
        group.wait_active(&leader.name);
        let said = group.command(&["signals", "pause", "--reason", "broker outage"]);
        assert_eq!(said.code, Some(0), "{said:?}");
        let next = if leader.name == "a" { "b" } else { "a" };
        accepted(&mut group, &leader.name, "s-1", "NIFTY");
        group.process(&leader.name).kill();
        group.wait_active(next);
        accepted(&mut group, next, "s-2", "NIFTY");
        until("the page shows it", || {
            let paused = group.json(next, "/status")["signals"]["paused"]["reason"].clone();
            (paused == "broker outage").then_some(())
        });
        let listed = group.command(&["signals", "list"]);
        assert!(listed.stdout.contains("PAUSED") && listed.stdout.contains("waiting 2"), "{listed:?}");
        assert_eq!(broker.orders(), [], "nothing was sent");
        let said = group.command(&["signals", "resume", "--reason", "broker works again"]);
        assert_eq!(said.stdout.trim(), "resumed: signals that wait are sent", "{said:?}");
        for id in ["s-1", "s-2"] {
            wait_state(&mut group, next, id, "done");
        }
        group.finish();
    });
}

#[test]
fn nothing_is_acknowledged_while_the_database_is_down() {
    let servers = Servers::start();
    let mut group = servers.group(TTL);
    let broker = HttpBroker::start();
    let launch = with_lookup(&group, "a", &broker);
    group.start_as("a", &launch);
    group.wait_active("a");
    let body = submission("s-1", "NIFTY");
    servers.postgres.stop();
    let answer = post(&mut group, "a", &body);
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
    servers.postgres.start();
    until("it is accepted", || matches!(post(&mut group, "a", &body).status, 200 | 201).then_some(()));
    wait_state(&mut group, "a", "s-1", "done");
    assert_eq!(broker.orders().len(), 1);
    group.finish();
}

#[test]
fn a_service_pulls_signals_from_the_leader_only() {
    on_both(|mut group| {
        let lead = group.start_pair();
        assert_eq!(lead.name, "a");
        // As a chart sends it: no content type, numbers as texts, additional fields.
        let address = group.process("b").address();
        let now_s = coordinator::clock::calendar_ms() / 1_000;
        let text = format!(
            r#"{{"instrument": "NIFTY", "signal_type": "ENTRY", "position": 1, "timestamp": "{now_s}", "price": "24310.55"}}"#
        );
        let answer = http::request(&address, "POST", "/signals", &[], &text).expect("it listens");
        assert_eq!(answer.status, 201, "{answer:?}");
        let id = answer.json()["id"].as_str().expect("an id").to_owned();
        assert_eq!(answer.json()["payload"], json!({ "price": "24310.55" }));

        let claim = |group: &mut Group, name: &str| {
            let body = json!({ "max": 5, "wait_ms": 4_000 });
            group.process(name).post("/signals/claim", &[], &body).expect("it listens")
        };
        until("b names the leader", || {
            let refused = claim(&mut group, "b");
            assert_eq!(refused.status, 503, "{refused:?}");
            (refused.json()["leader"] == "a").then_some(())
        });
        let claimed = claim(&mut group, "a");
        assert_eq!(claimed.status, 200, "{claimed:?}");
        assert_eq!(claimed.json()["signals"][0]["id"], json!(id));
        assert_eq!(claimed.json()["epoch"].as_u64(), Some(lead.epoch));

        let result = json!({ "attempt": 1, "outcome": "rejected", "note": "no margin" });
        let path = format!("/signals/{id}/result");
        let elsewhere = group.process("b").post(&path, &[], &result).expect("it listens");
        assert_eq!(elsewhere.status, 503);
        let recorded = group.process("a").post(&path, &[], &result).expect("it listens");
        assert_eq!((recorded.status, &recorded.json()["state"]), (200, &json!("rejected")), "{recorded:?}");
        let other = json!({ "attempt": 1, "outcome": "done" });
        let late = group.process("a").post(&path, &[], &other).expect("it listens");
        assert_eq!(late.status, 409, "a result is final: {late:?}");
        group.finish();
    });
}

#[test]
fn a_limit_delays_signals_and_is_shown() {
    let mut group = Group::embedded(TTL);
    let broker = HttpBroker::start();
    let launch = with_lookup(&group, "a", &broker).environment("COORDINATOR_SIGNALS_MAX_PER_DAY", "2");
    group.start_as("a", &launch);
    group.wait_active("a");
    for id in ["s-1", "s-2", "s-3"] {
        accepted(&mut group, "a", id, id);
    }
    broker.wait_orders(2, PATIENCE);
    until("the page shows it", || {
        let alerts = group.json("a", "/coordinator/metrics")["alerts"].clone();
        (alerts["signals_limited"]["status"] == "WARNING").then_some(())
    });
    assert_eq!(state(&mut group, "a", "s-3"), "received");
    // A restart does not reset the limit.
    group.process("a").signal(Signal::TERM);
    group.process("a").wait_exit(PATIENCE);
    let launch = with_lookup(&group, "b", &broker).environment("COORDINATOR_SIGNALS_MAX_PER_DAY", "2");
    group.start_as("b", &launch);
    group.wait_active("b");
    until("it is counted", || {
        (group.json("b", "/status")["signals"]["sent_last_day"].as_u64() == Some(2)).then_some(())
    });
    assert_eq!((state(&mut group, "b", "s-3").as_str(), broker.orders().len()), ("received", 2));
    group.finish();
}

#[test]
fn what_expires_is_a_missed_trade_and_an_alert() {
    let mut group = Group::embedded(TTL);
    group.start("a");
    group.wait_active("a");
    let mut late = submission("s-1", "NIFTY");
    late["expires_at"] = json!("2020-01-01T00:00:00Z");
    assert_eq!(post(&mut group, "a", &late).status, 201);
    wait_state(&mut group, "a", "s-1", "expired");
    until("the alert is shown", || {
        let alerts = group.json("a", "/coordinator/metrics")["alerts"].clone();
        (alerts["signals_expired"]["status"] == "CRITICAL").then_some(())
    });
    assert_eq!(post(&mut group, "a", &late).status, 200, "a repetition is recognised");
    group.carry_out(&["signals", "acknowledge", "s-1", "--reason", "the trader knows"]);
    until("the status is no longer critical", || {
        let overall = group.json("a", "/coordinator/metrics")["overall_alert_status"].clone();
        (overall == "OK").then_some(())
    });
    let again = group.command(&["signals", "acknowledge", "s-1", "--reason", "once more"]);
    again.refused(&["s-1 is rejected: only an expired signal is acknowledged"]);
    let shown = group.command(&["signals", "show", "s-1"]).stdout;
    assert!(shown.contains("rejected") && shown.contains("the trader knows"), "{shown}");
    group.finish();
}
