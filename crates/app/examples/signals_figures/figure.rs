//! Measured values, in order.

/// Values of one quantity that was measured several times.
#[derive(Debug)]
pub struct Spread {
    /// Sorted, at least one.
    values: Vec<f64>,
}

impl FromIterator<f64> for Spread {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        assert!(!values.is_empty(), "nothing was measured");
        values.sort_by(f64::total_cmp);
        Self { values }
    }
}

impl Spread {
    /// The smallest value that this many in a hundred do not exceed.
    pub fn part(&self, in_a_hundred: usize) -> f64 {
        let rank = (self.values.len() * in_a_hundred).div_ceil(100);
        self.values[rank.saturating_sub(1)]
    }

    pub fn median(&self) -> f64 {
        self.part(50)
    }

    pub fn least(&self) -> f64 {
        self.values[0]
    }

    pub fn most(&self) -> f64 {
        self.values[self.values.len() - 1]
    }
}

/// A number as a float, for a rate.
#[allow(clippy::cast_precision_loss, reason = "small numbers")]
pub fn count(number: usize) -> f64 {
    number as f64
}
