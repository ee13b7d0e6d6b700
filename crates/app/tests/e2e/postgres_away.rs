//! Tests in which PostgreSQL fails: no instance leads without it, and one leads again when it has returned.

use crate::TTL;
use crate::group::{Group, Lead};
use crate::servers::Servers;
use crate::wait::{now, until};
use contract::event::EventKind;
use std::slice::from_ref;
use testkit::backend::Postgres;

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
    assert_eq!(group.leads(), from_ref(first));
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
