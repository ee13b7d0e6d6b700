//! [`Database`]: the state store's database, which a test reads and changes without the binary.

use crate::wait::block_on;
use adapter_postgres::{PostgresConfig, PostgresStore};
use adapter_sqlite::{SqliteConfig, SqliteStore};
use domain::id::{ClaimId, GroupId, InstanceId, Nonce};
use domain::identity::Identity;
use domain::lease::{Epoch, Timeline, Token};
use domain::ports::SignalLedger;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use testkit::backend;

/// LEADER_TTL of the test's own store, which takes no part in the election; it only bounds a statement.
const PATIENT_TTL: Duration = Duration::from_mins(1);
/// Longer than any write of a running instance.
const LOCK_WAIT: Duration = Duration::from_secs(10);
/// Shorter than a lease, and longer than the writes of the instances that run.
const LOCK_PROBE: Duration = Duration::from_millis(500);

/// The database with the lease.
#[derive(Debug, Clone)]
pub enum Database {
    Sqlite(PathBuf),
    Postgres(String),
}

/// A term in the database's own history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    pub timeline: u64,
    pub epoch: u64,
    pub holder: String,
}

impl Database {
    /// Executes statements.
    pub fn execute(&self, statements: &str) {
        match self {
            Self::Sqlite(path) => block_on(async {
                let mut connection = sqlite(path, LOCK_WAIT).await;
                let done = sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut connection).await;
                done.unwrap_or_else(|error| panic!("{statements}: {error}"));
                connection.close().await.expect("a connection without a statement closes");
            }),
            Self::Postgres(url) => {
                block_on(backend::execute(url, statements)).expect("no constraint forbids it");
            }
        }
    }

    /// The first column of the first row, a text or NULL; `None` also if there is no row.
    pub fn text(&self, query: &str) -> Option<String> {
        match self {
            Self::Sqlite(path) => block_on(async {
                let mut connection = sqlite(path, LOCK_WAIT).await;
                let row = sqlx::raw_sql(AssertSqlSafe(query)).fetch_optional(&mut connection).await;
                let row = row.unwrap_or_else(|error| panic!("{query}: {error}"));
                connection.close().await.expect("a connection without a statement closes");
                row.and_then(|row| row.try_get(0).unwrap_or_else(|error| panic!("{query}: {error}")))
            }),
            Self::Postgres(url) => block_on(backend::text(url, query)),
        }
    }

    /// The token of the lease.
    pub fn token(&self) -> Token {
        let row = self.text("SELECT tl || ' ' || epoch || ' ' || claim FROM coordinator_lease");
        let row = row.expect("a migrated group has a row");
        let parts: Vec<&str> = row.split(' ').collect();
        let claim = uuid::Uuid::parse_str(parts[2]).expect("the claim is a uuid");
        Token {
            timeline: Timeline(parts[0].parse().expect("the timeline is a number")),
            epoch: Epoch(parts[1].parse().expect("the epoch is a number")),
            claim: ClaimId::from_u128(claim.as_u128()),
        }
    }

    /// Every term, in the order of their begin.
    pub fn terms(&self) -> Vec<Term> {
        let order = match self {
            Self::Sqlite(_) => "id",
            Self::Postgres(_) => "ordinal",
        };
        let lines = self.text(&format!(
            "SELECT string_agg(tl || ' ' || epoch || ' ' || holder, ',' ORDER BY {order}) FROM coordinator_term"
        ));
        let term = |line: &str| {
            let parts: Vec<&str> = line.split(' ').collect();
            let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("{line} is no term"));
            Term { timeline: number(parts[0]), epoch: number(parts[1]), holder: parts[2].to_owned() }
        };
        lines.as_deref().map(|lines| lines.split(',').map(term).collect()).unwrap_or_default()
    }

    /// Every signal with its state and its latest claim: everything that an effect would change.
    pub fn signals(&self) -> Option<String> {
        self.text(
            "SELECT string_agg(id || ' ' || state || ' ' || coalesce(CAST(claim AS text), '-'), ',' ORDER BY arrival)
             FROM coordinator_signal",
        )
    }

    /// The fenced statements of the real adapter, on separate connections.
    pub fn ledger(&self) -> Arc<dyn SignalLedger> {
        let group = GroupId::parse("default").expect("an id");
        let id = InstanceId::parse("the-test").expect("an id");
        let (nonce, host) = (Nonce::new(u128::MAX), "here".to_owned());
        let identity = Identity { group, id, nonce, host, ttl: PATIENT_TTL };
        match self {
            Self::Sqlite(path) => Arc::new(SqliteStore::new(SqliteConfig::new(path, identity))),
            Self::Postgres(url) => {
                let config = PostgresConfig::new(url, identity);
                Arc::new(PostgresStore::new(config).expect("the test's own URL"))
            }
        }
    }

    /// Whether no stopped process holds SQLite's one lock for writing. PostgreSQL ends the statement of a
    /// stopped client automatically.
    pub fn is_free(&self) -> bool {
        match self {
            Self::Sqlite(path) => block_on(async {
                let mut connection = sqlite(path, LOCK_PROBE).await;
                let taken = sqlx::raw_sql("BEGIN IMMEDIATE; ROLLBACK").execute(&mut connection).await;
                let _ = connection.close().await;
                taken.is_ok()
            }),
            Self::Postgres(_) => true,
        }
    }
}

async fn sqlite(path: &PathBuf, lock_wait: Duration) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path).busy_timeout(lock_wait);
    options.connect().await.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
