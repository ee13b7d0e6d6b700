//! Messages in flight.

use crate::world::name;
use domain::election::{CallId, LeaseAnswer, LeaseRequest, TicketAnswer, TicketRequest};
use domain::lease::{Epoch, Seq, Token};
use domain::ports::StoreError;
use std::fmt;

/// A process: the instance and the number of its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sender {
    pub node: usize,
    pub start: u8,
}

/// The values that the sender of a request had read when it sent it. Empty in sets in which no backup is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Knew {
    /// The latest lease.
    pub lease: (Epoch, Seq),
    /// The largest epoch, including those that it requested.
    pub epoch: Epoch,
    /// The seq that the lease has certainly reached under the request's token.
    pub reached: Seq,
}

/// Result of a write of the lease, for its sender's adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Wrote {
    pub token: Token,
    pub seq: Seq,
    pub forgot_ms: Option<i64>,
}

/// One message, or one piece of work that ends at some time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Message {
    /// A request to the state store.
    Lease {
        sender: Sender,
        call: CallId,
        request: LeaseRequest,
        knew: Knew,
    },
    LeaseReply {
        sender: Sender,
        call: CallId,
        answer: Result<LeaseAnswer, StoreError>,
        wrote: Option<Wrote>,
    },
    /// A request to the leader store.
    Ticket {
        sender: Sender,
        call: CallId,
        request: TicketRequest,
    },
    TicketReply {
        sender: Sender,
        call: CallId,
        answer: Result<TicketAnswer, StoreError>,
    },
    LeaseHint {
        sender: Sender,
    },
    TicketHint {
        sender: Sender,
    },
    /// The kernel of its host reports to this process that another one has ended.
    Exit {
        sender: Sender,
        /// The process that has ended.
        of: Sender,
    },
    /// Crash recovery is in progress.
    Recovery {
        sender: Sender,
        call: CallId,
    },
    /// The leader's work is being stopped.
    Drained {
        sender: Sender,
    },
    /// A request to the ledger: take over and claim the signal.
    Effect {
        sender: Sender,
        token: Token,
        reached: Seq,
    },
    /// The second half of an effect that does not hold the lock of the lease; only a mutant has it.
    EffectWrite {
        sender: Sender,
        token: Token,
    },
    /// The ledger has given the signal to this leader.
    Accepted {
        sender: Sender,
        token: Token,
    },
    /// A request to the ledger: record that it was sent.
    Record {
        token: Token,
        reached: Seq,
    },
}

impl Message {
    /// The sender of the message, if it has one.
    pub fn sender(&self) -> Option<Sender> {
        match self {
            Self::Lease { sender, .. }
            | Self::LeaseReply { sender, .. }
            | Self::Ticket { sender, .. }
            | Self::TicketReply { sender, .. }
            | Self::LeaseHint { sender }
            | Self::TicketHint { sender }
            | Self::Exit { sender, .. }
            | Self::Recovery { sender, .. }
            | Self::Drained { sender }
            | Self::Effect { sender, .. }
            | Self::EffectWrite { sender, .. }
            | Self::Accepted { sender, .. } => Some(*sender),
            Self::Record { .. } => None,
        }
    }

    /// True if a store answers it.
    pub fn is_request(&self) -> bool {
        match self {
            Self::Lease { .. } | Self::Ticket { .. } | Self::Effect { .. } => true,
            Self::LeaseReply { .. }
            | Self::TicketReply { .. }
            | Self::LeaseHint { .. }
            | Self::TicketHint { .. }
            | Self::Exit { .. }
            | Self::Recovery { .. }
            | Self::Drained { .. }
            | Self::EffectWrite { .. }
            | Self::Accepted { .. }
            | Self::Record { .. } => false,
        }
    }

    /// True if it is addressed to that instance, so that a dead process cannot receive it.
    pub fn is_for(&self, node: usize) -> bool {
        let reaches_a_store = match self {
            Self::EffectWrite { .. } | Self::Record { .. } => true,
            other => other.is_request(),
        };
        !reaches_a_store && self.sender().is_some_and(|sender| sender.node == node)
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = self.sender().map(|sender| name(sender.node));
        let who = who.as_ref().map_or("a process", |name| name.as_str());
        match self {
            Self::Lease { request, .. } => match request {
                LeaseRequest::Observe => write!(f, "{who} reads the lease"),
                LeaseRequest::Claim(_) => write!(f, "{who} claims the lease"),
                LeaseRequest::Renew { seq, .. } => write!(f, "{who} renews the lease ({})", seq.0),
                LeaseRequest::Release { seq, .. } => write!(f, "{who} releases the lease ({})", seq.0),
                LeaseRequest::Note { .. } => write!(f, "{who} reports that the store has forgotten"),
            },
            Self::LeaseReply { answer: Ok(_), .. } => write!(f, "the state store's answer to {who}"),
            Self::LeaseReply { answer: Err(_), .. } => write!(f, "the state store refuses {who}"),
            Self::Ticket { request, .. } => match request {
                TicketRequest::Acquire { .. } => write!(f, "{who} requests the ticket"),
                TicketRequest::Renew(_) => write!(f, "{who} renews the ticket"),
                TicketRequest::Release(_) => write!(f, "{who} releases the ticket"),
                TicketRequest::Inspect => write!(f, "{who} reads the ticket"),
            },
            Self::TicketReply { .. } => write!(f, "the leader store's answer to {who}"),
            Self::LeaseHint { .. } => write!(f, "{who} gets a hint about the lease"),
            Self::TicketHint { .. } => write!(f, "{who} gets a hint about the ticket"),
            Self::Exit { of, .. } => {
                write!(f, "the kernel reports to {who} that {} has ended", name(of.node))
            }
            Self::Recovery { .. } => write!(f, "{who} recovers"),
            Self::Drained { .. } => write!(f, "the work of {who} has stopped"),
            Self::Effect { .. } => write!(f, "{who} takes over and claims the signal"),
            Self::EffectWrite { .. } => write!(f, "the claim of {who} is written"),
            Self::Accepted { .. } => write!(f, "{who} has the signal, and sends it if its lease is valid"),
            Self::Record { .. } => f.write_str("the result of the send"),
        }
    }
}
