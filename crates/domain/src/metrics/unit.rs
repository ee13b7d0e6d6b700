//! Conversions into the units that dashboards read. The only place where a measure becomes a float.

use alloc::string::ToString;
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

/// A count. Exact up to 2^53, as far as Prometheus itself counts.
#[allow(clippy::cast_precision_loss)]
pub fn count(count: u64) -> f64 {
    count as f64
}

/// An amount of money, for a chart. Its decimal text is exact, and reading that rounds once.
///
/// # Panics
/// Never: the text of a decimal is a number.
pub fn rupees(amount: Decimal) -> f64 {
    amount.to_string().parse().expect("the text of a decimal is a number")
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
    fn money_rounds_once() {
        for (text, expected) in
            [("0", 0.0_f64), ("300000", 300_000.0), ("0.1", 0.1), ("-12345.67", -12_345.67)]
        {
            assert_eq!(rupees(text.parse().unwrap()).to_bits(), expected.to_bits(), "{text}");
        }
        assert!(rupees(Decimal::MAX).is_finite());
    }
}
