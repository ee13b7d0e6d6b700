//! Crash recovery: what a new leader must be able to trust before it acts.
//!
//! A state store reads a [`RawPortfolio`] from one snapshot of the database, every column as text;
//! [`validate`] makes a [`Portfolio`] of it or says in a [`RecoveryFault`] why nothing may be traded.
//! Amounts are exact decimals from the text to the comparison.

mod backoff;
mod fault;
mod portfolio;
mod raw;
mod validate;

pub use backoff::backoff;
pub use fault::{FINDINGS_MAX, RecoveryCode, RecoveryFault};
pub use portfolio::{INSTRUMENT_LEN_MAX, Portfolio, Position, PositionId, PositionStatus};
pub use raw::{RawPortfolio, RawPosition, RawTotals};
pub use validate::{TOLERANCE, validate};
