//! The JSON documents of the pages.

pub mod cluster;
pub mod metrics;
pub(crate) mod raw;
pub mod recovery;
pub mod signals;
pub mod totals;

use jiff::Timestamp;
use jiff::tz::Offset;

/// A time in RFC 3339 with offset, to the millisecond: `2025-11-29T10:15:30.250+00:00`. `None` outside of the
/// years 1 to 9999, which no clock shows.
pub fn rfc3339(unix_ms: i64) -> Option<String> {
    let at = Timestamp::from_millisecond(unix_ms).ok()?;
    Some(format!("{:.3}", at.display_with_offset(Offset::UTC)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_carry_milliseconds_and_an_offset() {
        assert_eq!(rfc3339(1_764_411_330_250).as_deref(), Some("2025-11-29T10:15:30.250+00:00"));
        assert_eq!(rfc3339(0).as_deref(), Some("1970-01-01T00:00:00.000+00:00"));
        assert_eq!(rfc3339(-1).as_deref(), Some("1969-12-31T23:59:59.999+00:00"));
        assert_eq!((rfc3339(i64::MAX), rfc3339(i64::MIN)), (None, None));
    }
}
