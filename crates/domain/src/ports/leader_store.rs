//! The ticket: the port to a leader store, which makes a failover fast.

use super::StoreError;
use crate::id::{ClaimId, InstanceId};
use crate::identity::Identity;
use alloc::boxed::Box;
use async_trait::async_trait;
use core::time::Duration;

/// A ticket as Redis has it: an advisory lock that only orders attempts to lead.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ticket {
    /// The instance that holds it, for operators.
    pub holder: InstanceId,
    /// The claim it was taken for; `None` when the value is not one of ours.
    pub claim: Option<ClaimId>,
    /// What is wrong with it, or for how long it is valid.
    pub remaining: Result<Duration, TicketFault>,
}

/// A ticket that this system cannot have written. The election counts it and does not wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TicketFault {
    /// The key never expires.
    #[error("the lease key has no expiry")]
    NoExpiry,
    /// It expires later than LEADER_TTL from now: a clock of Redis's host jumped.
    #[error("the lease key outlives LEADER_TTL")]
    TooLong,
    /// The key is a list, a hash, or another type than a string.
    #[error("the lease key is not a string")]
    WrongType,
    /// The value is too large or not `instance claim`.
    #[error("the lease key's value is not one of ours")]
    Malformed,
}

/// Answer to the request for a ticket.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Acquire {
    /// The caller holds it for LEADER_TTL.
    Granted,
    /// Another instance holds it, or it is faulty.
    Held(Ticket),
}

/// Answer to the renewal of a ticket.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TicketRenewal {
    /// The caller holds it for LEADER_TTL from now.
    Renewed,
    /// The caller does not hold it; the ticket of another, if there is one.
    Lost(Option<Ticket>),
}

/// The leader store of one group: a ticket that spares the state store all attempts but one, and hints.
/// A loss of it, or a wrong answer from it, costs speed and never safety.
#[async_trait]
pub trait LeaderStore: Send + Sync {
    /// What it was opened for.
    fn identity(&self) -> Identity;

    /// Acquires the ticket for `claim` if it is free, if it is already `claim`'s, or if it is the ticket
    /// of `superseded`, the lease's claim that is known to be over. One script at the store.
    async fn acquire(&self, claim: ClaimId, superseded: Option<ClaimId>) -> Result<Acquire, StoreError>;

    /// Extends the ticket to LEADER_TTL if it is `claim`'s.
    async fn renew(&self, claim: ClaimId) -> Result<TicketRenewal, StoreError>;

    /// Deletes the ticket if it is `claim`'s and hints others either way.
    async fn release(&self, claim: ClaimId) -> Result<(), StoreError>;

    /// The ticket, if there is one. Reads at most 512 bytes of the value.
    async fn inspect(&self) -> Result<Option<Ticket>, StoreError>;

    /// As [`LeaseStore::changed`](super::LeaseStore::changed): resolves when another process released the ticket, or when the
    /// connection to the store came back.
    async fn changed(&self);
}
