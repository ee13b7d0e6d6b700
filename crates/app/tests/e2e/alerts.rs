//! Faults of a group that Prometheus and Alertmanager watch: the right alert reaches the receiver, and is over when
//! the fault is.

use crate::TTL;
use crate::group::{Group, Lead};
use crate::monitoring::Monitoring;
use crate::servers::Servers;
use serde_json::json;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::spawn;
use testkit::broker::{Conduct, HttpBroker};
use testkit::process::Launch;

const THREE: [&str; 3] = ["a", "b", "c"];
/// What any loss of a leader may bring along: the shares of time without one are of minutes here, not of a month.
const BUDGET: [&str; 2] = ["LeaderSLOFastBurn", "LeaderSLOSlowBurn"];
/// What is slow while other tests keep both cores busy is told, and rightly; an instance that starts slowly has no
/// heartbeat yet where its predecessor's is old.
const SLOW: [&str; 7] = [
    "HighDBSyncLatencyP95",
    "CriticalDBSyncLatencyP99",
    "SlowRecovery",
    "CriticalRecoveryTime",
    "OverallStatusCritical",
    "StaleHeartbeat",
    "DelayedHeartbeat",
];
const IS_LEADER: &str = "portfolio_manager_is_leader";

/// A group of three, watched.
pub struct Watched {
    pub monitoring: Monitoring,
    pub group: Group,
    // Dropped last.
    servers: Servers,
}

impl Watched {
    fn start() -> (Self, Lead) {
        Self::with(&[], &[])
    }

    /// With settings for every instance, and further targets beside the three.
    pub fn with(settings: &[(&str, &str)], further: &[String]) -> (Self, Lead) {
        let servers = Servers::start();
        let mut group = servers.group(TTL);
        for name in THREE {
            let with = |launch: Launch, (name, value): &(&str, &str)| launch.environment(name, value);
            let launch = settings.iter().fold(group.launch(name), with);
            group.start_as(name, &launch);
        }
        for name in THREE {
            group.wait_ready(name);
        }
        let lead = group.wait_lead(0);
        group.wait_active(&lead.name);
        let mut targets: Vec<String> = THREE.map(|name| group.process(name).address()).into();
        targets.extend_from_slice(further);
        (Self { monitoring: Monitoring::start(&targets), group, servers }, lead)
    }

    /// Starts an instance in the place of one that is gone.
    fn replace(&mut self, name: &str) {
        let address = self.group.process(name).address();
        let port = address.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("it has a port");
        let launch = self.group.launch("successor").port(port);
        self.group.start_as("successor", &launch);
    }

    /// The alert fires.
    fn fires(&self, alert: &str) {
        self.monitoring.wait_firing(alert);
    }

    /// And is over; nothing fired meanwhile but it and what it may bring along.
    fn ends(self, alert: &str, along: &[&str]) {
        self.monitoring.wait_resolved(alert);
        let told = self.monitoring.told().ever;
        let known = ["Watchdog", alert].into_iter().chain(BUDGET).chain(SLOW).chain(along.iter().copied());
        let known: BTreeSet<String> = known.map(str::to_owned).collect();
        let others: Vec<&String> = told.difference(&known).collect();
        assert!(others.is_empty(), "{others:?} fired beside {alert}");
        self.group.finish();
    }
}

#[test]
fn a_leader_that_is_killed() {
    let (mut watched, lead) = Watched::start();
    watched.group.process(&lead.name).kill();
    watched.fires("InstanceDown");
    watched.group.wait_lead(lead.epoch);
    watched.replace(&lead.name);
    // On a busy machine the failover may take longer than the little that two minutes are here.
    watched.ends("InstanceDown", &["NoLeader"]);
}

#[test]
fn redis_that_is_stopped() {
    let (watched, _) = Watched::start();
    watched.servers.redis.stop();
    watched.fires("FallbackModeActive");
    watched.servers.redis.start();
    watched.ends("FallbackModeActive", &[]);
}

#[test]
fn postgresql_that_is_stopped() {
    let (watched, _) = Watched::start();
    watched.servers.postgres.stop();
    watched.fires("NoLeader");
    watched.servers.postgres.start();
    let failures = ["HighDBSyncFailureRate", "ElevatedDBSyncFailureRate"];
    watched.ends("NoLeader", &failures);
}

#[test]
fn a_position_that_is_corrupt() {
    let (mut watched, lead) = Watched::start();
    watched
        .group
        .database
        .execute("INSERT INTO portfolio_positions VALUES ('P-1', 'NIFTY', 'open', 1, 100, 'NaN', 5)");
    let said = watched.group.command(&["step-down", "--reason", "another host is wanted"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    watched.fires("RecoveryDataCorrupt");
    watched.group.database.execute("DELETE FROM portfolio_positions");
    let next = watched.group.wait_lead(lead.epoch);
    watched.group.wait_active(&next.name);
    watched.ends("RecoveryDataCorrupt", &["RecoveryFailures", "RepeatedRecoveryFailures"]);
}

#[test]
fn two_leaders() {
    let claims = Double::start();
    let (watched, _) = Watched::with(&[], std::slice::from_ref(&claims.address));
    claims.leads.store(true, Relaxed);
    watched.fires("MultipleLeaders");
    claims.leads.store(false, Relaxed);
    watched.ends("MultipleLeaders", &[]);
}

#[test]
fn a_signal_in_doubt() {
    let broker = HttpBroker::with(|_| Conduct::ExecutesAndCuts, |_| false);
    let (mut watched, lead) = Watched::with(&[("COORDINATOR_SIGNALS_HANDLER", &broker.url())], &[]);
    let signal = json!({
        "id": "s-1", "instrument": "NIFTY", "signal_type": "ENTRY", "position": "Long_1",
        "timestamp": "2026-11-26T09:15:00+05:30",
    });
    let answer = watched.group.process(&lead.name).post("/signals", &[], &signal).expect("an answer");
    assert_eq!(answer.status, 201, "{answer:?}");
    watched.fires("SignalsInDoubt");
    let said =
        watched.group.command(&["signals", "resolve", "s-1", "--executed", "--reason", "the broker has it"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    watched.ends("SignalsInDoubt", &[]);
}

/// Another member of the job, which says that it leads or not, and nothing else.
struct Double {
    address: String,
    leads: Arc<AtomicBool>,
}

impl Double {
    /// Serves until the process ends.
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address").to_string();
        let leads = Arc::new(AtomicBool::new(false));
        let says = Arc::clone(&leads);
        spawn(move || {
            for stream in listener.incoming().flatten() {
                // A scraper that vanished comes again.
                let _ = serve(stream, says.load(Relaxed));
            }
        });
        Self { address, leads }
    }
}

fn serve(mut stream: TcpStream, leads: bool) -> std::io::Result<()> {
    let mut request: Vec<u8> = Vec::new();
    let mut part = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut part)? {
            0 => return Ok(()),
            read => request.extend(&part[..read]),
        }
    }
    let body = format!("# TYPE {IS_LEADER} gauge\n{IS_LEADER} {}\n", u8::from(leads));
    let length = body.len();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nConnection: close";
    write!(stream, "{head}\r\nContent-Length: {length}\r\n\r\n{body}")
}
