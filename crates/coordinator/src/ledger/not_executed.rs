//! The signals that the handler answered for that it did not execute them, and how long the leader waits before it sends
//! again. Used by the dispatcher. The invariant: a signal whose handler keeps answering so is sent at most every
//! [`PAUSE_MAX`], and is not forgotten while it is sent again and again.

use crate::clock;
use domain::ledger::SignalId;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// First pause after such an answer; it doubles with each further one for the same signal, up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// Longest pause: a handler that is available again gets work after this time at the latest.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A signal that was not sent for this long has expired or is held up by something else.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(90);
const _: () = assert!(FORGOTTEN_AFTER.as_secs() >= 2 * PAUSE_MAX.as_secs());

#[derive(Debug)]
struct Refused {
    since_ms: i64,
    since: Instant,
    last: Instant,
    times: u32,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct NotExecuted(BTreeMap<SignalId, Refused>);

impl NotExecuted {
    /// The handler answered once more that it did not execute the signal, for the reason in `note`.
    pub(super) fn add(&mut self, id: &SignalId, note: &str) {
        let now = Instant::now();
        let fresh = Refused { since_ms: clock::calendar_ms(), since: now, last: now, times: 0 };
        let refused = self.0.entry(id.clone()).or_insert(fresh);
        refused.times = refused.times.saturating_add(1);
        refused.last = now;
        let (times, pause) = (refused.times, pause_after(refused.times));
        // The first ones come within a second.
        if times.is_power_of_two() || pause == PAUSE_MAX {
            let for_s = (now - refused.since).as_secs();
            tracing::warn!(
                "signal {id} was not executed, attempt {times} in {for_s} s: {note}; sent again in {pause:?} at the earliest"
            );
        }
    }

    /// The signal has another outcome.
    pub(super) fn remove(&mut self, id: &SignalId) {
        self.0.remove(id);
    }

    /// Drops the signals that have not been sent for long.
    pub(super) fn prune(&mut self) {
        let now = Instant::now();
        self.0.retain(|_, refused| now.saturating_duration_since(refused.last) < FORGOTTEN_AFTER);
    }

    /// How long to wait before the next claim; zero when no signal was refused.
    pub(super) fn pause(&self) -> Duration {
        self.0.values().map(|refused| pause_after(refused.times)).max().unwrap_or_default()
    }

    /// Since when the longest of them has been refused, unix milliseconds.
    pub(super) fn since_ms(&self) -> Option<i64> {
        self.0.values().map(|refused| refused.since_ms).min()
    }
}

fn pause_after(times: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(times.saturating_sub(1));
    PAUSE_MIN.saturating_mul(doubled).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> SignalId {
        SignalId::parse(text).expect("an id")
    }

    #[tokio::test(start_paused = true)]
    async fn the_pause_doubles_for_each_answer_up_to_half_a_minute() {
        let mut refused = NotExecuted::default();
        assert_eq!((refused.pause(), refused.since_ms()), (Duration::ZERO, None));
        let mut pauses = Vec::new();
        for _ in 0..12 {
            refused.add(&id("s-1"), "busy");
            pauses.push(refused.pause().as_millis());
        }
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000]);
        refused.add(&id("s-2"), "busy");
        assert_eq!(refused.pause(), PAUSE_MAX, "another signal does not shorten it");
        refused.remove(&id("s-1"));
        assert_eq!(refused.pause(), PAUSE_MIN);
        refused.remove(&id("s-2"));
        assert_eq!((refused.pause(), refused.since_ms()), (Duration::ZERO, None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_signal_that_is_not_sent_any_more_is_dropped() {
        let mut refused = NotExecuted::default();
        refused.add(&id("s-1"), "busy");
        tokio::time::advance(PAUSE_MAX).await;
        refused.prune();
        assert!(refused.since_ms().is_some(), "its next attempt may only just be due");
        tokio::time::advance(FORGOTTEN_AFTER).await;
        refused.prune();
        assert_eq!(refused.since_ms(), None);
    }
}
