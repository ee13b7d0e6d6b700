//! Runbook tests with instances and databases that are down.

use crate::watched::Watched;

pub const KILLED: [&str; 5] = [
    "InstanceDown",
    "ExcessiveLeadershipFlapping",
    "LeadershipFlapping",
    "DelayedHeartbeat",
    "StaleHeartbeat",
];
pub const DATABASE_STOPPED: [&str; 3] = ["NoLeader", "LeaderSLOFastBurn", "LeaderSLOSlowBurn"];

/// More changes of the leader in an hour than any alert allows.
const HANDOVERS: usize = 11;

/// The leader is killed, and the others hand over to each other while it is down.
#[test]
fn a_leader_that_is_killed() {
    let (mut watched, lead) = Watched::start();
    watched.group.process(&lead.name).kill();
    watched.follow("InstanceDown");
    for _ in 0..HANDOVERS {
        watched.group.step_down("once more");
    }
    watched.follow("ExcessiveLeadershipFlapping");
    watched.follow("LeadershipFlapping");
    watched.follow("DelayedHeartbeat");
    // A crashed instance fires until an operator removes it, although it is still a target.
    watched.follow_with("StaleHeartbeat", |watched, step| {
        if step == 4 {
            watched.over("StaleHeartbeat");
            watched.over("InstanceDown");
        }
    });
    watched.replace(&lead.name, "successor");
    watched.group.wait_ready("successor");
    watched.scraped("successor");
    watched.group.process("successor").kill();
    watched.raised("InstanceDown");
    watched.finish(&KILLED);
}

#[test]
fn postgresql_that_is_stopped() {
    let (mut watched, _) = Watched::start();
    watched.servers.postgres.stop();
    watched.follow_with("NoLeader", |watched, step| {
        if step == 1 {
            // The conditions of the other alerts remain until there is a leader again.
            watched.raised("LeaderSLOSlowBurn");
            watched.raised("LeaderSLOFastBurn");
            watched.servers.postgres.start();
        }
    });
    watched.over("NoLeader");
    watched.steps("LeaderSLOFastBurn", |_, _| {});
    watched.steps("LeaderSLOSlowBurn", |_, _| {});
    watched.finish(&DATABASE_STOPPED);
}
