//! Raw rows of the portfolio, before validation.

use alloc::string::String;

/// A position as the database has it, every column as text (`None`: NULL), so that no value is rounded or refused
/// before validation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RawPosition {
    /// Column position_id.
    pub position_id: Option<String>,
    /// Column instrument.
    pub instrument: Option<String>,
    /// Column status.
    pub status: Option<String>,
    /// Column quantity.
    pub quantity: Option<String>,
    /// Column entry_price.
    pub entry_price: Option<String>,
    /// Column risk_amount, in rupees.
    pub risk_amount: Option<String>,
    /// Column margin_used, in rupees.
    pub margin_used: Option<String>,
}

/// The portfolio row as the database has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RawTotals {
    /// Column total_risk_amount, in rupees.
    pub total_risk_amount: Option<String>,
    /// Column margin_used, in rupees.
    pub margin_used: Option<String>,
}

/// Receives the rows of the two relations of recovery while a store reads them. [`Judgement`](super::Judgement)
/// implements it.
pub trait PortfolioRows: Send {
    /// A row of `recovery.positions` whose status is not `closed` (any letter case). Rows with NULL or unknown status
    /// come too, so that they are judged. Every row comes, ordered by the bytes of `position_id`, so that two rows of
    /// one id follow each other; the place of NULL is open.
    fn position(&mut self, row: &RawPosition);

    /// A row of `recovery.portfolio`. There must be exactly one; the store passes at most two.
    fn totals(&mut self, row: &RawTotals);
}
