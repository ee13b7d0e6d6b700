//! Runbook test with an instance whose link to the database is slow, and then cut.

use crate::TTL;
use crate::group::Group;
use crate::servers::Servers;
use crate::wait::block_on;
use crate::watched::Watched;
use std::time::Duration;
use testkit::proxy::{Mode, Proxy};

pub const SLOW: [&str; 4] = [
    "HighDBSyncLatencyP95",
    "CriticalDBSyncLatencyP99",
    "ElevatedDBSyncFailureRate",
    "HighDBSyncFailureRate",
];

/// Delay in each direction: more than the critical threshold for both, and much less than the timeout of a sync.
const DELAY: Duration = Duration::from_millis(275);
/// Number of syncs in the window of rates and latencies: few, so that they change within seconds.
const WINDOW: (&str, &str) = ("COORDINATOR_METRICS_WINDOW", "10");
/// The instance that is cut off; another one leads.
const FAR: &str = "c";

#[test]
fn an_instance_far_from_the_database() {
    let servers = Servers::start();
    let proxy = block_on(Proxy::start(servers.postgres.address()));
    let url = servers.url.replace(&servers.postgres.address(), &proxy.address().to_string());
    let mut group = servers.group(TTL);
    group.set(WINDOW.0, WINDOW.1);
    let launch = |group: &Group, name: &str| match name {
        FAR => group.launch_through(name, &url),
        _ => group.launch(name),
    };
    let (mut watched, _) = Watched::of(servers, group, launch, &[]);
    block_on(proxy.set(Mode::Delay(DELAY)));
    watched.follow("HighDBSyncLatencyP95");
    watched.follow("CriticalDBSyncLatencyP99");

    block_on(proxy.set(Mode::Refuse));
    watched.follow("ElevatedDBSyncFailureRate");
    watched.follow_with("HighDBSyncFailureRate", |_, step| {
        if step == 6 {
            block_on(proxy.set(Mode::Pass));
        }
    });
    for alert in SLOW {
        watched.over(alert);
    }
    watched.finish(&SLOW);
}
