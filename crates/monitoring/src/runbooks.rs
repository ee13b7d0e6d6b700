//! The runbooks, compiled in: the Markdown pages of `docs/runbooks`, one for each alert.
//!
//! The HTTP pages and `coordinator runbook` show them, so that an operator can read a runbook on every instance,
//! whatever else is down. The folder `runbooks` of this crate is a link to `docs/runbooks`, so that its package
//! contains the pages.

use crate::rules::{ExportedRule, GROUPS};

/// One page.
#[derive(Debug, Clone, Copy)]
pub struct Runbook {
    /// The name, the last part of its address: `signals-in-doubt`.
    pub name: &'static str,
    /// The text in Markdown.
    pub markdown: &'static str,
}

macro_rules! runbooks {
    ($($name:literal,)+) => {
        [$(Runbook { name: $name, markdown: include_str!(concat!("../runbooks/", $name, ".md")) }),+]
    };
}

/// Every page, in the order of the names.
pub const RUNBOOKS: [Runbook; 45] = runbooks![
    "clock-skew",
    "coordinator-metrics-absent",
    "critical-db-sync-latency-p99",
    "critical-recovery-time",
    "db-sync-stalled",
    "delayed-heartbeat",
    "elevated-db-sync-failure-rate",
    "excessive-leadership-flapping",
    "fallback-mode-active",
    "fenced-write",
    "handler-not-executing",
    "high-db-sync-failure-rate",
    "high-db-sync-latency-p95",
    "instance-down",
    "instance-restarting",
    "leader-heartbeat-stopped",
    "leader-slo-fast-burn",
    "leader-slo-slow-burn",
    "leadership-flapping",
    "multiple-leaders",
    "no-leader",
    "overall-status-critical",
    "positions-beyond-validated-range",
    "recovery-data-corrupt",
    "recovery-failed",
    "recovery-failures",
    "recovery-validation-failed",
    "repeated-recovery-failures",
    "settings-differ",
    "signal-expired",
    "signal-ledger-uncounted",
    "signal-limit-reached",
    "signals-claimed-long",
    "signals-in-doubt",
    "signals-paused",
    "signals-waiting",
    "signals-waiting-long",
    "slow-recovery",
    "split-brain-detected",
    "split-brain-episode",
    "stale-heartbeat",
    "store-forgot",
    "submission-refused",
    "ticket-fault",
    "watchdog",
];

impl Runbook {
    /// Finds a page by its name or by the name of its alert: `signals-in-doubt` or `SignalsInDoubt`.
    pub fn find(name: &str) -> Option<&'static Self> {
        let page = alerts().find(|rule| rule.alert == name).map(ExportedRule::page);
        let name = page.as_deref().unwrap_or(name);
        RUNBOOKS.iter().find(|runbook| runbook.name == name)
    }

    /// The alert that the page is about.
    ///
    /// # Panics
    /// Never: a test compares the pages with the alerts.
    pub fn alert(&self) -> &'static ExportedRule {
        alerts().find(|rule| rule.page() == self.name).expect("every page is about an alert")
    }
}

fn alerts() -> impl Iterator<Item = &'static ExportedRule> {
    GROUPS.iter().flat_map(|group| group.rules)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alert_has_one_page() {
        assert_eq!(alerts().count(), RUNBOOKS.len());
        for rule in alerts() {
            let page = Runbook::find(rule.alert).expect(rule.alert);
            assert_eq!(page.alert().alert, rule.alert);
            assert_eq!(Runbook::find(page.name).map(|page| page.name), Some(page.name));
        }
        assert!(Runbook::find("../secrets").is_none());
    }
}
