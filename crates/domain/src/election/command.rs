//! What an elector wants done.

use crate::id::ClaimId;
use crate::lease::{Epoch, Seq, Timeline, Token};
use crate::ports::{ClaimRequest, TicketFault};
use crate::recovery::RecoveryCode;
use crate::time::Time;
use alloc::string::String;
use core::time::Duration;

/// Sets one call apart from every other of this process, so that a late answer is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub(super) u64);

/// One output of [`Elector::step`](super::Elector::step).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Command {
    /// Ask the state store; answer with [`Event::Lease`](super::Event::Lease).
    Lease {
        /// To be given back with the answer.
        call: CallId,
        /// After this the answer is `Unknown`, and the request must not be sent any more if it was not yet. A
        /// renewal's ends with the lease.
        timeout: Duration,
        /// What to ask.
        request: LeaseRequest,
    },
    /// Ask the leader store; answer with [`Event::Ticket`](super::Event::Ticket).
    Ticket {
        /// To be given back with the answer.
        call: CallId,
        /// After this the answer is `Unknown`.
        timeout: Duration,
        /// What to ask.
        request: TicketRequest,
    },
    /// Load and judge the portfolio; answer with [`Event::Recovered`](super::Event::Recovered).
    Recover {
        /// To be given back with the answer.
        call: CallId,
        /// Under which leadership.
        token: Token,
    },
    /// Stop the leader's work by `until` at the latest; answer with [`Event::Drained`](super::Event::Drained).
    Drain {
        /// Whose work.
        token: Token,
        /// When the row is let go all the same.
        until: Time,
    },
    /// Tell people and metrics. Nothing to answer.
    Report(Report),
}

/// A request to the state store; see [`LeaseStore`](crate::ports::LeaseStore).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LeaseRequest {
    /// Read the row.
    Observe,
    /// Take the row.
    Claim(ClaimRequest),
    /// Keep the row.
    Renew {
        /// My token.
        token: Token,
        /// The new sequence number.
        seq: Seq,
        /// The store's timeline as the sender knows it; on any other the renewal writes nothing (M20).
        current: Timeline,
    },
    /// Give the row back.
    Release {
        /// My token.
        token: Token,
        /// The new sequence number.
        seq: Seq,
        /// For the history.
        reason: String,
    },
    /// Report that the store has forgotten: the row is behind one that was seen (M23).
    Note {
        /// The token that the row was found with.
        found: Token,
        /// The highest epoch that this instance knows of.
        known: Epoch,
    },
}

/// A request to the leader store; see [`LeaderStore`](crate::ports::LeaderStore).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TicketRequest {
    /// Take the ticket.
    Acquire {
        /// For this claim.
        claim: ClaimId,
        /// Whose ticket is void.
        void: Option<ClaimId>,
    },
    /// Keep the ticket.
    Renew(ClaimId),
    /// Give the ticket back.
    Release(ClaimId),
    /// See who has it.
    Inspect,
}

/// Something that people or metrics should know.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Report {
    /// The row was read for the first time: able to take over.
    Ready,
    /// Leadership begins; nothing may act on it before it is active.
    Elected {
        /// The new token.
        token: Token,
        /// When the request that won it was sent.
        sent: Time,
    },
    /// Leadership goes on.
    Renewed {
        /// The token, whose timeline a promotion may have changed.
        token: Token,
        /// When the renewal was sent.
        sent: Time,
    },
    /// Crash recovery passed: act.
    Activated {
        /// Under this token.
        token: Token,
    },
    /// Crash recovery failed: lead, and do not act.
    Halted {
        /// Under this token.
        token: Token,
        /// Why.
        code: RecoveryCode,
    },
    /// Leadership ended without being given back.
    Lost {
        /// Which.
        token: Token,
        /// When belief ended: the deadline if it passed, else the moment the row said so.
        at: Time,
        /// Why.
        why: LossReason,
    },
    /// The leader's work is asked to stop.
    Draining {
        /// Which leadership.
        token: Token,
        /// Why.
        reason: String,
    },
    /// Belief ended on purpose; the row is given back next.
    Resigning {
        /// Which leadership.
        token: Token,
        /// When belief ended.
        at: Time,
    },
    /// The row is open for others.
    Released {
        /// Which leadership.
        token: Token,
    },
    /// A ticket was seen that this system cannot have written.
    Fault(TicketFault),
    /// Everything was given back; the elector does nothing any more.
    Stopped,
}

/// Why leadership was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LossReason {
    /// The row says that somebody else leads.
    Superseded,
    /// No renewal was acknowledged in time.
    Expired,
    /// The state store answered a renewal with [`Corrupt`](crate::ports::StoreError::Corrupt): it is not the store that
    /// granted the lease, or cannot keep it.
    Damaged,
    /// The state store has forgotten: the next claim has a number above all that services have seen (M23).
    Forgotten,
}
