//! Commands: the outputs of an elector, which the driver carries out.

use crate::id::ClaimId;
use crate::lease::{Epoch, Seq, Timeline, Token};
use crate::ports::{ClaimRequest, TicketFault};
use crate::recovery::RecoveryCode;
use crate::time::Time;
use alloc::string::String;
use core::time::Duration;

/// Identifies one call of this process, so that the elector recognises a late answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub(super) u64);

/// One output of [`Elector::step`](super::Elector::step).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Command {
    /// Send a request to the state store; answer with [`Event::Lease`](super::Event::Lease).
    Lease {
        /// The id that the answer must carry.
        call: CallId,
        /// After this time the answer is `Unknown`, and a request that was not sent yet must not be sent. The timeout
        /// of a renewal is never later than the end of the lease.
        timeout: Duration,
        /// The request.
        request: LeaseRequest,
    },
    /// Send a request to the leader store; answer with [`Event::Ticket`](super::Event::Ticket).
    Ticket {
        /// The id that the answer must carry.
        call: CallId,
        /// After this time the answer is `Unknown`.
        timeout: Duration,
        /// The request.
        request: TicketRequest,
    },
    /// Load and validate the portfolio; answer with [`Event::Recovered`](super::Event::Recovered).
    Recover {
        /// The id that the answer must carry.
        call: CallId,
        /// The token of the leadership that recovers.
        token: Token,
    },
    /// Stop the leader's work by `until` at the latest; answer with [`Event::Drained`](super::Event::Drained).
    Drain {
        /// The token of the leadership whose work must stop.
        token: Token,
        /// The time at which the elector releases the lease even if the work has not stopped.
        until: Time,
    },
    /// Report to logs and metrics. Needs no answer.
    Report(Report),
}

/// A request to the state store; see [`LeaseStore`](crate::ports::LeaseStore).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LeaseRequest {
    /// Read the lease.
    Observe,
    /// Claim the lease.
    Claim(ClaimRequest),
    /// Renew the lease.
    Renew {
        /// The token of this instance.
        token: Token,
        /// The new sequence number.
        seq: Seq,
        /// The store's timeline as the sender knows it; on any other the renewal writes nothing (M20).
        current: Timeline,
    },
    /// Release the lease.
    Release {
        /// The token of this instance.
        token: Token,
        /// The new sequence number.
        seq: Seq,
        /// The reason, for the history.
        reason: String,
    },
    /// Report that the store has forgotten: the lease is behind one that this instance has read (M23).
    Note {
        /// The token of the lease as read.
        found: Token,
        /// The highest epoch that this instance knows of.
        known: Epoch,
    },
}

/// A request to the leader store; see [`LeaderStore`](crate::ports::LeaderStore).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TicketRequest {
    /// Acquire the ticket.
    Acquire {
        /// The claim that the ticket is for.
        claim: ClaimId,
        /// The claim of a lease that is known to be over: a ticket of it counts as free.
        superseded: Option<ClaimId>,
    },
    /// Renew the ticket.
    Renew(ClaimId),
    /// Release the ticket.
    Release(ClaimId),
    /// Read the ticket.
    Inspect,
}

/// An event for the log and the metrics.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Report {
    /// The instance has read the lease for the first time and can take over.
    Ready,
    /// Leadership begins; the instance must not act before it is active.
    Elected {
        /// The new token.
        token: Token,
        /// The time when the request that won it was sent.
        sent: Time,
    },
    /// The lease was renewed.
    Renewed {
        /// The token; a promotion may have changed its timeline.
        token: Token,
        /// The time when the renewal was sent.
        sent: Time,
    },
    /// Crash recovery passed: the instance may act.
    Activated {
        /// The token of the leadership.
        token: Token,
    },
    /// Crash recovery failed: the instance leads but must not act.
    Halted {
        /// The token of the leadership.
        token: Token,
        /// The kind of failure.
        code: RecoveryCode,
    },
    /// Leadership ended without a handover. The release follows, unless another instance holds the lease.
    Lost {
        /// The token of the leadership.
        token: Token,
        /// The time when the lease stopped being valid: the deadline of an expired lease, otherwise the moment at which
        /// the instance took in the answer that ended it.
        at: Time,
        /// The reason.
        why: LossReason,
    },
    /// The elector has requested that the leader's work stop.
    Draining {
        /// The token of the leadership.
        token: Token,
        /// The reason.
        reason: String,
    },
    /// The lease is no longer valid, on purpose; the release follows.
    Resigning {
        /// The token of the leadership.
        token: Token,
        /// The time when the lease stopped being valid.
        at: Time,
    },
    /// The lease is open for others.
    Released {
        /// The token of the leadership.
        token: Token,
    },
    /// The instance read a ticket that this system cannot have written.
    Fault(TicketFault),
    /// The lease and the ticket are released; the elector does nothing more.
    Stopped,
}

/// Reason why leadership was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LossReason {
    /// Another instance holds the lease.
    Superseded,
    /// No renewal was acknowledged in time.
    Expired,
    /// The state store answered a renewal with [`Corrupt`](crate::ports::StoreError::Corrupt): it is not the store that
    /// granted the lease, or cannot keep it.
    Damaged,
    /// The state store has forgotten acknowledged writes. The next claim gets an epoch above every epoch that services
    /// have seen (M23).
    Forgotten,
}
