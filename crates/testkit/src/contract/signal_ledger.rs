//! The suite of [`SignalLedger`]: never twice, never lost.

mod doubt;
mod fence;
mod life;

use super::{Case, StateStores};
use domain::lease::Token;
use domain::ledger::{NewSignal, Signal, SignalId};
use domain::ports::{SignalClaim, SignalLedger, Submit};

/// Every case of the port.
pub fn suite<A: StateStores>() -> Vec<Case<A>> {
    [life::cases(), fence::cases(), doubt::cases()].into_iter().flatten().collect()
}

/// A signal of that name with a body of its own.
pub(super) fn signal(id: &str) -> NewSignal {
    NewSignal { id: signal_id(id), body: format!(r#"{{"instrument": "NIFTY", "of": "{id}"}}"#) }
}

fn signal_id(id: &str) -> SignalId {
    SignalId::parse(id).expect("a case's signal id")
}

/// Submits a new signal.
async fn submit(ledger: &dyn SignalLedger, id: &str) -> Signal {
    match ledger.submit(&signal(id)).await {
        Ok(Submit::Accepted(signal)) => signal,
        other => panic!("{id} is new: {other:?}"),
    }
}

/// Claims the next signal, which there is.
async fn claim(ledger: &dyn SignalLedger, token: &Token) -> Signal {
    match ledger.claim_next(token).await {
        Ok(SignalClaim::Claimed(signal)) => signal,
        other => panic!("a signal waits and {token} holds the row: {other:?}"),
    }
}
