//! An instance that is broken in ways that none of ours is: a double, as Prometheus sees it.

use crate::double::{Double, Member};
use crate::watched::Watched;
use std::slice::from_ref;

pub const BROKEN: [&str; 4] = ["ClockSkew", "DBSyncStalled", "LeaderHeartbeatStopped", "MultipleLeaders"];

/// Of a clock that the alert is about.
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
