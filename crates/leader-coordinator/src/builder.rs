//! From a few settings to a running coordinator.

use crate::epochs::EpochFile;
use crate::error::StartError;
use crate::handle::Coordinator;
use crate::identity::identity;
#[cfg(feature = "redis")]
use crate::stores::Redis;
use crate::stores::{Database, Stores};
use domain::id::{GroupId, InstanceId};
use domain::lease::TTL_DEFAULT;
use domain::metrics::SignalsConfig;
use domain::ports::{Migrate, Recovery};
use domain::settings::SharedSettings;
use std::fmt;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Permissions of a data directory that is created.
const DIRECTORY_MODE: u32 = 0o700;

/// Starts with `group` and the database that decides. All instances of a service have the same group; two services that
/// share a database have different ones. [`Builder::start`] checks the name: 1 to 128 of `A-Z a-z 0-9 . _ : -`.
pub fn builder(group: impl Into<String>, database: impl Into<Database>) -> Builder {
    Builder {
        group: group.into(),
        database: database.into(),
        #[cfg(feature = "redis")]
        redis: None,
        id: None,
        ttl: TTL_DEFAULT,
        heartbeat: None,
        data_dir: None,
        lock_dir: None,
        address: None,
        version: None,
        window: None,
        signals: None,
        published: None,
        migrate: Migrate::Apply,
        recovery: Recovering::Nothing,
    }
}

/// Settings of a [`Coordinator`]. Each has a default:
///
/// | setting | default |
/// |---|---|
/// | [`id`](Self::id) | the host name and 8 random characters |
/// | nonce | fresh random bits at every start; it cannot be set |
/// | [`ttl`](Self::ttl) | 10 s |
/// | [`heartbeat`](Self::heartbeat) | a third of LEADER_TTL |
/// | [`data_dir`](Self::data_dir) | the directory of the SQLite file; none with PostgreSQL |
/// | [`lock_dir`](Self::lock_dir) | next to the SQLite file; `/dev/shm/coordinator-UID` with PostgreSQL |
/// | [`portfolio`](Self::portfolio), [`recovery`](Self::recovery) | nothing to recover |
/// | [`migrate`](Self::migrate) | the start brings the schema up to date |
#[must_use = "nothing runs before `start`"]
pub struct Builder {
    group: String,
    database: Database,
    #[cfg(feature = "redis")]
    redis: Option<Redis>,
    id: Option<String>,
    ttl: Duration,
    heartbeat: Option<Duration>,
    data_dir: Option<PathBuf>,
    lock_dir: Option<PathBuf>,
    address: Option<String>,
    version: Option<String>,
    window: Option<usize>,
    signals: Option<SignalsConfig>,
    published: Option<SharedSettings>,
    migrate: Migrate,
    recovery: Recovering,
}

enum Recovering {
    Nothing,
    Portfolio,
    Own(Arc<dyn Recovery>),
}

impl Builder {
    /// The instance id, unique in the group.
    pub fn id(self, id: impl Into<String>) -> Self {
        Self { id: Some(id.into()), ..self }
    }

    /// LEADER_TTL, 1 s to 300 s and equal on every instance. A crashed leader is replaced after this time, or at once if an
    /// instance on its host has evidence of its end ([`lock_dir`](Self::lock_dir)).
    pub fn ttl(self, ttl: Duration) -> Self {
        Self { ttl, ..self }
    }

    /// How often the lease is renewed, at most a third of LEADER_TTL.
    pub fn heartbeat(self, heartbeat: Duration) -> Self {
        Self { heartbeat: Some(heartbeat), ..self }
    }

    /// The directory of the file of epochs: the highest fencing number that this instance has seen or claimed. It is
    /// created with mode 700 if it does not exist. Keep it on a disk that survives a restart of the process.
    ///
    /// Without it, an instance remembers the number only while its process runs, and the start logs a warning. A restart of
    /// one process does no harm, because the others remember. If every process is restarted and an older backup of the
    /// database is restored, two things are lost: a new leader can get an epoch that a former leader had already, and no
    /// instance notices that the database has forgotten, so that signals that were executed after the backup can be executed
    /// again without a lookup.
    pub fn data_dir(self, directory: impl Into<PathBuf>) -> Self {
        Self { data_dir: Some(directory.into()), ..self }
    }

    /// The directory of the lock files that show the end of a process, on a local disk or in memory. Instances on one host
    /// that use the same directory replace a killed leader at once; in any other case its lease expires. Unless set, it is
    /// next to the SQLite file, or `/dev/shm/coordinator-UID` with PostgreSQL.
    ///
    /// A process keeps its lock until it and its children have ended. A child that outlives the service, or a second start
    /// in the same process, therefore only delays a takeover until the lease has expired.
    pub fn lock_dir(self, directory: impl Into<PathBuf>) -> Self {
        Self { lock_dir: Some(directory.into()), ..self }
    }

    /// Adds Redis, which makes a failover fast.
    #[cfg(feature = "redis")]
    pub fn redis(self, redis: Redis) -> Self {
        Self { redis: Some(redis), ..self }
    }

    /// The URL of this instance's pages, as other machines write it, for the instance table.
    pub fn address(self, address: impl Into<String>) -> Self {
        Self { address: Some(address.into()), ..self }
    }

    /// The version of the service, for the instance table.
    pub fn version(self, version: impl Into<String>) -> Self {
        Self { version: Some(version.into()), ..self }
    }

    /// How many renewals the rates and latencies of the metrics cover.
    pub fn window(self, renewals: usize) -> Self {
        Self { window: Some(renewals), ..self }
    }

    /// The limits of the group's signals and the value of one signal, for metrics and alerts.
    pub fn signals(self, signals: SignalsConfig) -> Self {
        Self { signals: Some(signals), ..self }
    }

    /// Settings in addition to LEADER_TTL that all instances of the group must agree on. An instance that finds other values
    /// in the instance table raises an alert.
    pub fn published(self, settings: SharedSettings) -> Self {
        Self { published: Some(settings), ..self }
    }

    /// Whether the start may change the database's schema.
    pub fn migrate(self, migrate: Migrate) -> Self {
        Self { migrate, ..self }
    }

    /// A new leader reads the portfolio of a trading desk from the database, and acts only if it is consistent.
    pub fn portfolio(self) -> Self {
        Self { recovery: Recovering::Portfolio, ..self }
    }

    /// A new leader runs the service's own recovery before it acts.
    pub fn recovery(self, recovery: Arc<dyn Recovery>) -> Self {
        Self { recovery: Recovering::Own(recovery), ..self }
    }

    /// Checks the settings and starts the election in the background. Returns immediately: an instance whose database does
    /// not answer retries until it answers. [`coordinator::Coordinator::ended`] reports the faults that a retry does not
    /// repair.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(self) -> Result<Coordinator, StartError> {
        let group = GroupId::parse(&self.group).map_err(StartError::Group)?;
        let id = self.id.as_deref().map(InstanceId::parse).transpose().map_err(StartError::Id)?;
        let identity = identity(group, id, self.ttl)?;
        let stores = Stores::open(&self.database, &identity)?;
        #[cfg(feature = "redis")]
        let stores = match &self.redis {
            Some(redis) => stores.with_redis(redis, self.heartbeat.unwrap_or(self.ttl / 3))?,
            None => stores,
        };
        let epochs = self.epochs(&identity.group)?;
        let mut driver = coordinator::Coordinator::builder(Arc::clone(&stores.state))
            .migrate(self.migrate)
            .state_store_name(self.database.kind().name());
        if let Some(leader) = &stores.leader {
            driver = driver.leader_store(Arc::clone(leader));
        }
        if let Some(exits) = stores.exits(self.lock_dir.as_deref()) {
            driver = driver.exits(exits);
        }
        driver = match epochs {
            Some(epochs) => driver.epochs(Arc::new(epochs)),
            None => driver,
        };
        driver = match self.recovery {
            Recovering::Nothing => driver,
            Recovering::Portfolio => driver.recovery(Arc::clone(&stores.recovery)),
            Recovering::Own(recovery) => driver.recovery(recovery),
        };
        driver = set(driver, self.heartbeat, coordinator::Builder::heartbeat);
        driver = set(driver, self.address, coordinator::Builder::address);
        driver = set(driver, self.version, coordinator::Builder::version);
        driver = set(driver, self.window, coordinator::Builder::window);
        driver = set(driver, self.signals, coordinator::Builder::signals);
        driver = set(driver, self.published, coordinator::Builder::published);
        Ok(Coordinator::new(driver.start()?, Arc::new(stores), identity))
    }

    fn epochs(&self, group: &GroupId) -> Result<Option<EpochFile>, StartError> {
        let Some(directory) = self.data_dir.clone().or_else(|| self.database.default_data_dir()) else {
            tracing::warn!(
                %group,
                "no data directory: this instance remembers the fencing number of the group only while it runs. If all \
                 instances are restarted and an older backup of the database is restored, the number can decrease and \
                 signals can be executed again (Builder::data_dir)"
            );
            return Ok(None);
        };
        create(&directory)?;
        EpochFile::open(&directory, self.database.kind(), group).map(Some).map_err(StartError::Epochs)
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { group, database, id, ttl, data_dir, .. } = self;
        f.debug_struct("Builder")
            .field("group", group)
            .field("database", database)
            .field("id", id)
            .field("ttl", ttl)
            .field("data_dir", data_dir)
            .finish_non_exhaustive()
    }
}

fn create(directory: &Path) -> Result<(), StartError> {
    let created = fs::DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory);
    created.map_err(|error| StartError::DataDir { path: directory.to_owned(), error })
}

fn set<B, T>(builder: B, value: Option<T>, apply: impl FnOnce(B, T) -> B) -> B {
    match value {
        Some(value) => apply(builder, value),
        None => builder,
    }
}
