//! How long the state store takes to commit, judged against LEADER_TTL. Used by the driver for renewals and heartbeats.
//!
//! A term ends when no renewal is acknowledged within LEADER_TTL, so a store that commits slowly ends terms of healthy
//! leaders. Invariant: one [`Verdict`] when the store becomes slow and one when it is fast again, however many commits
//! there are in between.

use alloc::collections::VecDeque;
use core::fmt;
use core::time::Duration;

/// Commits that are judged together, the latest ones. The second slowest of 100 is their 99th percentile (nearest rank).
const WINDOW: usize = 100;
/// Fewer commits say nothing. A leader has as many within its first LEADER_TTL.
const SAMPLES_MIN: usize = 5;
/// A commit is slow from this part of LEADER_TTL on. A renewal is sent every third of LEADER_TTL and given up after another
/// one. A tenth is three times below that, and a stall is often several times longer than the 99th percentile.
const SLOW_PART: u32 = 10;
/// Commits are fast again below this part of LEADER_TTL. Half of [`SLOW_PART`]'s, so that a store at the limit is reported
/// once and not with every commit.
const FAST_PART: u32 = 20;
/// The commits that explain the end of a term: those of about three LEADER_TTLs.
const RECENT: usize = 10;

const _: () = assert!(SAMPLES_MIN < WINDOW && RECENT < WINDOW && SLOW_PART < FAST_PART);

/// The latest commits of one process.
#[derive(Debug, Clone)]
pub struct CommitLatency {
    ttl: Duration,
    /// The oldest first.
    took: VecDeque<Duration>,
    slow: bool,
}

impl CommitLatency {
    /// Nothing is committed yet. `ttl` is LEADER_TTL.
    pub fn new(ttl: Duration) -> Self {
        Self { ttl, took: VecDeque::with_capacity(WINDOW), slow: false }
    }

    /// Takes a commit into account that was acknowledged after `took`. Answers when this changes how the store is judged.
    /// One that had no answer does not count: a store that is away is not a store that commits slowly.
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

    /// One outlier is no habit of the store, and may be the first statement of a new connection. So not the slowest.
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
        Some(Slowness { took: slowest[1], samples: self.took.len(), limit: self.ttl / SLOW_PART })
    }
}

/// A change of how the state store is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Commits take more than a tenth of LEADER_TTL.
    Slow(Slowness),
    /// They take less than half of that.
    FastAgain(Slowness),
}

/// How slow the latest commits are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slowness {
    /// The second slowest of them: their 99th percentile when there are 100.
    pub took: Duration,
    /// How many there are, from 5 to 100.
    pub samples: usize,
    /// More than this is slow: a tenth of LEADER_TTL.
    pub limit: Duration,
}

/// `p99 of the last 100 is 120 ms`, or before there are as many `the second slowest of the first 7 is 120 ms`.
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
        // The slow ones leave the window. What follows is not slow, and not fast either.
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
