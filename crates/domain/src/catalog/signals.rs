//! Metrics of signals: their states in the group, and what this process did with them.
//!
//! The states are from the last count of the ledger, also while it cannot be counted:
//! `coordinator_signals_counted_timestamp_seconds` shows when that was. If several instances count one group, each
//! exports the same numbers: take the maximum of those that counted recently, not the sum. Counters of what a process
//! did are its own: take the sum.

use super::{Kind, Metric, Sample, metric};
use crate::ledger::{StateName, Totals};
use crate::metrics::{Refusal, Snapshot, unit};
use alloc::string::ToString;
use alloc::vec::Vec;

const ONCE_COUNTED: &str = "once counted";
const WHEN_SET: &str = "only when set";

/// Metrics of signals.
pub(super) const METRICS: &[Metric] = &[
    metric(
        "coordinator_signals",
        "1",
        "Signals of the group that are not finished, by their state.",
        Kind::LabelledGauge { labels: &["state"], read: open_signals },
    )
    .only(ONCE_COUNTED),
    metric(
        "coordinator_signals_oldest_waiting_seconds",
        "s",
        "Age of the oldest signal that waits to be sent, since it was accepted.",
        Kind::Gauge(|s| Some(s.totals()?.oldest_received?.as_secs_f64())),
    )
    .only("only while one waits"),
    metric(
        "coordinator_signals_oldest_in_doubt_seconds",
        "s",
        "Age of the oldest signal in doubt, since it was claimed.",
        Kind::Gauge(|s| Some(s.totals()?.oldest_in_doubt?.as_secs_f64())),
    )
    .only("only while one is in doubt"),
    metric(
        "coordinator_signals_counted_timestamp_seconds",
        "s",
        "When the signals were last counted, in unix time. While the ledger does not answer, the counts are the last known ones.",
        Kind::Gauge(|s| Some(unit::seconds(s.totals.last()?.1))),
    )
    .only(ONCE_COUNTED),
    metric(
        "coordinator_signals_exposure_rupees",
        "{rupee}",
        "Value of the signals that were or may have been sent and have no result: claimed, sent and in doubt.",
        Kind::Gauge(|s| s.signals_exposure().map(unit::rupees)),
    )
    .only(ONCE_COUNTED),
    metric(
        "coordinator_signals_expired_last_day",
        "1",
        "Signals that expired unsent in the last 24 hours, without acknowledged ones: trades that were missed.",
        Kind::Gauge(|s| counted(s, |totals| totals.expired_last_day)),
    )
    .only(ONCE_COUNTED),
    metric(
        "coordinator_signals_sent_last_minute",
        "1",
        "Signals claimed in the last 60 seconds, without those known not to have been executed.",
        Kind::Gauge(|s| counted(s, |totals| totals.sent_last_minute)),
    )
    .only(ONCE_COUNTED),
    metric(
        "coordinator_signals_sent_last_day",
        "1",
        "Signals claimed in the last 24 hours, without those known not to have been executed.",
        Kind::Gauge(|s| counted(s, |totals| totals.sent_last_day)),
    )
    .only(ONCE_COUNTED),
    metric(
        "coordinator_signals_limit_per_minute",
        "1",
        "Most signals that may be sent in any 60 seconds.",
        Kind::Gauge(|s| s.signal_limits.per_minute.map(f64::from)),
    )
    .only(WHEN_SET),
    metric(
        "coordinator_signals_limit_per_day",
        "1",
        "Most signals that may be sent in any 24 hours.",
        Kind::Gauge(|s| s.signal_limits.per_day.map(f64::from)),
    )
    .only(WHEN_SET),
    metric(
        "coordinator_signals_paused",
        "1",
        "1 while the kill switch is on and no signal is sent, else 0.",
        Kind::Gauge(|s| counted(s, |totals| u32::from(totals.paused.is_some()))),
    )
    .only(ONCE_COUNTED),
    metric(
        "coordinator_signals_received_total",
        "1",
        "Signals that this process accepted.",
        Kind::Counter(|s| s.counters.signals_received),
    ),
    metric(
        "coordinator_signals_duplicates_prevented_total",
        "1",
        "Signals that were not executed a second time: submitted again, or in doubt and found to be executed.",
        Kind::Counter(|s| s.counters.duplicates_prevented),
    ),
    metric(
        "coordinator_signals_folded_total",
        "1",
        "Alerts of hooks that were folded into an earlier signal within duplicate_window, and not executed themselves.",
        Kind::Counter(|s| s.counters.signals_folded),
    ),
    metric(
        "coordinator_signals_claimed_total",
        "1",
        "Signals that this process claimed.",
        Kind::Counter(|s| s.counters.signals_claimed),
    ),
    metric(
        "coordinator_signals_sent_total",
        "1",
        "Signals that this process sent to a handler or a service, once for every attempt.",
        Kind::Counter(|s| s.counters.signals_sent),
    ),
    metric(
        "coordinator_signals_done_total",
        "1",
        "Signals that this process recorded as executed.",
        Kind::Counter(|s| s.counters.signals_done),
    ),
    metric(
        "coordinator_signals_rejected_total",
        "1",
        "Signals that this process recorded as not executed, finally.",
        Kind::Counter(|s| s.counters.signals_rejected),
    ),
    metric(
        "coordinator_signals_doubted_total",
        "1",
        "Signals that this process recorded as in doubt.",
        Kind::Counter(|s| s.counters.signals_doubted),
    ),
    metric(
        "coordinator_signals_not_executed_total",
        "1",
        "Signals that this process recorded as not executed, to be sent again.",
        Kind::Counter(|s| s.counters.signals_not_executed),
    ),
    metric(
        "coordinator_signals_refused_total",
        "1",
        "Submissions that this process refused, by reason: trades that were missed.",
        Kind::LabelledCounter { labels: &["reason"], read: refused },
    ),
    metric(
        "coordinator_handler_not_executing_seconds",
        "s",
        "How long the handler has answered for the same signal that it did not execute it.",
        Kind::Gauge(|s| Some(unit::seconds(s.not_executing_ms()?))),
    )
    .only("only while a signal is sent repeatedly"),
    metric(
        "coordinator_fenced_writes_total",
        "1",
        "Writes to the ledger that the state store refused because their token was superseded.",
        Kind::Counter(|s| s.counters.fenced_writes),
    ),
    metric(
        "coordinator_signals_received_to_sent_seconds",
        "s",
        "Time that signals waited from their acceptance until they were sent.",
        Kind::Histogram(|s| &s.sent_after),
    ),
];

fn open_signals(snapshot: &Snapshot) -> Vec<Sample> {
    let Some(totals) = snapshot.totals() else { return Vec::new() };
    let states = [
        (StateName::Received, totals.received),
        (StateName::Claimed, totals.claimed),
        (StateName::Sent, totals.sent),
        (StateName::InDoubt, totals.in_doubt),
    ];
    let sample =
        |(state, n): (StateName, u64)| Sample { labels: [state.to_string()].into(), value: unit::count(n) };
    states.into_iter().map(sample).collect()
}

fn refused(snapshot: &Snapshot) -> Vec<Sample> {
    let counts = Refusal::ALL.into_iter().zip(snapshot.counters.signals_refused);
    counts.map(|(why, n)| Sample { labels: [why.to_string()].into(), value: unit::count(n) }).collect()
}

fn counted(snapshot: &Snapshot, read: fn(&Totals) -> u32) -> Option<f64> {
    snapshot.totals().map(|totals| read(totals).into())
}
