//! The handler of one simulated process, as somebody would write it for a broker.

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

/// See the [module](self).
pub struct Handler {
    /// Whose.
    pub process: Process,
    /// To send to.
    pub broker: Arc<Broker>,
    /// For what is in doubt.
    pub desk: Arc<Desk>,
    /// A fault that waits for the next send.
    pub trap: Arc<Mutex<Option<Trap>>>,
    /// What is done about what cannot be known.
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
            Ok(true) => said(Outcome::Done, "it is there"),
            Ok(false) if not_there_is_no => said(Outcome::Received, "it is not there"),
            Ok(false) | Err(Failure::NoAnswer) => {
                self.desk.bring(&signal.id, signal.attempt);
                Answer::unknown("a person has to look into it")
            }
            Err(Failure::Refused) => Answer::unknown("another leader has come"),
        }
    }
}

fn said(outcome: Outcome, note: &str) -> Answer {
    Answer { outcome, note: note.to_owned() }
}
