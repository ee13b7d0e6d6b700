//! Crash recovery: a new leader validates the portfolio before it acts.
//!
//! A state store reads every row from one snapshot of the database, every column as text, and passes one row after
//! the other to a [`Judgement`]. The result is a [`Portfolio`], or a [`RecoveryFault`] with the reasons why the
//! leader must not trade. Memory does not grow with the number of rows. Amounts are exact decimals from the text to
//! the comparison.

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
