//! Tests in which Redis fails: leader and epoch do not change, and a failover still works.

use crate::TTL;
use crate::group::Group;
use crate::servers::Servers;
use crate::wait::until;
use testkit::backend::{Redis, Reply};

/// Redis fails in one way and returns, and no term ends.
fn away_and_back(away: impl FnOnce(&Redis), back: impl FnOnce(&Redis)) {
    let servers = Servers::start();
    let mut group = servers.group(TTL);
    let leader = group.start_three();
    group.wait_fallback(false);
    away(&servers.redis);
    group.wait_fallback(true);
    group.assert_undisturbed(&leader);
    back(&servers.redis);
    group.wait_fallback(false);
    wait_ticket(&mut group, &leader.name);
    group.assert_undisturbed(&leader);
    group.expect_only_leader(&leader);
    group.finish();
}

/// Waits until the leader has its ticket again and reports it.
fn wait_ticket(group: &mut Group, leader: &str) {
    until("the leader has the ticket", || {
        (group.json(leader, "/coordinator/metrics")["current_leader_redis"] == leader).then_some(())
    });
}

#[test]
fn stopped_and_started() {
    away_and_back(Redis::stop, Redis::start);
}

#[test]
fn killed_and_started() {
    away_and_back(Redis::kill, Redis::start);
}

#[test]
fn paused_and_resumed() {
    away_and_back(Redis::pause, Redis::resume);
}

#[test]
fn flushed() {
    let servers = Servers::start();
    let mut group = servers.group(TTL);
    let leader = group.start_three();
    wait_ticket(&mut group, &leader.name);
    let key = servers.ticket_key();
    let value = || servers.redis.command(&["GET", &key]);
    let ticket = value();
    assert!(matches!(ticket, Reply::Value(_)), "{ticket:?}");
    assert_eq!(servers.redis.command(&["FLUSHALL"]), Reply::Status("OK".to_owned()));
    until("the same ticket is back", || (value() == ticket).then_some(()));
    group.assert_undisturbed(&leader);
    group.expect_only_leader(&leader);
    group.wait_fallback(false);
    group.finish();
}

#[test]
fn a_leader_killed_during_the_outage_is_replaced() {
    let servers = Servers::start();
    let mut group = servers.group(TTL);
    let first = group.start_three();
    servers.redis.stop();
    group.wait_fallback(true);
    group.process(&first.name).kill();
    let lease_end = group.deadline(&first.name);
    let next = group.wait_lead(first.epoch);
    assert!(next.t >= lease_end, "{next:?} led before the lease of {first:?} ended at {lease_end}");
    group.expect_only_leader(&next);
    servers.redis.start();
    group.wait_fallback(false);
    wait_ticket(&mut group, &next.name);
    group.wait_renewals(&next.name);
    assert_eq!(group.leads(), [first, next.clone()]);
    group.expect_only_leader(&next);
    group.finish();
}

#[test]
fn it_never_was_there() {
    let servers = Servers::start();
    servers.redis.stop();
    let mut group = servers.group(TTL);
    let leader = group.start_three();
    group.wait_fallback(true);
    servers.redis.start();
    group.wait_fallback(false);
    wait_ticket(&mut group, &leader.name);
    group.assert_undisturbed(&leader);
    group.finish();
}
