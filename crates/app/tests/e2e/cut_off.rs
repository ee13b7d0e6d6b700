//! Tests in which only the leader is cut off from PostgreSQL; Redis and the other instances notice nothing.

use crate::TTL;
use crate::servers::Servers;
use crate::wait::block_on;
use contract::event::EventKind;
use testkit::proxy::{Direction, Mode, Proxy};

#[test]
fn nothing_arrives_and_nothing_comes_back() {
    cut_off_leader(Mode::Swallow(Direction::Both));
}

#[test]
fn its_renewals_arrive_and_no_answer_comes_back() {
    cut_off_leader(Mode::Swallow(Direction::Replies));
}

#[test]
fn its_renewals_arrive_late() {
    cut_off_leader(Mode::Hold(Direction::Both));
}

#[test]
fn its_connections_are_refused() {
    cut_off_leader(Mode::Refuse);
}

fn cut_off_leader(mode: Mode) {
    let servers = Servers::start();
    let mut group = servers.group(TTL);
    let proxy = block_on(Proxy::start(servers.postgres.address()));
    let proxied = servers.url.replace(&servers.postgres.address(), &proxy.address().to_string());
    let through_proxy = group.launch_through("a", &proxied);
    group.start_as("a", &through_proxy);
    group.wait_active("a");
    for name in ["b", "c"] {
        group.start(name);
        group.wait_ready(name);
    }
    let first = group.wait_lead(0);

    block_on(proxy.set(mode));
    let next = group.wait_lead(first.epoch);
    let lost = group.wait_event("a", EventKind::Lost, first.epoch);
    assert_ne!(next.name, "a");
    assert!(lost.t <= next.t, "{next:?} led before the one cut off had lost its valid lease at {}", lost.t);
    assert_eq!(group.status_of("a", "/leader"), Some(503));
    assert_eq!(group.status_of("a", "/readyz"), Some(503), "it could not take over");
    group.wait_renewals(&next.name);

    block_on(proxy.set(Mode::Pass));
    group.wait_ready("a");
    group.wait_renewals(&next.name);
    assert_eq!(group.leads(), [first, next.clone()], "its late requests changed nothing");
    group.expect_only_leader(&next);
    group.finish();
}
