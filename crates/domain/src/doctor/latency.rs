//! [`Latencies`]: measured times of one kind of request, compared with LEADER_TTL.

use super::{Check, Finding};
use crate::commit_latency::slow_limit;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

/// Number of measurements from which the 99th percentile is one.
const P99_SAMPLES: usize = 100;

/// Times of a number of equal requests, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    /// Number of requests that a measurement should have.
    pub const WANTED: usize = P99_SAMPLES;

    /// The times in any order; `None` without any.
    pub fn of(mut times: Vec<Duration>) -> Option<Self> {
        times.sort_unstable();
        (!times.is_empty()).then_some(Self(times))
    }

    /// The median (nearest rank).
    fn median(&self) -> Duration {
        self.0[(self.0.len() - 1) / 2]
    }

    /// The time that is judged: p99, or the slowest if there are too few for a p99.
    fn high(&self) -> Duration {
        if self.0.len() < P99_SAMPLES {
            self.0[self.0.len() - 1]
        } else {
            self.0[(self.0.len() * 99).div_ceil(100) - 1]
        }
    }

    /// `p50 0.4 ms, p99 1.2 ms (100 commits)`.
    fn described(&self, what: &str) -> String {
        let high = if self.0.len() < P99_SAMPLES { "slowest" } else { "p99" };
        format!("p50 {}, {high} {} ({} {what})", ms(self.median()), ms(self.high()), self.0.len())
    }

    /// Compares commits with LEADER_TTL.
    pub(crate) fn judged(&self, check: Check, ttl: Duration, remedy: &str) -> Finding {
        let limit = slow_limit(ttl);
        let found = format!("{}; the limit is LEADER_TTL / 10 = {}", self.described("commits"), ms(limit));
        if self.high() > limit { Finding::failed(check, found, remedy) } else { Finding::ok(check, found) }
    }
}

/// Milliseconds with one decimal.
pub(crate) fn ms(time: Duration) -> String {
    let tenths = (time.as_micros() + 50) / 100;
    format!("{}.{} ms", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;
    use alloc::vec;

    const TTL: Duration = Duration::from_secs(10);

    fn judged(times: Vec<u64>) -> Finding {
        let times = times.into_iter().map(Duration::from_millis).collect();
        Latencies::of(times).unwrap().judged(Check::PostgresCommits, TTL, "faster")
    }

    #[test]
    fn one_slow_commit_of_a_hundred_is_no_p99_and_two_are() {
        let slow = |many| judged([vec![4; 100 - many], vec![1_001; many]].concat());
        assert_eq!(slow(1).verdict, Verdict::Ok);
        assert_eq!(slow(2).verdict, Verdict::Failed);
        assert_eq!(
            slow(2).found,
            "p50 4.0 ms, p99 1001.0 ms (100 commits); the limit is LEADER_TTL / 10 = 1000.0 ms"
        );
    }

    #[test]
    fn few_commits_have_no_p99_and_the_slowest_is_judged() {
        let finding = judged(vec![1_500, 4, 4]);
        assert_eq!(finding.verdict, Verdict::Failed);
        assert!(finding.found.starts_with("p50 4.0 ms, slowest 1500.0 ms (3 commits)"), "{}", finding.found);
        assert_eq!(Latencies::of(Vec::new()), None);
    }
}
