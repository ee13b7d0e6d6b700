//! Faults of a recovery: reasons why a portfolio cannot be trusted.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

/// The kind of a failed recovery. The numbers and names are a contract with dashboards and alerts; 0 means none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecoveryCode {
    /// The database did not answer. A retry may help, see [`super::backoff`].
    DbUnavailable = 1,
    /// A row has an impossible value. A retry does not help; an operator must repair the data.
    DataCorrupt = 2,
    /// The rows are valid, but their sums differ from the portfolio's own totals.
    ValidationFailed = 3,
}

impl RecoveryCode {
    /// Every code.
    pub const ALL: [Self; 3] = [Self::DbUnavailable, Self::DataCorrupt, Self::ValidationFailed];

    /// The text in the JSON page and in the logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DbUnavailable => "DB_UNAVAILABLE",
            Self::DataCorrupt => "DATA_CORRUPT",
            Self::ValidationFailed => "VALIDATION_FAILED",
        }
    }

    /// The number in Prometheus: 1, 2, 3.
    pub fn as_number(self) -> u8 {
        self as u8
    }

    /// The code with that number.
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|code| i64::from(code.as_number()) == number)
    }
}

impl fmt::Display for RecoveryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Further findings are only counted: a wrong relation gives one for every row.
pub const FINDINGS_MAX: usize = 20;

/// A failed recovery: the leader must not trade on this portfolio.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {}{}", .findings.join("; "), Omitted(*.omitted))]
pub struct RecoveryFault {
    /// The kind.
    pub code: RecoveryCode,
    /// The findings, one sentence each: the row and column, or both figures and their difference. Stored texts are
    /// quoted and escaped. At least one, at most [`FINDINGS_MAX`].
    pub findings: Vec<String>,
    /// The number of further findings.
    pub omitted: usize,
}

impl RecoveryFault {
    /// A failed recovery with one finding, for a service's own [`Recovery`](crate::ports::Recovery).
    pub fn new(code: RecoveryCode, finding: impl Into<String>) -> Self {
        Self { code, findings: vec![finding.into()], omitted: 0 }
    }
}

/// Findings while rows are still being read: the first [`FINDINGS_MAX`] in full, the others as a number, so that
/// memory does not grow with the rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Findings {
    listed: Vec<String>,
    more: usize,
}

impl Findings {
    /// Adds a finding. Its text is built only if it is kept.
    pub(super) fn add(&mut self, finding: impl FnOnce() -> String) {
        if self.listed.len() < FINDINGS_MAX {
            self.listed.push(finding());
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    /// The fault with these findings.
    pub(super) fn into_fault(self, code: RecoveryCode) -> RecoveryFault {
        RecoveryFault { code, findings: self.listed, omitted: self.more }
    }

    /// The number of bytes of text kept.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.listed.capacity() * size_of::<String>() + self.listed.iter().map(String::capacity).sum::<usize>()
    }
}

/// The end of the message: empty, or the number of findings that it leaves out.
struct Omitted(usize);

impl fmt::Display for Omitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            n => write!(f, "; and {n} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;

    #[test]
    fn codes_are_the_contract() {
        let codes: Vec<_> = RecoveryCode::ALL.map(|code| (code.as_number(), code.as_str())).into();
        assert_eq!(codes, [(1, "DB_UNAVAILABLE"), (2, "DATA_CORRUPT"), (3, "VALIDATION_FAILED")]);
    }

    #[test]
    fn a_thousand_findings_are_cut_and_counted() {
        let mut findings = Findings::default();
        for n in 0..FINDINGS_MAX + 7 {
            findings.add(|| format!("row {n}"));
        }
        let fault = findings.into_fault(RecoveryCode::DataCorrupt);
        assert_eq!(fault.findings.len(), FINDINGS_MAX);
        assert!(fault.to_string().starts_with("DATA_CORRUPT: row 0; row 1; "));
        assert!(fault.to_string().ends_with("; row 19; and 7 more"));
    }
}
