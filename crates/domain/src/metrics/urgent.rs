//! What cannot wait for a scrape: with the usual timings it would be told a minute later.

use crate::recovery::RecoveryCode;
use core::fmt;
use core::time::Duration;

/// For so long it is shown where it was told: until somebody has looked. Prometheus has been told by then, and goes
/// on as long as it lasts.
pub const URGENT_SHOWN: Duration = Duration::from_mins(10);

/// Something that a person is to know at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Urgent {
    /// This process found its lease superseded and stopped believing.
    SplitBrain,
    /// A write of this process was refused because its token is not the lease row's any more.
    FencedWrite,
    /// The first recovery failed, or the first after one that had passed, or for another reason than the one before.
    RecoveryFailed(RecoveryCode),
}

/// What happened, in a line.
impl fmt::Display for Urgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SplitBrain => f.write_str("found its lease superseded while it believed, and stopped"),
            Self::FencedWrite => f.write_str("a write under a token of the past was refused"),
            Self::RecoveryFailed(code) => write!(f, "recovery failed with {code}: trading is halted"),
        }
    }
}
