//! An order for the broker.

use domain::id::ClaimId;
use domain::lease::{Epoch, Token};
use domain::ledger::{Label, Signal, SignalId};

/// One attempt of a signal, sent to the broker or looked up there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The signal.
    pub id: SignalId,
    /// The instrument.
    pub instrument: Label,
    /// The attempt.
    pub attempt: u32,
    /// The epoch of the leader that sends it or looks it up.
    pub epoch: Epoch,
    /// The claim of that leader.
    pub claim: ClaimId,
}

impl Order {
    /// The order for the signal's latest attempt.
    pub fn of(signal: &Signal, token: &Token) -> Self {
        let (id, instrument) = (signal.id.clone(), signal.instruction.instrument.clone());
        Self { id, instrument, attempt: signal.attempt, epoch: token.epoch, claim: token.claim }
    }
}
