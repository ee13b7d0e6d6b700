//! Every row that a store hands to recovery, at once. The product never holds them all; a test has few.

use domain::ports::{PortfolioSource, StoreError};
use domain::recovery::{PortfolioRows, RawPosition, RawTotals};

/// What a store handed over, in its order.
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
    /// Reads it.
    ///
    /// # Errors
    /// The store's.
    pub async fn read(store: &(impl PortfolioSource + ?Sized)) -> Result<Self, StoreError> {
        let mut read = Self::default();
        store.portfolio(&mut read).await.map(|()| read)
    }

    /// Hands the rows over, as a store does.
    pub fn hand_to(&self, rows: &mut dyn PortfolioRows) {
        for position in &self.positions {
            rows.position(position);
        }
        for totals in &self.totals {
            rows.totals(totals);
        }
    }
}
