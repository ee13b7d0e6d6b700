//! [`Databases`]: databases on one server, for the suites.

use adapter_postgres::{PostgresConfig, PostgresStore};
use async_trait::async_trait;
use contract::{Opened, Opening, PATIENCE, Refused, StateStores, Tamper};
use domain::id::{ClaimId, GroupId};
use domain::lease::{Observation, Token};
use domain::ledger::{Limits, Outcome, Signal};
use domain::ports::{
    Claim, ClaimRequest, LeaseStore, Migrate, Report, Schema, SignalClaim, SignalLedger, StateStore,
    StoreError,
};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection, Executor, Row};
use std::sync::Arc;
use std::time::Duration;
use testkit::backend::{self, Postgres, postgres};

/// Drops the constraints of `{table}`'s columns, except for its key's, so that the suite reads values that
/// they would refuse. The cases in `hostile` keep the constraints.
const DROP_CONSTRAINTS: &str = "
    DO $$ DECLARE name text; BEGIN
        FOR name IN SELECT conname FROM pg_constraint WHERE conrelid = '{table}'::regclass AND contype = 'c' LOOP
            EXECUTE format('ALTER TABLE {table} DROP CONSTRAINT %I', name);
        END LOOP;
        FOR name IN SELECT attname FROM pg_attribute
                    WHERE attrelid = '{table}'::regclass AND attnum > 0 AND attnotnull AND attidentity = ''
                      AND attname NOT IN ('group_id', 'id') LOOP
            EXECUTE format('ALTER TABLE {table} ALTER COLUMN %I DROP NOT NULL', name);
        END LOOP;
    END $$";

/// A server and one database on it.
pub struct Databases {
    server: Arc<Postgres>,
    url: String,
}

impl Databases {
    /// A server with a migrated database whose lease row has no constraints.
    pub async fn start() -> Self {
        let databases = Self::on(postgres());
        let store = databases.store(&opening("migration", "migration"));
        assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
        databases.drop_constraints("coordinator_lease").await;
        databases
    }

    /// The first database of a server.
    pub fn on(server: Postgres) -> Self {
        let url = server.url();
        Self { server: Arc::new(server), url }
    }

    /// Creates another, empty database on the same server.
    pub async fn another(&self) -> Self {
        Self { server: self.server.clone(), url: self.server.create_database().await }
    }

    /// Name of the database on the server.
    pub fn name(&self) -> &str {
        self.url.rsplit('/').next().expect("a URL ends in the database")
    }

    /// Host and port of the server.
    pub fn address(&self) -> String {
        self.server.address()
    }

    /// URL for the superuser.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// URL for a role with that password.
    pub fn url_as(&self, user: &str, password: &str) -> String {
        format!("postgres://{user}:{password}@{}/{}", self.server.address(), self.name())
    }

    /// One process's store, with the opening's configuration.
    pub fn store(&self, opening: &Opening) -> PostgresStore {
        PostgresStore::new(config(&self.url, opening)).expect("a good URL")
    }

    /// A connection as superuser, without the store.
    pub async fn admin(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.expect("an administrator's connection")
    }

    /// Executes statements as superuser.
    pub async fn execute(&self, statements: &str) {
        backend::execute(&self.url, statements).await.expect("no constraint is in the way");
    }

    /// The first column of every row, as text.
    pub async fn texts(&self, query: &'static str) -> Vec<String> {
        let rows = sqlx::query(query).fetch_all(&mut self.admin().await).await.expect("a query");
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Drops the constraints of a table, so that it accepts every value.
    pub async fn drop_constraints(&self, table: &str) {
        self.execute(&DROP_CONSTRAINTS.replace("{table}", table)).await;
    }

    /// Queries as superuser until the answer has a row.
    pub async fn until(&self, question: &str) -> PgRow {
        let mut admin = self.admin().await;
        let asked = async {
            loop {
                let found = sqlx::query(AssertSqlSafe(question.to_owned())).fetch_optional(&mut admin).await;
                if let Some(row) = found.unwrap_or_else(|error| panic!("{question}: {error}")) {
                    return row;
                }
                // A pause between two queries. The answer ends the wait, not the pause.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| panic!("never: {question}"))
    }
}

#[async_trait]
impl StateStores for Databases {
    async fn fresh(&self) -> Arc<dyn StateStores> {
        Arc::new(self.another().await)
    }

    async fn open(&self, opening: &Opening) -> Opened {
        let store = Arc::new(self.store(opening));
        Opened { state: store.clone(), ledger: store.clone(), portfolio: store }
    }

    async fn tamper(&self, what: &Tamper) -> Result<(), Refused> {
        backend::execute(&self.url, &what.to_string()).await
    }
}

/// The configuration that an opening requires, on `url`.
pub fn config(url: &str, opening: &Opening) -> PostgresConfig {
    let (positions, portfolio) = opening.relations();
    PostgresConfig { positions, portfolio, ..PostgresConfig::new(url, opening.identity()) }
}

/// Makes every later commit wait for a standby that does not exist. Only for a case with a separate server on which no
/// commit is under way.
pub async fn stall_commits(databases: &Databases) {
    let mut admin = databases.admin().await;
    for statement in [
        "SET synchronous_commit = local",
        "ALTER SYSTEM SET synchronous_standby_names = 'ghost'",
        "SELECT pg_reload_conf()",
    ] {
        admin.execute(statement).await.expect(statement);
    }
    // The sessions learn of it from another process of the server, a moment after the configuration was read.
    let begins = async { while !a_commit_waits(databases).await {} };
    tokio::time::timeout(PATIENCE, begins).await.expect("commits wait for the standby");
}

/// Whether a commit of now waits for the standby.
async fn a_commit_waits(databases: &Databases) -> bool {
    let (mut session, mut admin) = (databases.admin().await, databases.admin().await);
    // The smallest transaction that writes.
    let commit =
        tokio::spawn(async move { session.execute("SELECT pg_logical_emit_message(true, '', '')").await });
    let cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    while !commit.is_finished() {
        if admin.fetch_optional(cancel).await.expect("an answer").is_some() {
            commit.await.expect("no panic").expect("the commit ends with a warning");
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}

/// An opening in a group of that name, which no other case may use in the same database.
pub fn opening(group: &str, id: &str) -> Opening {
    Opening::new(&GroupId::parse(group).expect("a case's group"), id)
}

/// Claims the lease as it is now.
pub async fn lead(store: &PostgresStore, opening: &Opening) -> Token {
    let seen = store.observe().await.expect("observe");
    match store.claim(&request(&seen, opening, 1)).await {
        Ok(Claim::Granted(token)) => token,
        other => panic!("a claim of the row as it is: {other:?}"),
    }
}

/// Claims the next signal.
pub async fn claim_signal(store: &PostgresStore, token: &Token) -> Result<SignalClaim, StoreError> {
    store.claim_signals(token, Limits::NONE, 1).await
}

/// Claims the next signal; there must be one.
pub async fn claimed(store: &PostgresStore, token: &Token) -> Signal {
    match claim_signal(store, token).await {
        Ok(SignalClaim::Claimed(mut signals)) if signals.len() == 1 => signals.remove(0),
        other => panic!("a signal waits and {token} holds the row: {other:?}"),
    }
}

/// The report of an outcome about a signal as it was claimed.
pub fn report(of: &Signal, outcome: Outcome) -> Report {
    Report { id: of.id.clone(), attempt: of.attempt, outcome, note: None }
}

/// The `n`th claim of this process.
pub fn request(seen: &Observation, opening: &Opening, n: u32) -> ClaimRequest {
    let claim: ClaimId = opening.nonce.claim(n);
    ClaimRequest {
        observed: seen.version,
        claim,
        holder: opening.id.clone(),
        ttl: opening.ttl,
        floor: domain::lease::Epoch(0),
        forgotten: false,
        former: domain::ports::FormerTerm::Expired,
    }
}
