//! [`Stores`]: the stores of a process. This is the only file that names concrete stores.

use crate::config::Config;
use crate::identity::{DataDir, Identity};
/// A layer for `tracing` that turns a cancelled synchronous commit into an unknown outcome. The process must
/// install it.
pub use adapter_postgres::CommitWarnings;
use adapter_postgres::{PostgresConfig, PostgresStore};
use adapter_redis::{RedisConfig, RedisStore};
use adapter_sqlite::{SqliteConfig, SqliteStore};
use domain::ports::{LeaderStore, SignalLedger, StateStore};
use std::sync::Arc;
use std::time::Duration;

/// Longest timeout of a request to Redis, however long LEADER_TTL is.
const REDIS_REQUEST_MAX: Duration = Duration::from_secs(2);

/// The stores of one process. Nothing is connected yet.
pub struct Stores {
    /// Decides who leads.
    pub state: Arc<dyn StateStore>,
    /// Keeps the signals, in the same database.
    pub ledger: Arc<dyn SignalLedger>,
    /// Makes failover faster; optional.
    pub leader: Option<Arc<dyn LeaderStore>>,
    /// Description of the stores to print; contains no secrets.
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
    /// The stores that `config` names, for the process `identity`.
    ///
    /// # Errors
    /// A message about the setting that an adapter refuses.
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
        let (state, ledger): (Arc<dyn StateStore>, Arc<dyn SignalLedger>) = match &database {
            Database::Postgres(store) => (Arc::clone(store) as _, Arc::clone(store) as _),
            Database::Sqlite(store) => (Arc::clone(store) as _, Arc::clone(store) as _),
        };
        let leader = redis.as_ref().map(|store| Arc::clone(store) as Arc<dyn LeaderStore>);
        Ok(Self { state, ledger, leader, told, closing: Closing { database, redis } })
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

fn redis_store(
    config: &Config,
    redis: &crate::config::Redis,
    identity: &Identity,
) -> Result<Arc<RedisStore>, String> {
    let store = RedisStore::new(RedisConfig {
        url: redis.url.expose().to_owned(),
        prefix: redis.prefix.clone(),
        group: config.group.clone(),
        id: identity.id.clone(),
        nonce: identity.nonce,
        ttl: config.leader_ttl,
        request_timeout: config.heartbeat.min(REDIS_REQUEST_MAX),
    });
    store.map(Arc::new).map_err(|error| error.to_string())
}

/// Checks a URL of PostgreSQL as the adapter will, so that the check of the settings can refuse it.
///
/// # Errors
/// The reason; it shows no value of the URL.
pub fn check_postgres_url(url: &str) -> Result<(), String> {
    adapter_postgres::check_url(url).map_err(|fault| fault.reason().to_owned())
}

fn postgres_store(config: &Config, url: &str, identity: &Identity) -> Result<PostgresStore, String> {
    let relation = |name: &crate::config::Relation| {
        adapter_postgres::RelationName::parse(name.as_str()).map_err(|error| error.to_string())
    };
    let store = PostgresStore::new(PostgresConfig {
        url: url.to_owned(),
        group: config.group.clone(),
        id: identity.id.clone(),
        nonce: identity.nonce,
        host: identity.host.clone(),
        ttl: config.leader_ttl,
        schema: adapter_postgres::SchemaName::parse(config.postgres_schema.as_str())
            .map_err(|error| error.to_string())?,
        positions: relation(&config.positions)?,
        portfolio: relation(&config.portfolio)?,
    });
    store.map_err(|error| error.to_string())
}

fn sqlite_store(config: &Config, data_dir: &DataDir, identity: &Identity) -> Result<SqliteStore, String> {
    let relation = |name: &crate::config::Relation| {
        adapter_sqlite::RelationName::parse(name.as_str()).map_err(|error| error.to_string())
    };
    Ok(SqliteStore::new(SqliteConfig {
        path: data_dir.database(),
        group: config.group.clone(),
        id: identity.id.clone(),
        nonce: identity.nonce,
        host: identity.host.clone(),
        ttl: config.leader_ttl,
        positions: relation(&config.positions)?,
        portfolio: relation(&config.portfolio)?,
    }))
}
