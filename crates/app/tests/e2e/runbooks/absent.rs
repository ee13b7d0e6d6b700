//! Runbook tests with instances that Prometheus does not reach, or only for a short time.

use crate::TTL;
use crate::group::THREE;
use crate::monitoring::Monitoring;
use crate::servers::Servers;
use crate::wait::{PATIENCE, block_on};
use crate::watched::Watched;
use testkit::process::Signal;
use testkit::proxy::{Mode, Proxy};

pub const UNREACHED: [&str; 2] = ["CoordinatorMetricsAbsent", "Watchdog"];
pub const RESTARTED: [&str; 1] = ["InstanceRestarting"];

/// Prometheus reaches each instance through a proxy, once the proxy forwards.
#[test]
fn instances_that_are_not_reached() {
    let servers = Servers::start();
    let mut group = servers.group(TTL);
    group.start_three();
    let proxies = THREE.map(|name| {
        let proxy = block_on(Proxy::start(group.process(name).address()));
        block_on(proxy.set(Mode::Refuse));
        proxy
    });
    let targets: Vec<String> = proxies.iter().map(|proxy| proxy.address().to_string()).collect();
    let monitoring = Monitoring::start_unreached(&targets);
    let mut watched = Watched { monitoring, group, followed: Vec::new(), servers };
    watched.follow_with("CoordinatorMetricsAbsent", |_, step| {
        if step == 3 {
            for proxy in &proxies {
                block_on(proxy.set(Mode::Pass));
            }
        }
    });
    watched.over("CoordinatorMetricsAbsent");
    watched.follow("Watchdog");
    watched.finish(&UNREACHED);
}

#[test]
fn an_instance_that_restarts() {
    let (mut watched, lead) = Watched::start();
    let mut name = lead.name;
    for successor in ["d", "e", "f"] {
        watched.group.process(&name).signal(Signal::TERM);
        watched.group.process(&name).wait_exit(PATIENCE);
        watched.replace(&name, successor);
        watched.group.wait_ready(successor);
        watched.scraped(successor);
        name = successor.to_owned();
    }
    watched.follow("InstanceRestarting");
    watched.finish(&RESTARTED);
}
