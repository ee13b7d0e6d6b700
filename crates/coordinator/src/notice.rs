//! Role changes, one value each, for logs and for checkers outside the process.

use domain::lease::Epoch;
use domain::time::Time;

/// A role change with its time on this process's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Notice {
    /// What happened.
    pub kind: NoticeKind,
    /// The time on CLOCK_BOOTTIME. For an expired leadership: its deadline, however late that was detected.
    pub at: Time,
    /// The epoch; 0 before any is known.
    pub epoch: Epoch,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoticeKind {
    /// The lease was read for the first time.
    Ready,
    /// This instance has a valid lease.
    Lead {
        /// When the claim that won it was sent.
        sent: Time,
    },
    /// The lease remains valid: the renewal was confirmed at [`Notice::at`].
    Renew {
        /// When it was sent.
        sent: Time,
    },
    /// The lease stopped being valid without a handover. A release may follow, without a [`NoticeKind::Resigned`].
    Lost,
    /// This instance ended its leadership on purpose; the release follows.
    Resign,
    /// The lease is released: other instances may claim it.
    Resigned,
}
