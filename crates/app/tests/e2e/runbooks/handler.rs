//! Runbook test with a handler that is unreachable, and an instance with a different handler.

use crate::TTL;
use crate::group::Group;
use crate::servers::Servers;
use crate::signals::accepted;
use crate::watched::Watched;

pub const HANDLER: [&str; 2] = ["SettingsDiffer", "HandlerNotExecuting"];

/// No server listens on this host's port for `discard`.
const HANDLED_BY: &str = "http://127.0.0.1:9/orders";
const HANDLED_ELSEWHERE: &str = "http://127.0.0.1:9/other";

#[test]
fn a_handler_that_cannot_be_reached_and_another_one() {
    let servers = Servers::start();
    let group = servers.group(TTL);
    let launch = |group: &Group, name: &str| {
        let handler = if name == "c" { HANDLED_ELSEWHERE } else { HANDLED_BY };
        group.launch(name).environment("COORDINATOR_SIGNALS_HANDLER", handler)
    };
    let (mut watched, _) = Watched::of(servers, group, launch, &[]);
    accepted(&mut watched.group, "a", "s-1", "s-1");
    watched.follow("SettingsDiffer");
    watched.follow("HandlerNotExecuting");
    watched.finish(&HANDLER);
}
