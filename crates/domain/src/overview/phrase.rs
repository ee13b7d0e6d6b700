//! Sentences that contain times. A reader renders the times in its own way: the terminal in UTC, a browser in the
//! operator's zone with an age that goes on counting.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

/// One part of a [`Phrase`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Fixed text.
    Text(String),
    /// A point in time, unix milliseconds.
    Time(i64),
    /// The time since a point in time, unix milliseconds.
    Age(i64),
}

/// A sentence for the operator.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Phrase(Vec<Part>);

impl Phrase {
    /// A sentence without times.
    pub fn of(text: impl Into<String>) -> Self {
        Self::default().text(text)
    }

    /// Appends text.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        let text = text.into();
        match self.0.last_mut() {
            Some(Part::Text(before)) => before.push_str(&text),
            _ => self.0.push(Part::Text(text)),
        }
        self
    }

    /// Appends a point in time, unix milliseconds.
    #[must_use]
    pub fn time(mut self, at_ms: i64) -> Self {
        self.0.push(Part::Time(at_ms));
        self
    }

    /// Appends the time since `since_ms`, unix milliseconds.
    #[must_use]
    pub fn age(mut self, since_ms: i64) -> Self {
        self.0.push(Part::Age(since_ms));
        self
    }

    /// Appends another sentence after a space.
    #[must_use]
    pub fn then(self, next: Self) -> Self {
        let mut all = if self.0.is_empty() { self } else { self.text(" ") };
        for part in next.0 {
            all = match part {
                Part::Text(text) => all.text(text),
                Part::Time(at_ms) => all.time(at_ms),
                Part::Age(since_ms) => all.age(since_ms),
            };
        }
        all
    }

    /// The parts in their order.
    pub fn parts(&self) -> &[Part] {
        &self.0
    }

    /// Plain text: ages as of `now_ms` (unix milliseconds), times as `time` writes them.
    pub fn render(&self, now_ms: i64, time: impl Fn(i64) -> String) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Time(at_ms) => time(*at_ms),
            Part::Age(since_ms) => age(since(*since_ms, now_ms)),
        };
        self.0.iter().map(part).collect()
    }
}

/// The time from `since_ms` to `now_ms`, both unix milliseconds; zero if the clock was set back.
pub(super) fn since(since_ms: i64, now_ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(now_ms.saturating_sub(since_ms)).unwrap_or(0))
}

/// The moment `by` before `at_ms`, unix milliseconds.
pub fn before(at_ms: i64, by: Duration) -> i64 {
    at_ms.saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX))
}

/// A duration in words: `0.4 s`, `44 s`, `4 min 19 s`, `17 min`, `2 h 33 min`, `3 d 0 h`.
pub fn age(duration: Duration) -> String {
    const MINUTE_S: u64 = 60;
    const HOUR_S: u64 = 60 * MINUTE_S;
    const DAY_S: u64 = 24 * HOUR_S;
    let seconds = duration.as_secs();
    match seconds {
        0 if duration.subsec_millis() > 0 => format!("{:.1} s", duration.as_secs_f64()),
        0..MINUTE_S => format!("{seconds} s"),
        MINUTE_S..600 => format!("{} min {} s", seconds / MINUTE_S, seconds % MINUTE_S),
        600..HOUR_S => format!("{} min", seconds / MINUTE_S),
        HOUR_S..DAY_S => format!("{} h {} min", seconds / HOUR_S, seconds % HOUR_S / MINUTE_S),
        _ => format!("{} d {} h", seconds / DAY_S, seconds % DAY_S / HOUR_S),
    }
}

/// An amount in rupees with Indian grouping and, from one lakh on, the amount in lakh:
/// `₹12,34,567.50 (12.34 lakh)`. 1 lakh = 100,000 rupees.
pub fn rupees(amount: rust_decimal::Decimal) -> String {
    let lakh = rust_decimal::Decimal::from(100_000);
    let plain = format!("₹{}", grouped(&amount.normalize().to_string()));
    if amount.abs() < lakh {
        return plain;
    }
    let in_lakh = (amount / lakh).trunc_with_scale(2).normalize();
    format!("{plain} ({in_lakh} lakh)")
}

/// Groups the digits before the point: the last three, then pairs.
fn grouped(number: &str) -> String {
    let (sign, number) = number.strip_prefix('-').map_or(("", number), |rest| ("-", rest));
    let (whole, fraction) = number.split_once('.').map_or((number, None), |(w, f)| (w, Some(f)));
    let mut text = String::from(sign);
    let len = whole.len();
    for (at, digit) in whole.chars().enumerate() {
        let left = len - at;
        if at > 0 && (left == 3 || (left > 3 && left % 2 == 1)) {
            text.push(',');
        }
        text.push(digit);
    }
    if let Some(fraction) = fraction {
        text.push('.');
        text.push_str(fraction);
        if fraction.len() == 1 {
            text.push('0');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use rust_decimal::Decimal;

    #[test]
    fn ages_are_as_people_say_them() {
        for (ms, text) in [
            (0, "0 s"),
            (400, "0.4 s"),
            (44_900, "44 s"),
            (259_000, "4 min 19 s"),
            (1_041_000, "17 min"),
            (9_196_000, "2 h 33 min"),
            (3 * 86_400_000, "3 d 0 h"),
        ] {
            assert_eq!(age(Duration::from_millis(ms)), text, "{ms} ms");
        }
    }

    #[test]
    fn rupees_are_grouped_as_in_india() {
        for (amount, text) in [
            ("0", "₹0"),
            ("999", "₹999"),
            ("1000", "₹1,000"),
            ("99999.5", "₹99,999.50"),
            ("100000", "₹1,00,000 (1 lakh)"),
            ("200000.00", "₹2,00,000 (2 lakh)"),
            ("1234567.50", "₹12,34,567.50 (12.34 lakh)"),
            ("50000000", "₹5,00,00,000 (500 lakh)"),
        ] {
            assert_eq!(rupees(amount.parse::<Decimal>().unwrap()), text);
        }
    }

    #[test]
    fn a_sentence_renders_its_times_when_it_is_read() {
        let phrase = Phrase::of("desk-2 has led since ")
            .time(1_000)
            .text(".")
            .then(Phrase::of("Redis has not answered for ").age(5_000).text("; the leader does not change."));
        let read = phrase.render(17_000, |at_ms| format!("[{at_ms}]"));
        assert_eq!(
            read,
            "desk-2 has led since [1000]. Redis has not answered for 12 s; the leader does not change."
        );
        assert_eq!(phrase.parts().len(), 5);
        assert_eq!(Phrase::default().render(0, |_| String::new()), "");
    }

    #[test]
    fn a_clock_that_was_set_back_makes_no_negative_age() {
        assert_eq!(Phrase::default().age(9_000).render(1_000, |_| String::new()), "0 s");
    }
}
