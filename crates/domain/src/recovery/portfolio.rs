//! A portfolio that passed validation.

use crate::id::{InstanceId, InvalidId};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use rust_decimal::Decimal;

/// What a new leader may act on: open positions, every one of which was judged, and totals that agree with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Portfolio {
    /// Number of open positions.
    pub count: u64,
    /// Every open position, ordered by id. `None` when there are more than [`POSITIONS_KEPT_MAX`]: they were judged and
    /// are not kept, so read them from the relation.
    pub positions: Option<Vec<Position>>,
    /// Rupees at risk, as the portfolio row has it; within a paisa of the positions' sum.
    pub total_risk_amount: Decimal,
    /// Rupees of margin used, as the portfolio row has it; within a paisa of the positions' sum.
    pub margin_used: Decimal,
}

/// A portfolio keeps all of its positions up to this number, 20 times the range that was validated (50), and none of
/// them above it. So an instance needs less than 1 MB for any portfolio, and no service takes a part of it for the
/// whole.
pub const POSITIONS_KEPT_MAX: usize = 1_000;

/// A position that is at least partly open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Its name, unique in the portfolio.
    pub id: PositionId,
    /// What is held: 1 to [`INSTRUMENT_LEN_MAX`] characters, none of them a control character.
    pub instrument: String,
    /// How much of it is open.
    pub status: PositionStatus,
    /// Above zero.
    pub quantity: Decimal,
    /// Rupees for one, above zero.
    pub entry_price: Decimal,
    /// Rupees lost when the stop is hit, zero or more.
    pub risk_amount: Decimal,
    /// Rupees of margin, zero or more.
    pub margin_used: Decimal,
}

/// Longest instrument name in characters: far beyond any exchange's, short enough for every page.
pub const INSTRUMENT_LEN_MAX: usize = 128;

/// The status of a position that recovery loads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PositionStatus {
    /// All of it.
    Open,
    /// Some of it was closed.
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
