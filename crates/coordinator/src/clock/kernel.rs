//! The kernel's CLOCK_BOOTTIME, and a timer on it.

use domain::time::Time;
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::io::unix::AsyncFd;

const NANOS_PER_SECOND: u64 = 1_000_000_000;
/// Reads of which the least difference counts: a thread is not preempted between two reads several times in a row.
const READS: usize = 3;
/// A machine is not suspended and resumed within this; a smaller difference is the reading's own time.
const SUSPEND_NANOS_MIN: u64 = 10_000_000;

/// The time now, as every deadline of this crate is given.
pub fn now() -> Time {
    from_timespec(clock_gettime(ClockId::Boottime))
}

/// What to add to a [`Time`] of this machine's boot to get CLOCK_MONOTONIC nanoseconds, as other programs
/// on this machine read them. Changes only while the machine is suspended.
pub fn monotonic_nanos(time: Time) -> u64 {
    /// The difference as last measured: the same for all, so that two times keep their distance.
    static SUSPENDED: AtomicU64 = AtomicU64::new(u64::MAX);
    let known = SUSPENDED.load(Ordering::Relaxed);
    let measured = suspended();
    let suspended = if measured.abs_diff(known) > SUSPEND_NANOS_MIN { measured } else { known };
    SUSPENDED.store(suspended, Ordering::Relaxed);
    time.as_nanos().saturating_sub(suspended)
}

/// For how long the machine has been suspended since boot, in nanoseconds.
fn suspended() -> u64 {
    // The time between the two reads is added to the difference: the least of a few is the most exact.
    let differences = (0..READS).map(|_| {
        let monotonic = from_timespec(clock_gettime(ClockId::Monotonic)).as_nanos();
        now().as_nanos().saturating_sub(monotonic)
    });
    differences.min().unwrap_or(0)
}

/// Unix milliseconds, for operators. No rule reads them.
pub fn calendar_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn from_timespec(time: Timespec) -> Time {
    // The kernel's clocks since boot are neither negative nor beyond 584 years.
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    Time::from_nanos(seconds * NANOS_PER_SECOND + nanos)
}

/// Wakes at a [`Time`], also when it passed during a suspend.
#[derive(Debug)]
pub struct Alarm(AsyncFd<OwnedFd>);

impl Alarm {
    /// A timer that is not set.
    ///
    /// # Errors
    /// If the process has no file descriptor left.
    ///
    /// # Panics
    /// Outside a runtime's reactor.
    pub fn new() -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        // Its successor is an unsafe function whose demand (the descriptor stays what it is while it is
        // registered) an `OwnedFd` that never leaves this type keeps.
        #[allow(deprecated)]
        AsyncFd::new(timer).map(Self)
    }

    /// Returns when `time` has come. Dropping the future is harmless; one waiter at a time.
    ///
    /// # Errors
    /// If the kernel refuses the timer.
    pub async fn at(&mut self, time: Time) -> io::Result<()> {
        // All zeros would disarm the timer.
        let nanos = time.as_nanos().clamp(1, i64::MAX.cast_unsigned());
        let value = Timespec {
            tv_sec: (nanos / NANOS_PER_SECOND).cast_signed(),
            tv_nsec: (nanos % NANOS_PER_SECOND).cast_signed(),
        };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::ABSTIME, &once)?;
        loop {
            let mut ready = self.0.readable().await?;
            // Readiness may be left from an earlier setting: only a successful read is an expiry.
            let read = ready.try_io(|timer| Ok(rustix::io::read(timer, &mut [0_u8; 8])?));
            if let Ok(read) = read {
                return read.map(drop);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn an_alarm_does_not_ring_early_and_rings_for_the_past() {
        let mut alarm = Alarm::new().expect("a timer");
        let time = now() + Duration::from_millis(20);
        alarm.at(time).await.expect("an expiry");
        assert!(now() >= time);
        alarm.at(Time::ZERO).await.expect("an expiry");
    }

    #[tokio::test]
    async fn a_dropped_wait_does_not_ring_for_the_next() {
        let mut alarm = Alarm::new().expect("a timer");
        let soon = now();
        tokio::select! { biased; () = std::future::ready(()) => {}, _ = alarm.at(soon) => {} }
        let later = now() + Duration::from_millis(20);
        alarm.at(later).await.expect("an expiry");
        assert!(now() >= later);
    }

    #[test]
    fn two_times_keep_their_distance() {
        let (early, late) = (now(), now() + Duration::from_nanos(7));
        let apart = monotonic_nanos(late) - monotonic_nanos(early);
        assert_eq!(apart, late.as_nanos() - early.as_nanos());
    }

    #[test]
    fn monotonic_time_is_not_after_boot_time() {
        let time = now();
        assert!(monotonic_nanos(time) <= time.as_nanos());
    }
}
