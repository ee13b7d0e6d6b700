//! The table of alerts: the only place where a limit is written.

use super::condition::{self, Reading};
use crate::member::Health;
use crate::metrics::Snapshot;
use core::time::Duration;

/// Minimum number of heartbeats with a sync for a verdict on the failure rate: one failure in three is not a rate yet. A
/// window with a smaller capacity is judged when it is full.
pub const SAMPLES_MIN: usize = 20;

/// The time for which the alert about a slow recovery stays after the recovery ended, so that an operator sees it
/// before the next recovery.
pub const SLOW_RECOVERY_SHOWN: Duration = Duration::from_mins(15);

/// The time for which the alert about a refused submission stays, so that an operator sees it before the next refusal.
pub const REFUSED_SHOWN: Duration = Duration::from_mins(10);

/// The time for which the alert about a store that has forgotten stays. A day, as for expired signals: every shift of
/// a trading day sees it once, also when it happened at night.
pub const FORGOT_SHOWN: Duration = Duration::from_hours(24);

/// The numbers above which an alert fires. The comparison is strict: a value equal to a limit does not exceed it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// The status is [`Health::Warning`] above this.
    pub warning: Option<f64>,
    /// The status is [`Health::Critical`] above this.
    pub critical: Option<f64>,
}

impl Limits {
    const fn warning(limit: f64) -> Self {
        Self { warning: Some(limit), critical: None }
    }

    const fn critical(limit: f64) -> Self {
        Self { warning: None, critical: Some(limit) }
    }

    const fn both(warning: f64, critical: f64) -> Self {
        assert!(warning < critical, "the critical limit is above the warning limit");
        Self { warning: Some(warning), critical: Some(critical) }
    }

    /// The status of `value` under these limits.
    pub fn judge(self, value: f64) -> Health {
        let above = |limit: Option<f64>| limit.is_some_and(|limit| value > limit);
        if above(self.critical) {
            Health::Critical
        } else if above(self.warning) {
            Health::Warning
        } else {
            Health::Ok
        }
    }
}

/// One alert: a condition, its limits, and the function that reads it.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// The name in the JSON page and in the label `alert`.
    pub name: &'static str,
    /// The limits above which the alert fires. A condition that holds or does not hold reads 1 or 0 and has the limit
    /// 0.
    pub limits: Limits,
    /// The function that reads the condition.
    pub read: fn(&Snapshot) -> Reading,
}

const fn rule(name: &'static str, limits: Limits, read: fn(&Snapshot) -> Reading) -> Rule {
    Rule { name, limits, read }
}

/// Every alert that is evaluated in process. Dashboards know the first three by name.
pub const RULES: [Rule; 20] = [
    // Share of the heartbeats in the window in which a sync failed.
    rule("db_sync_failure_rate", Limits::both(0.05, 0.10), condition::db_sync_failure_rate),
    // Changes in the last 60 minutes.
    rule("leadership_changes", Limits::both(3.0, 10.0), condition::leadership_changes),
    // Seconds.
    rule("heartbeat_staleness", Limits::both(30.0, 60.0), condition::heartbeat_staleness),
    rule("heartbeat_stopped", Limits::critical(0.0), condition::heartbeat_stopped),
    rule("split_brain", Limits::critical(0.0), condition::split_brain),
    rule("fallback_mode", Limits::warning(0.0), condition::fallback_mode),
    // Milliseconds.
    rule("sync_latency_p95", Limits::warning(100.0), condition::sync_latency_p95),
    rule("sync_latency_p99", Limits::critical(500.0), condition::sync_latency_p99),
    // The code of the error; 0 without an error.
    rule("recovery_failed", Limits::critical(0.0), condition::recovery_failed),
    // Milliseconds.
    rule("recovery_time", Limits::both(500.0, 2_000.0), condition::recovery_time),
    // Positions.
    rule("positions_beyond_validated_range", Limits::warning(50.0), condition::positions),
    // Signals in doubt: they may have been executed, and an operator must resolve them.
    rule("signals_in_doubt", Limits::critical(0.0), condition::signals_in_doubt),
    // Seconds. A leader sends within seconds, and a failover takes one lease. A signal that waits for a minute is
    // held up; after five minutes its price is gone.
    rule("signals_waiting", Limits::both(60.0, 300.0), condition::signals_waiting),
    rule("signals_paused", Limits::warning(0.0), condition::signals_paused),
    rule("signals_limited", Limits::warning(0.0), condition::signals_limited),
    // Signals of the last 24 hours. One missed trade is one too many.
    rule("signals_expired", Limits::critical(0.0), condition::signals_expired),
    // A submission refused within the last ten minutes: every missed trade is critical.
    rule("submission_refused", Limits::warning(0.0), condition::submission_refused),
    // Seconds. A handler that restarts answers again within a minute.
    rule("handler_not_executing", Limits::warning(60.0), condition::handler_not_executing),
    // The store has forgotten within the last 24 hours: an order may have been executed without a record.
    rule("store_forgot", Limits::critical(0.0), condition::store_forgot),
    // Settings.
    rule("settings_differ", Limits::warning(0.0), condition::settings_differ),
];
