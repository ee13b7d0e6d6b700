//! Alerts that Prometheus evaluates: the table that `docker/prometheus/rules` is generated from.
//!
//! The rules in process see one instance and stop with it. These see the group, also when an instance is gone, and
//! bring the money and the page that says what to do. Metrics are named and limits read through `lookup`, so that
//! a metric that is renamed stops the compiler and no limit stands twice.
//!
//! A rule tells of a job (all instances of a group, as they are scraped), not of an instance: three instances that
//! see the same doubt are one alert. What is wrong with an instance, such as that it is down, is told of that one.
//!
//! A further group of rules is a module with a table, a line in [`GROUPS`], and its cases in the test
//! `exported_rules`, which writes the files.

mod heartbeat;
mod leadership;
mod lookup;
mod monitoring;
mod query;
mod recovery;
mod signals;
mod sync;

use alloc::format;
use alloc::string::{String, ToString};
use core::time::Duration;

/// Every group of rules, each a file of its own.
pub const GROUPS: [Group; 6] =
    [leadership::GROUP, heartbeat::GROUP, sync::GROUP, recovery::GROUP, signals::GROUP, monitoring::GROUP];

/// The job that Prometheus scrapes the instances of a group as.
pub const JOB: &str = "portfolio_manager";

/// Where the pages about alerts are, from the root of the repository. The only place that says so: who serves them
/// elsewhere writes that address here.
pub const RUNBOOKS: &str = "docs/runbooks";

/// In an annotation, the rupees of the job's signals that were or may have been sent and have no result.
pub const EXPOSURE: &str = signals::EXPOSURE;

/// How bad it is, in the label `severity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// Nothing is wrong.
    None,
    /// Look into it.
    Warning,
    /// Act now.
    Critical,
}

impl Severity {
    /// As the label carries it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// What it is about, in the label `component`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Component {
    /// The election.
    HaCoordination,
    /// What a new leader does before it acts.
    CrashRecovery,
    /// The ledger of signals.
    Signals,
    /// Whether anything would be told at all.
    Monitoring,
}

impl Component {
    /// As the label carries it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HaCoordination => "ha_coordination",
            Self::CrashRecovery => "crash_recovery",
            Self::Signals => "signals",
            Self::Monitoring => "monitoring",
        }
    }
}

/// Rules that are evaluated together, one after the other.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// Its name, and its file's.
    pub name: &'static str,
    /// What it keeps first, for its rules and for dashboards.
    pub records: &'static [Recording],
    /// Its rules.
    pub rules: &'static [ExportedRule],
}

/// The result of a query, kept as a series.
#[derive(Debug, Clone, Copy)]
pub struct Recording {
    /// The name of the series.
    pub record: &'static str,
    /// The query.
    pub expr: fn() -> String,
}

/// One alert of Prometheus. Its texts are templates of Prometheus.
#[derive(Debug, Clone, Copy)]
pub struct ExportedRule {
    /// Its name.
    pub alert: &'static str,
    /// What is wrong, in the label `condition`. Two alerts that tell the same thing at two severities share it, so
    /// that the worse one silences the other.
    pub condition: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What it is about.
    pub component: Component,
    /// The query; every series of its result is an alert.
    pub expr: fn() -> String,
    /// For how long it has to hold.
    pub held_for: Duration,
    /// What is the case, in one line.
    pub summary: &'static str,
    /// What that means.
    pub description: &'static str,
    /// What it means in money.
    pub impact: &'static str,
}

impl ExportedRule {
    /// Names and values of its labels.
    pub fn labels(&self) -> [(&'static str, &'static str); 3] {
        [
            ("severity", self.severity.as_str()),
            ("component", self.component.as_str()),
            ("condition", self.condition),
        ]
    }

    /// Names and templates of its annotations.
    pub fn annotations(&self) -> [(&'static str, String); 4] {
        [
            ("summary", self.summary.to_string()),
            ("description", self.description.to_string()),
            ("impact", self.impact.to_string()),
            ("runbook_url", self.runbook()),
        ]
    }

    /// The page that says what to do.
    pub fn runbook(&self) -> String {
        format!("{RUNBOOKS}/{}.md", kebab(self.alert))
    }
}

/// A duration as Prometheus writes it, in whole minutes if it is some.
pub fn written(duration: Duration) -> String {
    match duration.as_secs() {
        minutes if minutes > 0 && minutes % 60 == 0 => format!("{}m", minutes / 60),
        seconds => format!("{seconds}s"),
    }
}

/// `DBSyncStalledP95` as `db-sync-stalled-p95`: a word begins at a capital after a small letter or digit, and at
/// the last one of several.
fn kebab(name: &str) -> String {
    let mut kebab = String::new();
    let mut before = None;
    let mut letters = name.chars().peekable();
    while let Some(letter) = letters.next() {
        let follows = letters.peek().is_some_and(char::is_ascii_lowercase);
        let begins = before.is_some_and(|before: char| !before.is_ascii_uppercase() || follows);
        if letter.is_ascii_uppercase() && begins {
            kebab.push('-');
        }
        kebab.push(letter.to_ascii_lowercase());
        before = Some(letter);
    }
    kebab
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_named_after_their_alerts() {
        for (name, expected) in [
            ("SignalsInDoubt", "signals-in-doubt"),
            ("HighDBSyncFailureRate", "high-db-sync-failure-rate"),
            ("CriticalDBSyncLatencyP99", "critical-db-sync-latency-p99"),
            ("NoLeader", "no-leader"),
        ] {
            assert_eq!(kebab(name), expected);
        }
    }

    #[test]
    fn durations_are_written_as_prometheus_reads_them() {
        for (seconds, expected) in [(0, "0s"), (30, "30s"), (60, "1m"), (90, "90s"), (600, "10m")] {
            assert_eq!(written(Duration::from_secs(seconds)), expected);
        }
    }
}
