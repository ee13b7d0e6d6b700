//! Tests in which another client writes into Redis what this system never writes: it is counted and has no
//! other effect.

use crate::TTL;
use crate::servers::Servers;
use crate::wait::until;
use testkit::backend::{Redis, Reply};

/// A well-formed ticket of an instance that does not exist.
const FOREIGN: &str = "foreign 00000000-0000-0000-0000-000000000001";
const FAULTS: &str = "coordinator_ticket_faults_total";
/// Larger than any ticket that another client would plausibly write.
const HUGE: usize = 8 * 1024 * 1024;

#[test]
fn a_string_of_eight_megabytes() {
    is_counted_and_not_obeyed(|redis, key| {
        replace(redis, key, &[b"SET", key, &vec![b'x'; HUGE], b"PX", b"3000"]);
    });
}

#[test]
fn a_list() {
    is_counted_and_not_obeyed(|redis, key| replace(redis, key, &[b"RPUSH", key, b"one", b"two"]));
}

#[test]
fn a_ticket_that_never_ends() {
    is_counted_and_not_obeyed(|redis, key| replace(redis, key, &[b"SET", key, FOREIGN.as_bytes()]));
}

#[test]
fn a_ticket_that_ends_in_an_hour() {
    is_counted_and_not_obeyed(|redis, key| {
        replace(redis, key, &[b"SET", key, FOREIGN.as_bytes(), b"PX", b"3600000"]);
    });
}

fn replace(redis: &Redis, key: &[u8], command: &[&[u8]]) {
    redis.command(&[b"DEL", key]);
    let answer = redis.command(command);
    assert!(!matches!(answer, Reply::Error(_)), "{answer:?}");
}

fn is_counted_and_not_obeyed(put: impl Fn(&Redis, &[u8])) {
    let servers = Servers::start();
    let mut group = servers.group(TTL);
    let first = group.start_three();
    let key = servers.ticket_key();
    put(&servers.redis, key.as_bytes());
    until("the fault is counted", || {
        let counted = group.alive().iter().any(|name| group.metric(name, FAULTS).is_some_and(|n| n > 0.0));
        counted.then_some(())
    });
    group.assert_undisturbed(&first);
    // Whatever the leader has done with the key, the successor finds a broken ticket again.
    group.process(&first.name).kill();
    put(&servers.redis, key.as_bytes());
    let lease_end = group.deadline(&first.name);
    let next = group.wait_lead(first.epoch);
    assert!(next.t >= lease_end, "{next:?} led before the lease of {first:?} ended at {lease_end}");
    group.expect_only_leader(&next);
    group.finish();
}
