//! Alerts that Prometheus evaluates: the table from which `docker/prometheus/rules` is generated.
//!
//! The in-process rules see one instance and stop with it. These rules see the group, even when an instance is gone,
//! and add the impact in money and the runbook. Metric names and limits are read through `lookup`, so that a renamed
//! metric does not compile and no limit is written twice.
//!
//! A rule is about a group of instances: the series with equal labels `job` and `group`. Prometheus sets both labels on
//! its targets; without a label `group`, each job is one group. So one Prometheus can scrape any number of groups, under
//! any job. Three instances that report the same signal in doubt give one alert. A rule about one instance, such as that
//! it is down, names that instance.
//!
//! To add a group of rules, add a module with a table, a line in [`GROUPS`], and its cases in the test
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

/// Every group of rules; each has a separate file.
pub const GROUPS: [Group; 6] =
    [leadership::GROUP, heartbeat::GROUP, sync::GROUP, recovery::GROUP, signals::GROUP, monitoring::GROUP];

/// The Prometheus job of the instances in the shipped files. Targets of this job are known to be instances even if they
/// have never answered.
pub const JOB: &str = "portfolio_manager";

/// The path of the runbooks, from the root of the repository.
pub const RUNBOOKS: &str = "docs/runbooks";

/// In an annotation: rupees of the job's signals that were or may have been sent and have no result.
pub const EXPOSURE: &str = signals::EXPOSURE;

/// In an annotation: the job of the alert.
const OF_JOB: &str = "{{ $labels.job }}";
/// In an annotation, after the job: the group, if the targets have that label.
pub const OF_GROUP: &str = "{{ with $labels.group }} {{ . }}{{ end }}";
/// In an annotation: the leaders that the two stores name.
pub const LEADERS: &str = leadership::NAMED;

/// The severity, in the label `severity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// No problem.
    None,
    /// Should be investigated.
    Warning,
    /// Act now.
    Critical,
}

impl Severity {
    /// The value of the label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// The component, in the label `component`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Component {
    /// The election.
    HaCoordination,
    /// The actions of a new leader before it is active.
    CrashRecovery,
    /// The ledger of signals.
    Signals,
    /// The monitoring itself.
    Monitoring,
}

impl Component {
    /// The value of the label.
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
    /// The name, also of its file.
    pub name: &'static str,
    /// The recording rules, for these rules and for dashboards; evaluated first.
    pub records: &'static [Recording],
    /// The alerts.
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
    /// The condition, in the label `condition`. Two alerts about the same condition with two severities share it, so
    /// that the worse one silences the other.
    pub condition: &'static str,
    /// The severity.
    pub severity: Severity,
    /// The component.
    pub component: Component,
    /// The query; every series of its result is an alert.
    pub expr: fn() -> String,
    /// The time for which the condition must hold.
    pub held_for: Duration,
    /// The condition in one line.
    pub summary: &'static str,
    /// An explanation of the condition.
    pub description: &'static str,
    /// The impact in money.
    pub impact: &'static str,
}

impl ExportedRule {
    /// The names and values of its labels.
    pub fn labels(&self) -> [(&'static str, &'static str); 3] {
        [
            ("severity", self.severity.as_str()),
            ("component", self.component.as_str()),
            ("condition", self.condition),
        ]
    }

    /// The names and templates of its annotations. `base` is the address under which the runbooks are served, without
    /// a slash at its end.
    pub fn annotations(&self, base: &str) -> [(&'static str, String); 4] {
        [
            ("summary", self.summary.replace(OF_JOB, &format!("{OF_JOB}{OF_GROUP}"))),
            ("description", self.description.to_string()),
            ("impact", self.impact.to_string()),
            ("runbook_url", self.runbook_url(base)),
        ]
    }

    /// The name of its runbook, the last part of the runbook's address.
    pub fn page(&self) -> String {
        kebab(self.alert)
    }

    /// The path of the runbook, from the root of the repository.
    pub fn runbook(&self) -> String {
        format!("{RUNBOOKS}/{}.md", self.page())
    }

    /// The address of the runbook, below `base`.
    pub fn runbook_url(&self, base: &str) -> String {
        format!("{base}/{}", self.page())
    }
}

/// A duration in the notation of Prometheus, in whole minutes if possible.
pub fn written(duration: Duration) -> String {
    match duration.as_secs() {
        minutes if minutes > 0 && minutes % 60 == 0 => format!("{}m", minutes / 60),
        seconds => format!("{seconds}s"),
    }
}

/// `DBSyncStalledP95` as `db-sync-stalled-p95`: a word begins at a capital after a small letter or digit, and at the
/// last of several capitals.
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
