//! Tests of a group without faults: while the state store answers and no handover is requested, a term does
//! not end, whatever is committed, submitted or notified. The history has one term, the logs have no warning,
//! and no alert fires.

use crate::TTL;
use crate::group::{Group, Lead, THREE};
use crate::machine::Machine;
use crate::servers::Servers;
use crate::signals::{accepted, submission};
use crate::wait::{block_on, until};
use contract::event::EventKind;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use testkit::backend;
use testkit::broker::HttpBroker;

/// Three per LEADER_TTL: four LEADER_TTLs, and one more.
const RENEWALS: usize = 13;
/// The lines and the alerts about answers of the state store that come late. On a busy machine they are right.
const SLOW_LINES: [&str; 2] =
    ["the state store commits slowly for this LEADER_TTL", "state store: no answer"];
const SLOW_ALERTS: [&str; 3] = ["sync_latency_p95", "sync_latency_p99", "db_sync_failure_rate"];
/// The alert about the last recovery.
const SLOW_RECOVERY: &str = "recovery_time";
/// Pause between two signals of the client that submits 20 a second.
const PAUSE: Duration = Duration::from_millis(50);
/// Notifications of the storm for each poll of the renewals.
const STORM: &str = r#"DO $$ BEGIN FOR i IN 1..200 LOOP PERFORM pg_notify((SELECT 'coordinator_' || md5('"public".coordinator_lease default')), 'row ' || lpad(to_hex(i), 24, '0')); END LOOP; END $$"#;

fn renewals(group: &mut Group, name: &str) -> usize {
    group.events(name).iter().filter(|event| event.kind == EventKind::Renew).count()
}

/// The alerts of an instance that fire.
fn firing(group: &mut Group, name: &str) -> BTreeMap<String, Value> {
    let mut alerts = group.json(name, "/coordinator/metrics")["alerts"].take();
    let overall = alerts["overall_status"].take();
    let alerts = alerts.as_object().expect("alerts").iter().filter(|(_, alert)| alert.is_object());
    let firing = alerts.filter(|(_, alert)| alert["status"] != "OK");
    let firing: BTreeMap<_, _> = firing.map(|(name, alert)| (name.clone(), alert.clone())).collect();
    assert_eq!(firing.is_empty(), overall == "OK", "{name}: {overall}, {firing:#?}");
    firing
}

/// Does `something` repeatedly for more than four LEADER_TTLs of this leader's renewals, and judges.
fn stays_quiet(mut group: Group, names: &[&str], lead: &Lead, mut something: impl FnMut(&mut Group)) {
    let before = renewals(&mut group, &lead.name);
    // On a busy machine a start may log that a first connection takes long. The quiet time begins after it.
    let started: Vec<usize> = names.iter().map(|name| group.process(name).log().len()).collect();
    // So may its recovery, and the alert about that remains for minutes.
    let recovered = |group: &mut Group, name: &str| firing(group, name).remove(SLOW_RECOVERY);
    let recovered: Vec<_> = names.iter().map(|name| recovered(&mut group, name)).collect();
    let mut machine = Machine::default();
    until("renewals", || {
        machine.sample();
        something(&mut group);
        (renewals(&mut group, &lead.name) >= before + RENEWALS).then_some(())
    });
    assert_eq!(group.leads(), std::slice::from_ref(lead), "one term, according to the events");
    let history = group.command(&["history", "--json"]);
    assert_eq!(history.json().as_array().map(Vec::len), Some(1), "{history:?}");
    for ((name, started), recovered) in names.iter().zip(started).zip(recovered) {
        let log = group.process(name).log();
        let loud: Vec<&str> = log[started..]
            .lines()
            .filter(|line| line.contains("\"WARN\"") || line.contains("\"ERROR\""))
            .filter(|line| !(machine.is_busy() && SLOW_LINES.iter().any(|slow| line.contains(slow))))
            .collect();
        assert!(loud.is_empty(), "{name}: {loud:#?}");
        let mut firing = firing(&mut group, name);
        let measured = |alert: &Value| alert["value"].clone();
        if firing.get(SLOW_RECOVERY).map(measured) == recovered.as_ref().map(measured) {
            firing.remove(SLOW_RECOVERY);
        }
        if machine.is_busy() {
            firing.retain(|alert, _| !SLOW_ALERTS.contains(&alert.as_str()));
        }
        assert!(firing.is_empty(), "{name}: {firing:#?}");
    }
    group.finish();
}

fn on_both(test: fn(Group)) {
    test(Group::embedded(TTL));
    let servers = Servers::start();
    test(servers.group(TTL));
}

fn three(group: &mut Group) -> (Lead, &'static str) {
    let lead = group.start_three();
    let follower = THREE.into_iter().find(|name| *name != lead.name).expect("there are three");
    (lead, follower)
}

#[test]
fn the_readmes_set_up_with_a_handler() {
    on_both(|mut group| {
        let broker = HttpBroker::start();
        group.set("COORDINATOR_SIGNALS_HANDLER", &broker.url());
        let (lead, follower) = three(&mut group);
        let mut number = 0;
        stays_quiet(group, &THREE, &lead, |group| {
            number += 1;
            if number % 20 == 1 {
                accepted(group, follower, &format!("s-{number}"), "NIFTY");
            }
        });
    });
}

#[test]
fn the_readmes_set_up_without_a_handler() {
    on_both(|mut group| {
        let (lead, follower) = three(&mut group);
        accepted(&mut group, follower, "s-1", "NIFTY");
        stays_quiet(group, &THREE, &lead, |_| {});
    });
}

#[test]
fn ten_idle_instances() {
    const TEN: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    on_both(|mut group| {
        // The start of ten processes at once may take the processor from the first recovery, which is then
        // slow.
        group.start(TEN[0]);
        group.wait_active(TEN[0]);
        for name in &TEN[1..] {
            group.start(name);
        }
        for name in TEN {
            group.wait_ready(name);
        }
        let lead = group.wait_lead(0);
        stays_quiet(group, &TEN, &lead, |_| {});
    });
}

#[test]
fn twenty_signals_a_second_to_a_follower() {
    on_both(|mut group| {
        let broker = HttpBroker::start();
        group.set("COORDINATOR_SIGNALS_HANDLER", &broker.url());
        group.set("COORDINATOR_SIGNALS_MAX_PER_MINUTE", "none");
        group.set("COORDINATOR_SIGNALS_MAX_PER_DAY", "none");
        let (lead, follower) = three(&mut group);
        let mut number = 0;
        stays_quiet(group, &THREE, &lead, |group| {
            number += 1;
            let body = submission(&format!("s-{number}"), &format!("I-{}", number % 8));
            let answer = group.process(follower).post("/signals", &[], &body).expect("it listens");
            assert_eq!(answer.status, 201, "{answer:?}");
            // The client's rate.
            std::thread::sleep(PAUSE);
        });
    });
}

/// Any role that may connect may notify. Its notifications may cause a bounded number of reads, and must not
/// delay a renewal.
#[test]
fn a_storm_of_notifications_by_a_role_without_rights() {
    let servers = Servers::start();
    let mut group = servers.group(TTL);
    let (lead, _) = three(&mut group);
    group.database.execute("CREATE ROLE without_rights LOGIN PASSWORD 'x'");
    let (_, place) = servers.url.rsplit_once('@').expect("a URL with a user");
    let url = format!("postgres://without_rights:x@{place}");
    stays_quiet(group, &THREE, &lead, |_| {
        block_on(backend::execute(&url, STORM)).expect("anybody may notify");
    });
}
