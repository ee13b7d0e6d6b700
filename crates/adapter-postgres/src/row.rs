//! Columns of rows that any role may have written: every value is range-checked, and an error names the
//! column.

use domain::id::{ClaimId, InstanceId};
use domain::ports::StoreError;
use sqlx::Row;
use sqlx::postgres::{PgRow, Postgres};
use sqlx::{Decode, Type};
use std::time::Duration;
use uuid::Uuid;

/// Longest text for display (hosts, addresses, reasons, versions) that is read or written, in characters.
pub(crate) const TEXT_LEN_MAX: usize = 256;
/// Longest name or origin of an actor, in characters.
const ACTOR_LEN_MAX: usize = 128;

/// Reads the columns of one row of a table.
#[derive(Clone, Copy)]
pub(crate) struct Columns<'r> {
    table: &'static str,
    row: &'r PgRow,
}

impl<'r> Columns<'r> {
    pub(crate) fn of(table: &'static str, row: &'r PgRow) -> Self {
        Self { table, row }
    }

    /// The column's value, `None` for NULL.
    pub(crate) fn optional<T: Decode<'r, Postgres> + Type<Postgres>>(
        self,
        column: &'static str,
    ) -> Result<Option<T>, StoreError> {
        self.row.try_get(column).map_err(|_| self.corrupt(column, "has a value of another type"))
    }

    /// The column's value; NULL is corrupt.
    pub(crate) fn required<T: Decode<'r, Postgres> + Type<Postgres>>(
        self,
        column: &'static str,
    ) -> Result<T, StoreError> {
        self.optional(column)?.ok_or_else(|| self.corrupt(column, "is NULL"))
    }

    /// A whole number of a type narrower than the column's.
    pub(crate) fn number<T: TryFrom<i64>>(self, column: &'static str) -> Result<T, StoreError> {
        let stored: i64 = self.required(column)?;
        stored.try_into().map_err(|_| self.corrupt(column, &format!("is {stored}, out of range")))
    }

    /// A uuid column.
    pub(crate) fn claim(self, column: &'static str) -> Result<ClaimId, StoreError> {
        Ok(ClaimId::from_u128(self.required::<Uuid>(column)?.as_u128()))
    }

    /// An id for display; it is never compared.
    pub(crate) fn shown_id(self, column: &'static str) -> Result<InstanceId, StoreError> {
        Ok(InstanceId::from_stored(self.required(column)?))
    }

    /// The error that names the column.
    pub(crate) fn corrupt(self, column: &str, fault: &str) -> StoreError {
        StoreError::Corrupt(format!("{}.{column} {fault}", self.table))
    }
}

/// A counter of the domain as a bigint. No row can contain a number beyond bigint, so such a number becomes
/// -1, which no row contains either: a comparison finds nothing.
pub(crate) fn bigint(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(-1)
}

/// A duration as an argument, in ms. The schema refuses an absurd LEADER_TTL.
pub(crate) fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A duration as an argument, in µs.
pub(crate) fn microseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// The claim as PostgreSQL stores it.
pub(crate) fn uuid(claim: ClaimId) -> Uuid {
    Uuid::from_u128(claim.as_u128())
}

/// A text for display, cut so that it can be stored.
pub(crate) fn text(text: &str) -> String {
    cut(text, TEXT_LEN_MAX)
}

/// An actor's name or origin, cut so that it can be stored.
pub(crate) fn actor(text: &str) -> String {
    cut(text, ACTOR_LEN_MAX)
}

/// Cuts a text to `len_max` characters and removes NUL, which PostgreSQL cannot store.
fn cut(text: &str, len_max: usize) -> String {
    text.chars().take(len_max).map(|c| if c == '\0' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_beyond_bigint_matches_no_row() {
        assert_eq!(bigint(7), 7);
        assert_eq!(bigint(u64::MAX), -1);
    }

    #[test]
    fn a_text_is_cut_and_loses_its_nul() {
        assert_eq!(text("a\0b"), "a\u{fffd}b");
        assert_eq!(text(&"é".repeat(1000)).chars().count(), TEXT_LEN_MAX);
    }
}
