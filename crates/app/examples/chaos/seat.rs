//! A place for an instance: its own ways to both stores, and the process that has it at the moment.

use crate::client::GROUP;
use crate::fault::TTL;
use crate::servers::{Servers, block_on};
use crate::system::System;
use std::path::{Path, PathBuf};
use testkit::process::{Coordinator, EventKind, Launch, Record};
use testkit::proxy::{Mode, Proxy};

/// Where the leader of a demonstration sends its orders.
const BROKER: &str = "COORDINATOR_TEST_BROKER";

/// A store, as seen from an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// The tickets.
    Redis,
    /// The row.
    Postgres,
}

impl Store {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Redis, Self::Postgres];
}

/// Under which id the next process of a seat starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// That of the last.
    Same,
    /// One that nobody had.
    New,
}

/// The place.
pub struct Seat {
    /// Its letter.
    pub letter: char,
    generation: u32,
    redis: Proxy,
    postgres: Proxy,
    process: Option<Coordinator>,
}

impl Seat {
    /// Nobody has it yet.
    pub fn new(letter: char, servers: &Servers) -> Self {
        let redis = block_on(Proxy::start(servers.redis.address()));
        let postgres = block_on(Proxy::start(servers.primary.address()));
        Self { letter, generation: 0, redis, postgres, process: None }
    }

    /// The process.
    pub fn process(&mut self) -> Option<&mut Coordinator> {
        self.process.as_mut()
    }

    /// The id of the present or the next process.
    pub fn id(&self) -> String {
        format!("{}{}", self.letter, self.generation)
    }

    /// Starts a process; returns at once.
    pub fn start(&mut self, system: &System, servers: &Servers, broker: &Path, identity: Identity) {
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
        let launch = Launch::new(&system.program, &id).environment(BROKER, &broker.to_string_lossy());
        self.process = Some(arguments.concat().into_iter().fold(launch, Launch::argument).start());
    }

    /// Kills the process, if there is one, and puts what it told away.
    pub fn vacate(&mut self, archive: &mut Archive) {
        if let Some(mut process) = self.process.take() {
            process.kill();
            archive.keep(process);
        }
    }

    /// When the belief that the process told last began to be true: of two that say they lead, the later one
    /// is right. `None` when it does not say so.
    pub fn believes_since(&mut self) -> Option<u64> {
        let last = self.process.as_mut()?.record().events.pop()?;
        matches!(last.kind, EventKind::Lead | EventKind::Renew).then_some(last.t)
    }

    /// The process answers 200 on /leader: it leads, and acts.
    pub fn acts(&self) -> bool {
        let answer = self.process.as_ref().map(|process| process.get("/leader"));
        answer.is_some_and(|answer| answer.is_ok_and(|answer| answer.status == 200))
    }

    /// What the way to a store does from now on.
    pub fn set(&self, store: Store, mode: Mode) {
        let proxy = match store {
            Store::Redis => &self.redis,
            Store::Postgres => &self.postgres,
        };
        block_on(proxy.set(mode));
    }

    /// The way to PostgreSQL leads to another server.
    pub fn retarget(&self, primary: &str) {
        block_on(self.postgres.retarget(primary));
    }
}

/// What processes that are gone have told.
pub struct Archive {
    directory: PathBuf,
    /// In the order of their ends.
    pub records: Vec<Record>,
}

impl Archive {
    /// Logs go into `directory`.
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
