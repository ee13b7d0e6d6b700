//! Roles of an elector.

use crate::id::ClaimId;
use crate::lease::Token;
use crate::recovery::RecoveryCode;
use crate::time::Time;
use alloc::string::String;

/// The present role of an elector.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Role {
    /// Watches the lease.
    Follower,
    /// The lease is open and the elector contends for it.
    Candidate(Candidacy),
    /// Holds the lease.
    Leader(Leadership),
    /// Has released everything and does nothing more.
    Stopped,
}

/// One attempt to lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Candidacy {
    pub(super) claim: ClaimId,
    /// The claim of the last holder; a ticket of it counts as free.
    pub(super) superseded: ClaimId,
    /// The time from which the elector claims the lease without a ticket.
    pub(super) without_ticket: Time,
}

/// The lease as its holder knows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Leadership {
    /// The fencing token.
    pub token: Token,
    /// The end of the valid lease. Compare it with your own CLOCK_BOOTTIME before every act.
    pub deadline: Time,
    /// The present phase, which decides whether the leader may act.
    pub phase: Phase,
}

/// Phase of a leadership.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The portfolio is being recovered; the leader must not act.
    Recovering {
        /// Failed attempts so far.
        attempt: u32,
    },
    /// The leader may act.
    Active,
    /// The portfolio cannot be trusted; the leader must not act.
    Halted(RecoveryCode),
    /// The work is being stopped; then the lease is released.
    Draining {
        /// The reason, for the history.
        reason: String,
        /// The time at which the lease stops being valid and is released, even if the work has not stopped.
        until: Time,
    },
}
