//! [`Seat`]: a place for an instance, with separate proxies to both stores, and its current process.

use crate::fault::TTL;
use crate::servers::{Servers, block_on};
use crate::system::{Orders, System};
use contract::event::{EventKind, Record};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use testkit::process::{Coordinator, Launch};
use testkit::proxy::{Mode, Proxy};

/// The group of the coordinators.
pub const GROUP: &str = "chaos";
/// Timeout of the leader for a service's answer. After it, the signal is in doubt.
pub const HANDLER_TIME_MAX: Duration = Duration::from_secs(2);

/// Environment variable with the file to which a demonstration's leader sends its orders.
const BROKER: &str = "COORDINATOR_TEST_BROKER";
/// Limits whose defaults suit a trader and not this test.
const LIMITS: [&str; 2] = ["COORDINATOR_SIGNALS_MAX_PER_MINUTE", "COORDINATOR_SIGNALS_MAX_PER_DAY"];
const LOOKUP: &str = "COORDINATOR_SIGNALS_LOOKUP";
const HANDLER_TIMEOUT: &str = "COORDINATOR_SIGNALS_HANDLER_TIMEOUT";

/// Default begin of the ports that the kernel assigns.
const CHOSEN_FROM_DEFAULT: u16 = 32_768;
/// Only the superuser may listen below this port.
const OPEN_FROM: u16 = 1_024;

/// How far apart two runs of one process begin to search for free ports: many times the three that each takes.
const APART: u32 = 1_000;

/// How many runs of this process have searched.
static SEARCHES: AtomicU32 = AtomicU32::new(0);

/// A store, as seen from an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// Redis, with the tickets.
    Redis,
    /// PostgreSQL, with the lease.
    Postgres,
}

impl Store {
    /// Both stores.
    pub const BOTH: [Self; 2] = [Self::Redis, Self::Postgres];
}

/// Id of the next process of a seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// The id of the last process.
    Same,
    /// A new id.
    New,
}

/// A place for an instance.
pub struct Seat {
    /// Letter of the seat.
    pub letter: char,
    /// It is the same for every process, so that clients find the next one there.
    address: SocketAddr,
    generation: u32,
    redis: Proxy,
    postgres: Proxy,
    process: Option<Coordinator>,
}

impl Seat {
    /// Three seats without processes.
    pub fn three(servers: &Servers) -> Vec<Self> {
        let seat = |(letter, address)| {
            let redis = block_on(Proxy::start(servers.redis.address()));
            let postgres = block_on(Proxy::start(servers.primary.address()));
            Self { letter, address, generation: 0, redis, postgres, process: None }
        };
        ['a', 'b', 'c'].into_iter().zip(steady_addresses()).map(seat).collect()
    }

    /// HTTP address of its process.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The current process.
    pub fn process(&mut self) -> Option<&mut Coordinator> {
        self.process.as_mut()
    }

    /// The id of the current or the next process.
    pub fn id(&self) -> String {
        format!("{}{}", self.letter, self.generation)
    }

    /// Starts a process; returns at once.
    pub fn start(&mut self, system: &System, servers: &Servers, identity: Identity) {
        if identity == Identity::New {
            self.generation += 1;
        }
        let ttl = format!("{}ms", TTL.as_millis());
        let redis = format!("redis://{}", self.redis.address());
        let postgres = servers.primary_through(&self.postgres);
        let id = self.id();
        let arguments = [
            ["--redis", &redis],
            ["--postgres", &postgres],
            ["--leader-ttl", &ttl],
            ["--group", GROUP],
            ["--instance-id", &id],
        ];
        let launch = Launch::new(&system.program, &id).port(self.address.port());
        let launch = LIMITS.into_iter().fold(launch, |launch, limit| launch.environment(limit, "none"));
        // The last seat is on a separate host: a kill there, or with it as the successor, is followed by an expiry.
        let launch = if self.letter == 'c' { launch } else { launch.lock_dir(&system.locks) };
        let launch = match &system.orders {
            Orders::File(path) => launch.environment(BROKER, &path.to_string_lossy()),
            Orders::Http(url) => {
                let timeout = format!("{}ms", HANDLER_TIME_MAX.as_millis());
                let launch = launch.environment(LOOKUP, url).environment(HANDLER_TIMEOUT, &timeout);
                launch.argument("--handler").argument(url)
            }
        };
        self.process = Some(arguments.concat().into_iter().fold(launch, Launch::argument).start());
    }

    /// Kills the process, if there is one, and archives its events.
    pub fn vacate(&mut self, archive: &mut Archive) {
        if let Some(mut process) = self.process.take() {
            process.kill();
            archive.keep(process);
        }
    }

    /// Begin of the process' last valid lease. If two processes report that they lead, the later one is
    /// right. `None` if it reports none.
    pub fn leads_since(&mut self) -> Option<u64> {
        let last = self.process.as_mut()?.record().events.pop()?;
        matches!(last.kind, EventKind::Lead | EventKind::Renew).then_some(last.t)
    }

    /// Whether the process answers 200 on /leader: it leads, and acts.
    pub fn acts(&self) -> bool {
        let answer = self.process.as_ref().map(|process| process.get("/leader"));
        answer.is_some_and(|answer| answer.is_ok_and(|answer| answer.status == 200))
    }

    /// Sets the mode of the proxy to a store.
    pub fn set(&self, store: Store, mode: Mode) {
        let proxy = match store {
            Store::Redis => &self.redis,
            Store::Postgres => &self.postgres,
        };
        block_on(proxy.set(mode));
    }

    /// The proxy to PostgreSQL forwards to another server.
    pub fn retarget(&self, primary: &str) {
        block_on(self.postgres.retarget(primary));
    }
}

/// Free addresses that stay free: they are below the ports that the kernel assigns to clients, and every
/// process starts its search at a different one.
fn steady_addresses() -> impl Iterator<Item = SocketAddr> {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let chosen_from = range.split_whitespace().next().and_then(|first| first.parse().ok());
    let many = u32::from(chosen_from.unwrap_or(CHOSEN_FROM_DEFAULT).saturating_sub(OPEN_FROM).max(1));
    // Pids are given out one after the other, and a process may have two runs: all of them begin far apart.
    let earlier = SEARCHES.fetch_add(1, Ordering::Relaxed);
    let start = std::process::id().wrapping_mul(97).wrapping_add(earlier.wrapping_mul(APART));
    let ports = (0..many).filter_map(move |step| u16::try_from(start.wrapping_add(step) % many).ok());
    let addresses = ports.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, OPEN_FROM + port)));
    addresses.filter(|address| TcpListener::bind(address).is_ok())
}

/// Events of processes that have ended.
pub struct Archive {
    directory: PathBuf,
    /// In the order of their ends.
    pub records: Vec<Record>,
}

impl Archive {
    /// Writes logs into `directory`.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), records: Vec::new() }
    }

    fn keep(&mut self, mut process: Coordinator) {
        let record = process.record();
        let file = format!("{:04}-{}", self.records.len(), record.name);
        let events: Vec<String> = record.events.iter().map(|event| format!("{event:?}")).collect();
        for (kind, text) in [("log", process.log()), ("events", events.join("\n"))] {
            let path = self.directory.join(format!("{file}.{kind}"));
            std::fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
        self.records.push(record);
    }
}
