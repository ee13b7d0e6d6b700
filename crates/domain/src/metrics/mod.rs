//! What is measured: facts go in, one consistent value comes out.
//!
//! The driver [`record`](Metrics::record)s a [`Fact`] whenever something happened and takes a
//! [`Snapshot`] whenever somebody asks. Nothing else is kept: the JSON page, the Prometheus text and the
//! [alerts](crate::alert) are three readings of the same snapshot and cannot disagree.
//!
//! ```text
//! Fact -> Metrics (counters, window, histogram) + View -> Snapshot -> catalog -> Prometheus text
//!                                                                  -> alert::evaluate
//!                                                                  -> JSON, pages
//! ```
//!
//! [`catalog`] lists every metric with the way it is read from a snapshot: a metric is added there and
//! nowhere else.

pub mod catalog;
mod fingerprint;
mod histogram;
mod snapshot;
pub mod unit;
mod window;

pub use fingerprint::fingerprint;
pub use histogram::{BOUNDS, Histogram};
pub use snapshot::{Counters, LastRecovery, Snapshot, View};
pub use window::{Latency, WINDOW_DEFAULT, WINDOW_MAX, WINDOW_MIN, WindowStats};

use crate::alert::{self, Alerts};
use crate::id::InstanceId;
use crate::lease::{Epoch, Timeline};
use crate::ledger::SignalCounts;
use crate::recovery::RecoveryCode;
use alloc::string::String;
use core::time::Duration;
use window::Window;

/// How a sync with the state store (a claim or a renewal of the row, or a look at it) ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SyncResult {
    /// The store answered, whatever it said.
    Succeeded,
    /// It did not, or not in time.
    Failed,
}

/// Something that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    /// A sync with the state store ended.
    Sync {
        /// How.
        result: SyncResult,
        /// After how long: until the answer, or until it was given up.
        took: Duration,
    },
    /// A token was seen in the row, or granted to this process.
    Epoch {
        /// The token's timeline.
        timeline: Timeline,
        /// The token's epoch.
        epoch: Epoch,
    },
    /// This process found its lease superseded and stopped believing.
    SplitBrain,
    /// A ticket was met that this system cannot have written.
    TicketFault,
    /// A recovery ended.
    Recovery {
        /// How many positions came back, or why none did.
        outcome: Result<u32, RecoveryCode>,
        /// How long it took.
        took: Duration,
        /// When it ended, unix milliseconds.
        at_ms: i64,
    },
    /// This process's line of the instance table was written.
    Heartbeat {
        /// When, unix milliseconds.
        at_ms: i64,
    },
    /// The history table counts this many changes of leader in the last 60 minutes.
    ChangesLastHour(u32),
    /// The ledger was counted.
    Signals(SignalCounts),
}

/// What stays the same while the process lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsConfig {
    /// Syncs that rates and latencies look back on. Outside [`WINDOW_MIN`] to [`WINDOW_MAX`] the nearest
    /// of them is taken; the configuration refuses such a value before it comes here.
    pub window: usize,
    /// When the process started, unix milliseconds.
    pub started_ms: i64,
    /// This instance.
    pub instance: InstanceId,
    /// Its version.
    pub version: String,
}

/// The fold of all facts so far. Its memory is bounded by the window.
#[derive(Debug, Clone)]
pub struct Metrics {
    config: MetricsConfig,
    counters: Counters,
    window: Window,
    sync_duration: Histogram,
    latest: Option<(Timeline, Epoch)>,
    changes_last_hour: Option<u32>,
    last_heartbeat_ms: Option<i64>,
    last_recovery: Option<LastRecovery>,
    positions_recovered: Option<u32>,
    signals: Option<SignalCounts>,
}

impl Metrics {
    /// Nothing has happened yet.
    pub fn new(config: MetricsConfig) -> Self {
        Self {
            window: Window::new(config.window),
            config,
            counters: Counters::default(),
            sync_duration: Histogram::default(),
            latest: None,
            changes_last_hour: None,
            last_heartbeat_ms: None,
            last_recovery: None,
            positions_recovered: None,
            signals: None,
        }
    }

    /// Takes a fact into account.
    pub fn record(&mut self, fact: Fact) {
        match fact {
            Fact::Sync { result, took } => self.sync(result, took),
            Fact::Epoch { timeline, epoch } => self.token(timeline, epoch),
            Fact::SplitBrain => self.counters.split_brains += 1,
            Fact::TicketFault => self.counters.ticket_faults += 1,
            Fact::Recovery { outcome, took, at_ms } => self.recovery(LastRecovery { outcome, took, at_ms }),
            Fact::Heartbeat { at_ms } => self.last_heartbeat_ms = Some(at_ms),
            Fact::ChangesLastHour(changes) => self.changes_last_hour = Some(changes),
            Fact::Signals(counts) => self.signals = Some(counts),
        }
    }

    /// Everything there is to tell at `now_ms` (unix milliseconds), alerts included.
    pub fn snapshot(&self, view: View, now_ms: i64) -> Snapshot {
        let mut snapshot = Snapshot {
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
            positions_recovered: self.positions_recovered,
            signals: self.signals,
            alerts: Alerts::default(),
        };
        snapshot.alerts = alert::evaluate(&snapshot);
        snapshot
    }

    fn sync(&mut self, result: SyncResult, took: Duration) {
        match result {
            SyncResult::Succeeded => self.counters.syncs_succeeded += 1,
            SyncResult::Failed => self.counters.syncs_failed += 1,
        }
        self.window.push(result, took);
        self.sync_duration.record(took);
    }

    /// The epoch counts the changes of leader, also those nobody here saw happen. What is not later than
    /// the latest token is a late answer. On a new timeline the same epoch is the same leader, who carried
    /// the row over; another epoch is at least one change, however many the promotion lost.
    fn token(&mut self, timeline: Timeline, epoch: Epoch) {
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
                self.positions_recovered = Some(positions);
            }
            Err(_) => self.counters.recoveries_failed += 1,
        }
        self.last_recovery = Some(last);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::lease::TTL_DEFAULT;
    use crate::member::Standing;

    pub(crate) const STARTED_MS: i64 = 1_700_000_000_000;

    pub(crate) fn id(text: &str) -> InstanceId {
        InstanceId::parse(text).unwrap()
    }

    pub(crate) fn metrics(window: usize) -> Metrics {
        Metrics::new(MetricsConfig {
            window,
            started_ms: STARTED_MS,
            instance: id("me"),
            version: "1.2.3".into(),
        })
    }

    pub(crate) fn standby() -> View {
        View {
            standing: Standing::Standby,
            is_leader: false,
            leader_db: None,
            leader_redis: None,
            fallback: false,
            heartbeat_running: true,
            lease_left: None,
            ttl: TTL_DEFAULT,
            epoch: None,
        }
    }

    pub(crate) fn leader() -> View {
        View {
            standing: Standing::Active,
            is_leader: true,
            leader_db: Some(id("me")),
            leader_redis: Some(id("me")),
            lease_left: Some(Duration::from_millis(6_500)),
            epoch: Some(Epoch(42)),
            ..standby()
        }
    }

    fn changes(tokens: &[(u32, u64)]) -> u64 {
        let mut metrics = metrics(WINDOW_DEFAULT);
        for (timeline, epoch) in tokens {
            metrics.record(Fact::Epoch { timeline: Timeline(*timeline), epoch: Epoch(*epoch) });
        }
        metrics.counters.leadership_changes
    }

    #[test]
    fn the_first_token_only_sets_the_base() {
        assert_eq!(changes(&[]), 0);
        assert_eq!(changes(&[(1, 41)]), 0);
    }

    #[test]
    fn the_growth_of_the_epoch_counts_changes_nobody_here_saw() {
        assert_eq!(changes(&[(1, 41), (1, 41), (1, 42)]), 1);
        assert_eq!(changes(&[(1, 41), (1, 46)]), 5);
    }

    #[test]
    fn late_answers_count_nothing() {
        assert_eq!(changes(&[(1, 41), (1, 43), (1, 42), (1, 43)]), 2);
        assert_eq!(changes(&[(1, 9), (2, 10), (1, 9), (2, 10)]), 1);
    }

    #[test]
    fn a_promotion_counts_when_the_leader_changed() {
        assert_eq!(changes(&[(1, 5), (2, 5)]), 0, "carried over by the same leader");
        assert_eq!(changes(&[(1, 5), (2, 6)]), 1);
        assert_eq!(changes(&[(1, 5), (2, 3)]), 1, "the promotion lost claims");
        assert_eq!(changes(&[(1, 5), (2, 8)]), 3);
    }

    #[test]
    fn counters_and_histogram_count_every_sync() {
        let mut metrics = metrics(2);
        for result in [SyncResult::Succeeded, SyncResult::Failed, SyncResult::Succeeded] {
            metrics.record(Fact::Sync { result, took: Duration::from_millis(4) });
        }
        let snapshot = metrics.snapshot(standby(), STARTED_MS);
        let counters = snapshot.counters;
        assert_eq!((counters.syncs(), counters.syncs_succeeded, counters.syncs_failed), (3, 2, 1));
        assert_eq!(snapshot.sync_duration.count(), 3);
        assert_eq!((snapshot.window.samples, snapshot.window.failures), (2, 1));
    }

    #[test]
    fn a_recovery_that_passes_clears_the_error_and_a_failed_one_keeps_the_positions() {
        let mut metrics = metrics(WINDOW_DEFAULT);
        assert_eq!(metrics.snapshot(standby(), STARTED_MS).recovery_error(), None);
        let took = Duration::from_millis(80);
        metrics.record(Fact::Recovery { outcome: Ok(7), took, at_ms: 1 });
        metrics.record(Fact::Recovery { outcome: Err(RecoveryCode::DataCorrupt), took, at_ms: 2 });
        let failed = metrics.snapshot(standby(), STARTED_MS);
        assert_eq!(failed.recovery_error(), Some(RecoveryCode::DataCorrupt));
        assert_eq!(failed.positions_recovered, Some(7));
        metrics.record(Fact::Recovery { outcome: Ok(0), took, at_ms: 3 });
        let passed = metrics.snapshot(standby(), STARTED_MS);
        assert_eq!((passed.recovery_error(), passed.positions_recovered), (None, Some(0)));
        assert_eq!((passed.counters.recoveries_succeeded, passed.counters.recoveries_failed), (2, 1));
    }

    #[test]
    fn single_counts() {
        let mut metrics = metrics(WINDOW_DEFAULT);
        metrics.record(Fact::SplitBrain);
        metrics.record(Fact::TicketFault);
        metrics.record(Fact::TicketFault);
        let counters = metrics.snapshot(standby(), STARTED_MS).counters;
        assert_eq!((counters.split_brains, counters.ticket_faults), (1, 2));
    }

    #[test]
    fn a_heartbeat_in_the_future_is_fresh() {
        let mut metrics = metrics(WINDOW_DEFAULT);
        metrics.record(Fact::Heartbeat { at_ms: STARTED_MS + 5_000 });
        assert_eq!(metrics.snapshot(standby(), STARTED_MS).heartbeat_age_ms(), Some(0));
        assert_eq!(metrics.snapshot(standby(), STARTED_MS + 6_500).heartbeat_age_ms(), Some(1_500));
    }
}
