//! From the configuration to the stores of this process.

use crate::config::Config;
use crate::identity::{DataDir, database_in};
use domain::identity::Identity;
/// Must listen to this process's tracing: it turns a cancelled synchronous commit into an unknown outcome.
pub use leader_coordinator::CommitWarnings;
use leader_coordinator::{Database, OpenError, Postgres, Redis, Sqlite, Stores};
use std::path::PathBuf;

/// The stores that `config` names, opened for `identity`. Nothing is connected yet.
///
/// # Errors
/// A sentence about the setting that a store refuses.
pub fn stores(config: &Config, data_dir: &DataDir, identity: &Identity) -> Result<Stores, String> {
    open(config, data_dir.database(), identity).map_err(|error| error.to_string())
}

/// As [`stores`], for a command: a data directory that is missing stays missing.
///
/// # Errors
/// A sentence about the setting that a store refuses, or about a data directory of another version.
pub fn existing_stores(config: &Config, identity: &Identity) -> Result<Stores, String> {
    if config.postgres.is_none() {
        DataDir::check(&config.data_dir).map_err(|error| error.to_string())?;
    }
    open(config, database_in(&config.data_dir), identity).map_err(|error| error.to_string())
}

fn open(config: &Config, database: PathBuf, identity: &Identity) -> Result<Stores, OpenError> {
    let (positions, portfolio) = (config.positions.to_string(), config.portfolio.to_string());
    let database: Database = match &config.postgres {
        Some(url) => Postgres::new(url.expose())
            .schema(config.postgres_schema.as_str())
            .tls(config.postgres_tls)
            .portfolio_relations(positions, portfolio)
            .into(),
        None => Sqlite::new(database).portfolio_relations(positions, portfolio).into(),
    };
    let stores = Stores::open(&database, identity)?;
    match &config.redis {
        Some(redis) => stores.with_redis(
            &Redis::new(redis.url.expose())
                .prefix(&*redis.prefix)
                .tls(redis.tls)
                .client_tls(redis.client_tls()),
            config.heartbeat,
        ),
        None => Ok(stores),
    }
}

/// The stores in words, for an operator; no secrets.
pub fn described(config: &Config) -> String {
    let database = match &config.postgres {
        Some(url) => format!("PostgreSQL {url}"),
        None => format!("embedded SQLite {}", database_in(&config.data_dir).display()),
    };
    match &config.redis {
        Some(redis) => format!("{database}, Redis {}", redis.url),
        None => format!("{database}, no Redis"),
    }
}

/// The state store's name for an operator.
pub fn state_store(config: &Config) -> &'static str {
    if config.postgres.is_some() { "PostgreSQL" } else { "SQLite" }
}
