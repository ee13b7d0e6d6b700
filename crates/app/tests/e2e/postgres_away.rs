//! Tests in which PostgreSQL fails: no instance leads without it, and one leads again when it has returned.

use crate::TTL;
use crate::group::{Group, Lead, THREE};
use crate::servers::Servers;
use crate::signals::accepted;
use crate::wait::{now, until};
use contract::event::EventKind;
use serde_json::Value;
use testkit::backend::Postgres;
use testkit::broker::{Conduct, HttpBroker};

/// Failed requests after which an instance has certainly tried.
const FAILURES: f64 = 3.0;

#[test]
fn paused_and_resumed() {
    away_and_back(Postgres::pause, Postgres::resume);
}

#[test]
fn stopped_and_started() {
    away_and_back(Postgres::stop, Postgres::start);
}

#[test]
fn killed_and_started() {
    away_and_back(Postgres::kill, Postgres::start);
}

fn away_and_back(away: impl FnOnce(&Postgres), back: impl FnOnce(&Postgres)) {
    let servers = Servers::start();
    let mut group = servers.group(TTL);
    let first = group.start_three();
    away(&servers.postgres);
    lose_and_stay_without_leader(&mut group, &first);
    let returned = now();
    back(&servers.postgres);
    expect_leader_since(&mut group, &first, returned);
    group.finish();
}

/// The leader loses its valid lease at its deadline, and then no instance has one although every instance has
/// tried.
pub fn lose_and_stay_without_leader(group: &mut Group, first: &Lead) {
    let lost = group.wait_event(&first.name, EventKind::Lost, first.epoch);
    let deadline = group.deadline(&first.name);
    assert!(lost.t <= deadline, "valid until {}, beyond its deadline {deadline}", lost.t);
    for name in group.alive() {
        let failures = |group: &mut Group| {
            group.metric(&name, "portfolio_manager_db_sync_failure_total").unwrap_or_default()
        };
        let before = failures(group);
        until(&format!("{name} has tried"), || (failures(group) >= before + FAILURES).then_some(()));
        assert_eq!(group.status_of(&name, "/leader"), Some(503), "{name}");
        assert_eq!(group.status_of(&name, "/readyz"), Some(503), "{name}");
        assert_eq!(group.status_of(&name, "/livez"), Some(200), "{name}");
    }
    assert_eq!(group.leads().last(), Some(first));
}

/// Asserts that an instance leads, and did not before the database had returned.
pub fn expect_leader_since(group: &mut Group, first: &Lead, returned: u64) {
    let next = group.wait_lead(first.epoch);
    assert!(next.t >= returned, "{next:?} led while the database was away");
    group.wait_renewals(&next.name);
    // A claim that was under way when the database failed may have been executed, and another may have
    // followed: the last term is the one that lasts.
    let last = group.leads().pop().expect("an instance leads");
    group.expect_only_leader(&last);
}

/// One signal is in doubt, and the leader is the second one; then PostgreSQL is stopped.
#[test]
fn the_last_known_state_is_shown_and_what_is_in_doubt_stays_in_doubt() {
    let broker = HttpBroker::with(|_| Conduct::ExecutesAndCuts, |_| false);
    let servers = Servers::start();
    let mut group = servers.group(TTL);
    group.set("COORDINATOR_SIGNALS_HANDLER", &broker.url());
    let former = group.start_three();
    accepted(&mut group, &former.name, "s-1", "NIFTY");
    group.carry_out(&["step-down", "--reason", "so that there was an earlier epoch"]);
    let lead = group.wait_lead(former.epoch);
    group.wait_active(&lead.name);
    for name in THREE {
        until("the alert is critical, and the history is read", || {
            let signals = group.json(name, "/signals");
            (in_doubt(&mut group, name)["status"] == "CRITICAL"
                && signals["signals"][0]["state"] == "in_doubt")
                .then_some(())
        });
        until("the last answers have both terms", || {
            (group.json(name, "/history")["terms"].as_array().map(Vec::len) == Some(2)).then_some(())
        });
    }
    servers.postgres.stop();
    for name in THREE {
        until("the outage is shown", || group.json(name, "/status")["away_since"].as_str().map(drop));
        still_known(&mut group, name, &lead);
    }
    lose_and_stay_without_leader(&mut group, &lead);
    for name in THREE {
        still_known(&mut group, name, &lead);
        assert_eq!(group.json(name, "/leader")["leader"], Value::Null, "no lease is valid any more");
        assert_eq!(group.metric(name, "portfolio_manager_current_leader_db"), None, "{name}");
    }
    let returned = now();
    servers.postgres.start();
    expect_leader_since(&mut group, &lead, returned);
    for name in THREE {
        until("the present state is shown again", || {
            let known = group.json(name, "/status")["away_since"].is_null();
            let message = in_doubt(&mut group, name)["message"].clone();
            (known && !message.as_str().is_some_and(|text| text.contains("unknown"))).then_some(())
        });
        assert_eq!(in_doubt(&mut group, name)["status"], "CRITICAL");
    }
    group.finish();
}

fn in_doubt(group: &mut Group, name: &str) -> Value {
    group.json(name, "/coordinator/metrics")["alerts"]["signals_in_doubt"].clone()
}

/// While PostgreSQL is away, nothing is resolved, nothing is shown as present, and no earlier leader is named.
fn still_known(group: &mut Group, name: &str, lead: &Lead) {
    until("the alert says that it is the last known state", || {
        let message = in_doubt(group, name)["message"].as_str().unwrap_or_default().to_owned();
        message.contains("unknown since").then_some(())
    });
    assert_eq!(in_doubt(group, name)["status"], "CRITICAL", "{name}");
    assert_eq!(group.metric(name, "coordinator_signals{state=\"in_doubt\"}"), Some(1.0), "{name}");
    assert_eq!(
        group.metric(name, "portfolio_manager_leader_epoch"),
        Some(f64::from(u32::try_from(lead.epoch).expect("small")))
    );
    let status = group.json(name, "/status");
    let instances = status["instances"].as_array().expect("a list");
    assert_eq!(instances.len(), THREE.len());
    assert!(instances.iter().all(|instance| instance["state"] == "unknown"), "{status}");
    assert_eq!(group.json(name, "/history")["terms"][0]["epoch"], lead.epoch);
    let signals = group.json(name, "/signals");
    assert_eq!((&signals["signals"][0]["id"], &signals["complete"]), (&"s-1".into(), &true.into()));
    assert!(signals["away_since"].is_string(), "{signals}");
    let leader = group.json(name, "/leader");
    let named = leader["leader"].as_str().is_none_or(|leader| leader == lead.name);
    assert!(named && leader["epoch"].as_u64().is_none_or(|epoch| epoch == lead.epoch), "{leader}");
}
