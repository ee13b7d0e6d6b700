//! The suite of [`SignalLedger`]: never twice, never lost.

mod doubt;
mod fence;
mod life;
mod limits;
mod operator;
mod reading;
mod turn;

use super::{Case, Process, StateStores};
use domain::lease::Token;
use domain::ledger::{Actor, Instruction, Label, Limits, NewSignal, Outcome, Signal, SignalId};
use domain::ports::{InFlight, Recorded, Report, SignalClaim, SignalLedger, Submit};

/// Every case of the port.
pub fn suite<A: StateStores>() -> Vec<Case<A>> {
    [
        life::cases(),
        turn::cases(),
        fence::cases(),
        doubt::cases(),
        limits::cases(),
        operator::cases(),
        reading::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// When the signals of the suite arose: long ago, so that they can be old.
const AROSE_S: i64 = 1_700_000_000;

/// A signal of that name, about an instrument of the same name: nothing stands before it.
///
/// # Panics
/// When it is not an id.
pub fn signal(id: &str) -> NewSignal {
    signal_about(id, id)
}

/// A signal of that name about that instrument.
///
/// # Panics
/// When one of them cannot be.
pub fn signal_about(id: &str, instrument: &str) -> NewSignal {
    let label = |text: &str| Label::parse(text).expect("a case's label");
    let instruction = Instruction {
        instrument: label(instrument),
        signal_type: label("ENTRY"),
        position: label(&id.chars().take(64).collect::<String>()),
        timestamp_s: AROSE_S,
        payload: format!(r#"{{"of": "{id}"}}"#),
        expires_ms: None,
    };
    NewSignal { id: Some(signal_id(id)), instruction }
}

fn signal_id(id: &str) -> SignalId {
    SignalId::parse(id).expect("a case's signal id")
}

/// Whoever submits.
pub fn client() -> Actor {
    Actor { who: "client".to_owned(), origin: "127.0.0.1:4711".to_owned() }
}

/// Submits one signal; the answer.
///
/// # Panics
/// When the store gives none.
pub async fn offer(ledger: &dyn SignalLedger, new: &NewSignal) -> Submit {
    ledger.submit_one(new, &client()).await.expect("the store answers")
}

/// Submits a new signal.
pub(super) async fn submit(ledger: &dyn SignalLedger, id: &str) -> Signal {
    accepted(ledger, &signal(id)).await
}

async fn accepted(ledger: &dyn SignalLedger, new: &NewSignal) -> Signal {
    match offer(ledger, new).await {
        Submit::Accepted(signal) => signal,
        other => panic!("{new:?} is new: {other:?}"),
    }
}

/// Claims the next signal, which there is.
async fn claim(ledger: &dyn SignalLedger, token: &Token) -> Signal {
    match claim_one(ledger, token).await {
        SignalClaim::Claimed(mut signals) if signals.len() == 1 => signals.remove(0),
        other => panic!("a signal waits and {token} holds the row: {other:?}"),
    }
}

pub(super) async fn claim_one(ledger: &dyn SignalLedger, token: &Token) -> SignalClaim {
    ledger.claim_signals(token, Limits::NONE, 1).await.expect("the store answers")
}

/// What was found out about the signal as it was claimed.
fn report(of: &Signal, settlement: Outcome) -> Report {
    Report { id: of.id.clone(), attempt: of.attempt, settlement, note: None }
}

/// Records it; `None` when the token is fenced.
async fn record(
    ledger: &dyn SignalLedger,
    token: &Token,
    of: &Signal,
    settlement: Outcome,
) -> Option<Recorded> {
    let answers = ledger.record(token, &[report(of, settlement)]).await.expect("the store answers")?;
    let [answer] = <[Recorded; 1]>::try_from(answers).expect("one answer for one report");
    Some(answer)
}

/// Takes over while nothing is being worked on.
async fn take_over(process: &Process, token: &Token) -> Vec<Signal> {
    let doubted = process.ledger.take_over(token, InFlight::Only(&[])).await.expect("take over");
    doubted.expect("the token is the row's")
}

fn ids(signals: &[Signal]) -> Vec<&str> {
    signals.iter().map(|signal| signal.id.as_str()).collect()
}
