//! Histogram of durations since the start of the process, with buckets that can be summed over instances.

use core::time::Duration;

/// Upper bounds of the buckets, ascending; longer durations count only in the total. For syncs the bounds include the
/// limits of the latency alerts (100 and 500 ms), so that a quantile over the cluster is exact there, and end at the
/// timeout of a request under the longest usual lease. A signal is sent within milliseconds of its acceptance, or
/// after a failover, which takes one lease (10 s by default). A separate gauge has the age of a signal that waits
/// longer.
pub const BOUNDS: [Duration; 13] = [
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2_500),
    Duration::from_secs(5),
    Duration::from_secs(10),
];

/// Counts by [`BOUNDS`], with the number and the sum of all durations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Histogram {
    counts: [u64; BOUNDS.len()],
    count: u64,
    sum: Duration,
}

impl Histogram {
    /// Counts one duration. A bucket includes its upper bound.
    pub fn record(&mut self, took: Duration) {
        self.count += 1;
        self.sum = self.sum.saturating_add(took);
        if let Some(bucket) = BOUNDS.iter().position(|bound| took <= *bound) {
            self.counts[bucket] += 1;
        }
    }

    /// The number of recorded durations.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The sum of all durations.
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// Each bound with the number of durations up to it, ascending.
    pub fn cumulative(&self) -> impl Iterator<Item = (Duration, u64)> {
        BOUNDS.iter().zip(self.counts).scan(0, |up_to, (bound, count)| {
            *up_to += count;
            Some((*bound, *up_to))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn bounds_ascend() {
        assert!(BOUNDS.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn a_bucket_includes_its_bound_and_longer_durations_count_only_in_the_total() {
        let mut histogram = Histogram::default();
        for ms in [1, 100, 101, 10_001] {
            histogram.record(Duration::from_millis(ms));
        }
        let up_to = |ms| {
            let all: Vec<_> = histogram.cumulative().collect();
            all.into_iter().find(|(bound, _)| *bound == Duration::from_millis(ms)).unwrap().1
        };
        assert_eq!([up_to(1), up_to(50), up_to(100), up_to(250), up_to(10_000)], [1, 1, 2, 3, 3]);
        assert_eq!(histogram.count(), 4);
        assert_eq!(histogram.sum(), Duration::from_millis(10_203));
    }
}
