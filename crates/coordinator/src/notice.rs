//! Role changes, one value each, for logs and for checkers outside the process.

use domain::lease::Epoch;
use domain::time::Time;

/// A role change with its time on this process's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notice {
    /// What happened.
    pub kind: NoticeKind,
    /// When: of an expired leadership its deadline, however late that was noticed.
    pub at: Time,
    /// Under which epoch; 0 before any is known.
    pub epoch: Epoch,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeKind {
    /// The row was read for the first time.
    Ready,
    /// Belief begins.
    Lead {
        /// When the claim that won it was sent.
        sent: Time,
    },
    /// Belief goes on: sent then, confirmed at [`Notice::at`].
    Renew {
        /// When it was sent.
        sent: Time,
    },
    /// Belief ended without being given back.
    Lost,
    /// Belief ended on purpose; the row is given back next.
    Resign,
    /// The row is open for others.
    Resigned,
}
