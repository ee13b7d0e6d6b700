//! [`Stage`]: a group with its stores and its broker, and its state before and after a cut.

use crate::database::Database;
use crate::quick;
use crate::table::{Broker, SIGNALS, Stands};
use crate::wait::{PATIENCE, block_on, until};
use contract::event::{EventKind, Record};
use contract::invariants;
use contract::signal_ledger::{client, signal};
use coordinator::crash_point::VARIABLE;
use domain::ledger::Limits;
use domain::ports::{SignalClaim, Submit};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;
use testkit::backend::{self, Postgres, Redis};
use testkit::directory::directory;
use testkit::process::{Coordinator, Launch, Signal};

/// Long enough that busy cores do not cost a leader its lease, and short enough to wait for the end of a
/// killed leader's lease.
const TTL: Duration = Duration::from_secs(3);
/// Environment variable with the file to which an instance's leader writes its orders.
const BROKER: &str = "COORDINATOR_TEST_BROKER";

/// A Redis and a PostgreSQL for several stages.
pub struct Servers {
    redis: Redis,
    postgres: Postgres,
}

impl Servers {
    pub fn start() -> Self {
        let postgres = backend::postgres();
        quick::create(&postgres.url());
        Self { redis: backend::redis(), postgres }
    }

    /// A group with a separate database and a separate ticket.
    pub fn stage(&self, name: &str) -> Stage {
        let url = quick::login(&block_on(self.postgres.create_database()));
        let settings = vec![
            ("COORDINATOR_REDIS_URL", self.redis.url()),
            ("COORDINATOR_REDIS_PREFIX", name.to_owned()),
            ("COORDINATOR_POSTGRES_URL", url.clone()),
        ];
        Stage::new(|_| Database::Postgres(url), settings)
    }
}

/// One group.
pub struct Stage {
    pub database: Database,
    /// Environment variables of every instance.
    settings: Vec<(&'static str, String)>,
    /// Timestamp of the signals that clients post.
    arose_s: i64,
    directory: TempDir,
}

impl Stage {
    /// On the embedded store, in a separate directory.
    pub fn embedded() -> Self {
        Self::new(|data| Database::Sqlite(data.join("coordinator.db")), Vec::new())
    }

    fn new(database: impl FnOnce(PathBuf) -> Database, settings: Vec<(&'static str, String)>) -> Self {
        let directory = directory();
        let arose_s = coordinator::clock::calendar_ms() / 1_000;
        Self { database: database(directory.path().join("data")), settings, arose_s, directory }
    }

    /// An instance that processes the ledger when it leads.
    pub fn worker(&self, name: &str) -> Launch {
        let broker = self.broker();
        self.idler(name).environment(BROKER, broker.to_str().expect("the directory's name is text"))
    }

    /// As [`Self::worker`], cut according to `plan`.
    pub fn cut_worker(&self, name: &str, plan: &str) -> Launch {
        self.worker(name).environment(VARIABLE, plan)
    }

    /// An instance that only leads.
    fn idler(&self, name: &str) -> Launch {
        let launch = Launch::new(env!("CARGO_BIN_EXE_coordinator"), name)
            .data_dir(&self.directory.path().join("data"))
            .argument("--leader-ttl")
            .argument(format!("{}ms", TTL.as_millis()))
            .argument("--instance-id")
            .argument(name)
            .environment("COORDINATOR_SIGNALS_MAX_PER_MINUTE", "none");
        self.settings.iter().fold(launch, |launch, (name, value)| launch.environment(name, value))
    }

    /// A former leader acquires the lease, leaves [`SIGNALS`] in the described states, and releases the
    /// lease.
    pub fn leave_behind(&self) -> Record {
        let mut former = Instance::start(&self.idler("former"));
        former.0.wait_for(EventKind::Lead, PATIENCE);
        for (id, _) in SIGNALS {
            self.submit(id);
        }
        let (ledger, token) = (self.database.ledger(), self.database.token());
        for id in ["sent", "unsent"] {
            match block_on(ledger.claim_signals(&token, Limits::NONE, 1)) {
                Ok(SignalClaim::Claimed(signals)) => assert_eq!(signals[0].id.as_str(), id),
                other => panic!("{id} is the oldest: {other:?}"),
            }
        }
        let mut broker = std::fs::File::create(self.broker()).expect("a broker");
        writeln!(broker, "sent {}", token.epoch).expect("a broker that writes");
        former.stop()
    }

    /// Submits a signal directly to the ledger.
    pub fn submit(&self, id: &str) {
        let answer = block_on(self.database.ledger().submit_one(&signal(id), &client()));
        assert!(matches!(answer, Ok(Submit::Accepted(_))), "{answer:?}");
    }

    /// Submits a signal to an instance, as a client does. Returns the status of the answer, `None` without an
    /// answer. A signal with the same name is the same each time.
    pub fn post(&self, instance: &Instance, id: &str) -> Option<u16> {
        let body = serde_json::json!({
            "id": id,
            "instrument": id,
            "signal_type": "ENTRY",
            "position": id,
            "timestamp": self.arose_s,
        });
        instance.0.post("/signals", &[], &body).ok().map(|answer| answer.status)
    }

    /// The state of every signal, by its id.
    pub fn states(&self) -> BTreeMap<String, String> {
        let all = self.database.signals().unwrap_or_default();
        let words = all.split(',').map(|signal| signal.split(' ').collect::<Vec<_>>());
        words.map(|words| (words[0].to_owned(), words[1].to_owned())).collect()
    }

    /// Waits until that number of signals is done, and no other signal exists.
    pub fn wait_done(&self, signals: usize) {
        until(&format!("{signals} signals are done"), || {
            let states = self.states();
            (states.len() == signals && states.values().all(|state| state == "done")).then_some(())
        });
    }

    /// Asserts the states of [`SIGNALS`].
    #[track_caller]
    pub fn assert_stands(&self, expected: &[Stands; 3]) {
        let (states, orders) = (self.states(), self.orders());
        for ((id, _), expected) in SIGNALS.iter().zip(expected) {
            let at = if orders.iter().any(|order| order == id) { Broker::Has } else { Broker::HasNot };
            let state = states[*id].as_str();
            assert!(
                expected.states.contains(&state) && expected.at == at,
                "{id} is {state} ({at:?}), not {expected:?}; {states:?}, {orders:?}"
            );
        }
    }

    /// Asserts that every accepted signal is done, that the broker has each once and nothing else, and that
    /// at most one instance had a valid lease at any instant.
    #[track_caller]
    pub fn judge(&self, records: &[Record]) {
        let (states, mut orders) = (self.states(), self.orders());
        assert!(states.values().all(|state| state == "done"), "{states:?}");
        orders.sort();
        assert_eq!(orders, states.into_keys().collect::<Vec<_>>(), "sent once, and none lost");
        invariants::assert_none(&invariants::all(records, TTL));
    }

    /// The names of all orders at the broker.
    fn orders(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.broker()).unwrap_or_default();
        text.lines().map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect()
    }

    fn broker(&self) -> PathBuf {
        self.directory.path().join("broker")
    }
}

/// An instance that prints its log if the test fails.
pub struct Instance(pub Coordinator);

impl Instance {
    pub fn start(launch: &Launch) -> Self {
        Self(launch.start())
    }

    /// Waits until its page answers.
    pub fn wait_page(&self) {
        until("the page answers", || self.0.get("/livez").is_ok().then_some(()));
    }

    /// Ends it cleanly; returns its events.
    pub fn stop(mut self) -> Record {
        self.0.signal(Signal::TERM);
        assert_eq!(self.0.wait_exit(PATIENCE).code(), Some(0));
        self.0.record()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- {:#?} said\n{}", self.0.record(), self.0.log());
        }
    }
}
