//! Events: the inputs of an elector.

use super::command::CallId;
use super::config::Epochs;
use crate::id::Nonce;
use crate::lease::Observation;
use crate::ports::{Acquire, Claim, Noted, Release, Renewal, StoreError, Ticket, TicketRenewal};
use crate::recovery::RecoveryCode;
use alloc::string::String;

/// One input of [`Elector::step`](super::Elector::step).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Event {
    /// Time has passed.
    Wakeup,
    /// The state store answered, or did not answer in time.
    Lease {
        /// The call that is answered.
        call: CallId,
        /// The answer.
        answer: Result<LeaseAnswer, StoreError>,
    },
    /// The leader store answered, or did not answer in time.
    Ticket {
        /// The call that is answered.
        call: CallId,
        /// The answer.
        answer: Result<TicketAnswer, StoreError>,
    },
    /// An instance may have written the lease.
    LeaseHint,
    /// The instance's memory contains these epochs. Another instance with the same memory may have stored some of them
    /// (M22).
    Remembered(Epochs),
    /// The kernel has reported that the process with this nonce has ended, and with it every process that may act under
    /// the nonce (M24). A closed connection, a missed heartbeat and a stopped process are no such report.
    ProcessEnded(Nonce),
    /// An instance may have released the ticket, or the leader store is reachable again.
    TicketHint,
    /// Crash recovery of a new leader ended.
    Recovered {
        /// The call that is answered.
        call: CallId,
        /// The result: passed, or the reason for the failure.
        answer: Result<(), RecoveryCode>,
    },
    /// The leader's work has stopped, as [`Command::Drain`](super::Command::Drain) requested.
    Drained,
    /// The operator or the process requests the end of the leadership.
    Resign(Resign),
}

/// Reason to end a leadership on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Resign {
    /// Hand over and stay as a follower.
    StepDown {
        /// The reason, for the history.
        reason: String,
    },
    /// The process is stopping.
    Stop,
}

/// Answers of the state store, by request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LeaseAnswer {
    /// To [`LeaseRequest::Observe`](super::LeaseRequest::Observe).
    Observed(Observation),
    /// To [`LeaseRequest::Claim`](super::LeaseRequest::Claim).
    Claim(Claim),
    /// To [`LeaseRequest::Claim`](super::LeaseRequest::Claim): not sent, because this instance could not store its
    /// epoch (M22). To [`LeaseRequest::Note`](super::LeaseRequest::Note): not sent, because the epochs that this
    /// instance remembers are impossible. Does not count as an answer of the state store.
    NotSent,
    /// To [`LeaseRequest::Claim`](super::LeaseRequest::Claim): not sent, because the instance's memory contains these
    /// epochs. The claim is not above them (M22), or it does not report that the store has forgotten, which they show
    /// (M23). Does not count as an answer of the state store.
    Outdated(Epochs),
    /// To [`LeaseRequest::Renew`](super::LeaseRequest::Renew).
    Renewal(Renewal),
    /// To [`LeaseRequest::Release`](super::LeaseRequest::Release).
    Release(Release),
    /// To [`LeaseRequest::Note`](super::LeaseRequest::Note).
    Note(Noted),
}

/// Answers of the leader store, by request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TicketAnswer {
    /// To [`TicketRequest::Acquire`](super::TicketRequest::Acquire).
    Acquire(Acquire),
    /// To [`TicketRequest::Renew`](super::TicketRequest::Renew).
    Renewal(TicketRenewal),
    /// To [`TicketRequest::Release`](super::TicketRequest::Release).
    Released,
    /// To [`TicketRequest::Inspect`](super::TicketRequest::Inspect).
    Inspected(Option<Ticket>),
}
