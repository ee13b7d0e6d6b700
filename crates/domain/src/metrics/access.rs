//! [`AccessRefusal`]: why a request was refused for its credential.

use core::fmt;

/// Reason for the refusal of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccessRefusal {
    /// It has no credential (401). A browser sends its first request without one.
    Missing,
    /// No credential of this instance matches (401, or 429 after too many).
    Unknown,
    /// The credential has expired (401, or 429 after too many).
    Expired,
    /// The credential lacks the role (403).
    Role,
}

impl AccessRefusal {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Missing, Self::Unknown, Self::Expired, Self::Role];

    /// The value of the label `reason`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::Role => "role",
        }
    }

    /// The position of its count.
    pub(super) const fn index(self) -> usize {
        match self {
            Self::Missing => 0,
            Self::Unknown => 1,
            Self::Expired => 2,
            Self::Role => 3,
        }
    }
}

impl fmt::Display for AccessRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
