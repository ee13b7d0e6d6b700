//! Latency of the state store's commits, compared with LEADER_TTL. The driver uses it for renewals and heartbeats.
//!
//! A term ends when no renewal is acknowledged within LEADER_TTL, so a store that commits slowly ends terms of
//! healthy leaders. Invariant: one [`Verdict`] when the store becomes slow and one when it is fast again, regardless
//! of the number of commits between them.

use alloc::collections::VecDeque;
use core::fmt;
use core::time::Duration;

/// Number of latest commits that are judged together. The second slowest of 100 is their 99th percentile (nearest
/// rank).
const WINDOW: usize = 100;
/// Fewer commits give no verdict. A leader makes this number within its first LEADER_TTL.
const SAMPLES_MIN: usize = 5;
/// A commit is slow if it takes more than LEADER_TTL / 10. A leader sends a renewal every LEADER_TTL / 3, and each
/// one times out after LEADER_TTL / 3. A tenth is about three times less than that, and a stall often takes several
/// times the 99th percentile.
const SLOW_PART: u32 = 10;
/// The store is fast again below LEADER_TTL / 20. The gap to [`SLOW_PART`] lets a store near the limit be reported
/// once instead of with every commit.
const FAST_PART: u32 = 20;
/// Number of commits that explain the end of a term: those of about three LEADER_TTLs.
const RECENT: usize = 10;

const _: () = assert!(SAMPLES_MIN < WINDOW && RECENT < WINDOW && SLOW_PART < FAST_PART);

/// The time from which a commit is slow for this LEADER_TTL: a tenth of it.
pub fn slow_limit(ttl: Duration) -> Duration {
    ttl / SLOW_PART
}

/// The latest commits of one process.
#[derive(Debug, Clone)]
pub struct CommitLatency {
    ttl: Duration,
    /// The oldest first.
    took: VecDeque<Duration>,
    slow: bool,
}

impl CommitLatency {
    /// No commits yet. `ttl` is LEADER_TTL.
    pub fn new(ttl: Duration) -> Self {
        Self { ttl, took: VecDeque::with_capacity(WINDOW), slow: false }
    }

    /// Records a commit that was acknowledged after `took`, and returns the verdict if it changes. Commits without an
    /// answer are not recorded: an unreachable store is not a slow store.
    pub fn record(&mut self, took: Duration) -> Option<Verdict> {
        if self.took.len() == WINDOW {
            self.took.pop_front();
        }
        self.took.push_back(took);
        let slowness = self.slowness()?;
        let was_slow = self.slow;
        self.slow = slowness.took > self.ttl / if was_slow { FAST_PART } else { SLOW_PART };
        match (was_slow, self.slow) {
            (false, true) => Some(Verdict::Slow(slowness)),
            (true, false) => Some(Verdict::FastAgain(slowness)),
            (false, false) | (true, true) => None,
        }
    }

    /// The slowest of the last ten commits; `None` before the first.
    pub fn slowest_recent(&self) -> Option<Duration> {
        self.took.iter().rev().take(RECENT).max().copied()
    }

    /// The second slowest commit. The slowest may be an outlier, or the first statement of a new connection.
    fn slowness(&self) -> Option<Slowness> {
        if self.took.len() < SAMPLES_MIN {
            return None;
        }
        let mut slowest = [Duration::ZERO; 2];
        for took in &self.took {
            if *took > slowest[0] {
                slowest = [*took, slowest[0]];
            } else if *took > slowest[1] {
                slowest[1] = *took;
            }
        }
        Some(Slowness { took: slowest[1], samples: self.took.len(), limit: slow_limit(self.ttl) })
    }
}

/// A change of the verdict on the state store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Commits take more than a tenth of LEADER_TTL.
    Slow(Slowness),
    /// Commits take less than LEADER_TTL / 20 again.
    FastAgain(Slowness),
}

/// Measured latency of the latest commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slowness {
    /// The second slowest commit: the 99th percentile of 100.
    pub took: Duration,
    /// The number of commits, from 5 to 100.
    pub samples: usize,
    /// The limit above which commits are slow: LEADER_TTL / 10.
    pub limit: Duration,
}

/// `p99 of the last 100 is 120 ms`, or with fewer than 100 commits `the second slowest of the first 7 is 120 ms`.
impl fmt::Display for Slowness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (which, order) =
            if self.samples < WINDOW { ("the second slowest", "first") } else { ("p99", "last") };
        write!(f, "{which} of the {order} {} is {} ms", self.samples, self.took.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec::Vec;

    /// Slow above 1 s, fast again up to 500 ms.
    const TTL: Duration = Duration::from_secs(10);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn judged(latency: &mut CommitLatency, took: impl IntoIterator<Item = u64>) -> Vec<Verdict> {
        took.into_iter().filter_map(|took| latency.record(ms(took))).collect()
    }

    #[test]
    fn the_second_slow_commit_of_at_least_five_is_reported_once() {
        let mut latency = CommitLatency::new(TTL);
        assert_eq!(judged(&mut latency, [3, 1_200, 1_500, 3]), [], "four commits say nothing");
        let slow = Slowness { took: ms(1_200), samples: 5, limit: ms(1_000) };
        assert_eq!(judged(&mut latency, [3]), [Verdict::Slow(slow)]);
        assert_eq!(slow.to_string(), "the second slowest of the first 5 is 1200 ms");
        assert_eq!(judged(&mut latency, [2_000; 200]), [], "an episode is reported once");
    }

    #[test]
    fn one_outlier_in_a_hundred_is_not_reported_and_two_are_their_p99() {
        let mut latency = CommitLatency::new(TTL);
        assert_eq!(judged(&mut latency, [3; 98].into_iter().chain([9_000])), []);
        let slow = Slowness { took: ms(1_001), samples: 100, limit: ms(1_000) };
        assert_eq!(judged(&mut latency, [1_001]), [Verdict::Slow(slow)]);
        assert_eq!(slow.to_string(), "p99 of the last 100 is 1001 ms");
        let mut at_the_limit = CommitLatency::new(TTL);
        assert_eq!(judged(&mut at_the_limit, [1_000; 200]), []);
    }

    #[test]
    fn a_slow_store_is_reported_again_only_after_it_was_fast() {
        let mut latency = CommitLatency::new(TTL);
        assert_eq!(judged(&mut latency, [1_100; 5]).len(), 1);
        // The slow commits leave the window. The commits that follow are between the two limits.
        assert_eq!(judged(&mut latency, [501; 300]), []);
        assert_eq!(judged(&mut latency, [1_100; 5]), []);
        let fast = Slowness { took: ms(500), samples: 100, limit: ms(1_000) };
        assert_eq!(judged(&mut latency, [500; 300]), [Verdict::FastAgain(fast)]);
        assert_eq!(judged(&mut latency, [1_100]), [], "an outlier");
        assert_eq!(judged(&mut latency, [1_100]).len(), 1);
    }

    #[test]
    fn the_limit_is_a_share_of_leader_ttl() {
        let mut short = CommitLatency::new(Duration::from_secs(1));
        assert_eq!(judged(&mut short, [101; 5]).len(), 1);
        let mut long = CommitLatency::new(Duration::from_mins(5));
        assert_eq!(judged(&mut long, [29_999; 5]), []);
    }

    #[test]
    fn the_slowest_recent_commit_is_one_of_the_last_ten() {
        let mut latency = CommitLatency::new(TTL);
        assert_eq!(latency.slowest_recent(), None);
        judged(&mut latency, [900, 7]);
        assert_eq!(latency.slowest_recent(), Some(ms(900)));
        judged(&mut latency, [3; 9]);
        assert_eq!(latency.slowest_recent(), Some(ms(7)));
    }
}
