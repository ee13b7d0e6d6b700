//! Test of a process with few file descriptors: clients of the pages use their share, and the election keeps
//! its own.

use crate::TTL;
use crate::servers::Servers;
use crate::wait::until;
use contract::event::EventKind;
use std::net::TcpStream;
use testkit::process::Launch;

/// Starts the binary with few file descriptors.
const FEW: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/testdata/few-descriptors");
/// More clients than the process has descriptors.
const CLIENTS: usize = 100;
/// Ends every session of the group, as a restart or a cut does. The instances open them again.
const CUT: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'coordinator %'";

#[test]
fn idle_clients_leave_the_election_its_connections() {
    let servers = Servers::start();
    let mut group = servers.group(TTL);
    let (redis, ttl) = (servers.redis.url(), format!("{}ms", TTL.as_millis()));
    let arguments = ["--leader-ttl", &ttl, "--redis", &redis, "--postgres", &servers.url];
    let launch = arguments.into_iter().fold(Launch::new(FEW, "a"), Launch::argument);
    group.start_as("a", &launch.environment("TESTED", crate::command::BINARY));
    group.wait_active("a");
    let lead = group.wait_lead(0);
    assert!(
        group.process("a").log().contains("at most 8 connections at a time"),
        "{}",
        group.process("a").log()
    );
    let address = group.process("a").address();
    let clients: Vec<TcpStream> =
        (0..CLIENTS).map(|_| TcpStream::connect(&address).expect("the listener's queue takes it")).collect();
    // Some or all of the clients are accepted now. The renewals continue in either case.
    group.assert_undisturbed(&lead);
    for _ in 0..3 {
        let before = group.events("a").len();
        assert_ne!(group.database.text(&format!("SELECT ({CUT})::text")), Some("0".to_owned()));
        until("renewals after the cut", || {
            let events = group.events("a");
            let renewed = events.iter().skip(before).filter(|event| event.kind == EventKind::Renew).count();
            (renewed >= 3).then_some(())
        });
    }
    group.assert_undisturbed(&lead);
    drop(clients);
    group.finish();
}
