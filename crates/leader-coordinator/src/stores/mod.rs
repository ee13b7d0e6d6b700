//! The stores of one process: which they are, and how they are opened for its identity. Only this module names their
//! adapters.

mod doctor;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "sqlite")]
mod sqlite;

#[cfg(feature = "postgres")]
pub use adapter_postgres::CommitWarnings;
pub use doctor::StoreFacts;
#[cfg(feature = "postgres")]
pub use postgres::Postgres;
#[cfg(feature = "redis")]
pub use redis::Redis;
#[cfg(feature = "sqlite")]
pub use sqlite::Sqlite;

use crate::epochs::StoreKind;
use crate::error::OpenError;
use crate::exits::LockFiles;
use coordinator::Exits;
use domain::identity::Identity;
use domain::ports::{LeaderStore, Recovery, SignalLedger, StateStore};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The database that decides who leads.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Database {
    /// PostgreSQL, for instances on any number of machines.
    #[cfg(feature = "postgres")]
    Postgres(Postgres),
    /// One SQLite file, for instances on one machine.
    #[cfg(feature = "sqlite")]
    Sqlite(Sqlite),
}

#[cfg(feature = "postgres")]
impl From<Postgres> for Database {
    fn from(postgres: Postgres) -> Self {
        Self::Postgres(postgres)
    }
}

#[cfg(feature = "sqlite")]
impl From<Sqlite> for Database {
    fn from(sqlite: Sqlite) -> Self {
        Self::Sqlite(sqlite)
    }
}

impl Database {
    pub(crate) fn kind(&self) -> StoreKind {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => StoreKind::Postgres,
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => StoreKind::Sqlite,
        }
    }

    /// The directory of the file of epochs unless the service names one.
    pub(crate) fn default_data_dir(&self) -> Option<PathBuf> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => None,
            #[cfg(feature = "sqlite")]
            Self::Sqlite(sqlite) => Some(sqlite.directory()),
        }
    }

    /// The directory of the lock files that show the end of a process: one that all instances on this host find, whatever
    /// their data directories are.
    fn processes(&self) -> PathBuf {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => format!("{PROCESSES}{}", rustix::process::geteuid().as_raw()).into(),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(sqlite) => sqlite.processes(),
        }
    }
}

/// Directory of the lock files of PostgreSQL's instances, before the user's id. It is in memory and belongs to this host.
#[cfg(feature = "postgres")]
const PROCESSES: &str = "/dev/shm/coordinator-";

/// The open stores of one process. They connect when they are used. All are opened with one [`Identity`], so that none
/// can act for another process.
#[non_exhaustive]
pub struct Stores {
    /// Decides who leads.
    pub state: Arc<dyn StateStore>,
    /// Keeps the signals, in the same database.
    pub ledger: Arc<dyn SignalLedger>,
    /// Reads the portfolio that a new leader checks, in the same database.
    pub recovery: Arc<dyn Recovery>,
    /// Makes a failover fast.
    pub leader: Option<Arc<dyn LeaderStore>>,
    #[cfg(feature = "redis")]
    redis: Option<Arc<adapter_redis::RedisStore>>,
    database: OpenDatabase,
    processes: PathBuf,
}

#[derive(Clone)]
enum OpenDatabase {
    #[cfg(feature = "postgres")]
    Postgres(Arc<adapter_postgres::PostgresStore>),
    #[cfg(feature = "sqlite")]
    Sqlite(Arc<adapter_sqlite::SqliteStore>),
}

impl Stores {
    /// Opens the database for `identity`.
    pub fn open(database: &Database, identity: &Identity) -> Result<Self, OpenError> {
        let processes = database.processes();
        let database = match database {
            #[cfg(feature = "postgres")]
            Database::Postgres(postgres) => OpenDatabase::Postgres(Arc::new(postgres.open(identity)?)),
            #[cfg(feature = "sqlite")]
            Database::Sqlite(sqlite) => OpenDatabase::Sqlite(Arc::new(sqlite.open(identity)?)),
        };
        let (state, ledger, recovery) = match &database {
            #[cfg(feature = "postgres")]
            OpenDatabase::Postgres(store) => ports(store),
            #[cfg(feature = "sqlite")]
            OpenDatabase::Sqlite(store) => ports(store),
        };
        Ok(Self {
            state,
            ledger,
            recovery,
            leader: None,
            #[cfg(feature = "redis")]
            redis: None,
            database,
            processes,
        })
    }

    /// Gives evidence of the end of this process from now on, and takes that of others: an instance on the same host then
    /// replaces a process that has ended without waiting for its lease. The lock files are in `lock_dir`, if there is one,
    /// instead of the directory of the database. Call it once, before the instance starts. `None` with a warning: there can
    /// be no evidence on this host, and leases expire as usual.
    pub fn exits(&self, lock_dir: Option<&Path>) -> Option<Arc<dyn Exits>> {
        match LockFiles::start(lock_dir.unwrap_or(&self.processes), self.state.identity().nonce) {
            Ok(files) => Some(Arc::new(files)),
            Err(why) => {
                tracing::warn!(
                    "the end of a process on this host cannot be detected: {why}. After a crash another instance waits until \
                     the lease has expired"
                );
                None
            }
        }
    }

    /// Adds Redis. A request to it takes at most `heartbeat`, and never more than 2 s.
    #[cfg(feature = "redis")]
    pub fn with_redis(self, redis: &Redis, heartbeat: std::time::Duration) -> Result<Self, OpenError> {
        let store = Arc::new(redis.open(&self.state.identity(), heartbeat)?);
        Ok(Self { leader: Some(Arc::clone(&store) as _), redis: Some(store), ..self })
    }

    /// Closes every connection.
    pub async fn close(&self) {
        match &self.database {
            #[cfg(feature = "postgres")]
            OpenDatabase::Postgres(store) => store.close().await,
            #[cfg(feature = "sqlite")]
            OpenDatabase::Sqlite(store) => store.close().await,
        }
        #[cfg(feature = "redis")]
        if let Some(redis) = &self.redis {
            redis.close().await;
        }
    }
}

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stores").field("identity", &self.state.identity()).finish_non_exhaustive()
    }
}

type Ports = (Arc<dyn StateStore>, Arc<dyn SignalLedger>, Arc<dyn Recovery>);

fn ports<S: StateStore + SignalLedger + Recovery + 'static>(store: &Arc<S>) -> Ports {
    (Arc::clone(store) as _, Arc::clone(store) as _, Arc::clone(store) as _)
}
