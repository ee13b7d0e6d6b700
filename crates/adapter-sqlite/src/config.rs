//! [`SqliteConfig`]: the database file, the group and the identity of this process.

use domain::identity::Identity;
use domain::lease::TTL_MIN;
use domain::recovery::RelationName;
use std::path::PathBuf;
use std::time::Duration;

/// How long a statement waits for another process's write, at most. Writes take milliseconds. After this
/// time another program holds the file (a backup, an open shell), and the caller gets an error.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(2);
/// Shortest wait: a quarter of the shortest LEADER_TTL.
pub(crate) const LOCK_WAIT_MIN: Duration = Duration::from_millis(250);
/// Part of LEADER_TTL that a statement waits. A request times out after a third of LEADER_TTL; with a
/// quarter, SQLite has the time to answer "busy", which is a definite refusal, where a timeout would leave
/// the outcome unknown.
const LOCK_WAIT_PER_TTL: u32 = 4;
const _: () = assert!(LOCK_WAIT_MIN.as_nanos() * LOCK_WAIT_PER_TTL as u128 == TTL_MIN.as_nanos());
const _: () = assert!(LOCK_WAIT_MIN.as_nanos() < LOCK_WAIT_MAX.as_nanos());

/// Configuration of a [`SqliteStore`](crate::SqliteStore): one process, one group, one file.
#[derive(Debug, Clone)]
pub struct SqliteConfig {
    /// The database file. The migration creates its directory.
    pub path: PathBuf,
    /// The process that opens the store.
    pub identity: Identity,
    positions: String,
    portfolio: String,
}

/// A relation of recovery has a schema, which a database in one file does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} names a schema, and the embedded store has none: write the name alone")]
pub struct SchemaNamed(pub RelationName);

impl SqliteConfig {
    /// The database file at `path` with the default relations of recovery.
    pub fn new(path: impl Into<PathBuf>, identity: Identity) -> Self {
        Self {
            path: path.into(),
            identity,
            positions: RelationName::POSITIONS_DEFAULT.to_owned(),
            portfolio: RelationName::PORTFOLIO_DEFAULT.to_owned(),
        }
    }

    /// The tables or views that recovery reads.
    pub fn with_relations(
        self,
        positions: &RelationName,
        portfolio: &RelationName,
    ) -> Result<Self, SchemaNamed> {
        let named = |relation: &RelationName| match relation.schema() {
            Some(_) => Err(SchemaNamed(relation.clone())),
            None => Ok(relation.name().to_owned()),
        };
        Ok(Self { positions: named(positions)?, portfolio: named(portfolio)?, ..self })
    }

    /// Name of the relation of the open positions: letters, digits and underscores.
    pub(crate) fn positions(&self) -> &str {
        &self.positions
    }

    /// Name of the relation of the portfolio row: letters, digits and underscores.
    pub(crate) fn portfolio(&self) -> &str {
        &self.portfolio
    }

    /// How long a statement waits for another process's write.
    pub(crate) fn lock_wait(&self) -> Duration {
        (self.identity.ttl / LOCK_WAIT_PER_TTL).clamp(LOCK_WAIT_MIN, LOCK_WAIT_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::id::{GroupId, InstanceId, Nonce};
    use domain::lease::{TTL_DEFAULT, TTL_MAX};
    use std::path::Path;

    impl SqliteConfig {
        /// Configuration of a process of the group `g` with a database in `directory`.
        pub(crate) fn sample(directory: &Path) -> Self {
            let identity = Identity {
                group: GroupId::parse("g").unwrap(),
                id: InstanceId::parse("i").unwrap(),
                nonce: Nonce::new(1),
                host: "h".to_owned(),
                ttl: TTL_DEFAULT,
            };
            Self::new(directory.join("coordinator.db"), identity)
        }
    }

    #[test]
    fn a_relation_with_a_schema_is_refused() {
        let config = || SqliteConfig::sample(Path::new("unused"));
        let relation = |text: &str| RelationName::parse(text).unwrap();
        let (mine, schema) = (relation("mine"), relation("main.mine"));
        for (positions, portfolio) in [(&schema, &mine), (&mine, &schema)] {
            assert_eq!(
                config().with_relations(positions, portfolio).err(),
                Some(SchemaNamed(schema.clone()))
            );
        }
        let changed = config().with_relations(&mine, &relation("select")).unwrap();
        assert_eq!((changed.positions(), changed.portfolio()), ("mine", "select"));
    }

    #[test]
    fn a_busy_file_is_reported_before_the_request_times_out() {
        for ttl in [TTL_MIN, TTL_DEFAULT, TTL_MAX] {
            let mut config = SqliteConfig::sample(Path::new("unused"));
            config.identity.ttl = ttl;
            assert!(config.lock_wait() < ttl / 3, "{ttl:?}");
        }
    }
}
