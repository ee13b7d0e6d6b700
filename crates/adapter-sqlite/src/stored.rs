//! Values read from the file, which any process may have written: each is checked, and an error names the
//! column.

use domain::id::{ClaimId, InstanceId, Nonce};
use domain::ports::StoreError;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use std::fmt;
use std::time::Duration;

/// Longest free text (a reason, a host, an address) that is written or read, in characters. The SQL cuts it,
/// so that megabytes are never read.
pub(crate) const TEXT_LEN_MAX: i64 = 256;

/// Milliseconds since 1970 by SQLite's clock, the same value throughout one statement.
macro_rules! now_ms {
    () => {
        "CAST(round(unixepoch('subsec') * 1000) AS INTEGER)"
    };
}

/// The same instant as text.
macro_rules! now_text {
    () => {
        "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"
    };
}

/// A text column, cut to `$max` bytes, so that megabytes are never read. `substr` of a text would end at a
/// NUL character, and of an empty blob it is NULL.
macro_rules! bytes {
    ($column:literal, $max:literal) => {
        concat!(
            "CASE WHEN octet_length(",
            $column,
            ") <= ",
            $max,
            " THEN ",
            $column,
            " ELSE substr(CAST(",
            $column,
            " AS BLOB), 1, ",
            $max,
            ") END AS ",
            $column
        )
    };
}

pub(crate) use {bytes, now_ms, now_text};

/// LEADER_TTL as it is stored: whole milliseconds, rounded up, because other instances wait for the stored
/// value and must not wait too short.
pub(crate) fn millis_up(ttl: Duration) -> i64 {
    i64::try_from(ttl.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX)
}

/// A row, and the table that an error about one of its values names.
pub(crate) struct Stored<'r> {
    row: &'r SqliteRow,
    table: &'static str,
}

impl<'r> Stored<'r> {
    pub(crate) fn new(table: &'static str, row: &'r SqliteRow) -> Self {
        Self { row, table }
    }

    /// A whole number in the range of `T`; NULL is an error.
    pub(crate) fn number<T: TryFrom<i64>>(&self, column: &'static str) -> Result<T, StoreError> {
        self.maybe_number(column)?.ok_or_else(|| self.corrupt(column, "is NULL"))
    }

    /// A whole number in the range of `T`, or NULL.
    pub(crate) fn maybe_number<T: TryFrom<i64>>(
        &self,
        column: &'static str,
    ) -> Result<Option<T>, StoreError> {
        let Ok(number) = self.row.try_get::<Option<i64>, _>(column) else {
            return Err(self.corrupt(column, "is not a whole number"));
        };
        let Some(number) = number else { return Ok(None) };
        T::try_from(number)
            .map(Some)
            .map_err(|_| self.corrupt(column, format_args!("is {number}: out of range")))
    }

    /// 0 or 1.
    pub(crate) fn flag(&self, column: &'static str) -> Result<bool, StoreError> {
        match self.number::<i64>(column)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(self.corrupt(column, format_args!("is {other}: neither 0 nor 1"))),
        }
    }

    /// A text; NULL is an error.
    pub(crate) fn text(&self, column: &'static str) -> Result<String, StoreError> {
        self.maybe_text(column)?.ok_or_else(|| self.corrupt(column, "is NULL"))
    }

    /// A text or NULL. Bytes that are not UTF-8 become the replacement character.
    pub(crate) fn maybe_text(&self, column: &'static str) -> Result<Option<String>, StoreError> {
        let Ok(bytes) = self.row.try_get::<Option<Vec<u8>>, _>(column) else {
            return Err(self.corrupt(column, "is not a text"));
        };
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// A text without any change; bytes that are not UTF-8 are an error.
    pub(crate) fn exact(&self, column: &'static str) -> Result<String, StoreError> {
        let Ok(bytes) = self.row.try_get::<Option<Vec<u8>>, _>(column) else {
            return Err(self.corrupt(column, "is not a text"));
        };
        let bytes = bytes.ok_or_else(|| self.corrupt(column, "is NULL"))?;
        String::from_utf8(bytes).map_err(|_| self.corrupt(column, "is not UTF-8"))
    }

    /// An instance's id, sanitised for display.
    pub(crate) fn instance(&self, column: &'static str) -> Result<InstanceId, StoreError> {
        self.text(column).map(|text| InstanceId::from_stored(&text))
    }

    /// A claim in exactly the form in which it is written, because statements compare it as text.
    pub(crate) fn claim(&self, column: &'static str) -> Result<ClaimId, StoreError> {
        let text = self.text(column)?;
        u128::from_str_radix(&text.replace('-', ""), 16)
            .map(ClaimId::from_u128)
            .ok()
            .filter(|claim| claim.to_string() == text)
            .ok_or_else(|| self.corrupt(column, "is not a uuid in small letters"))
    }

    /// A process's nonce.
    pub(crate) fn nonce(&self, column: &'static str) -> Result<Nonce, StoreError> {
        let text = self.text(column)?;
        u128::from_str_radix(&text, 16)
            .map(Nonce::new)
            .ok()
            .filter(|nonce| nonce.to_string() == text)
            .ok_or_else(|| self.corrupt(column, "is not 24 hexadecimal digits"))
    }

    /// The error that names the column.
    pub(crate) fn corrupt(&self, column: &'static str, fault: impl fmt::Display) -> StoreError {
        StoreError::Corrupt(format!("{}.{column} {fault}", self.table))
    }
}
