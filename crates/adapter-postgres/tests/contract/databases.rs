//! Databases on one server, lent to the suites.

use crate::server::Server;
use adapter_postgres::{PostgresConfig, PostgresStore, RelationName};
use async_trait::async_trait;
use domain::id::{ClaimId, GroupId};
use domain::lease::{Observation, Token};
use domain::ports::{Claim, ClaimRequest, Migrate, Schema, StateStore};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection, Executor};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;
use testkit::contract::{Opened, Opening, PATIENCE, Refused, StateStores, Tamper};

/// The constraints of the lease row go, so that the suite reads what they would refuse.
/// `postgres::hostile` has the database with its constraints.
const DROP_LEASE_CONSTRAINTS: &str = "
    DO $$ DECLARE name text; BEGIN
        FOR name IN SELECT conname FROM pg_constraint
                    WHERE conrelid = 'coordinator_lease'::regclass AND contype = 'c' LOOP
            EXECUTE format('ALTER TABLE coordinator_lease DROP CONSTRAINT %I', name);
        END LOOP;
        FOR name IN SELECT attname FROM pg_attribute
                    WHERE attrelid = 'coordinator_lease'::regclass AND attnum > 0 AND attnotnull
                      AND attname <> 'group_id' LOOP
            EXECUTE format('ALTER TABLE coordinator_lease ALTER COLUMN %I DROP NOT NULL', name);
        END LOOP;
    END $$";

/// A server and one database on it.
pub struct Databases {
    server: Arc<Server>,
    database: String,
}

static SERIAL: AtomicU32 = AtomicU32::new(1);

impl Databases {
    /// A server with a migrated database whose lease row has no constraints.
    pub async fn start() -> Self {
        let databases = Self::on(Server::start());
        let group = GroupId::parse("migration").unwrap();
        let store = databases.store(&Opening::new(&group, "migration"));
        assert_eq!(store.migrate(Migrate::Apply).await, Ok(Schema::Current));
        databases.admin().await.execute(DROP_LEASE_CONSTRAINTS).await.expect("the constraints are dropped");
        databases
    }

    /// The first database of a server.
    pub fn on(server: Server) -> Self {
        Self { server: Arc::new(server), database: "postgres".to_owned() }
    }

    /// The server of all databases.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Another, empty database on the same server.
    pub async fn another(&self) -> Self {
        let database = format!("fresh_{}", SERIAL.fetch_add(1, Relaxed));
        self.execute(&format!("CREATE DATABASE {database}")).await;
        Self { server: self.server.clone(), database }
    }

    /// Its name on the server.
    pub fn name(&self) -> &str {
        &self.database
    }

    /// As `user` reaches it.
    pub fn url(&self, user: &str) -> String {
        self.server.url(user, &self.database)
    }

    /// One process's store, with the opening's configuration.
    pub fn store(&self, opening: &Opening) -> PostgresStore {
        PostgresStore::new(config(&self.url("postgres"), opening)).expect("a good URL")
    }

    /// A superuser's connection, past the store.
    pub async fn admin(&self) -> PgConnection {
        PgConnection::connect(&self.url("postgres")).await.expect("an administrator's connection")
    }

    /// Executes statements as superuser.
    pub async fn execute(&self, statements: &str) {
        let done = self.admin().await.execute(sqlx::raw_sql(AssertSqlSafe(statements.to_owned()))).await;
        done.unwrap_or_else(|error| panic!("{statements}: {error}"));
    }

    /// Asks as superuser until the answer has a row.
    pub async fn until(&self, question: &str) -> PgRow {
        let mut admin = self.admin().await;
        let asked = async {
            loop {
                let found = sqlx::query(AssertSqlSafe(question.to_owned())).fetch_optional(&mut admin).await;
                if let Some(row) = found.unwrap_or_else(|error| panic!("{question}: {error}")) {
                    return row;
                }
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
        Opened { state: store.clone(), ledger: store }
    }

    async fn tamper(&self, what: &Tamper) -> Result<(), Refused> {
        let statement = AssertSqlSafe(what.to_string());
        match self.admin().await.execute(sqlx::raw_sql(statement)).await {
            Ok(_) => Ok(()),
            Err(sqlx::Error::Database(error)) if error.code().is_some_and(|code| code.starts_with("23")) => {
                Err(Refused(error.message().to_owned()))
            }
            Err(error) => panic!("{what}: {error}"),
        }
    }
}

/// The configuration an opening asks for, on `url`.
pub fn config(url: &str, opening: &Opening) -> PostgresConfig {
    PostgresConfig {
        url: url.to_owned(),
        group: opening.group.clone(),
        id: opening.id.clone(),
        nonce: opening.nonce,
        host: opening.host.clone(),
        ttl: opening.ttl,
        positions: RelationName::parse(&opening.positions).expect("a case's relation"),
        portfolio: RelationName::parse(&opening.portfolio).expect("a case's relation"),
    }
}

/// An opening in a group of that name, which no other case may use in the same database.
pub fn opening(group: &str, id: &str) -> Opening {
    Opening::new(&GroupId::parse(group).expect("a case's group"), id)
}

/// Claims the row as it is seen now.
pub async fn lead(store: &PostgresStore, opening: &Opening) -> Token {
    let seen = store.observe().await.expect("observe");
    match store.claim(&request(&seen, opening, 1)).await {
        Ok(Claim::Granted(token)) => token,
        other => panic!("a claim of the row as it is: {other:?}"),
    }
}

/// The process's `n`th claim.
pub fn request(seen: &Observation, opening: &Opening, n: u32) -> ClaimRequest {
    let claim: ClaimId = opening.nonce.claim(n);
    ClaimRequest { observed: seen.version, claim, holder: opening.id.clone(), ttl: opening.ttl }
}
