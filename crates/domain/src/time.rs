//! A point in time on this process's own clock.

use core::ops::{Add, Sub};
use core::time::Duration;

/// Nanoseconds on CLOCK_BOOTTIME, which continues while the machine is suspended.
///
/// Compare it only with other times of the same boot of the same machine. No rule reads another clock: neither a
/// store's clock nor the system clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(u64);

impl Time {
    /// The earliest time.
    pub const ZERO: Self = Self(0);
    /// Later than every event.
    pub const FAR: Self = Self(u64::MAX);

    /// From nanoseconds since boot.
    pub fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since boot.
    pub fn as_nanos(self) -> u64 {
        self.0
    }

    /// The duration since `earlier`; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Self;
    /// Saturates: an absurd duration gives [`Time::FAR`], never the past.
    fn add(self, after: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Time {
    type Output = Self;
    /// Saturates at boot.
    fn sub(self, before: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(before.as_nanos()).unwrap_or(u64::MAX)))
    }
}
