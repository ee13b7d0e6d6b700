//! [`Watched`]: a group of three instances that a Prometheus watches.

use crate::TTL;
use crate::group::{Group, Lead, THREE};
use crate::monitoring::Monitoring;
use crate::servers::Servers;
use crate::wait::until;
use testkit::process::Launch;

/// See the [module](self).
pub struct Watched {
    pub monitoring: Monitoring,
    pub group: Group,
    /// The alerts whose pages were followed.
    pub followed: Vec<&'static str>,
    // Dropped last.
    pub servers: Servers,
}

impl Watched {
    /// Without further settings.
    pub fn start() -> (Self, Lead) {
        Self::with(&[], &[])
    }

    /// With settings for every instance, and targets in addition to the three.
    pub fn with(settings: &[(&str, &str)], further: &[String]) -> (Self, Lead) {
        let servers = Servers::start();
        let mut group = servers.group(TTL);
        for (name, value) in settings {
            group.set(name, value);
        }
        Self::of(servers, group, Group::launch, further)
    }

    /// Instances of a group on those servers, each with its own launch; the first one leads.
    pub fn of(
        servers: Servers,
        mut group: Group,
        launch: impl Fn(&Group, &str) -> Launch,
        further: &[String],
    ) -> (Self, Lead) {
        for name in THREE {
            let launch = launch(&group, name);
            group.start_as(name, &launch);
            group.wait_ready(name);
            if name == THREE[0] {
                group.wait_active(name);
            }
        }
        let lead = group.wait_lead(0);
        let mut targets: Vec<String> = THREE.map(|name| group.process(name).address()).into();
        targets.extend_from_slice(further);
        (Self { monitoring: Monitoring::start(&targets), group, followed: Vec::new(), servers }, lead)
    }

    /// Starts an instance that replaces one that has ended.
    pub fn replace(&mut self, name: &str, successor: &str) {
        let address = self.group.process(name).address();
        let port = address.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("it has a port");
        let launch = self.group.launch(successor).port(port);
        self.group.start_as(successor, &launch);
    }

    /// Waits until Prometheus has metrics of this start of an instance.
    pub fn scraped(&mut self, name: &str) {
        let address = self.group.process(name).address();
        let query = format!("process_start_time_seconds{{instance=\"{address}\"}}");
        let started = self.group.metric(name, "process_start_time_seconds");
        until(&format!("{name} is scraped"), || {
            let scraped = self.monitoring.query(&query)?[0]["value"][1].as_str()?.parse().ok();
            (scraped == started).then_some(())
        });
    }
}
