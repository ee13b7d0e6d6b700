//! The audit log of the ledger. The stores append a line with every change, in the statement of the change, and never
//! change or delete a line.

use super::SignalId;
use crate::lease::Epoch;
use alloc::string::String;

/// The actor of a change, and its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// A client, an operator or an instance; at most 128 characters are kept.
    pub who: String,
    /// A network address or a host; at most 128 characters are kept.
    pub origin: String,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// The number of the line, unique in the database.
    pub number: u64,
    /// The time of the change, in unix milliseconds by the state store's clock.
    pub at_ms: i64,
    /// The actor.
    pub actor: Actor,
    /// The epoch of the lease at that moment.
    pub epoch: Option<Epoch>,
    /// The state that a signal reached, `deleted`, `folded` for a later alert that is the same signal, or `paused` and
    /// `resumed` for the kill switch.
    pub what: String,
    /// The signal; `None` for the kill switch.
    pub signal: Option<SignalId>,
    /// The attempt; 0 before the first claim.
    pub attempt: u32,
    /// A note: a reason, or a broker's order id.
    pub note: Option<String>,
}
