//! Conversions into the units that dashboards read. The only place where a measure becomes a float.

use core::time::Duration;

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

/// A count. Exact up to 2^53, as far as Prometheus itself counts.
#[allow(clippy::cast_precision_loss)]
pub fn count(count: u64) -> f64 {
    count as f64
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
}
