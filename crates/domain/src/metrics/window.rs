//! The window of the last heartbeats, from which the failure rate and the latencies are computed.
//!
//! A rate over the whole life of the process would hide an outage behind earlier successes. A sample is a heartbeat and
//! not an attempt: failed syncs are repeated several times in a heartbeat, so a rate over attempts would show a short
//! outage as a long one. A sample has failed if one of its attempts has failed, also when a later one succeeded.

use super::SyncResult;
use crate::time::Time;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

/// Default size of the window: five and a half minutes of heartbeats at the default lease.
pub const WINDOW_DEFAULT: usize = 100;
/// Smallest window: the last heartbeat.
pub const WINDOW_MIN: usize = 1;
/// Largest window. A larger one would hide an outage for hours, and every snapshot sorts it.
pub const WINDOW_MAX: usize = 10_000;

const _: () = assert!(WINDOW_MIN <= WINDOW_DEFAULT && WINDOW_DEFAULT <= WINDOW_MAX);

/// Fewest samples of which a 95th percentile is more than the maximum.
pub const P95_SAMPLES_MIN: usize = 20;
/// As [`P95_SAMPLES_MIN`], for the 99th percentile.
pub const P99_SAMPLES_MIN: usize = 100;

/// Share of a heartbeat in which further attempts belong to the same sample. The next renewal may be a little early.
const SAME_SAMPLE: (u32, u32) = (15, 16);

/// The syncs of one heartbeat.
#[derive(Debug, Clone, Copy)]
struct Sample {
    result: SyncResult,
    took: Duration,
    /// The first attempt.
    from: Time,
}

/// The last heartbeats, oldest first.
#[derive(Debug, Clone)]
pub(super) struct Window {
    samples: VecDeque<Sample>,
    capacity: usize,
    heartbeat: Duration,
}

impl Window {
    /// An empty window of `capacity` heartbeats, clamped to [`WINDOW_MIN`] to [`WINDOW_MAX`].
    pub(super) fn new(capacity: usize, heartbeat: Duration) -> Self {
        let capacity = capacity.clamp(WINDOW_MIN, WINDOW_MAX);
        Self { samples: VecDeque::with_capacity(capacity), capacity, heartbeat }
    }

    /// Adds a sync that ended at `at`; if it begins a sample and the window is full, the oldest sample is removed.
    pub(super) fn push(&mut self, result: SyncResult, took: Duration, at: Time) {
        let (share, of) = SAME_SAMPLE;
        if let Some(latest) =
            self.samples.back_mut().filter(|latest| at.since(latest.from) < self.heartbeat * share / of)
        {
            latest.took = took.max(latest.took);
            if result == SyncResult::Failed {
                latest.result = result;
            }
            return;
        }
        if self.samples.len() == self.capacity {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample { result, took, from: at });
    }

    pub(super) fn stats(&self) -> WindowStats {
        let failures = self.samples.iter().filter(|sample| sample.result == SyncResult::Failed).count();
        WindowStats {
            capacity: self.capacity,
            heartbeat: self.heartbeat,
            samples: self.samples.len(),
            failures,
            latency: Latency::of(self.samples.iter().map(|sample| sample.took).collect(), self.capacity),
        }
    }
}

/// Statistics of the window at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowStats {
    /// The number of heartbeats that the window can hold.
    pub capacity: usize,
    /// The time between two renewals of the lease.
    pub heartbeat: Duration,
    /// The number of heartbeats in it.
    pub samples: usize,
    /// The number of heartbeats in which a sync failed.
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

    /// The time that the samples cover.
    pub fn covers(&self) -> Duration {
        self.heartbeat.saturating_mul(u32::try_from(self.samples).unwrap_or(u32::MAX))
    }
}

/// Durations of the syncs in the window: of each heartbeat the longest.
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
    /// The 95th percentile; `None` below [`P95_SAMPLES_MIN`] samples. A smaller window needs to be full.
    pub p95: Option<Duration>,
    /// The 99th percentile; `None` below [`P99_SAMPLES_MIN`] samples. A smaller window needs to be full.
    pub p99: Option<Duration>,
}

impl Latency {
    /// The latencies of a window of `capacity` heartbeats.
    fn of(mut took: Vec<Duration>, capacity: usize) -> Option<Self> {
        took.sort_unstable();
        let (min, max) = (*took.first()?, *took.last()?);
        let sum = took.iter().fold(Duration::ZERO, |sum, took| sum.saturating_add(*took));
        let samples = u32::try_from(took.len()).expect("a window holds at most WINDOW_MAX samples");
        Some(Self {
            avg: sum / samples,
            min,
            max,
            p50: percentile(&took, 50),
            p95: (took.len() >= P95_SAMPLES_MIN.min(capacity)).then(|| percentile(&took, 95)),
            p99: (took.len() >= P99_SAMPLES_MIN.min(capacity)).then(|| percentile(&took, 99)),
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
    use alloc::vec;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn window(capacity: usize, syncs: impl IntoIterator<Item = (SyncResult, Duration)>) -> WindowStats {
        let mut window = Window::new(capacity, Duration::ZERO);
        for (result, took) in syncs {
            window.push(result, took, Time::ZERO);
        }
        window.stats()
    }

    fn good(took: impl IntoIterator<Item = u64>) -> Option<Latency> {
        window(WINDOW_MAX, took.into_iter().map(|took| (SyncResult::Succeeded, ms(took)))).latency
    }

    #[test]
    fn without_a_sample_there_are_no_statistics() {
        let empty =
            WindowStats { capacity: 100, heartbeat: Duration::ZERO, samples: 0, failures: 0, latency: None };
        assert_eq!(window(100, []), empty);
        assert_eq!(empty.failure_rate().to_bits(), 0.0_f64.to_bits());
    }

    #[test]
    fn a_percentile_needs_enough_samples_to_be_more_than_the_maximum() {
        let seven = ms(7);
        let all = |p95, p99| Some(Latency { avg: seven, min: seven, max: seven, p50: seven, p95, p99 });
        for (samples, p95, p99) in [
            (1, None, None),
            (19, None, None),
            (20, Some(seven), None),
            (99, Some(seven), None),
            (100, Some(seven), Some(seven)),
        ] {
            assert_eq!(good(core::iter::repeat_n(7, samples)), all(p95, p99), "{samples} samples");
        }
    }

    /// Otherwise a small window would never have one, and its alert would never fire.
    #[test]
    fn a_window_that_is_smaller_than_a_percentile_needs_has_it_once_it_is_full() {
        let known = |capacity, samples| {
            let latency = window(capacity, vec![(SyncResult::Succeeded, ms(7)); samples]).latency.unwrap();
            (latency.p95.is_some(), latency.p99.is_some())
        };
        for (capacity, samples, expected) in [
            (1, 1, (true, true)),
            (10, 9, (false, false)),
            (10, 10, (true, true)),
            (50, 20, (true, false)),
            (50, 49, (true, false)),
            (50, 50, (true, true)),
            (1_000, 99, (true, false)),
        ] {
            assert_eq!(known(capacity, samples), expected, "{samples} of {capacity}");
        }
    }

    #[test]
    fn percentiles_are_linear_between_closest_ranks() {
        // n = 4: index 1.5 of [10, 20, 30, 40], given in another order.
        assert_eq!(good([40, 10, 30, 20]).unwrap().p50, ms(25));
        assert_eq!(good([0, 100]).unwrap().p50, ms(50));
        // n = 101: index 50, 95, 99 exactly.
        let hundred_and_one = good(0..=100).unwrap();
        assert_eq!(
            (hundred_and_one.p50, hundred_and_one.p95, hundred_and_one.p99),
            (ms(50), Some(ms(95)), Some(ms(99)))
        );
        // n = 100: index 49.5, 94.05, 98.01 of 1..=100.
        let hundred = good(1..=100).unwrap();
        assert_eq!(
            (hundred.p50, hundred.p95, hundred.p99),
            (
                Duration::from_micros(50_500),
                Some(Duration::from_micros(95_050)),
                Some(Duration::from_micros(99_010))
            )
        );
        assert_eq!((hundred.min, hundred.avg, hundred.max), (ms(1), Duration::from_micros(50_500), ms(100)));
    }

    /// A heartbeat of 8 s; failed syncs are repeated every second.
    #[test]
    fn the_attempts_of_one_heartbeat_are_one_sample() {
        let mut window = Window::new(100, Duration::from_secs(8));
        let mut sync = |s: u64, result, took| {
            window.push(result, ms(took), Time::from_nanos(s * 1_000_000_000));
            (window.stats().samples, window.stats().failures, window.stats().latency.unwrap().max)
        };
        assert_eq!(sync(0, SyncResult::Succeeded, 5), (1, 0, ms(5)));
        for s in 8..16 {
            assert_eq!(sync(s, SyncResult::Failed, s), (2, 1, ms(s)));
        }
        // The store is back: the good attempt does not hide the failed ones of its heartbeat.
        assert_eq!(sync(16, SyncResult::Failed, 20), (3, 2, ms(20)));
        assert_eq!(sync(17, SyncResult::Succeeded, 5), (3, 2, ms(20)));
        assert_eq!(sync(24, SyncResult::Succeeded, 5), (4, 2, ms(20)));
        assert_eq!(window.stats().covers(), Duration::from_secs(32));
    }

    /// A restart of the database takes two heartbeats; the attempts in it are eight times as frequent.
    #[test]
    fn a_short_outage_is_a_small_share_of_the_window() {
        let heartbeat = Duration::from_millis(3_200);
        let mut window = Window::new(WINDOW_DEFAULT, heartbeat);
        let mut at = Time::ZERO;
        for _ in 0..WINDOW_DEFAULT {
            window.push(SyncResult::Succeeded, ms(5), at);
            at = at + heartbeat;
        }
        for _ in 0..16 {
            window.push(SyncResult::Failed, ms(5), at);
            at = at + heartbeat / 8;
        }
        assert_eq!(window.stats().failures, 2);
    }

    #[test]
    fn the_longest_durations_saturate() {
        let all = [(SyncResult::Failed, Duration::ZERO), (SyncResult::Failed, Duration::MAX)];
        let latency = window(2, all).latency.unwrap();
        assert!(latency.p50 < latency.max && latency.max == Duration::MAX);
        let longest = window(100, [(SyncResult::Failed, Duration::MAX); 100]).latency.unwrap();
        assert_eq!(longest.p99, Some(Duration::MAX));
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
        let mut window = Window::new(WINDOW_DEFAULT, Duration::ZERO);
        for _ in 0..10_000 {
            window.push(SyncResult::Succeeded, ms(5), Time::ZERO);
        }
        for failed in 1..=WINDOW_DEFAULT {
            window.push(SyncResult::Failed, ms(3_333), Time::ZERO);
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
