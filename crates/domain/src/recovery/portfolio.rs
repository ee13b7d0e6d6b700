//! A portfolio that passed validation.

use crate::id::{InstanceId, InvalidId};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use rust_decimal::Decimal;

/// The portfolio that a new leader may act on: open positions, every one of which was validated, and totals that
/// agree with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Portfolio {
    /// Number of open positions.
    pub count: u64,
    /// Every open position, ordered by id. `None` if there are more than [`POSITIONS_KEPT_MAX`]: they were validated
    /// and are not kept, so read them from the relation.
    pub positions: Option<Vec<Position>>,
    /// Rupees at risk according to the portfolio row; within a paisa of the positions' sum.
    pub total_risk_amount: Decimal,
    /// Rupees of margin used according to the portfolio row; within a paisa of the positions' sum.
    pub margin_used: Decimal,
}

/// A portfolio keeps all of its positions up to this number, 20 times the validated range (50), and none above it. So
/// an instance needs less than 1 MB for any portfolio, and no service mistakes a part for the whole.
pub const POSITIONS_KEPT_MAX: usize = 1_000;

/// A position that is at least partly open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Its name, unique in the portfolio.
    pub id: PositionId,
    /// The instrument: 1 to [`INSTRUMENT_LEN_MAX`] characters, none of them a control character.
    pub instrument: String,
    /// The status: fully or partly open.
    pub status: PositionStatus,
    /// The quantity, above zero.
    pub quantity: Decimal,
    /// Rupees for one unit, above zero.
    pub entry_price: Decimal,
    /// Rupees lost when the stop is hit, zero or more.
    pub risk_amount: Decimal,
    /// Rupees of margin, zero or more.
    pub margin_used: Decimal,
}

/// Longest instrument name in characters: longer than any exchange's, and short enough for every page.
pub const INSTRUMENT_LEN_MAX: usize = 128;

/// The status of a position that recovery loads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PositionStatus {
    /// Fully open.
    Open,
    /// Partly closed.
    Partial,
}

/// The name of a position: 1 to 128 characters out of `[A-Za-z0-9._:-]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PositionId(InstanceId);

impl PositionId {
    /// Parses a position's name.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        InstanceId::parse(text).map(Self)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for PositionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
