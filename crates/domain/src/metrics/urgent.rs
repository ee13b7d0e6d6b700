//! Urgent events, reported at once because the next scrape and alert would come about a minute later.

use crate::recovery::RecoveryCode;
use core::fmt;
use core::time::Duration;

/// The time for which an urgent event is shown, so that an operator sees it. By then Prometheus has fired the alert,
/// and keeps it firing while the condition lasts.
pub const URGENT_SHOWN: Duration = Duration::from_mins(10);

/// An event that an operator must know at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Urgent {
    /// This process found its lease superseded and stopped leading.
    SplitBrain,
    /// The store refused a write of this process because its token was superseded.
    FencedWrite,
    /// A recovery failed: the first failure, or the first after a success or for another reason.
    RecoveryFailed(RecoveryCode),
}

/// The event in one line.
impl fmt::Display for Urgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SplitBrain => f.write_str("found its lease superseded while it led, and stopped"),
            Self::FencedWrite => f.write_str("a write under a superseded token was refused"),
            Self::RecoveryFailed(code) => write!(f, "recovery failed with {code}: trading is halted"),
        }
    }
}
