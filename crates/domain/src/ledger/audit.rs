//! Who did what to a signal. The stores append a line with every change, in the change's own statement, and
//! never change or delete one.

use super::SignalId;
use crate::lease::Epoch;
use alloc::string::String;

/// Who does something, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// A client, a person, an instance; at most 128 characters are kept.
    pub who: String,
    /// A network address, a host; at most 128 characters are kept.
    pub origin: String,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Counts the lines of the database.
    pub number: u64,
    /// When, unix milliseconds by the state store's clock.
    pub at_ms: i64,
    /// Who, and from where.
    pub actor: Actor,
    /// The lease row's epoch at that moment.
    pub epoch: Option<Epoch>,
    /// The state that a signal reached, `deleted`, or `paused` and `resumed` for the kill switch.
    pub what: String,
    /// Which signal; `None` for the kill switch.
    pub signal: Option<SignalId>,
    /// Which claim of it, 0 before the first.
    pub attempt: u32,
    /// What was said: a reason, a broker's order id.
    pub note: Option<String>,
}
