//! The clock of a store against the clock of this host: offset and rate, each with the bound of the measurement.

use super::latency::ms;
use super::{Answer, Check, Finding};
use alloc::format;
use alloc::string::String;
use core::time::Duration;

/// Largest rate of one clock, in parts per million, for which the margin of the lease is made.
pub(crate) const RATE_PPM_MAX: i128 = 500;
/// Largest difference of two such clocks.
const DIFFERENCE_PPM_MAX: i128 = 2 * RATE_PPM_MAX;
/// Offset from which times of different machines mislead an operator, and the expiry of a signal is wrong by as much.
const OFFSET_MAX: Duration = Duration::from_secs(1);

/// The clocks of this host, read together. In microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostTime {
    /// The time of day.
    pub calendar_us: i64,
    /// CLOCK_BOOTTIME.
    pub boot_us: i64,
}

/// Reads the clocks of this host.
pub type HostClock = fn() -> HostTime;

/// A time that the store answered, and the times of this host around the answer. All in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::struct_field_names, reason = "the unit is the last part of a name")]
pub struct ClockReading {
    /// The time of day at the store.
    pub store_us: i64,
    /// The time of day here, in the middle of the round trip.
    pub here_us: i64,
    /// CLOCK_BOOTTIME here, in the middle of the round trip.
    pub boot_us: i64,
    /// Half of the round trip: the bound of both comparisons.
    pub bound_us: i64,
}

/// Two readings, as far apart as the check lasted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockWalk {
    /// The reading at the begin, with the shortest round trip of a few.
    pub first: ClockReading,
    /// The reading at the end, with the shortest round trip of a few.
    pub last: ClockReading,
}

impl ClockReading {
    /// The reading of a request that was sent at `before` and answered at `after`.
    pub fn between(before: HostTime, store_us: i64, after: HostTime) -> Self {
        let middle = |before: i64, after: i64| before.saturating_add(after.saturating_sub(before) / 2);
        Self {
            store_us,
            here_us: middle(before.calendar_us, after.calendar_us),
            boot_us: middle(before.boot_us, after.boot_us),
            // Both clocks have microseconds here.
            bound_us: after.boot_us.saturating_sub(before.boot_us) / 2 + 1,
        }
    }
}

impl ClockWalk {
    /// Difference of the rates in ppm, and the bound of that difference.
    fn rate_ppm(&self) -> Option<(i128, i128)> {
        let (first, last) = (self.first, self.last);
        let here = i128::from(last.boot_us) - i128::from(first.boot_us);
        if here <= 0 {
            return None;
        }
        let there = i128::from(last.store_us) - i128::from(first.store_us);
        let bound = i128::from(first.bound_us) + i128::from(last.bound_us);
        Some(((there - here) * 1_000_000 / here, (bound * 1_000_000).div_euclid(here) + 1))
    }

    /// How long a walk with these round trips must be to show a rate that is too high.
    pub fn long_enough(first: ClockReading) -> Duration {
        // Both round trips are about as long, and half of the allowed difference is left for the measurement.
        let bound_us = u64::try_from(first.bound_us).unwrap_or(0).saturating_mul(2);
        Duration::from_micros(bound_us.saturating_mul(2_000))
    }
}

/// Judges offset and rate of the store's clock against this host's.
pub(crate) fn judge(walk: &Answer<ClockWalk>, store: &str) -> [Finding; 2] {
    let compare = "compare the clocks of both hosts with `chronyc tracking` or `timedatectl timesync-status`";
    let walk = match walk {
        Ok(walk) => walk,
        Err(why) => {
            return [Check::StoreClockOffset, Check::StoreClockRate]
                .map(|check| Finding::unknown(check, why.clone(), compare));
        }
    };
    [offset(walk.last, store), rate(walk, store, compare)]
}

fn offset(reading: ClockReading, store: &str) -> Finding {
    let difference = reading.store_us.saturating_sub(reading.here_us);
    let size = Duration::from_micros(difference.unsigned_abs());
    let direction = if difference < 0 { "behind" } else { "ahead of" };
    let bound = Duration::from_micros(reading.bound_us.unsigned_abs());
    let found = format!("the clock of {store} is {} {direction} this host's (± {})", ms(size), ms(bound));
    if size > OFFSET_MAX.saturating_add(bound) {
        let change =
            "set the clock that is wrong, in one step or with at most 500 ppm; no lease depends on it";
        Finding::warning(Check::StoreClockOffset, found, change)
    } else {
        Finding::ok(Check::StoreClockOffset, found)
    }
}

fn rate(walk: &ClockWalk, store: &str, compare: &str) -> Finding {
    let check = Check::StoreClockRate;
    let Some((difference, bound)) = walk.rate_ppm() else {
        return Finding::unknown(check, "both readings have the same time", compare);
    };
    let found = format!(
        "the clock of {store} differs from this host's by {difference} ± {bound} ppm; the limit is {DIFFERENCE_PPM_MAX} ppm"
    );
    let size = difference.abs();
    if size > DIFFERENCE_PPM_MAX + bound {
        Finding::failed(
            check,
            found,
            format!("one of the clocks was set or is slewed: {compare}, and limit the slew to 500 ppm"),
        )
    } else if size + bound <= DIFFERENCE_PPM_MAX {
        Finding::ok(check, found)
    } else {
        let found: String = format!("{found}, and the round trips are too long to decide");
        Finding::unknown(check, found, compare)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    const SECOND: i64 = 1_000_000;

    fn walk(store_us: i64, bound_us: i64) -> [Finding; 2] {
        let first = ClockReading { store_us: 0, here_us: 0, boot_us: 7 * SECOND, bound_us };
        let last = ClockReading { store_us, here_us: SECOND, boot_us: 8 * SECOND, bound_us };
        judge(&Ok(ClockWalk { first, last }), "PostgreSQL")
    }

    #[test]
    fn a_rate_is_judged_only_if_the_round_trips_allow_it() {
        for (store_us, bound_us, verdict) in [
            (SECOND, 100, Verdict::Ok),
            (SECOND + 700, 100, Verdict::Ok),
            (SECOND + 1_100, 100, Verdict::Unknown),
            (SECOND + 2_000, 100, Verdict::Failed),
            (SECOND - 2_000, 100, Verdict::Failed),
            (SECOND, 600, Verdict::Unknown),
        ] {
            let [_, rate] = walk(store_us, bound_us);
            assert_eq!(rate.verdict, verdict, "{store_us} {bound_us} {}", rate.found);
        }
    }

    #[test]
    fn an_offset_beyond_a_second_is_a_warning_unless_the_round_trip_explains_it() {
        for (store_us, bound_us, verdict) in [
            (SECOND, 100, Verdict::Ok),
            (3 * SECOND, 100, Verdict::Warning),
            (-SECOND, 100, Verdict::Warning),
            (3 * SECOND, 2 * SECOND, Verdict::Ok),
        ] {
            assert_eq!(walk(store_us, bound_us)[0].verdict, verdict, "{store_us} {bound_us}");
        }
        assert_eq!(
            walk(0, 100)[0].found,
            "the clock of PostgreSQL is 1000.0 ms behind this host's (± 0.1 ms)"
        );
    }

    #[test]
    fn a_walk_is_as_long_as_its_round_trips_need() {
        let reading = ClockReading { store_us: 0, here_us: 0, boot_us: 0, bound_us: 250 };
        assert_eq!(ClockWalk::long_enough(reading), Duration::from_secs(1));
    }

    #[test]
    fn no_reading_is_unknown() {
        for finding in judge(&Err("no answer".into()), "PostgreSQL") {
            assert_eq!(finding.verdict, Verdict::Unknown);
        }
    }
}
