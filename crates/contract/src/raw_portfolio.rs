//! Every row that a store passes to recovery, collected. The product never holds all rows; a test has few.

use domain::ports::{PortfolioSource, StoreError};
use domain::recovery::{PortfolioRows, RawPosition, RawTotals};

/// The rows that a store passed on, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RawPortfolio {
    /// The positions.
    pub positions: Vec<RawPosition>,
    /// The rows of the portfolio.
    pub totals: Vec<RawTotals>,
}

impl PortfolioRows for RawPortfolio {
    fn position(&mut self, row: &RawPosition) {
        self.positions.push(row.clone());
    }

    fn totals(&mut self, row: &RawTotals) {
        self.totals.push(row.clone());
    }
}

impl RawPortfolio {
    /// Reads the portfolio of `store`.
    ///
    /// # Errors
    /// The error of the store.
    pub async fn read(store: &(impl PortfolioSource + ?Sized)) -> Result<Self, StoreError> {
        let mut read = Self::default();
        store.portfolio(&mut read).await.map(|()| read)
    }

    /// Passes on the rows, like a store.
    pub fn hand_to(&self, rows: &mut dyn PortfolioRows) {
        for position in &self.positions {
            rows.position(position);
        }
        for totals in &self.totals {
            rows.totals(totals);
        }
    }
}
