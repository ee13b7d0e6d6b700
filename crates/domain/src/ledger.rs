//! The life of a signal: received -> claimed(token) -> done | rejected, or in doubt in between.

use crate::id::{InstanceId, InvalidId};
use crate::lease::Token;
use alloc::string::String;
use core::fmt;

/// The name of a signal: 1 to 128 characters out of `[A-Za-z0-9._:-]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SignalId(InstanceId);

impl SignalId {
    /// Parses a signal's name.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        InstanceId::parse(text).map(Self)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for SignalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A signal to be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSignal {
    /// Its name; the same name with another body is a conflict.
    pub id: SignalId,
    /// What is to be done, as a JSON document of at most [`BODY_LEN_MAX`] bytes. Opaque here.
    pub body: String,
}

/// Longest body in bytes.
pub const BODY_LEN_MAX: usize = 64 * 1024;

/// A signal as the ledger has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    /// Its name.
    pub id: SignalId,
    /// What is to be done.
    pub body: String,
    /// Order of arrival in its group.
    pub order: u64,
    /// Where it stands.
    pub state: SignalState,
}

/// Where a signal stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignalState {
    /// Durable and waiting.
    Received,
    /// Taken by a leader that may or may not have sent it.
    Claimed(Token),
    /// Sent, and the result is known.
    Done,
    /// Known not to have been executed, for good.
    Rejected,
    /// Claimed by a leader that is gone: its outcome has to be looked up.
    InDoubt,
}

/// How a signal ends, or goes back to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Settlement {
    /// It was executed.
    Done,
    /// It was not executed and will not be.
    Rejected,
    /// It is known not to have been executed: wait for the next claim. Only out of doubt.
    Received,
}

/// How many signals of the group are in each state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SignalCounts {
    /// Durable and waiting.
    pub received: u64,
    /// Taken by a leader.
    pub claimed: u64,
    /// Executed.
    pub done: u64,
    /// Not executed.
    pub rejected: u64,
    /// Outcome unknown.
    pub in_doubt: u64,
}
