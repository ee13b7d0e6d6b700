//! What an elector is.

use crate::id::ClaimId;
use crate::lease::Token;
use crate::recovery::RecoveryCode;
use crate::time::Time;
use alloc::string::String;

/// What an elector is at this moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Role {
    /// Watches the row.
    Follower,
    /// The row is open: going for it.
    Candidate(Candidacy),
    /// Holds the row.
    Leader(Leadership),
    /// Gave everything back and does nothing any more.
    Stopped,
}

/// One attempt to lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Candidacy {
    pub(super) claim: ClaimId,
    /// The row's claim that is over; its ticket is void.
    pub(super) void: ClaimId,
    /// From when on the row is claimed without a ticket.
    pub(super) without_ticket: Time,
}

/// The row as its holder knows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Leadership {
    /// The fencing token.
    pub token: Token,
    /// Belief ends here: compare with your own CLOCK_BOOTTIME before every act.
    pub deadline: Time,
    /// What the leadership is good for.
    pub phase: Phase,
}

/// What a leadership is good for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The portfolio is being recovered; nothing may act.
    Recovering {
        /// Failed attempts so far.
        attempt: u32,
    },
    /// Act.
    Active,
    /// The portfolio cannot be trusted; nothing may act.
    Halted(RecoveryCode),
    /// The work is being stopped; the row is given back after it.
    Draining {
        /// For the history.
        reason: String,
        /// When renewals stop, whether the work has or not.
        until: Time,
    },
}
