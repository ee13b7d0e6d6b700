//! What a broker is sent, and by which rule one that fences refuses it.

use domain::id::ClaimId;
use domain::lease::{Epoch, Token};
use domain::ledger::{Label, Signal, SignalId};
use std::collections::BTreeMap;

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

/// What makes it honest to say at once that an order was not executed: it is refused from then on.
#[derive(Debug, Default)]
pub struct Fence {
    /// The largest epoch that was seen, if any was, and the claim that it was first seen under.
    latest: Option<(Epoch, ClaimId)>,
    /// Up to this attempt of a signal it was said that it was not executed.
    void: BTreeMap<SignalId, u32>,
}

impl Fence {
    /// Whether this order is not accepted, now or ever.
    pub fn refuses(&self, order: &Order) -> bool {
        self.is_past(order.epoch, order.claim)
            || self.void.get(&order.id).is_some_and(|void| order.attempt <= *void)
    }

    /// Whether whoever asks under this epoch and claim is told nothing: a larger one was seen, or the same under another
    /// claim.
    pub fn is_past(&self, epoch: Epoch, claim: ClaimId) -> bool {
        self.latest.is_some_and(|latest| epoch < latest.0 || (epoch == latest.0 && claim != latest.1))
    }

    /// Somebody came under this epoch and claim.
    pub fn saw(&mut self, epoch: Epoch, claim: ClaimId) {
        if self.latest.is_none_or(|latest| epoch > latest.0) {
            self.latest = Some((epoch, claim));
        }
    }

    /// It was said that this order was not executed.
    pub fn void(&mut self, order: &Order) {
        let void = self.void.entry(order.id.clone()).or_default();
        *void = order.attempt.max(*void);
    }
}
