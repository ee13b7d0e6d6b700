//! Parses points in time in the forms that operators, charts and programs write.

use crate::json::raw::Plain;
use jiff::Timestamp;
use jiff::civil::{DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use std::ops::RangeInclusive;

/// Numbers from here on are milliseconds, smaller ones seconds. In seconds it is the year 5138, in
/// milliseconds 1973: no signal is from either.
const MILLISECONDS_FROM: i64 = 100_000_000_000;
/// 9999-12-31, the last date that can be written.
const UNIX_MS_MAX: i64 = 253_402_300_799_999;

const WANTED: &str =
    "RFC 3339 with an offset (2025-11-29T10:15:30+05:30), or unix seconds or milliseconds, is required";
const LOCAL: &str = "a local time is ambiguous: an offset is required, as in 2025-11-29T10:15:30+05:30";
const NO_TIME: &str =
    "a date without a time of day is no point in time: a time is required, as in 2025-11-29T10:15:30";
const FAR: &str = "beyond the year 9999: seconds or milliseconds since 1970 are required";

/// Expiries that can be written, in unix milliseconds.
pub(crate) const EXPIRED_BOUNDS: RangeInclusive<i64> = 0..=UNIX_MS_MAX;

/// Parses a time to unix milliseconds.
pub(crate) fn unix_ms(plain: &Plain) -> Result<i64, String> {
    read(plain, None)
}

/// Two clocks may differ by this time, in milliseconds.
const CLOCKS_APART_MS: i64 = 60_000;

/// The choice between the two instants of a local time in the hour that a zone repeats at the end of summer time, by a time
/// in unix milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Repeated {
    /// The latest instant that is not after this time, to within a minute: of an alert that arrives now. The same alert has
    /// the same instant if it arrives again within 59 minutes.
    Before(i64),
    /// The first instant that is after this time: of an expiry.
    After(i64),
}

impl Repeated {
    fn choose(self, first_ms: i64, second_ms: i64) -> i64 {
        let second = match self {
            Self::Before(now_ms) => second_ms <= now_ms.saturating_add(CLOCKS_APART_MS),
            Self::After(now_ms) => first_ms <= now_ms,
        };
        if second { second_ms } else { first_ms }
    }
}

/// As [`unix_ms`]; a time without an offset is in this zone.
pub(crate) fn unix_ms_in(plain: &Plain, zone: &TimeZone, repeated: Repeated) -> Result<i64, String> {
    read(plain, Some((zone, repeated)))
}

fn read(plain: &Plain, zone: Option<(&TimeZone, Repeated)>) -> Result<i64, String> {
    let text = match plain {
        Plain::Text(text) | Plain::Number(text) => text.trim(),
        Plain::Null | Plain::Other => return Err(WANTED.to_owned()),
    };
    let numeric = text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let at_ms = if numeric { from_number(text) } else { from_date(text, zone) }?;
    if at_ms > UNIX_MS_MAX { Err(FAR.to_owned()) } else { Ok(at_ms) }
}

/// Parses digits with optional decimals; those of milliseconds are ignored.
fn from_number(text: &str) -> Result<i64, String> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    if decimals.is_empty() || decimals.contains('.') {
        return Err(WANTED.to_owned());
    }
    // Digits that do not fit are a very large number.
    let whole: i64 = whole.parse().map_err(|_| FAR.to_owned())?;
    if whole >= MILLISECONDS_FROM {
        return Ok(whole);
    }
    let millis: String = decimals.chars().chain("00".chars()).take(3).collect();
    Ok(whole * 1_000 + millis.parse::<i64>().map_err(|_| WANTED.to_owned())?)
}

fn from_date(text: &str, zone: Option<(&TimeZone, Repeated)>) -> Result<i64, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at.as_millisecond());
    }
    match (text.parse::<DateTime>(), zone) {
        (Err(_), _) => Err(WANTED.to_owned()),
        (Ok(_), None) => Err(LOCAL.to_owned()),
        // Every alert of that day would have one time.
        (Ok(_), Some(_)) if text.parse::<Time>().is_err() => Err(NO_TIME.to_owned()),
        (Ok(local), Some((zone, repeated))) => local_ms(zone, local, repeated).map_err(|_| FAR.to_owned()),
    }
}

fn local_ms(zone: &TimeZone, local: DateTime, repeated: Repeated) -> Result<i64, jiff::Error> {
    let instants = zone.to_ambiguous_timestamp(local);
    if let AmbiguousOffset::Fold { .. } = instants.offset() {
        let (first, second) = (instants.earlier()?, instants.later()?);
        return Ok(repeated.choose(first.as_millisecond(), second.as_millisecond()));
    }
    Ok(instants.compatible()?.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Result<i64, String> {
        unix_ms(&Plain::Text(text.to_owned()))
    }

    #[test]
    fn one_moment_is_written_in_many_ways() {
        for written in [
            "2025-11-29T10:15:30Z",
            "2025-11-29T15:45:30+05:30",
            "2025-11-29T10:15:30.000+00:00",
            "2025-11-29t10:15:30z",
            " 2025-11-29 10:15:30Z ",
            "1764411330",
            "1764411330.0",
            "1764411330000",
            "1764411330000.9",
        ] {
            assert_eq!(text(written), Ok(1_764_411_330_000), "{written}");
            if !written.contains(['-', 'Z']) {
                assert_eq!(unix_ms(&Plain::Number(written.to_owned())), Ok(1_764_411_330_000), "{written}");
            }
        }
        assert_eq!(text("2025-11-29T10:15:30.2509Z"), Ok(1_764_411_330_250));
        assert_eq!(
            (text("1764411330.25"), text("1764411330.2509")),
            (Ok(1_764_411_330_250), Ok(1_764_411_330_250))
        );
        assert_eq!(
            (text("0"), text("99999999999"), text("100000000000")),
            (Ok(0), Ok(99_999_999_999_000), Ok(100_000_000_000))
        );
        assert_eq!(text("1969-12-31T23:59:59.5Z"), Ok(-500));
    }

    #[test]
    fn a_local_time_is_in_the_zone_of_the_hook() {
        let of = |zone: &str, text: &str| {
            let zone = TimeZone::get(zone).expect("the zones are in the binary");
            unix_ms_in(&Plain::Text(text.to_owned()), &zone, Repeated::Before(0))
        };
        for written in ["2025-11-29T15:45:30", "2025-11-29 15:45:30", "2025-11-29T10:15:30Z", "1764411330"] {
            assert_eq!(of("Asia/Kolkata", written), Ok(1_764_411_330_000), "{written}");
        }
        // New York's clocks repeat the hour from 1:00 on 2 November 2025, and leave out that from 2:00 on 9 March 2025.
        assert_eq!(of("America/New_York", "2025-11-02T01:30:00"), text("2025-11-02T01:30:00-04:00"));
        assert_eq!(of("America/New_York", "2025-03-09T02:30:00"), text("2025-03-09T03:30:00-04:00"));
        assert_eq!(of("Asia/Kolkata", "29/11/2025 15:45"), Err(WANTED.to_owned()));
        for date in ["2025-11-29", "20251129T", "2025-11-29[Asia/Kolkata]", "2025-11-29[+05:30]"] {
            let refused = of("Asia/Kolkata", date).expect_err("a day is no point in time");
            assert!(refused == NO_TIME || refused == WANTED, "{date}: {refused}");
        }
        assert_eq!(of("Asia/Kolkata", "2025-11-29"), Err(NO_TIME.to_owned()));
    }

    #[test]
    fn of_an_hour_that_a_zone_repeats_the_arrival_chooses_the_instant() {
        let zone = TimeZone::get("America/New_York").expect("the zones are in the binary");
        let of = |repeated| unix_ms_in(&Plain::Text("2025-11-02T01:30:00".to_owned()), &zone, repeated);
        let (first, second) = (text("2025-11-02T01:30:00-04:00"), text("2025-11-02T01:30:00-05:00"));
        let (first_ms, second_ms) = (first.clone().expect("a time"), second.clone().expect("a time"));
        assert_eq!(second_ms - first_ms, 3_600_000);
        for arrival in [first_ms - 1_000, first_ms, first_ms + 2_000, second_ms - CLOCKS_APART_MS - 1] {
            assert_eq!(of(Repeated::Before(arrival)), first, "{arrival}");
        }
        for arrival in [second_ms - CLOCKS_APART_MS, second_ms, second_ms + 86_400_000] {
            assert_eq!(of(Repeated::Before(arrival)), second, "{arrival}");
        }
        for (arrival, expiry) in [(first_ms - 1, &first), (first_ms, &second), (second_ms + 1, &second)] {
            assert_eq!(of(Repeated::After(arrival)), *expiry, "{arrival}");
        }
    }

    #[test]
    fn a_text_that_is_no_time_is_refused_with_the_reason() {
        for local in ["2025-11-29T10:15:30", "2025-11-29 10:15", "2025-11-29"] {
            assert_eq!(text(local), Err(LOCAL.to_owned()), "{local}");
        }
        for far in ["1764411330000000", "253402300800000", "9223372036854775808", &"9".repeat(400)] {
            assert_eq!(text(far), Err(FAR.to_owned()), "{far}");
        }
        for other in [
            "",
            " ",
            "now",
            "-1",
            "1e9",
            "1.",
            ".5",
            "1.2.3",
            "0x1",
            "29/11/2025 10:15",
            "{{timenow}}",
            "2025-13-01T00:00:00Z",
        ] {
            assert_eq!(text(other), Err(WANTED.to_owned()), "{other}");
        }
        assert_eq!(unix_ms(&Plain::Other), Err(WANTED.to_owned()));
        assert_eq!(unix_ms(&Plain::Number("1.764e9".to_owned())), Err(WANTED.to_owned()));
    }
}
