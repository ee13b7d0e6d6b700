//! What the guarantees depend on: [`Check`] is the table of all checks, and the other modules judge the facts that an
//! adapter or the host reported. `coordinator doctor` and docs/doctor.md render these values.
//!
//! Invariant: a fact that is not known becomes [`Verdict::Unknown`], never [`Verdict::Ok`].

mod check;
mod clock;
mod group;
mod host;
mod latency;
mod postgres;
mod redis;
mod sqlite;

pub use check::{Area, Check};
pub use clock::{ClockReading, ClockWalk, HostClock, HostTime};
pub use group::GroupFacts;
pub use host::{ChronyFacts, DirectoryFacts, HostFacts};
pub use latency::Latencies;
pub use postgres::{PostgresFacts, PostgresServer, Room, Setting, Standbys, Timeouts};
pub use redis::{RedisFacts, RedisServer};
pub use sqlite::{FileSystem, SqliteFacts, SqliteFile, Version};

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

/// A fact, or the reason why it is not known.
pub type Answer<T> = Result<T, String>;

/// The judgement of one check. Ordered by severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// The guarantee holds.
    Ok,
    /// The guarantee holds, with a limit that the operator should know.
    Warning,
    /// It is not known whether the guarantee holds.
    Unknown,
    /// The guarantee does not hold.
    Failed,
}

impl Verdict {
    /// Every verdict, the least severe first.
    pub const ALL: [Self; 4] = [Self::Ok, Self::Warning, Self::Unknown, Self::Failed];

    /// The word in every output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Unknown => "unknown",
            Self::Failed => "failed",
        }
    }

    /// The sign in front of the word.
    pub fn sign(self) -> char {
        match self {
            Self::Ok => '✓',
            Self::Warning => '!',
            Self::Unknown => '?',
            Self::Failed => '✗',
        }
    }

    /// The exit code of a report whose worst finding this is. 2 is left to a command line or a configuration that is
    /// wrong.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Ok | Self::Warning => 0,
            Self::Failed => 1,
            Self::Unknown => 3,
        }
    }
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The check; it names the guarantee.
    pub check: Check,
    /// The judgement.
    pub verdict: Verdict,
    /// What was found, or why it could not be checked.
    pub found: String,
    /// What the operator should change; `None` if nothing.
    pub change: Option<String>,
}

impl Finding {
    pub(crate) fn ok(check: Check, found: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Ok, found: found.into(), change: None }
    }

    pub(crate) fn warning(check: Check, found: impl Into<String>, change: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Warning, found: found.into(), change: Some(change.into()) }
    }

    pub(crate) fn unknown(check: Check, why: impl Into<String>, change: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Unknown, found: why.into(), change: Some(change.into()) }
    }

    pub(crate) fn failed(check: Check, found: impl Into<String>, change: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Failed, found: found.into(), change: Some(change.into()) }
    }

    /// A refusal of the start: its text names what was found and then the remedy.
    pub(crate) fn refused(check: Check, refusal: &str) -> Self {
        let (found, change) = split(refusal);
        Self {
            check,
            verdict: Verdict::Failed,
            found: found.to_owned(),
            change: change.map(ToOwned::to_owned),
        }
    }
}

/// Everything that was gathered. A store that the group does not use is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// LEADER_TTL.
    pub ttl: Duration,
    /// PostgreSQL.
    pub postgres: Option<PostgresFacts>,
    /// The embedded store.
    pub sqlite: Option<SqliteFacts>,
    /// Redis.
    pub redis: Option<RedisFacts>,
    /// This host.
    pub host: HostFacts,
    /// The instances.
    pub group: GroupFacts,
}

impl Facts {
    /// All findings, each area with the worst first.
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        findings.extend(self.postgres.iter().flat_map(|facts| postgres::judge(facts, self.ttl)));
        findings.extend(self.sqlite.iter().flat_map(sqlite::judge));
        findings.extend(self.redis.iter().flat_map(redis::judge));
        findings.extend(host::judge(&self.host, self.ttl));
        findings.extend(group::judge(&self.group, self.ttl));
        sorted(findings)
    }
}

/// The worst verdict; [`Verdict::Ok`] without findings.
pub fn worst(findings: &[Finding]) -> Verdict {
    findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Ok)
}

/// All findings, each area with the worst first.
fn sorted(mut findings: Vec<Finding>) -> Vec<Finding> {
    // The sort is stable: equal verdicts keep the order of the checks.
    findings.sort_by_key(|finding| (finding.check.area(), core::cmp::Reverse(finding.verdict)));
    findings
}

/// Splits a refusal into what was found and the remedy. The refusals of the adapters have the form `FOUND: REMEDY` or
/// `FOUND. REMEDY`.
fn split(refusal: &str) -> (&str, Option<&str>) {
    let sentence = refusal.find(". ");
    match refusal.rfind(": ").filter(|colon| sentence.is_none_or(|end| *colon < end)).or(sentence) {
        Some(at) => (&refusal[..at], Some(&refusal[at + 2..])),
        None => (refusal, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn the_worst_finding_decides_and_unknown_is_worse_than_a_warning() {
        let finding = |verdict| Finding { verdict, ..Finding::ok(Check::PostgresFsync, "") };
        assert_eq!(worst(&[]), Verdict::Ok);
        let all = Verdict::ALL.map(finding);
        for (many, code) in [(1, 0), (2, 0), (3, 3), (4, 1)] {
            assert_eq!(worst(&all[..many]).exit_code(), code);
        }
    }

    #[test]
    fn areas_keep_their_order_and_the_worst_is_first_in_each() {
        let findings = sorted(vec![
            Finding::ok(Check::HostClock, ""),
            Finding::ok(Check::PostgresFsync, ""),
            Finding::failed(Check::PostgresSchema, "", ""),
        ]);
        let checks: Vec<_> = findings.iter().map(|finding| finding.check).collect();
        assert_eq!(checks, [Check::PostgresSchema, Check::PostgresFsync, Check::HostClock]);
    }

    #[test]
    fn a_refusal_is_what_was_found_and_the_remedy() {
        assert_eq!(
            split("db: SQL_ASCII, which loses: create one"),
            ("db: SQL_ASCII, which loses", Some("create one"))
        );
        assert_eq!(split("it lost t. Restore it: now"), ("it lost t", Some("Restore it: now")));
        assert_eq!(split("nothing else"), ("nothing else", None));
    }
}
