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
