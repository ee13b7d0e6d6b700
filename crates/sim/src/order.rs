//! What a broker is sent, and by which rule one that fences refuses it.

use domain::lease::Epoch;
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
}

impl Order {
    /// The signal's latest attempt.
    pub fn of(signal: &Signal, epoch: Epoch) -> Self {
        let (id, instrument) = (signal.id.clone(), signal.instruction.instrument.clone());
        Self { id, instrument, attempt: signal.attempt, epoch }
    }
}

/// What makes it honest to say at once that an order was not executed: it is refused from then on.
#[derive(Debug, Default)]
pub struct Fence {
    /// The largest that was seen, if any was.
    epoch: Option<Epoch>,
    /// Up to this attempt of a signal it was said that it was not executed.
    void: BTreeMap<SignalId, u32>,
}

impl Fence {
    /// Whether this order is not accepted, now or ever.
    pub fn refuses(&self, order: &Order) -> bool {
        Some(order.epoch) < self.epoch || self.void.get(&order.id).is_some_and(|void| order.attempt <= *void)
    }

    /// Whether whoever asks under this epoch is told nothing.
    pub fn is_past(&self, epoch: Epoch) -> bool {
        Some(epoch) < self.epoch
    }

    /// Somebody came under this epoch.
    pub fn saw(&mut self, epoch: Epoch) {
        self.epoch = self.epoch.max(Some(epoch));
    }

    /// It was said that this order was not executed.
    pub fn void(&mut self, order: &Order) {
        let void = self.void.entry(order.id.clone()).or_default();
        *void = order.attempt.max(*void);
    }
}
