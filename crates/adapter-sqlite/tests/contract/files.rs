//! [`Files`]: a database file in a temporary directory, which is removed when it is dropped.

use adapter_sqlite::{SqliteConfig, SqliteStore};
use async_trait::async_trait;
use contract::{Opened, Opening, Refused, StateStores, Tamper};
use domain::id::GroupId;
use domain::ports::{Migrate, Schema, StateStore};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, SqliteConnection};
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

/// One database.
pub struct Files {
    directory: TempDir,
}

impl Files {
    pub fn new() -> Self {
        Self { directory: TempDir::with_prefix("adapter-sqlite-").expect("a temporary directory") }
    }

    /// The database file. Its directory does not exist before the first migration.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("coordinator-data").join("coordinator.db")
    }

    /// The store of a process of the group `g`.
    pub fn store(&self, id: &str) -> Arc<SqliteStore> {
        Arc::new(SqliteStore::new(self.config(&opening(id))))
    }

    /// The store after its migration.
    pub async fn migrated(&self, id: &str) -> Arc<SqliteStore> {
        let store = self.store(id);
        assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
        store
    }

    pub fn config(&self, opening: &Opening) -> SqliteConfig {
        let (positions, portfolio) = opening.relations();
        let config = SqliteConfig::new(self.path(), opening.identity());
        config.with_relations(&positions, &portfolio).expect("names without a schema")
    }

    /// A connection as `sqlite3 coordinator.db` opens it.
    pub async fn shell(&self) -> SqliteConnection {
        SqliteConnectOptions::new()
            .filename(self.path())
            .create_if_missing(true)
            .busy_timeout(contract::PATIENCE)
            .connect()
            .await
            .expect("a shell on the database")
    }

    /// Executes a text as an operator would in a shell.
    pub async fn sql(&self, text: &str) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(AssertSqlSafe(text.to_owned())).execute(&mut self.shell().await).await.map(|_| ())
    }
}

/// A start of a process of the group `g`.
pub fn opening(id: &str) -> Opening {
    Opening::new(&GroupId::parse("g").expect("an id"), id)
}

#[async_trait]
impl StateStores for Files {
    async fn fresh(&self) -> Arc<dyn StateStores> {
        Arc::new(Self::new())
    }

    async fn open(&self, opening: &Opening) -> Opened {
        let store = Arc::new(SqliteStore::new(self.config(opening)));
        Opened { state: store.clone(), ledger: store.clone(), portfolio: store }
    }

    async fn tamper(&self, what: &Tamper) -> Result<(), Refused> {
        /// SQLITE_CONSTRAINT, the low byte of every code of that kind.
        const CONSTRAINT: i32 = 19;
        let Err(error) = self.sql(&what.to_string()).await else { return Ok(()) };
        let code = error.as_database_error().and_then(|message| message.code()?.parse::<i32>().ok());
        assert_eq!(code.map(|code| code & 0xff), Some(CONSTRAINT), "{what}: {error}");
        Err(Refused(error.to_string()))
    }
}
