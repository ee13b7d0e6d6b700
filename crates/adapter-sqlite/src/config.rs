//! Where the database is, and which process opens it.

use domain::id::{GroupId, InstanceId, Nonce};
use domain::lease::TTL_MIN;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Longest name of a relation, in bytes: PostgreSQL's limit, so that a configuration moves between stores.
const RELATION_NAME_LEN_MAX: usize = 63;

/// How long a statement waits for another process's write, at most. Writes take milliseconds: beyond this
/// somebody holds the file (a backup, an open shell) and the caller should hear of it.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(2);
/// And at least: LEADER_TTL's quarter at its shortest.
pub(crate) const LOCK_WAIT_MIN: Duration = Duration::from_millis(250);
/// A request is given up after a third of LEADER_TTL. Waiting a quarter leaves SQLite the time to say
/// "busy", which is a clear no, where a timeout would be an unknown.
const LOCK_WAIT_PER_TTL: u32 = 4;
const _: () = assert!(LOCK_WAIT_MIN.as_nanos() * LOCK_WAIT_PER_TTL as u128 == TTL_MIN.as_nanos());
const _: () = assert!(LOCK_WAIT_MIN.as_nanos() < LOCK_WAIT_MAX.as_nanos());

/// One process's view of one group in one file.
#[derive(Debug, Clone)]
pub struct SqliteConfig {
    /// The database file; its directory is created by the migration.
    pub path: PathBuf,
    /// The group whose lease, members and signals these are.
    pub group: GroupId,
    /// This process.
    pub id: InstanceId,
    /// Which start of it.
    pub nonce: Nonce,
    /// Its host, as the history shows it.
    pub host: String,
    /// LEADER_TTL.
    pub ttl: Duration,
    /// Table or view of the positions that recovery reads.
    pub positions: RelationName,
    /// Table or view of the portfolio row that recovery reads.
    pub portfolio: RelationName,
}

impl SqliteConfig {
    /// How long a statement waits for another process's write.
    pub(crate) fn lock_wait(&self) -> Duration {
        (self.ttl / LOCK_WAIT_PER_TTL).clamp(LOCK_WAIT_MIN, LOCK_WAIT_MAX)
    }
}

/// The name of a table or view: a letter or `_`, then letters, digits and `_`, 63 characters at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelationName(String);

/// A text is not the name of a relation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the name of a table or view: a letter or _, then letters, digits and _, 63 at most")]
pub struct InvalidRelationName(pub String);

impl RelationName {
    /// Name of the positions unless configured: the only one the migration creates when it is missing.
    pub const POSITIONS_DEFAULT: &'static str = "portfolio_positions";
    /// Name of the portfolio row's relation unless configured; likewise.
    pub const PORTFOLIO_DEFAULT: &'static str = "portfolio_state";

    /// Parses a relation's name.
    pub fn parse(text: &str) -> Result<Self, InvalidRelationName> {
        let starts = |c: char| c.is_ascii_alphabetic() || c == '_';
        let goes_on = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if text.starts_with(starts) && text.chars().all(goes_on) && text.len() <= RELATION_NAME_LEN_MAX {
            Ok(Self(text.to_owned()))
        } else {
            // The error is printed: it shows the start of the text, never megabytes of it.
            Err(InvalidRelationName(text.chars().take(RELATION_NAME_LEN_MAX + 1).collect()))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As SQL carries it: quoted, so that a keyword can be a name. [`Self::parse`] let no quote in.
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
        /// A process of the group `g` with a database in `directory`.
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
    fn names_that_are_no_identifier_are_refused() {
        for bad in ["", "1st", "a b", "a\"b", "a.b", "a;drop", "é", &"a".repeat(64)] {
            assert!(RelationName::parse(bad).is_err(), "{bad:?}");
        }
        for good in ["order", "_x", "portfolio_positions", &"a".repeat(63)] {
            assert_eq!(RelationName::parse(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn a_busy_file_is_told_before_the_request_times_out() {
        for ttl in [TTL_MIN, TTL_DEFAULT, TTL_MAX] {
            let config = SqliteConfig { ttl, ..SqliteConfig::sample(Path::new("unused")) };
            assert!(config.lock_wait() < ttl / 3, "{ttl:?}");
        }
    }
}
