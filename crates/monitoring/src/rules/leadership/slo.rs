//! The objective that exactly one instance leads, and alerts on the rate at which its error budget is used up.
//!
//! An alert uses two windows: the long one shows that the rate matters, the short one that it continues.

use super::LEADERS;
use crate::rules::query::EVALUATED_EVERY;
use crate::rules::{Component, ExportedRule, Recording, Severity, written};
use alloc::format;
use alloc::string::String;
use core::time::Duration;

/// The share of the last half hour in which not exactly one instance led. Alerts and panels over days read this series,
/// because a query over days in steps of seconds would read too many samples.
pub(super) const MISSED: Recording =
    Recording { record: "job:coordinator_leader_missed:ratio30m", expr: || missed(RECORDED) };

const RECORDED: Duration = Duration::from_mins(30);

/// The error budget: exactly one instance leads for 99.9 % of the time, over 30 days. The rest is 43 minutes, about
/// two hundred failovers of one lease each.
const BUDGET: f64 = 0.001;

/// At this multiple of the budget's rate, 2 % of the budget are used up in an hour.
const FAST: Burn =
    Burn { times: 14.4, long: Duration::from_hours(1), short: Duration::from_mins(5), share: missed };

/// At these multiples of the budget's rate, 5 % of the budget are used up in six hours, 10 % in a day, or 10 % in three
/// days. The last pair fires while the budget is used up exactly as planned or faster: short failovers that no other
/// alert sees.
const SLOW: [Burn; 3] = [
    Burn { times: 6.0, long: Duration::from_hours(6), short: Duration::from_mins(30), share: missed },
    Burn {
        times: 3.0,
        long: Duration::from_hours(24),
        short: Duration::from_hours(2),
        share: missed_coarsely,
    },
    Burn {
        times: 1.0,
        long: Duration::from_hours(72),
        short: Duration::from_hours(6),
        share: missed_coarsely,
    },
];

pub(super) const FAST_BURN: ExportedRule = ExportedRule {
    alert: "LeaderSLOFastBurn",
    condition: "leader_slo",
    severity: Severity::Critical,
    component: Component::HaCoordination,
    expr: || FAST.expr(),
    held_for: Duration::from_mins(2),
    summary: "{{ $labels.job }}: for {{ $value | humanizePercentage }} of the last hour not exactly one instance led",
    description: "At this pace a month's budget of 43 minutes is used up in two days.",
    impact: "While no instance leads, signals wait, and are missed when they expire. While several lead, \
        actions outside the ledger may be done twice.",
};

pub(super) const SLOW_BURN: ExportedRule = ExportedRule {
    alert: "LeaderSLOSlowBurn",
    condition: "leader_slo",
    severity: Severity::Warning,
    component: Component::HaCoordination,
    expr: || SLOW.map(|burn| burn.rate()).join("\nor\n"),
    held_for: Duration::from_mins(15),
    summary: "{{ $labels.job }}: the time without exactly one leader grows {{ $value | printf \"%.1f\" }} times as fast as allowed",
    description: "43 minutes a month are allowed. The pace is measured over 6 hours, a day or three days. Each \
        time was short, so other alerts may not have fired.",
    impact: "Signals waited in that time. If this continues, a signal will be missed.",
};

struct Burn {
    times: f64,
    long: Duration,
    short: Duration,
    /// The query for the share of a window.
    share: fn(Duration) -> String,
}

impl Burn {
    fn expr(&self) -> String {
        let above = |window| format!("{} > {} * {BUDGET}", (self.share)(window), self.times);
        format!("{}\nand\n{}", above(self.long), above(self.short))
    }

    /// As [`expr`](Self::expr); the value is the multiple of the budget's rate.
    fn rate(&self) -> String {
        let above = |window| format!("{} / {BUDGET} > {}", (self.share)(window), self.times);
        format!("{}\nand {}", above(self.long), above(self.short))
    }
}

/// The share of the window in which not exactly one instance led: each count applies until the next one. Time without
/// a count does not count, so that the first seconds of a new group are not its whole history.
fn missed(window: Duration) -> String {
    let step = written(EVALUATED_EVERY);
    let counts = window.as_secs() / EVALUATED_EVERY.as_secs();
    let range = written(window.saturating_sub(EVALUATED_EVERY));
    format!("sum_over_time(({} != bool 1)[{range}:{step}]) / {counts}", LEADERS.record)
}

/// As [`missed`] for windows of hours and days, in steps of half an hour; up to half an hour late.
fn missed_coarsely(window: Duration) -> String {
    let halves = window.as_secs() / RECORDED.as_secs();
    let (range, step) = (written(window.saturating_sub(RECORDED)), written(RECORDED));
    format!("sum_over_time({}[{range}:{step}]) / {halves}", MISSED.record)
}
