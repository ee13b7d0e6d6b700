//! The window of the last syncs, from which the failure rate and the latencies are computed.
//!
//! A rate over the whole life of the process would hide an outage behind earlier successes.

use super::SyncResult;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

/// Default size of the window: about five minutes of heartbeats at the default lease.
pub const WINDOW_DEFAULT: usize = 100;
/// Smallest window: the last sync.
pub const WINDOW_MIN: usize = 1;
/// Largest window. A larger one would hide an outage for hours, and every snapshot sorts it.
pub const WINDOW_MAX: usize = 10_000;

const _: () = assert!(WINDOW_MIN <= WINDOW_DEFAULT && WINDOW_DEFAULT <= WINDOW_MAX);

/// The last syncs, oldest first.
#[derive(Debug, Clone)]
pub(super) struct Window {
    syncs: VecDeque<(SyncResult, Duration)>,
    capacity: usize,
}

impl Window {
    /// An empty window of `capacity` syncs, clamped to [`WINDOW_MIN`] to [`WINDOW_MAX`].
    pub(super) fn new(capacity: usize) -> Self {
        let capacity = capacity.clamp(WINDOW_MIN, WINDOW_MAX);
        Self { syncs: VecDeque::with_capacity(capacity), capacity }
    }

    /// Adds a sync; if the window is full, the oldest is removed.
    pub(super) fn push(&mut self, result: SyncResult, took: Duration) {
        if self.syncs.len() == self.capacity {
            self.syncs.pop_front();
        }
        self.syncs.push_back((result, took));
    }

    pub(super) fn stats(&self) -> WindowStats {
        let failures = self.syncs.iter().filter(|(result, _)| *result == SyncResult::Failed).count();
        WindowStats {
            capacity: self.capacity,
            samples: self.syncs.len(),
            failures,
            latency: Latency::of(self.syncs.iter().map(|(_, took)| *took).collect()),
        }
    }
}

/// Statistics of the window at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowStats {
    /// The number of syncs that the window can hold.
    pub capacity: usize,
    /// The number of syncs in it.
    pub samples: usize,
    /// The number of failed syncs.
    pub failures: usize,
    /// The latencies, failures included; `None` without a sample.
    pub latency: Option<Latency>,
}

impl WindowStats {
    /// Share of failures, 0.0 to 1.0; 0.0 without a sample.
    pub fn failure_rate(&self) -> f64 {
        // Both are at most WINDOW_MAX, so exact.
        #[allow(clippy::cast_precision_loss)]
        let (failures, samples) = (self.failures as f64, self.samples.max(1) as f64);
        failures / samples
    }
}

/// Durations of the syncs in the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    /// The mean, rounded down to the nanosecond.
    pub avg: Duration,
    /// The shortest.
    pub min: Duration,
    /// The longest.
    pub max: Duration,
    /// The median.
    pub p50: Duration,
    /// The 95th percentile.
    pub p95: Duration,
    /// The 99th percentile.
    pub p99: Duration,
}

impl Latency {
    fn of(mut took: Vec<Duration>) -> Option<Self> {
        took.sort_unstable();
        let (min, max) = (*took.first()?, *took.last()?);
        let sum = took.iter().fold(Duration::ZERO, |sum, took| sum.saturating_add(*took));
        let samples = u32::try_from(took.len()).expect("a window holds at most WINDOW_MAX syncs");
        Some(Self {
            avg: sum / samples,
            min,
            max,
            p50: percentile(&took, 50),
            p95: percentile(&took, 95),
            p99: percentile(&took, 99),
        })
    }
}

/// The value at index `percent / 100 * (n - 1)` of `sorted`, which is not empty; linear between two ranks. Computed
/// in integers, so that no rounding of floats decides on which side of a limit a value is.
fn percentile(sorted: &[Duration], percent: u32) -> Duration {
    let hundredths = (sorted.len() - 1) * percent as usize;
    let (rank, between) = (hundredths / 100, hundredths % 100);
    let below = sorted[rank];
    let above = sorted.get(rank + 1).copied().unwrap_or(below);
    let between = u32::try_from(between).expect("a remainder of 100 is small");
    below + above.saturating_sub(below).saturating_mul(between) / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn window(capacity: usize, syncs: impl IntoIterator<Item = (SyncResult, Duration)>) -> WindowStats {
        let mut window = Window::new(capacity);
        for (result, took) in syncs {
            window.push(result, took);
        }
        window.stats()
    }

    fn good(took: impl IntoIterator<Item = u64>) -> Option<Latency> {
        window(WINDOW_MAX, took.into_iter().map(|took| (SyncResult::Succeeded, ms(took)))).latency
    }

    #[test]
    fn without_a_sample_there_are_no_statistics() {
        let empty = WindowStats { capacity: 100, samples: 0, failures: 0, latency: None };
        assert_eq!(window(100, []), empty);
        assert_eq!(empty.failure_rate().to_bits(), 0.0_f64.to_bits());
    }

    #[test]
    fn one_sample_is_every_percentile() {
        let seven = ms(7);
        let all = Latency { avg: seven, min: seven, max: seven, p50: seven, p95: seven, p99: seven };
        assert_eq!(good([7]), Some(all));
    }

    #[test]
    fn percentiles_are_linear_between_closest_ranks() {
        // n = 4: indexes 1.5, 2.85 and 2.97 of [10, 20, 30, 40], given in another order.
        let four = good([40, 10, 30, 20]).unwrap();
        assert_eq!(
            (four.p50, four.p95, four.p99),
            (ms(25), Duration::from_micros(38_500), Duration::from_micros(39_700))
        );
        // n = 2: indexes 0.5, 0.95, 0.99 of [0, 100].
        let two = good([0, 100]).unwrap();
        assert_eq!((two.p50, two.p95, two.p99), (ms(50), ms(95), ms(99)));
        // n = 101: index 50, 95, 99 exactly.
        let hundred_and_one = good(0..=100).unwrap();
        assert_eq!((hundred_and_one.p50, hundred_and_one.p95, hundred_and_one.p99), (ms(50), ms(95), ms(99)));
        // n = 100: index 49.5, 94.05, 98.01 of 1..=100.
        let hundred = good(1..=100).unwrap();
        assert_eq!(
            (hundred.p50, hundred.p95, hundred.p99),
            (Duration::from_micros(50_500), Duration::from_micros(95_050), Duration::from_micros(99_010))
        );
        assert_eq!((hundred.min, hundred.avg, hundred.max), (ms(1), Duration::from_micros(50_500), ms(100)));
    }

    #[test]
    fn the_longest_durations_saturate() {
        let all = [(SyncResult::Failed, Duration::ZERO), (SyncResult::Failed, Duration::MAX)];
        let latency = window(2, all).latency.unwrap();
        assert!(latency.p50 <= latency.p99 && latency.max == Duration::MAX);
        assert_eq!(window(2, [(SyncResult::Failed, Duration::MAX); 2]).latency.unwrap().p99, Duration::MAX);
    }

    #[test]
    fn the_latency_includes_failures() {
        let stats = window(100, [(SyncResult::Succeeded, ms(10)), (SyncResult::Failed, ms(3_000))]);
        assert_eq!((stats.samples, stats.failures), (2, 1));
        assert_eq!(stats.latency.unwrap().max, ms(3_000));
        assert_eq!(stats.failure_rate().to_bits(), 0.5_f64.to_bits());
    }

    #[test]
    fn an_outage_after_ten_thousand_good_syncs_is_a_rate_of_one_once_it_fills_the_window() {
        let mut window = Window::new(WINDOW_DEFAULT);
        for _ in 0..10_000 {
            window.push(SyncResult::Succeeded, ms(5));
        }
        for failed in 1..=WINDOW_DEFAULT {
            window.push(SyncResult::Failed, ms(3_333));
            assert_eq!((window.stats().samples, window.stats().failures), (WINDOW_DEFAULT, failed));
        }
        assert_eq!(window.stats().failure_rate().to_bits(), 1.0_f64.to_bits());
        assert_eq!(window.stats().latency.unwrap().min, ms(3_333));
    }

    #[test]
    fn the_capacity_is_kept_between_its_limits() {
        assert_eq!(window(0, []).capacity, WINDOW_MIN);
        assert_eq!(window(usize::MAX, []).capacity, WINDOW_MAX);
    }
}
