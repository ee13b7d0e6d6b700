//! [`HintGate`]: the rate at which hints are passed on. Every role of a database may send any number of
//! hints, so a hint is only a request to read once, and a storm of hints causes no more reads than the rate
//! below.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Hints that are passed on at once: enough for a handover or a small batch of signals.
const BURST: u32 = 16;

/// Where hints of one kind arrive. [`Notify::notify_one`] keeps one hint for the next caller that waits, as
/// the port promises about cancellation. Several hints become one.
#[derive(Debug)]
pub(crate) struct HintGate {
    arrived: Notify,
    pace: Mutex<Pace>,
}

/// The time at which the next hint may be passed on.
#[derive(Debug)]
struct Pace {
    /// Mean time between two hints that are passed on in a storm.
    pause: Duration,
    /// Time at which all hints so far would have been passed on at that rate.
    paid_until: Instant,
}

impl Pace {
    fn due(&self) -> Instant {
        let ahead = self.pause * (BURST - 1);
        self.paid_until.checked_sub(ahead).unwrap_or(self.paid_until)
    }

    fn passed(&mut self, now: Instant) {
        self.paid_until = self.paid_until.max(now) + self.pause;
    }
}

impl HintGate {
    pub(crate) fn new(pause: Duration) -> Self {
        Self { arrived: Notify::new(), pace: Mutex::new(Pace { pause, paid_until: Instant::now() }) }
    }

    /// Records a hint.
    pub(crate) fn open(&self) {
        self.arrived.notify_one();
    }

    /// Resolves when a hint has come and may be passed on. If the future is dropped before, the hint remains.
    pub(crate) async fn pass(&self) {
        let due = self.pace().due();
        sleep_until(due).await;
        self.arrived.notified().await;
        self.pace().passed(Instant::now());
    }

    fn pace(&self) -> std::sync::MutexGuard<'_, Pace> {
        // Nothing can panic while the lock is held.
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    const PAUSE: Duration = Duration::from_millis(100);

    #[test]
    fn a_storm_of_hints_is_passed_on_at_a_bounded_rate() {
        let mut now = Instant::now();
        let mut pace = Pace { pause: PAUSE, paid_until: now };
        let mut passed = 0;
        for _ in 0..10_000 {
            if pace.due() <= now {
                pace.passed(now);
                passed += 1;
            }
            now += Duration::from_millis(1);
        }
        assert!((100..=100 + BURST).contains(&passed), "{passed} in 10 s");
        now += Duration::from_secs(10);
        let at_once = (0..BURST)
            .filter(|_| {
                pace.due() <= now && {
                    pace.passed(now);
                    true
                }
            })
            .count();
        assert_eq!(at_once, BURST as usize, "after a quiet time a few hints pass at once");
        assert!(pace.due() > now);
    }

    #[tokio::test]
    async fn the_last_hint_of_a_storm_is_not_lost() {
        let gate = HintGate::new(PAUSE);
        let passes = async || timeout(Duration::ZERO, gate.pass()).await.is_ok();
        gate.open();
        gate.pace().paid_until += Duration::from_hours(1);
        assert!(!passes().await, "the hint must wait");
        gate.pace().paid_until -= Duration::from_hours(1);
        assert!(passes().await, "the hint passes afterwards");
        assert!(!passes().await, "there was only one hint");
    }
}
