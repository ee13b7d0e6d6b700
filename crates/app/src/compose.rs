//! The only file that names concrete stores: from the configuration to the ports.

use crate::config::Config;
use crate::identity::DataDir;
/// Must listen to this process's tracing: it turns a cancelled synchronous commit into an unknown outcome.
pub use adapter_postgres::CommitWarnings;
use adapter_postgres::{PostgresConfig, PostgresStore};
use adapter_redis::{RedisConfig, RedisStore};
use adapter_sqlite::{SqliteConfig, SqliteStore};
use domain::identity::Identity;
use domain::ports::{LeaderStore, Recovery, SignalLedger, StateStore};
use std::sync::Arc;
use std::time::Duration;

/// A request to Redis never takes longer, however long the lease.
const REDIS_REQUEST_MAX: Duration = Duration::from_secs(2);

/// The stores of one process. Nothing is connected yet.
pub struct Stores {
    /// Decides who leads.
    pub state: Arc<dyn StateStore>,
    /// Keeps the signals; in the same database.
    pub ledger: Arc<dyn SignalLedger>,
    /// The portfolio that a new leader judges; in the same database.
    pub recovery: Arc<dyn Recovery>,
    /// Makes it fast.
    pub leader: Option<Arc<dyn LeaderStore>>,
    /// What they are, for people; no secrets.
    pub told: String,
    closing: Closing,
}

struct Closing {
    database: Database,
    redis: Option<Arc<RedisStore>>,
}

enum Database {
    Postgres(Arc<PostgresStore>),
    Sqlite(Arc<SqliteStore>),
}

impl Stores {
    /// The stores that `config` names, as `identity` uses them.
    ///
    /// # Errors
    /// A sentence about the setting that an adapter refuses.
    pub fn new(config: &Config, data_dir: &DataDir, identity: &Identity) -> Result<Self, String> {
        let redis = config.redis.as_ref().map(|redis| redis_store(config, redis, identity)).transpose()?;
        let (database, told) = match &config.postgres {
            Some(url) => {
                let store = postgres_store(config, url.expose(), identity)?;
                (Database::Postgres(Arc::new(store)), format!("PostgreSQL {url}"))
            }
            None => {
                let store = sqlite_store(config, data_dir, identity)?;
                let told = format!("embedded SQLite {}", data_dir.database().display());
                (Database::Sqlite(Arc::new(store)), told)
            }
        };
        let told = match &config.redis {
            Some(redis) => format!("{told}, Redis {}", redis.url),
            None => format!("{told}, no Redis"),
        };
        let (state, ledger, recovery) = match &database {
            Database::Postgres(store) => ports(store),
            Database::Sqlite(store) => ports(store),
        };
        let leader = redis.as_ref().map(|store| Arc::clone(store) as Arc<dyn LeaderStore>);
        Ok(Self { state, ledger, recovery, leader, told, closing: Closing { database, redis } })
    }

    /// Closes every connection.
    pub async fn close(&self) {
        match &self.closing.database {
            Database::Postgres(store) => store.close().await,
            Database::Sqlite(store) => store.close().await,
        }
        if let Some(redis) = &self.closing.redis {
            redis.close().await;
        }
    }
}

type Ports = (Arc<dyn StateStore>, Arc<dyn SignalLedger>, Arc<dyn Recovery>);

/// The ports that one database implements.
fn ports<S: StateStore + SignalLedger + Recovery + 'static>(store: &Arc<S>) -> Ports {
    (Arc::clone(store) as _, Arc::clone(store) as _, Arc::clone(store) as _)
}

fn redis_store(
    config: &Config,
    redis: &crate::config::Redis,
    identity: &Identity,
) -> Result<Arc<RedisStore>, String> {
    let store = RedisStore::new(RedisConfig {
        url: redis.url.expose().to_owned(),
        prefix: redis.prefix.clone(),
        identity: identity.clone(),
        request_timeout: config.heartbeat.min(REDIS_REQUEST_MAX),
    });
    store.map(Arc::new).map_err(|error| error.to_string())
}

/// What the adapter refuses of a URL of PostgreSQL, so that it is refused where settings are judged.
///
/// # Errors
/// The reason, which shows no value of the URL.
pub fn check_postgres_url(url: &str) -> Result<(), String> {
    adapter_postgres::check_url(url).map_err(|fault| fault.reason().to_owned())
}

fn postgres_store(config: &Config, url: &str, identity: &Identity) -> Result<PostgresStore, String> {
    let schema = adapter_postgres::SchemaName::parse(config.postgres_schema.as_str());
    let store = PostgresStore::new(PostgresConfig {
        schema: schema.map_err(|error| error.to_string())?,
        positions: config.positions.clone(),
        portfolio: config.portfolio.clone(),
        ..PostgresConfig::new(url, identity.clone())
    });
    store.map_err(|error| error.to_string())
}

fn sqlite_store(config: &Config, data_dir: &DataDir, identity: &Identity) -> Result<SqliteStore, String> {
    SqliteConfig::new(data_dir.database(), identity.clone())
        .with_relations(&config.positions, &config.portfolio)
        .map(SqliteStore::new)
        .map_err(|error| error.to_string())
}
