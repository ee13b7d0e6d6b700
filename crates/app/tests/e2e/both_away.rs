//! Tests in which Redis and PostgreSQL fail together and return in either order.

use crate::TTL;
use crate::group::Group;
use crate::postgres_away::{expect_leader_since, lose_and_stay_without_leader};
use crate::servers::Servers;
use crate::wait::now;
use std::slice::from_ref;

#[test]
fn postgresql_comes_back_first() {
    let servers = Servers::start();
    let mut group = servers.group(TTL);
    let first = group.start_three();
    servers.redis.kill();
    servers.postgres.kill();
    lose_and_stay_without_leader(&mut group, &first);
    let returned = now();
    servers.postgres.start();
    expect_leader_since(&mut group, &first, returned);
    group.wait_fallback(true);
    servers.redis.start();
    expect_undisturbed_with_redis(group);
}

#[test]
fn redis_comes_back_first() {
    let servers = Servers::start();
    let mut group = servers.group(TTL);
    let first = group.start_three();
    servers.postgres.kill();
    servers.redis.kill();
    lose_and_stay_without_leader(&mut group, &first);
    servers.redis.start();
    group.wait_fallback(false);
    assert_eq!(group.leads(), from_ref(&first), "Redis alone makes no instance a leader");
    let returned = now();
    servers.postgres.start();
    expect_leader_since(&mut group, &first, returned);
    expect_undisturbed_with_redis(group);
}

fn expect_undisturbed_with_redis(mut group: Group) {
    let before = group.leads();
    let leader = before.last().expect("an instance leads").clone();
    group.wait_fallback(false);
    group.wait_renewals(&leader.name);
    assert_eq!(group.leads(), before);
    group.expect_only_leader(&leader);
    group.finish();
}
