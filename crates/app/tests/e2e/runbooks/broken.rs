//! Runbook test with faults that no instance of ours has: a double exports their metrics to Prometheus.

use crate::double::{Double, Member};
use crate::watched::Watched;
use std::slice::from_ref;

pub const BROKEN: [&str; 5] =
    ["ClockSkew", "OverallStatusCritical", "DBSyncStalled", "LeaderHeartbeatStopped", "MultipleLeaders"];

/// Seconds by which the clock is ahead in the alert's condition.
const AHEAD_S: i64 = 60;

#[test]
fn an_instance_that_is_broken() {
    let double = Double::start();
    let (mut watched, _) = Watched::with(&[], from_ref(&double.address));
    double.is(Member { ahead_s: AHEAD_S, ..Member::STANDBY });
    watched.follow_with("ClockSkew", |_, step| {
        if step == 2 {
            double.is(Member::STANDBY);
        }
    });
    watched.over("ClockSkew");

    // A condition about which Prometheus has no alert.
    double.is(Member { without_heartbeat: true, ..Member::STANDBY });
    watched.follow("OverallStatusCritical");
    double.is(Member::STANDBY);
    watched.over("OverallStatusCritical");

    double.is(Member { leads: true, beats: false, ..Member::STANDBY });
    watched.follow("DBSyncStalled");
    watched.follow_with("LeaderHeartbeatStopped", |_, step| {
        if step == 3 {
            double.is(Member { leads: true, ..Member::STANDBY });
        }
    });
    watched.over("LeaderHeartbeatStopped");
    watched.follow_with("MultipleLeaders", |_, step| {
        if step == 4 {
            double.is(Member::STANDBY);
        }
    });
    watched.over("MultipleLeaders");
    watched.over("DBSyncStalled");
    watched.finish(&BROKEN);
}
