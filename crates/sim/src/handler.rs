//! The handler of one simulated process, written like a handler for a real broker.

use crate::broker::{Broker, Failure, Trap};
use crate::desk::Desk;
use crate::order::Order;
use crate::plan::{Caution, Results};
use async_trait::async_trait;
use coordinator::clock::Process;
use domain::lease::Token;
use domain::ledger::{Outcome, Signal};
use domain::ports::{Answer, SignalHandler};
use std::sync::{Arc, Mutex, PoisonError};

/// The handler; see the [module](self).
pub struct Handler {
    /// The process that it belongs to.
    pub process: Process,
    /// The broker that it sends to.
    pub broker: Arc<Broker>,
    /// The desk for signals in doubt.
    pub desk: Arc<Desk>,
    /// A fault that is triggered by the next send.
    pub trap: Arc<Mutex<Option<Trap>>>,
    /// The behaviour when an outcome cannot be known.
    pub caution: Caution,
}

#[async_trait]
impl SignalHandler for Handler {
    async fn execute(&self, signal: &Signal, token: &Token) -> Answer {
        let trap = self.trap.lock().unwrap_or_else(PoisonError::into_inner).take();
        match self.broker.send(&self.process, Order::of(signal, token), trap).await {
            Ok(()) => match self.broker.results() {
                Results::AtOnce => said(Outcome::Done, "accepted"),
                Results::Later => said(Outcome::Sent, "accepted, and not executed yet"),
            },
            Err(Failure::Refused) => said(Outcome::Received, "refused"),
            Err(Failure::NoAnswer) if self.caution == Caution::SilenceIsNo => {
                said(Outcome::Received, "no answer")
            }
            Err(Failure::NoAnswer) => Answer::unknown("no answer"),
        }
    }

    async fn lookup(&self, signal: &Signal, token: &Token) -> Answer {
        let not_there_is_no = self.broker.fences() || self.caution == Caution::Blind;
        match self.broker.lookup(Order::of(signal, token)).await {
            Ok(true) => said(Outcome::Done, "the broker has it"),
            Ok(false) if not_there_is_no => said(Outcome::Received, "the broker does not have it"),
            Ok(false) | Err(Failure::NoAnswer) => {
                self.desk.bring(&signal.id, signal.attempt);
                Answer::unknown("an operator must check it")
            }
            Err(Failure::Refused) => Answer::unknown("another instance leads"),
        }
    }
}

fn said(outcome: Outcome, note: &str) -> Answer {
    Answer { outcome, note: note.to_owned() }
}
