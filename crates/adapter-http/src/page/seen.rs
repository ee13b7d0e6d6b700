//! [`Seen`]: everything that the page shows, as this instance knows it at one moment. The sections are pure functions of
//! it.

use super::words::Level;
use crate::backend::Backend;
use crate::pages::SignalPages;
use domain::alert::{Alert, Report};
use domain::id::InstanceId;
use domain::ledger::Totals;
use domain::member::Health;
use domain::overview::{Facts, InstanceState, LastAnswers, Overview, Samples};
use jiff::Timestamp;
use monitoring::rules::{ExportedRule, GROUPS};
use std::sync::Arc;

/// The name of the problem, and of the runbook, about a failed recovery.
pub(crate) const RECOVERY_FAILED: &str = "RecoveryFailed";

/// The condition that the last heartbeat of this instance is old.
const HEARTBEAT_STALENESS: &str = "heartbeat_staleness";

/// The rules of Prometheus about a condition that instances evaluate.
pub(super) fn rules_about(condition: &str) -> impl Iterator<Item = &'static ExportedRule> {
    GROUPS.iter().flat_map(|group| group.rules).filter(move |rule| rule.condition == condition)
}

/// The knowledge of one instance at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// The present time, unix milliseconds.
    pub(crate) now_ms: i64,
    /// The measurements of this instance; `None` before start-up is done.
    pub(crate) report: Option<Report>,
    /// The last answers of the stores.
    pub(crate) last: Arc<LastAnswers>,
    /// The last hour.
    pub(crate) samples: Arc<Samples>,
    /// The input of the overview.
    pub(crate) facts: Facts,
    /// The condition of the group.
    pub(crate) overview: Overview,
    /// Whether this service has signals.
    pub(crate) signals: SignalPages,
    /// The start of every link on the page.
    pub(crate) prefix: String,
}

impl Seen {
    /// Reads the memory of the instance and queries no store.
    pub(crate) fn by(backend: &dyn Backend, signals: SignalPages, prefix: &str) -> Self {
        let report = backend.status();
        let now_ms = match &report {
            Some(report) => report.snapshot.now_ms,
            None => Timestamp::now().as_millisecond(),
        };
        let last = backend.last_answers();
        let mut facts = last.facts_at(now_ms);
        if let Some(report) = &report {
            facts.reports(&report.snapshot.instance, report.alerts.overall);
        }
        let overview = Overview::of(&facts);
        let samples = backend.samples();
        Self { now_ms, report, last, samples, facts, overview, signals, prefix: prefix.to_owned() }
    }

    /// This instance; `None` before start-up is done.
    pub(crate) fn instance(&self) -> Option<&InstanceId> {
        self.report.as_ref().map(|report| &report.snapshot.instance)
    }

    /// Alerts of this instance that the overview does not cover, the worst first.
    pub(crate) fn own_alerts(&self) -> Vec<&Alert> {
        let all = self.report.iter().flat_map(|report| &report.alerts.all);
        let fires = |alert: &&Alert| alert.status > Health::Ok && !self.covers(alert);
        let mut fires: Vec<&Alert> = all.filter(fires).collect();
        fires.sort_by_key(|alert| std::cmp::Reverse(alert.status));
        fires
    }

    /// Whether a problem of the overview shows the condition of `alert`. The overview judges by the stores and this instance
    /// by its own measurements, so one can be wrong where the other is not.
    fn covers(&self, alert: &Alert) -> bool {
        // The problem about a silent instance concerns one instance, and another one may be the silent one.
        if alert.name == HEARTBEAT_STALENESS && !self.is_silent() {
            return false;
        }
        self.overview.problems.iter().any(|problem| match alert.name {
            // A failed recovery of the leader halts the group; that of another instance is its own.
            "recovery_failed" => problem.alert == RECOVERY_FAILED,
            name => rules_about(name).any(|rule| rule.alert == problem.alert),
        })
    }

    /// Whether the instance table shows no recent heartbeat of this instance.
    fn is_silent(&self) -> bool {
        let mut views = self.overview.instances.iter();
        views.any(|view| {
            Some(&view.id) == self.instance()
                && matches!(view.state, InstanceState::Stale | InstanceState::Gone)
                && !self.facts.is_recent(view.heartbeat_age)
        })
    }

    /// The worst level of all. Without a problem it is unknown, unless everything was read.
    pub(crate) fn level(&self) -> Level {
        let own = self.own_alerts().first().map_or(Health::Ok, |alert| alert.status);
        let reported = self.others_alerts().map(|(_, health)| health).max().unwrap_or_default();
        let worst = self.overview.level.max(own).max(reported);
        let is_known = self.facts.lease.current().is_some()
            && self.facts.members.current().is_some()
            && (self.signals == SignalPages::Absent || self.facts.totals.current().is_some());
        if worst == Health::Ok && !is_known { Level::Unknown } else { worst.into() }
    }

    /// Other instances that report an alert worse than every problem of the overview, and the level of it.
    pub(crate) fn others_alerts(&self) -> impl Iterator<Item = (&InstanceId, Health)> {
        self.facts.alerts_above(self.overview.level).filter(|(id, _)| Some(*id) != self.instance())
    }

    /// The last count of the signals, and when it was read.
    pub(crate) fn totals(&self) -> Option<(&Totals, i64)> {
        self.facts.totals.last()
    }

    /// Since when the state store has not answered.
    pub(crate) fn away_since_ms(&self) -> Option<i64> {
        self.facts.lease.away_since_ms()
    }
}
