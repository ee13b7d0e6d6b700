//! Conversions into the units of dashboards. The only place where a measurement becomes a float.

use alloc::format;
use alloc::string::{String, ToString};
use core::time::Duration;
use rust_decimal::Decimal;

/// A duration in milliseconds, rounded once.
pub fn millis(duration: Duration) -> f64 {
    // Nanoseconds are exact in an f64 up to 104 days; a sync that took longer may round.
    #[allow(clippy::cast_precision_loss)]
    let nanos = duration.as_nanos() as f64;
    nanos / 1e6
}

/// Milliseconds (a unix time or a difference of two) in fractional seconds, rounded once.
pub fn seconds(millis: i64) -> f64 {
    // Exact up to 2^53 ms, which the calendar reaches in the year 287396.
    #[allow(clippy::cast_precision_loss)]
    let millis = millis as f64;
    millis / 1e3
}

/// A count. Exact up to 2^53, the range of Prometheus itself.
#[allow(clippy::cast_precision_loss)]
pub fn count(count: u64) -> f64 {
    count as f64
}

/// An amount of money for a chart. Its decimal text is exact; parsing it rounds once.
///
/// # Panics
/// Never: the text of a decimal is a number.
pub fn rupees(amount: Decimal) -> f64 {
    amount.to_string().parse().expect("the text of a decimal is a number")
}

/// A unix time in milliseconds in the form for operators: `2023-11-14 22:13:20 UTC`. A time before 1970 is shown as
/// 1970-01-01 00:00:00.
pub fn utc(unix_ms: i64) -> String {
    const DAY_S: i64 = 86_400;
    /// The calendar repeats after 400 years, so the loops below are short for every input.
    const CYCLE_YEARS: i64 = 400;
    const CYCLE_DAYS: i64 = CYCLE_YEARS * 365 + 97;
    let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let seconds = unix_ms.max(0) / 1_000;
    let (days, second) = (seconds / DAY_S, seconds % DAY_S);
    let (mut year, mut day) = (1970 + days / CYCLE_DAYS * CYCLE_YEARS, days % CYCLE_DAYS);
    while day >= 365 + i64::from(is_leap(year)) {
        day -= 365 + i64::from(is_leap(year));
        year += 1;
    }
    let mut month = 1;
    for length in [31, 28 + i64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!("{year:04}-{month:02}-{:02} {hour:02}:{minute:02}:{:02} UTC", day + 1, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_convert_exactly() {
        // An alert compares with these literals, strictly: a value on the limit must not land above it.
        for ms in [100_u32, 500, 2_000] {
            assert_eq!(millis(Duration::from_millis(ms.into())).to_bits(), f64::from(ms).to_bits());
        }
        for s in [30_u32, 60] {
            assert_eq!(seconds(i64::from(s) * 1_000).to_bits(), f64::from(s).to_bits());
        }
        assert_eq!(millis(Duration::from_micros(3_300)).to_bits(), 3.3_f64.to_bits());
    }

    #[test]
    fn times_are_dates_of_the_calendar() {
        for (unix_s, expected) in [
            (0, "1970-01-01 00:00:00"),
            (68_169_599, "1972-02-28 23:59:59"),
            (68_169_600, "1972-02-29 00:00:00"),
            (68_256_000, "1972-03-01 00:00:00"),
            (951_782_400, "2000-02-29 00:00:00"),
            (1_700_000_000, "2023-11-14 22:13:20"),
            (1_735_689_599, "2024-12-31 23:59:59"),
            (4_107_542_400, "2100-03-01 00:00:00"),
            (13_569_465_600, "2400-01-01 00:00:00"),
            (253_402_300_799, "9999-12-31 23:59:59"),
        ] {
            assert_eq!(utc(unix_s * 1_000), format!("{expected} UTC"), "{unix_s}");
        }
        assert_eq!(utc(i64::MIN), utc(0));
        assert!(utc(i64::MAX).ends_with(" UTC"), "the loops end for every input");
    }

    #[test]
    fn money_rounds_once() {
        for (text, expected) in
            [("0", 0.0_f64), ("300000", 300_000.0), ("0.1", 0.1), ("-12345.67", -12_345.67)]
        {
            assert_eq!(rupees(text.parse().unwrap()).to_bits(), expected.to_bits(), "{text}");
        }
        assert!(rupees(Decimal::MAX).is_finite());
    }
}
