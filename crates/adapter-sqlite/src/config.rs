//! [`SqliteConfig`]: the database file, the group and the identity of this process.

use domain::id::{GroupId, InstanceId, Nonce};
use domain::lease::TTL_MIN;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Longest name of a relation, in bytes. It is PostgreSQL's limit, so that a configuration fits both stores.
const RELATION_NAME_LEN_MAX: usize = 63;

/// Longest wait of a statement for another process's write. Writes take milliseconds. If the wait is longer,
/// a backup or an open shell holds the file, and the caller should receive an error.
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
    /// Election group of this process.
    pub group: GroupId,
    /// Id of this instance.
    pub id: InstanceId,
    /// Nonce of this start of the process.
    pub nonce: Nonce,
    /// Host of this process, shown in the history.
    pub host: String,
    /// LEADER_TTL.
    pub ttl: Duration,
    /// Table or view with the positions that recovery reads.
    pub positions: RelationName,
    /// Table or view with the portfolio row that recovery reads.
    pub portfolio: RelationName,
}

impl SqliteConfig {
    /// Longest wait of a statement for another process's write.
    pub(crate) fn lock_wait(&self) -> Duration {
        (self.ttl / LOCK_WAIT_PER_TTL).clamp(LOCK_WAIT_MIN, LOCK_WAIT_MAX)
    }
}

/// Name of a table or view: a letter or `_`, then letters, digits and `_`, at most 63 characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelationName(String);

/// Error for a text that does not name a relation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the name of a table or view: a letter or _, then letters, digits and _, 63 at most")]
pub struct InvalidRelationName(pub String);

impl RelationName {
    /// Default name of the positions. The migration creates no relation with another name.
    pub const POSITIONS_DEFAULT: &'static str = "portfolio_positions";
    /// Default name of the portfolio row's relation. The migration creates no relation with another name.
    pub const PORTFOLIO_DEFAULT: &'static str = "portfolio_state";

    /// Parses the name of a relation.
    pub fn parse(text: &str) -> Result<Self, InvalidRelationName> {
        let starts = |c: char| c.is_ascii_alphabetic() || c == '_';
        let goes_on = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if text.starts_with(starts) && text.chars().all(goes_on) && text.len() <= RELATION_NAME_LEN_MAX {
            Ok(Self(text.to_owned()))
        } else {
            // The message shows at most the beginning of the text, never megabytes of it.
            Err(InvalidRelationName(text.chars().take(RELATION_NAME_LEN_MAX + 1).collect()))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name for a statement: quoted, so that it may be a keyword. [`Self::parse`] accepts no quotes.
    pub(crate) fn quoted(&self) -> String {
        format!("\"{}\"", self.0)
    }
}

impl fmt::Display for RelationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::lease::{TTL_DEFAULT, TTL_MAX};
    use std::path::Path;

    impl SqliteConfig {
        /// Configuration of a process of the group `g` with a database in `directory`.
        pub(crate) fn sample(directory: &Path) -> Self {
            Self {
                path: directory.join("coordinator.db"),
                group: GroupId::parse("g").unwrap(),
                id: InstanceId::parse("i").unwrap(),
                nonce: Nonce::new(1),
                host: "h".to_owned(),
                ttl: TTL_DEFAULT,
                positions: RelationName::parse(RelationName::POSITIONS_DEFAULT).unwrap(),
                portfolio: RelationName::parse(RelationName::PORTFOLIO_DEFAULT).unwrap(),
            }
        }
    }

    #[test]
    fn names_that_are_not_identifiers_are_refused() {
        for bad in ["", "1st", "a b", "a\"b", "a.b", "a;drop", "é", &"a".repeat(64)] {
            assert!(RelationName::parse(bad).is_err(), "{bad:?}");
        }
        for good in ["order", "_x", "portfolio_positions", &"a".repeat(63)] {
            assert_eq!(RelationName::parse(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn a_busy_file_is_reported_before_the_request_times_out() {
        for ttl in [TTL_MIN, TTL_DEFAULT, TTL_MAX] {
            let config = SqliteConfig { ttl, ..SqliteConfig::sample(Path::new("unused")) };
            assert!(config.lock_wait() < ttl / 3, "{ttl:?}");
        }
    }
}
