//! The handler of signals: the port of the dispatcher to the service that executes them.

use crate::lease::Token;
use crate::ledger::{Outcome, Signal};
use alloc::boxed::Box;
use alloc::string::String;
use async_trait::async_trait;

/// A handler's answer about a signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The outcome. [`Outcome::Received`] is a promise: the signal was not executed, and nothing that was done so
    /// far will execute it later; it is then sent again. A handler that is not sure answers [`Outcome::InDoubt`].
    pub outcome: Outcome,
    /// A broker's order id, or the reason; at most 256 characters are kept.
    pub note: String,
}

impl Answer {
    /// The outcome is unknown, for this reason.
    pub fn unknown(why: impl Into<String>) -> Self {
        Self { outcome: Outcome::InDoubt, note: why.into() }
    }
}

/// Executes signals: a broker's client, or a service in another process.
///
/// Only the active leader calls it, for one signal of an instrument at a time, and for several instruments at the same
/// time. A call is dropped when leadership ends or when it takes too long; what it had begun may then continue,
/// and the signal is in doubt. Calls must not block the thread.
#[async_trait]
pub trait SignalHandler: Send + Sync {
    /// Executes the signal. It is called once for each attempt, and for a further attempt only after this handler
    /// answered, here or in [`lookup`](Self::lookup), that the former did not execute it. The signal's
    /// [`fingerprint`](Signal::fingerprint) is the same for every attempt: pass it on as the idempotency key if
    /// the receiver of the order accepts one. The token's epoch grows with every change of leader: a receiver
    /// refuses an epoch below the largest that it has seen, and the same epoch under another claim (after the store has
    /// forgotten, two leaders may have one number).
    async fn execute(&self, signal: &Signal, token: &Token) -> Answer;

    /// Looks up a signal that a former leader may have sent. The default answers that the handler cannot know; an
    /// operator then decides.
    ///
    /// That nothing is found does not mean that nothing will come: the order of a leader that is gone, or that was
    /// stopped just before it sent, may be on its way. [`Outcome::Received`] is for a receiver that refuses, from
    /// this answer on, orders of a smaller epoch and orders of this signal's earlier attempts.
    /// [`HandlerFence`](crate::ledger::HandlerFence) decides what to refuse.
    async fn lookup(&self, _signal: &Signal, _token: &Token) -> Answer {
        Answer::unknown("this handler cannot look signals up")
    }
}
