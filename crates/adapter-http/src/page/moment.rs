//! Moments and ages as text. Without a script the page shows UTC, in the form of `coordinator why`.

use domain::overview;
use jiff::Timestamp;
use std::time::Duration;

/// `2026-11-30 02:44:05 UTC`.
pub(crate) fn written(at_ms: i64) -> String {
    Timestamp::from_millisecond(at_ms).map_or_else(
        |_| "an impossible time".to_owned(),
        |at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
    )
}

/// `2026-11-30T02:44:05Z`, for machines.
pub(crate) fn machine(at_ms: i64) -> String {
    Timestamp::from_millisecond(at_ms)
        .map_or_else(|_| String::new(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// The time from `since_ms` to `now_ms`, in words.
pub(crate) fn age(since_ms: i64, now_ms: i64) -> String {
    span(now_ms.saturating_sub(since_ms))
}

/// A duration in milliseconds, in words. Whole seconds: the browser counts on from here.
pub(crate) fn span(ms: i64) -> String {
    overview::age(Duration::from_secs(u64::try_from(ms).unwrap_or(0) / 1_000))
}

/// The moment `age` before `at_ms`, to the second: two readings of one heartbeat differ by milliseconds.
pub(crate) fn before(at_ms: i64, age: Duration) -> i64 {
    overview::before(at_ms, age).div_euclid(1_000).saturating_mul(1_000)
}
