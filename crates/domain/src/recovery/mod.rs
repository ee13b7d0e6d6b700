//! Crash recovery: what a new leader must be able to trust before it acts.
//!
//! The port is [`Recovery`](crate::ports::Recovery), and the portfolio of a trading desk is one implementation of it. A
//! store reads every row from one snapshot of the database, every column as text, and passes one after the other to a
//! [`Judgement`], which makes a [`Portfolio`] of them or reports in a [`RecoveryFault`] why nothing may be traded.
//! Nothing grows with the number of rows. Amounts are exact decimals from the text to the comparison.

mod backoff;
mod fault;
mod portfolio;
mod raw;
mod recovered;
mod relation;
mod validate;

pub use backoff::backoff;
pub use fault::{FINDINGS_MAX, RecoveryCode, RecoveryFault};
pub use portfolio::{
    INSTRUMENT_LEN_MAX, POSITIONS_KEPT_MAX, Portfolio, Position, PositionId, PositionStatus,
};
pub use raw::{PortfolioRows, RawPosition, RawTotals};
pub use recovered::Recovered;
pub use relation::{InvalidRelationName, RELATION_PART_LEN_MAX, RelationName, is_relation_part};
pub use validate::{Judgement, TOLERANCE};
