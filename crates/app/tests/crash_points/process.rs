//! [`Process`]: the real adapters of one process, which the test controls directly.

use crate::database::Database;
use crate::wait::block_on;
use adapter_postgres::{PostgresConfig, PostgresStore};
use adapter_sqlite::{SqliteConfig, SqliteStore};
use contract::Opening;
use domain::id::GroupId;
use domain::lease::Token;
use domain::ports::{Claim, ClaimRequest, SignalLedger, StateStore};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// The stores of one process.
pub struct Process {
    pub state: Arc<dyn StateStore>,
    pub ledger: Arc<dyn SignalLedger>,
    opening: Opening,
    claims: AtomicU32,
}

impl Process {
    /// The process with that id in the database's one group. It connects at first use.
    pub fn open(database: &Database, id: &str) -> Self {
        let opening = Opening::new(&GroupId::parse("default").expect("an id"), id);
        let identity = opening.identity();
        let (state, ledger): (Arc<dyn StateStore>, Arc<dyn SignalLedger>) = match database {
            Database::Sqlite(path) => {
                let store = Arc::new(SqliteStore::new(SqliteConfig::new(path, identity)));
                (store.clone(), store)
            }
            Database::Postgres(url) => {
                let config = PostgresConfig::new(url, identity);
                let store = Arc::new(PostgresStore::new(config).expect("the test's own URL"));
                (store.clone(), store)
            }
        };
        Self { state, ledger, opening, claims: AtomicU32::new(0) }
    }

    /// A claim of the lease as it is now.
    pub fn claim_request(&self) -> ClaimRequest {
        let observed = block_on(self.state.observe()).expect("the store answers").version;
        let claim = self.opening.nonce.claim(self.claims.fetch_add(1, Relaxed) + 1);
        ClaimRequest {
            observed,
            claim,
            holder: self.opening.id.clone(),
            ttl: self.opening.ttl,
            floor: domain::lease::Epoch(0),
            forgotten: false,
            former: domain::ports::FormerTerm::Expired,
        }
    }

    /// Acquires the lease, whichever instance holds it.
    pub fn lead(&self) -> Token {
        match block_on(self.state.claim(&self.claim_request())) {
            Ok(Claim::Granted(token)) => token,
            other => panic!("{} claims the row as it is: {other:?}", self.opening.id),
        }
    }

    /// Number of its sessions at the server; 0 for SQLite, which has no server.
    pub fn sessions(&self, database: &Database) -> u64 {
        let count = match database {
            Database::Sqlite(_) => return 0,
            Database::Postgres(_) => database.text(&format!(
                "SELECT count(*)::text FROM pg_stat_activity WHERE application_name = 'coordinator {}'",
                self.opening.id
            )),
        };
        count.and_then(|count| count.parse().ok()).expect("a count is a number")
    }
}
