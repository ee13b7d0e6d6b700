//! Tests of faults of a group that Prometheus and Alertmanager watch: the right alert reaches the receiver,
//! and ends when the fault ends.

use crate::double::{Double, Member};
use crate::signals::accepted;
use crate::watched::Watched;
use std::collections::BTreeSet;
use testkit::broker::{Conduct, HttpBroker};

/// Alerts that any loss of a leader may cause, because the shares of time without one are of minutes here,
/// not of a month.
const BUDGET: [&str; 2] = ["LeaderSLOFastBurn", "LeaderSLOSlowBurn"];
/// Alerts that may fire, correctly, while other tests keep both cores busy; and an instance that starts
/// slowly has no heartbeat yet while its predecessor's is old.
const SLOW: [&str; 7] = [
    "HighDBSyncLatencyP95",
    "CriticalDBSyncLatencyP99",
    "SlowRecovery",
    "CriticalRecoveryTime",
    "OverallStatusCritical",
    "StaleHeartbeat",
    "DelayedHeartbeat",
];

impl Watched {
    /// The alert fires.
    fn fires(&self, alert: &str) {
        self.monitoring.wait_firing(alert);
    }

    /// The alert ends. No other alert fired in between, except those in `along`.
    fn ends(self, alert: &str, along: &[&str]) {
        self.monitoring.wait_resolved(alert);
        let fired = self.monitoring.notified().ever;
        let known = ["Watchdog", alert].into_iter().chain(BUDGET).chain(SLOW).chain(along.iter().copied());
        let known: BTreeSet<String> = known.map(str::to_owned).collect();
        let others: Vec<&String> = fired.difference(&known).collect();
        assert!(others.is_empty(), "{others:?} fired in addition to {alert}");
        self.group.finish();
    }
}

#[test]
fn a_leader_that_is_killed() {
    let (mut watched, lead) = Watched::start();
    watched.group.process(&lead.name).kill();
    watched.fires("InstanceDown");
    watched.group.wait_lead(lead.epoch);
    watched.replace(&lead.name, "successor");
    // On a busy machine the failover may take longer than the short time that represents two minutes here.
    watched.ends("InstanceDown", &["NoLeader"]);
}

#[test]
fn redis_that_is_stopped() {
    let (watched, _) = Watched::start();
    watched.servers.redis.stop();
    watched.fires("FallbackModeActive");
    watched.servers.redis.start();
    watched.ends("FallbackModeActive", &[]);
}

#[test]
fn postgresql_that_is_stopped() {
    let (watched, _) = Watched::start();
    watched.servers.postgres.stop();
    watched.fires("NoLeader");
    watched.servers.postgres.start();
    let failures = ["HighDBSyncFailureRate", "ElevatedDBSyncFailureRate"];
    watched.ends("NoLeader", &failures);
}

#[test]
fn a_position_that_is_corrupt() {
    let (mut watched, lead) = Watched::start();
    watched
        .group
        .database
        .execute("INSERT INTO portfolio_positions VALUES ('P-1', 'NIFTY', 'open', 1, 100, 'NaN', 5)");
    watched.group.step_down("another host is wanted");
    watched.fires("RecoveryDataCorrupt");
    watched.group.database.execute("DELETE FROM portfolio_positions");
    let next = watched.group.wait_lead(lead.epoch);
    watched.group.wait_active(&next.name);
    watched.ends("RecoveryDataCorrupt", &["RecoveryFailures", "RepeatedRecoveryFailures"]);
}

#[test]
fn two_leaders() {
    let claims = Double::start();
    let (watched, _) = Watched::with(&[], std::slice::from_ref(&claims.address));
    claims.is(Member { leads: true, ..Member::STANDBY });
    watched.fires("MultipleLeaders");
    claims.is(Member::STANDBY);
    watched.ends("MultipleLeaders", &[]);
}

#[test]
fn a_signal_in_doubt() {
    let broker = HttpBroker::with(|_| Conduct::ExecutesAndCuts, |_| false);
    let (mut watched, lead) = Watched::with(&[("COORDINATOR_SIGNALS_HANDLER", &broker.url())], &[]);
    accepted(&mut watched.group, &lead.name, "s-1", "NIFTY");
    watched.fires("SignalsInDoubt");
    watched.group.carry_out(&["signals", "resolve", "s-1", "--executed", "--reason", "the broker has it"]);
    watched.monitoring.wait_resolved("SignalsInDoubt");
    // The critical status of each instance adds nothing: it is the same condition.
    assert!(!watched.monitoring.notified().ever.contains("OverallStatusCritical"));
    watched.ends("SignalsInDoubt", &[]);
}
