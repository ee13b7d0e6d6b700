//! Measurements: the fold of facts into one consistent snapshot.
//!
//! The driver [`record`](Metrics::record)s a [`Fact`] at every event and takes a [`Snapshot`] for every request. The
//! JSON page, the Prometheus text and the alerts all read the same snapshot, so they always agree. This module knows
//! no alerts: `alert::Report` joins a snapshot with the alerts that it fires.
//!
//! ```text
//! Fact -> Metrics (counters, window, histograms) + View -> Snapshot -> alert::Report -> catalog -> Prometheus text
//!                                                                                   -> JSON, pages
//! ```
//!
//! The [catalogue](crate::catalog) lists every metric with the function that reads it from a report. A metric is
//! added only there.

mod access;
mod fingerprint;
mod histogram;
mod signals;
mod snapshot;
pub mod unit;
mod urgent;
mod window;

pub use access::AccessRefusal;
pub use fingerprint::fingerprint;
pub use histogram::{BOUNDS, Histogram};
pub use signals::{Refusal, SIGNAL_VALUE_DEFAULT, SignalFact, SignalsConfig};
pub use snapshot::{Counters, Disagreement, LastRecovery, Snapshot, View};
pub use urgent::{URGENT_SHOWN, Urgent};
pub use window::{
    Latency, P95_SAMPLES_MIN, P99_SAMPLES_MIN, WINDOW_DEFAULT, WINDOW_MAX, WINDOW_MIN, WindowStats,
};

use crate::decision::Decision;
use crate::id::InstanceId;
use crate::lease::{Epoch, Timeline};
use crate::ledger::Totals;
use crate::overview::Known;
use crate::recovery::RecoveryCode;
use crate::settings::Differing;
use crate::time::Time;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use window::Window;

/// Result of a sync with the state store (a claim, a renewal or a read of the lease).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SyncResult {
    /// The store answered, with any answer.
    Succeeded,
    /// The store did not answer, or not in time.
    Failed,
}

/// An event that the metrics count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// A sync with the state store ended.
    Sync {
        /// The result.
        result: SyncResult,
        /// The duration until the answer or the timeout.
        took: Duration,
        /// The time of the answer or of the timeout.
        at: Time,
    },
    /// This process read a token in the lease, or was granted one.
    Epoch {
        /// The token's timeline.
        timeline: Timeline,
        /// The token's epoch.
        epoch: Epoch,
    },
    /// This process found its lease superseded and stopped leading.
    SplitBrain,
    /// This process read a ticket that this system cannot have written.
    TicketFault,
    /// A recovery ended.
    Recovery {
        /// The number of recovered positions, or the reason for the failure.
        outcome: Result<u32, RecoveryCode>,
        /// The duration.
        took: Duration,
        /// The end, in unix milliseconds.
        at_ms: i64,
    },
    /// The findings of the recovery that failed now.
    RecoveryFindings(Vec<String>),
    /// This process wrote its entry in the instance table.
    Heartbeat {
        /// The time, in unix milliseconds.
        at_ms: i64,
    },
    /// The history table counts this many changes of leader in the last 60 minutes.
    ChangesLastHour(u32),
    /// The ledger was counted.
    Ledger {
        /// The counts.
        totals: Totals,
        /// The time, in unix milliseconds.
        at_ms: i64,
    },
    /// The ledger could not be counted, or this process no longer counts it. The last counts remain as the last known
    /// ones: an alert about money must not resolve because nothing can be measured.
    LedgerUnknown {
        /// The time, in unix milliseconds.
        at_ms: i64,
    },
    /// This process did something with a signal.
    Signal(SignalFact),
    /// A submission was refused.
    Refused {
        /// The reason.
        why: Refusal,
        /// The time, in unix milliseconds.
        at_ms: i64,
    },
    /// A request was refused for its credential.
    AccessRefused(AccessRefusal),
    /// The time (unix milliseconds) since when the handler has answered for the same signal that it did not execute
    /// it; `None` without such a signal.
    NotExecuting(Option<i64>),
    /// Settings that differ between instances of the group.
    SettingsDiffer(Vec<Differing>),
    /// The state store has forgotten, at this time (unix milliseconds by its clock). A time earlier than the known
    /// one comes from an older backup and changes nothing.
    StoreForgot(i64),
    /// The latest decisions of operators, newest first, without the removals of instances that are back.
    Decisions(Vec<Decision>),
}

/// The values that stay the same during the life of the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsConfig {
    /// The time between two renewals of the lease. The syncs of one heartbeat are one sample of the window.
    pub heartbeat: Duration,
    /// The number of heartbeats in the window for rates and latencies, clamped to [`WINDOW_MIN`] to [`WINDOW_MAX`]. The
    /// configuration refuses a value outside this range earlier.
    pub window: usize,
    /// The start of the process, in unix milliseconds.
    pub started_ms: i64,
    /// This instance.
    pub instance: InstanceId,
    /// Its version.
    pub version: String,
    /// The limits on sending, and the value of a signal.
    pub signals: SignalsConfig,
}

/// The fold of all facts so far. The window bounds its memory.
#[derive(Debug, Clone)]
pub struct Metrics {
    config: MetricsConfig,
    counters: Counters,
    window: Window,
    sync_duration: Histogram,
    latest: Option<(Timeline, Epoch)>,
    /// The highest epoch of all tokens. A restored backup has a lower one.
    highest: Option<Epoch>,
    changes_last_hour: Option<u32>,
    last_heartbeat_ms: Option<i64>,
    last_recovery: Option<LastRecovery>,
    last_recovery_failure_ms: Option<i64>,
    recovery_findings: Vec<String>,
    positions_recovered: Option<u32>,
    totals: Known<Totals>,
    last_refused: Option<(Refusal, i64)>,
    not_executing_since_ms: Option<i64>,
    settings_differ: Vec<Differing>,
    store_forgot_ms: Option<i64>,
    decisions: Vec<Decision>,
    sent_after: Histogram,
}

impl Metrics {
    /// No facts yet.
    pub fn new(config: MetricsConfig) -> Self {
        Self {
            window: Window::new(config.window, config.heartbeat),
            config,
            counters: Counters::default(),
            sync_duration: Histogram::default(),
            latest: None,
            highest: None,
            changes_last_hour: None,
            last_heartbeat_ms: None,
            last_recovery: None,
            last_recovery_failure_ms: None,
            recovery_findings: Vec::new(),
            positions_recovered: None,
            totals: Known::default(),
            last_refused: None,
            not_executing_since_ms: None,
            settings_differ: Vec::new(),
            store_forgot_ms: None,
            decisions: Vec::new(),
            sent_after: Histogram::default(),
        }
    }

    /// Takes in a fact. Returns an [`Urgent`] if operators should not have to wait for the next scrape.
    pub fn record(&mut self, fact: Fact) -> Option<Urgent> {
        let urgent = self.urgent(&fact);
        match fact {
            Fact::Sync { result, took, at } => self.sync(result, took, at),
            Fact::Epoch { timeline, epoch } => self.token(timeline, epoch),
            Fact::SplitBrain => self.counters.split_brains += 1,
            Fact::TicketFault => self.counters.ticket_faults += 1,
            Fact::Recovery { outcome, took, at_ms } => self.recovery(LastRecovery { outcome, took, at_ms }),
            Fact::RecoveryFindings(findings) => self.recovery_findings = findings,
            Fact::Heartbeat { at_ms } => self.last_heartbeat_ms = Some(at_ms),
            Fact::ChangesLastHour(changes) => self.changes_last_hour = Some(changes),
            Fact::Ledger { totals, at_ms } => self.totals.answered(totals, at_ms),
            Fact::LedgerUnknown { at_ms } => self.totals.failed(at_ms),
            Fact::Refused { why, at_ms } => {
                self.counters.signal(SignalFact::Refused(why));
                self.last_refused = Some((why, at_ms));
            }
            Fact::AccessRefused(why) => self.counters.access_refused[why.index()] += 1,
            Fact::NotExecuting(since_ms) => self.not_executing_since_ms = since_ms,
            Fact::SettingsDiffer(differing) => self.settings_differ = differing,
            Fact::Decisions(decisions) => self.decisions = decisions,
            Fact::StoreForgot(at_ms) => self.store_forgot_ms = self.store_forgot_ms.max(Some(at_ms)),
            Fact::Signal(fact) => {
                if let SignalFact::Sent { waited } = fact {
                    self.sent_after.record(waited);
                }
                self.counters.signal(fact);
            }
        }
        urgent
    }

    /// A recovery that keeps failing for the same reason is retried, and reported once.
    fn urgent(&self, fact: &Fact) -> Option<Urgent> {
        match fact {
            Fact::SplitBrain => Some(Urgent::SplitBrain),
            Fact::Signal(SignalFact::FencedWrite) => Some(Urgent::FencedWrite),
            Fact::Recovery { outcome: Err(code), .. } => {
                let known = self.last_recovery.and_then(|last| last.outcome.err());
                (known != Some(*code)).then_some(Urgent::RecoveryFailed(*code))
            }
            Fact::Recovery { outcome: Ok(_), .. }
            | Fact::RecoveryFindings(_)
            | Fact::Sync { .. }
            | Fact::Epoch { .. }
            | Fact::TicketFault
            | Fact::Heartbeat { .. }
            | Fact::ChangesLastHour(_)
            | Fact::Ledger { .. }
            | Fact::LedgerUnknown { .. }
            | Fact::Refused { .. }
            | Fact::AccessRefused(_)
            | Fact::NotExecuting(_)
            | Fact::SettingsDiffer(_)
            | Fact::StoreForgot(_)
            | Fact::Decisions(_)
            | Fact::Signal(_) => None,
        }
    }

    /// A snapshot at `now_ms` (unix milliseconds), without alerts.
    pub fn snapshot(&self, view: View, now_ms: i64) -> Snapshot {
        let view = View { epoch: view.epoch.max(self.highest.filter(|epoch| epoch.0 > 0)), ..view };
        Snapshot {
            now_ms,
            started_ms: self.config.started_ms,
            instance: self.config.instance.clone(),
            version: self.config.version.clone(),
            view,
            counters: self.counters,
            window: self.window.stats(),
            sync_duration: self.sync_duration,
            changes_last_hour: self.changes_last_hour,
            last_heartbeat_ms: self.last_heartbeat_ms,
            last_recovery: self.last_recovery,
            last_recovery_failure_ms: self.last_recovery_failure_ms,
            recovery_findings: self.recovery_findings.clone(),
            positions_recovered: self.positions_recovered,
            totals: self.totals.clone(),
            last_refused: self.last_refused,
            not_executing_since_ms: self.not_executing_since_ms,
            settings_differ: self.settings_differ.clone(),
            store_forgot_ms: self.store_forgot_ms,
            decisions: self.decisions.clone(),
            signal_limits: self.config.signals.limits,
            signal_value: self.config.signals.value,
            sent_after: self.sent_after,
        }
    }

    fn sync(&mut self, result: SyncResult, took: Duration, at: Time) {
        match result {
            SyncResult::Succeeded => self.counters.syncs_succeeded += 1,
            SyncResult::Failed => self.counters.syncs_failed += 1,
        }
        self.window.push(result, took, at);
        self.sync_duration.record(took);
    }

    /// Counts changes of leader by the growth of the epoch, so that changes which this process did not observe count
    /// too. A token that is not later than the latest one comes from a late answer. On a new timeline, the same epoch
    /// means the same leader, which carried the lease over; another epoch counts as one change, even if the promotion
    /// lost several.
    fn token(&mut self, timeline: Timeline, epoch: Epoch) {
        self.highest = self.highest.max(Some(epoch));
        let changes = match self.latest {
            None => 0,
            Some(latest) if (timeline, epoch) <= latest => return,
            Some((_, before)) if epoch == before => 0,
            Some((_, before)) => epoch.0.saturating_sub(before.0).max(1),
        };
        self.counters.leadership_changes = self.counters.leadership_changes.saturating_add(changes);
        self.latest = Some((timeline, epoch));
    }

    fn recovery(&mut self, last: LastRecovery) {
        match last.outcome {
            Ok(positions) => {
                self.counters.recoveries_succeeded += 1;
                self.recovery_findings.clear();
                self.positions_recovered = Some(positions);
            }
            Err(_) => {
                self.counters.recoveries_failed += 1;
                self.last_recovery_failure_ms = Some(last.at_ms);
            }
        }
        self.last_recovery = Some(last);
    }
}

#[cfg(test)]
pub(crate) mod tests;
