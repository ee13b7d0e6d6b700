//! The settings of a coordinator, and its life from the start to the end: migration, election, heartbeats, goodbye.

use crate::answers::{self, Answers};
use crate::clock::{self, of_this_process};
use crate::commits::Commits;
use crate::driver::Driver;
use crate::election::Election;
use crate::error::{Ended, StartError};
use crate::exits::Exits;
use crate::handle::Coordinator;
use crate::heartbeat::{IdInUse, heartbeat};
use crate::leadership::Leadership;
use crate::memory::{Ability, EpochMemory};
use crate::recover::{Purpose, recover};
use crate::shared::{Settings, Shared};
use domain::election::{Config, Elector, Epochs, Resign, TicketUse};
use domain::identity::{Difference, Identity};
use domain::member::heartbeat_interval;
use domain::metrics::{Metrics, MetricsConfig, SignalsConfig, WINDOW_DEFAULT};
use domain::overview::{Facts, Known};
use domain::ports::{LeaderStore, Migrate, NothingToRecover, Recovery, Schema, StateStore, StoreError};
use domain::recovery::backoff;
use domain::settings::SharedSettings;
use std::fmt;
use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Notices kept for a slow listener; about a quarter of an hour of renewals.
const NOTICES_KEPT: usize = 256;
/// The same for what operators must know at once.
const URGENT_KEPT: usize = 64;
/// A migration waits for other starting instances; one that takes longer uses a dead connection.
const MIGRATION_TIME_MAX: Duration = Duration::from_mins(1);
/// Requests to hand over or stop that wait for the driver; one would do.
const REQUESTS_KEPT: usize = 8;

/// Settings of a [`Coordinator`]; see [`Coordinator::builder`].
pub struct Builder {
    /// The state store's.
    identity: Identity,
    state_store: Arc<dyn StateStore>,
    leader_store: Option<Arc<dyn LeaderStore>>,
    recovery: Arc<dyn Recovery>,
    state_store_name: String,
    address: String,
    version: String,
    heartbeat: Option<Duration>,
    window: usize,
    signals: SignalsConfig,
    published: SharedSettings,
    migrate: Migrate,
    epochs: Option<Arc<dyn EpochMemory>>,
    exits: Option<Arc<dyn Exits>>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl Coordinator {
    /// Settings for the instance that `state_store` was opened for: the group, the id, the nonce, the host and LEADER_TTL
    /// are those of its [`Identity`](domain::identity::Identity). Draw the nonce with
    /// [`fresh_nonce`](crate::fresh_nonce), and open every other store of the process with the same identity.
    pub fn builder(state_store: Arc<dyn StateStore>) -> Builder {
        Builder::new(state_store)
    }
}

impl Builder {
    fn new(state_store: Arc<dyn StateStore>) -> Self {
        Self {
            identity: state_store.identity(),
            state_store,
            leader_store: None,
            recovery: Arc::new(NothingToRecover),
            state_store_name: "the state store".into(),
            address: String::new(),
            version: env!("CARGO_PKG_VERSION").into(),
            heartbeat: None,
            window: WINDOW_DEFAULT,
            signals: SignalsConfig::default(),
            published: SharedSettings::default(),
            migrate: Migrate::Apply,
            epochs: None,
            exits: None,
        }
    }

    /// Adds a leader store, which makes failover fast and changes nothing about who leads.
    #[must_use]
    pub fn leader_store(mut self, store: Arc<dyn LeaderStore>) -> Self {
        self.leader_store = Some(store);
        self
    }

    /// What a new leader loads and checks before it acts: the portfolio of a store that is a
    /// [`PortfolioSource`](domain::ports::PortfolioSource), or the service's own [`Recovery`]. Unless set there is
    /// [nothing to recover](NothingToRecover), and an instance is active as soon as its claim is granted.
    #[must_use]
    pub fn recovery(mut self, recovery: Arc<dyn Recovery>) -> Self {
        self.recovery = recovery;
        self
    }

    /// How often the lease is renewed: a third of LEADER_TTL, which is also the most.
    #[must_use]
    pub fn heartbeat(mut self, heartbeat: Duration) -> Self {
        self.heartbeat = Some(heartbeat);
        self
    }

    /// Settings in addition to LEADER_TTL that all instances of the group must agree on, for the instance table: when instances
    /// differ, each logs it and raises an alert.
    #[must_use]
    pub fn published(mut self, settings: SharedSettings) -> Self {
        self.published = settings;
        self
    }

    /// The name of the state store in sentences for operators, such as `PostgreSQL`.
    #[must_use]
    pub fn state_store_name(mut self, name: impl Into<String>) -> Self {
        self.state_store_name = name.into();
        self
    }

    /// Where this instance's page is, as other machines would write it, for the instance table.
    #[must_use]
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.address = address.into();
        self
    }

    /// The version of the service, for the instance table.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// How many syncs the rates and latencies look back on; 100 unless set.
    #[must_use]
    pub fn window(mut self, window: usize) -> Self {
        self.window = window;
        self
    }

    /// What metrics and alerts need to know of the group's signals: their limits and the value of one.
    #[must_use]
    pub fn signals(mut self, signals: SignalsConfig) -> Self {
        self.signals = signals;
        self
    }

    /// Whether the start may change the database's schema; it may unless set.
    #[must_use]
    pub fn migrate(mut self, migrate: Migrate) -> Self {
        self.migrate = migrate;
        self
    }

    /// Where the group's epochs are remembered over restarts, so that they never go back, whatever the store forgets.
    /// Unless set they are remembered while the process runs.
    #[must_use]
    pub fn epochs(mut self, memory: Arc<dyn EpochMemory>) -> Self {
        self.epochs = Some(memory);
        self
    }

    /// The source of evidence that another process has ended: this instance then treats the process's lease as open at
    /// once. Unless set, it waits until the lease has expired.
    #[must_use]
    pub fn exits(mut self, exits: Arc<dyn Exits>) -> Self {
        self.exits = Some(exits);
        self
    }

    /// Starts the election in the background, on its own thread and runtime, and returns at once. The
    /// runtime that this is called in runs everything else: start, crash recovery, heartbeats. When that runtime is shut
    /// down, the election hands over and ends. A state store that is unavailable is tried until it answers; see
    /// [`Coordinator::ended`] for what ends the coordinator.
    ///
    /// # Errors
    /// [`StartError`] when LEADER_TTL or the heartbeat is out of range, or a store was opened for another process.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(self) -> Result<Coordinator, StartError> {
        if let Some(leader) = &self.leader_store {
            same("leader store", &leader.identity(), &self.identity)?;
        }
        let ticket = if self.leader_store.is_some() { TicketUse::Redis } else { TicketUse::None };
        let schema = domain::SCHEMA_VERSION;
        let config =
            Config::new(self.identity.id.clone(), self.identity.nonce, self.identity.ttl, ticket, schema)?;
        let config = match self.heartbeat {
            Some(heartbeat) => config.with_heartbeat(heartbeat)?,
            None => config,
        };
        let config = match &self.epochs {
            Some(memory) => config.remembering(memory.kept()),
            None => config,
        };
        let migrate = self.migrate;
        let shared = Arc::new(self.into_shared(&config));
        let (requests, inbox) = mpsc::channel(REQUESTS_KEPT);
        let (ended, _) = watch::channel(None);
        let coordinator =
            Coordinator { shared: Arc::clone(&shared), requests: requests.clone(), ended: ended.clone() };
        let elector = Elector::new(config);
        tokio::spawn(of_this_process(async move {
            let ending = Ending { shared: Arc::clone(&shared), ended };
            let life = run(elector, shared, inbox, requests, migrate);
            let run = tokio::spawn(of_this_process(life));
            ending.with(run.await.unwrap_or_else(|panic| Err(Ended::Failed(panic.to_string()))));
        }));
        Ok(coordinator)
    }

    pub(crate) fn into_shared(self, config: &Config) -> Shared {
        let started_ms = clock::calendar_ms();
        let no_facts = Facts {
            now_ms: started_ms,
            state_store: self.state_store_name,
            state_store_fault: None,
            heartbeat: heartbeat_interval(self.identity.ttl),
            lease: Known::default(),
            members: Known::default(),
            ticket: self.leader_store.as_ref().map(|_| Known::default()),
            totals: Known::default(),
            signal_value: self.signals.value,
        };
        let metrics = Metrics::new(MetricsConfig {
            heartbeat: config.heartbeat(),
            window: self.window,
            signals: self.signals,
            started_ms,
            instance: self.identity.id.clone(),
            version: self.version.clone(),
        });
        let settings = Settings {
            id: self.identity.id,
            nonce: self.identity.nonce,
            host: self.identity.host,
            address: self.address,
            version: self.version,
            published: self.published.with("leader_ttl", &format!("{:?}", self.identity.ttl)),
            ttl: config.ttl(),
            heartbeat: config.heartbeat(),
            schema: domain::SCHEMA_VERSION,
            started_ms,
        };
        Shared {
            commits: Commits::new(settings.ttl),
            settings,
            state_store: self.state_store,
            leader_store: self.leader_store,
            recovery: self.recovery,
            epochs: self.epochs,
            exits: self.exits,
            ability: Ability::new(),
            remembered: watch::Sender::new(Epochs::NONE),
            leadership: watch::channel(Leadership::unknown()).0,
            works: watch::channel(0).0,
            recovered: watch::channel(None).0,
            recovering: Mutex::default(),
            notices: broadcast::channel(NOTICES_KEPT).0,
            urgent: broadcast::channel(URGENT_KEPT).0,
            metrics: Mutex::new(metrics),
            answers: Answers::new(no_facts),
            heartbeat_running: AtomicBool::new(false),
            election_turns: AtomicU64::new(0),
            disagreement: Mutex::default(),
            waiting_for: Mutex::new(None),
            store_fault: Mutex::default(),
        }
    }
}

/// Publishes why the coordinator ended, also when its runtime was shut down.
struct Ending {
    shared: Arc<Shared>,
    ended: watch::Sender<Option<Result<(), Ended>>>,
}

impl Ending {
    fn with(&self, outcome: Result<(), Ended>) {
        self.shared.over();
        self.ended.send_replace(Some(outcome));
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if self.ended.borrow().is_none() {
            // The election itself continues until it has handed over, and logs that. The answers do not.
            self.shared.answers.update(|last| last.ended(clock::calendar_ms()));
            let why = "the runtime in which the coordinator was started was shut down".to_owned();
            self.ended.send_replace(Some(Err(Ended::Failed(why))));
        }
    }
}

pub(crate) fn same(store: &'static str, its: &Identity, mine: &Identity) -> Result<(), StartError> {
    match its.difference(mine) {
        Some(Difference { what, own: found, other: expected }) => {
            Err(StartError::Store { store, what, found, expected })
        }
        None => Ok(()),
    }
}

/// The whole life: prepare, recover for readiness, elect and write heartbeats, leave the instance table.
async fn run(
    elector: Elector,
    shared: Arc<Shared>,
    mut inbox: mpsc::Receiver<Resign>,
    requests: mpsc::Sender<Resign>,
    migrate: Migrate,
) -> Result<(), Ended> {
    tokio::select! {
        biased;
        prepared = prepare(&shared, migrate) => prepared?,
        Some(_) = inbox.recv() => return Ok(()),
    }
    // A standby that could not take over should report it before it is needed; the outcome is remembered. Not before
    // the election: a slow recovery must not keep this instance out of it, and a leader recovers anyway.
    let readiness = Arc::clone(&shared);
    tokio::spawn(of_this_process(async move { recover(&readiness, Purpose::Readiness).await.map(drop) }));
    let driver = Driver::new(elector, Arc::clone(&shared), inbox, Handle::current());
    let mut election =
        Election::start(driver, Arc::clone(&shared), requests.clone()).map_err(Ended::Failed)?;
    let mut heartbeats = tokio::spawn(of_this_process(heartbeat(Arc::clone(&shared))));
    let answers = tokio::spawn(of_this_process(answers::keep(Arc::clone(&shared))));
    let (ran, in_use) = tokio::select! {
        biased;
        ran = election.ended() => (ran, None),
        in_use = rival(&mut heartbeats) => {
            // The first process stays: this one releases what it holds and ends.
            let _ = requests.send(Resign::Stop).await;
            (election.ended().await, Some(in_use))
        }
    };
    let goodbye = async {
        // A heartbeat under way would list this instance again afterwards. It is the last one, because the election has
        // ended.
        if ran.is_ok() && !heartbeats.is_finished() {
            let _ = (&mut heartbeats).await;
        }
        leave(&shared).await
    };
    if let Ok(Err(error)) = timeout(shared.settings.heartbeat, goodbye).await {
        tracing::warn!("the instance table still lists this instance: {error}");
    }
    heartbeats.abort();
    answers.abort();
    ran.map_err(Ended::Failed)?;
    match in_use {
        Some(IdInUse { since_ms }) => {
            Err(Ended::IdInUse { id: shared.settings.id.clone(), since_s: since_ms / 1000 })
        }
        None => Ok(()),
    }
}

/// Waits until the heartbeats find that another process has this one's id.
async fn rival(heartbeats: &mut JoinHandle<Result<(), IdInUse>>) -> IdInUse {
    match heartbeats.await {
        Ok(Err(in_use)) => in_use,
        Ok(Ok(())) | Err(_) => pending().await,
    }
}

/// Waits until the state store answers and has the schema of this binary.
async fn prepare(shared: &Shared, migrate: Migrate) -> Result<(), Ended> {
    let needed = shared.settings.schema;
    let mut attempt = 0;
    loop {
        let answer = timeout(MIGRATION_TIME_MAX, shared.state_store.migrate(migrate)).await;
        let silent = || Err(StoreError::Unknown(format!("nothing was said for {MIGRATION_TIME_MAX:?}")));
        match answer.unwrap_or_else(|_| silent()) {
            Ok(Schema::Current) => return Ok(()),
            Ok(Schema::Newer { found }) => return Err(Ended::SchemaNewer { found, needed }),
            Ok(Schema::Older { found }) => return Err(Ended::SchemaOlder { found, needed }),
            Err(error @ StoreError::Corrupt(_)) => return Err(Ended::Corrupt(error)),
            Err(error @ (StoreError::Unavailable(_) | StoreError::Unknown(_))) => {
                attempt += 1;
                let wait = backoff(attempt);
                tracing::warn!("waiting for the state store, next try in {wait:?} (try {attempt}): {error}");
                shared.not_started_because(&error);
                sleep(wait).await;
            }
        }
    }
}

/// Takes this process out of the instance table; if that fails, the line goes stale and is left out in time.
async fn leave(shared: &Shared) -> Result<(), StoreError> {
    let settings = &shared.settings;
    shared.state_store.leave(&settings.id, settings.nonce).await
}
