//! One hour of measurements, one sample for each minute, for the charts of the operator's page. An unknown value is
//! absent, never 0, so that a chart shows a gap.

use super::Known;
use crate::id::InstanceId;
use crate::member::MemberSeen;
use crate::metrics::Snapshot;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

/// Samples of one hour, with both ends.
pub const SAMPLES_KEPT: u32 = 61;
const MINUTE_MS: i64 = 60_000;

/// The measurements of one minute.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The start of the minute, in Unix milliseconds.
    pub from_ms: i64,
    /// The share of failed syncs with the state store, 0.0 to 1.0, at the end of the minute.
    pub failure_rate: Option<f64>,
    /// The median latency of a sync at the end of the minute.
    pub p50: Option<Duration>,
    /// The 95th percentile; needs 20 heartbeats.
    pub p95: Option<Duration>,
    /// The 99th percentile; needs 100 heartbeats.
    pub p99: Option<Duration>,
    /// Changes of leader in the 60 minutes before the end of the minute.
    pub changes_last_hour: Option<u32>,
    /// The largest age of a heartbeat in the minute, for each instance. An instance without an entry was not in the
    /// table, or the table could not be read.
    pub heartbeat_age: BTreeMap<InstanceId, Duration>,
}

impl Sample {
    fn unknown(from_ms: i64) -> Self {
        Self {
            from_ms,
            failure_rate: None,
            p50: None,
            p95: None,
            p99: None,
            changes_last_hour: None,
            heartbeat_age: BTreeMap::new(),
        }
    }
}

/// The last [`SAMPLES_KEPT`] minutes, oldest first, without a gap between them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Samples(VecDeque<Sample>);

impl Samples {
    /// Takes in the measurements of the moment `snapshot.now_ms`. Minutes without any are unknown. If the clock was
    /// set back, the latest minute takes them.
    pub fn record(&mut self, snapshot: &Snapshot, members: &Known<Vec<MemberSeen>>) {
        let from_ms = snapshot.now_ms.saturating_sub(snapshot.now_ms.rem_euclid(MINUTE_MS));
        self.begin(from_ms);
        let Some(sample) = self.0.back_mut() else { return };
        let window = &snapshot.window;
        let latency = window.latency;
        sample.failure_rate = (window.samples > 0).then(|| window.failure_rate());
        sample.p50 = latency.map(|latency| latency.p50);
        sample.p95 = latency.and_then(|latency| latency.p95);
        sample.p99 = latency.and_then(|latency| latency.p99);
        let current = members.current();
        sample.changes_last_hour = current.and(snapshot.changes_last_hour);
        for seen in current.into_iter().flatten() {
            let largest = sample.heartbeat_age.entry(seen.member.id.clone()).or_default();
            *largest = seen.heartbeat_age.max(*largest);
        }
    }

    /// The samples, oldest first. The last one is of the present minute.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Sample> {
        self.0.iter()
    }

    fn begin(&mut self, from_ms: i64) {
        let kept_ms = MINUTE_MS * i64::from(SAMPLES_KEPT);
        let mut next_ms = self.0.back().map_or(from_ms, |latest| latest.from_ms.saturating_add(MINUTE_MS));
        // After an hour without a measurement, no earlier sample is kept.
        if from_ms.saturating_sub(next_ms) >= kept_ms {
            self.0.clear();
            next_ms = from_ms;
        }
        while next_ms <= from_ms {
            self.0.push_back(Sample::unknown(next_ms));
            next_ms = next_ms.saturating_add(MINUTE_MS);
        }
        while self.0.len() > SAMPLES_KEPT as usize {
            self.0.pop_front();
        }
    }
}
