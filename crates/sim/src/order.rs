//! What a broker receives.

use domain::id::ClaimId;
use domain::lease::{Epoch, Token};
use domain::ledger::{Label, Signal, SignalId};

/// One attempt of a signal, on its way to the broker or asked about there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Which signal.
    pub id: SignalId,
    /// What it is about.
    pub instrument: Label,
    /// Which claim of it.
    pub attempt: u32,
    /// Under which epoch it is sent, or asked about.
    pub epoch: Epoch,
    /// And under which claim.
    pub claim: ClaimId,
}

impl Order {
    /// The signal's latest attempt.
    pub fn of(signal: &Signal, token: &Token) -> Self {
        let (id, instrument) = (signal.id.clone(), signal.instruction.instrument.clone());
        Self { id, instrument, attempt: signal.attempt, epoch: token.epoch, claim: token.claim }
    }
}
