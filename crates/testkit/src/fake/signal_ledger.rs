//! [`SignalLedger`] in memory, on the same tables.

use super::faults::Call;
use super::state_store::FakeStateStore;
use async_trait::async_trait;
use domain::lease::Token;
use domain::ledger::{NewSignal, Settlement, Signal, SignalCounts, SignalId, SignalState};
use domain::ports::{Recorded, SignalClaim, SignalLedger, StoreError, Submit};

impl FakeStateStore {
    fn do_submit(&self, new: &NewSignal) -> Submit {
        let mut tables = self.database.tables();
        let signals = tables.signals.entry(self.opening.group.clone()).or_default();
        if let Some(known) = signals.iter().find(|signal| signal.id == new.id).cloned() {
            return if known.body == new.body { Submit::Repeated(known) } else { Submit::Conflict(known) };
        }
        let order = signals.last().map_or(1, |last| last.order + 1);
        let signal =
            Signal { id: new.id.clone(), body: new.body.clone(), order, state: SignalState::Received };
        signals.push(signal.clone());
        tables.signal_listeners.wake_others(&self.opening.group, self.opening.nonce);
        Submit::Accepted(signal)
    }

    /// `work` on the group's signals if the fence admits `token`.
    fn fenced<T>(&self, token: &Token, work: impl FnOnce(&mut [Signal]) -> T) -> Option<T> {
        let mut tables = self.database.tables();
        let admitted = tables.admits(&self.opening.group, token);
        admitted.then(|| work(tables.signals.entry(self.opening.group.clone()).or_default()))
    }

    fn do_claim_next(&self, token: &Token) -> SignalClaim {
        let claimed = self.fenced(token, |signals| {
            let oldest = signals.iter_mut().find(|signal| signal.state == SignalState::Received)?;
            oldest.state = SignalState::Claimed(*token);
            Some(oldest.clone())
        });
        match claimed {
            None => SignalClaim::Fenced,
            Some(None) => SignalClaim::Empty,
            Some(Some(signal)) => SignalClaim::Claimed(signal),
        }
    }

    /// Moves the signal to its settled state if it is in the state `from`.
    fn move_on(&self, token: &Token, id: &SignalId, from: SignalState, as_: Settlement) -> Recorded {
        let moved = self.fenced(token, |signals| {
            let signal = signals.iter_mut().find(|signal| signal.id == *id && signal.state == from)?;
            signal.state = settled(as_);
            Some(())
        });
        match moved.flatten() {
            Some(()) => Recorded::Recorded,
            None => Recorded::Fenced,
        }
    }

    fn do_settle(&self, token: &Token, id: &SignalId, as_: Settlement) -> Recorded {
        match as_ {
            Settlement::Done | Settlement::Rejected => {
                self.move_on(token, id, SignalState::Claimed(*token), as_)
            }
            Settlement::Received => Recorded::Fenced,
        }
    }

    fn do_take_over(&self, token: &Token) -> Option<Vec<Signal>> {
        self.fenced(token, |signals| {
            for signal in signals.iter_mut() {
                if matches!(signal.state, SignalState::Claimed(_)) {
                    signal.state = SignalState::InDoubt;
                }
            }
            signals.iter().filter(|signal| signal.state == SignalState::InDoubt).cloned().collect()
        })
    }

    fn do_counts(&self) -> SignalCounts {
        let tables = self.database.tables();
        let mut counts = SignalCounts::default();
        for signal in tables.signals.get(&self.opening.group).into_iter().flatten() {
            match signal.state {
                SignalState::Received => counts.received += 1,
                SignalState::Claimed(_) => counts.claimed += 1,
                SignalState::Done => counts.done += 1,
                SignalState::Rejected => counts.rejected += 1,
                SignalState::InDoubt => counts.in_doubt += 1,
            }
        }
        counts
    }
}

fn settled(as_: Settlement) -> SignalState {
    match as_ {
        Settlement::Done => SignalState::Done,
        Settlement::Rejected => SignalState::Rejected,
        Settlement::Received => SignalState::Received,
    }
}

#[async_trait]
impl SignalLedger for FakeStateStore {
    async fn submit(&self, signal: &NewSignal) -> Result<Submit, StoreError> {
        self.faults.around(Call::Submit, || Ok(self.do_submit(signal))).await
    }

    async fn claim_next(&self, token: &Token) -> Result<SignalClaim, StoreError> {
        self.faults.around(Call::ClaimNext, || Ok(self.do_claim_next(token))).await
    }

    async fn settle(&self, token: &Token, id: &SignalId, as_: Settlement) -> Result<Recorded, StoreError> {
        self.faults.around(Call::Settle, || Ok(self.do_settle(token, id, as_))).await
    }

    async fn take_over(&self, token: &Token) -> Result<Option<Vec<Signal>>, StoreError> {
        self.faults.around(Call::TakeOver, || Ok(self.do_take_over(token))).await
    }

    async fn resolve(&self, token: &Token, id: &SignalId, as_: Settlement) -> Result<Recorded, StoreError> {
        self.faults.around(Call::Resolve, || Ok(self.move_on(token, id, SignalState::InDoubt, as_))).await
    }

    async fn counts(&self) -> Result<SignalCounts, StoreError> {
        self.faults.around(Call::Counts, || Ok(self.do_counts())).await
    }

    async fn submitted(&self) {
        self.submitted.notified().await;
    }
}
