//! The contract suite of [`SignalLedger`]: no signal is executed twice or lost.

mod fence;
mod hooks;
mod in_doubt;
mod life;
mod limits;
mod operator;
mod reading;
mod turn;

use super::{Case, Process, StateStores};
use domain::lease::Token;
use domain::ledger::{Actor, Instruction, Label, Limits, NewSignal, Outcome, Signal, SignalId};
use domain::ports::{Claim, ClaimRequest, InFlight, Recorded, Report, SignalClaim, SignalLedger, Submit};

/// Every case of the port.
pub fn suite<A: StateStores>() -> Vec<Case<A>> {
    [
        life::cases(),
        turn::cases(),
        fence::cases(),
        hooks::cases(),
        in_doubt::cases(),
        limits::cases(),
        operator::cases(),
        reading::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The timestamp of the suite's signals: long ago, so that they can be old.
const AROSE_S: i64 = 1_700_000_000;

/// A signal of that id, for an instrument of the same name, so that no other signal blocks it.
///
/// # Panics
/// If it is not an id.
pub fn signal(id: &str) -> NewSignal {
    signal_about(id, id)
}

/// A signal of that id for that instrument.
///
/// # Panics
/// If one of them is not valid.
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
    NewSignal { id: Some(signal_id(id)), instruction, hook: None }
}

fn signal_id(id: &str) -> SignalId {
    SignalId::parse(id).expect("a case's signal id")
}

/// The actor that submits.
pub fn client() -> Actor {
    Actor { who: "client".to_owned(), origin: "127.0.0.1:4711".to_owned() }
}

/// Submits one signal and returns the answer.
///
/// # Panics
/// If the store does not answer.
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

/// Claims the next signal; there must be one.
async fn claim(ledger: &dyn SignalLedger, token: &Token) -> Signal {
    match claim_one(ledger, token).await {
        SignalClaim::Claimed(mut signals) if signals.len() == 1 => signals.remove(0),
        other => panic!("a signal waits and {token} holds the lease: {other:?}"),
    }
}

pub(super) async fn claim_one(ledger: &dyn SignalLedger, token: &Token) -> SignalClaim {
    ledger.claim_signals(token, Limits::NONE, 1).await.expect("the store answers")
}

/// The report of an outcome for the signal as claimed.
fn report(of: &Signal, outcome: Outcome) -> Report {
    Report { id: of.id.clone(), attempt: of.attempt, outcome, note: None }
}

/// Records the outcome; `None` if the token is fenced.
async fn record(ledger: &dyn SignalLedger, token: &Token, of: &Signal, outcome: Outcome) -> Option<Recorded> {
    let answers = ledger.record(token, &[report(of, outcome)]).await.expect("the store answers")?;
    let [answer] = <[Recorded; 1]>::try_from(answers).expect("one answer for one report");
    Some(answer)
}

/// `process` leads, and knows that the store has forgotten.
async fn lead_after_forgetting(process: &Process) -> Token {
    let request = ClaimRequest { forgotten: true, ..process.request(&process.read_lease().await) };
    match process.state.claim(&request).await {
        Ok(Claim::Granted(token)) => token,
        other => panic!("the lease is unchanged: {other:?}"),
    }
}

/// Takes over while no signal is in progress.
async fn take_over(process: &Process, token: &Token) -> Vec<Signal> {
    let in_doubt = process.ledger.take_over(token, InFlight::Only(&[])).await.expect("take over");
    in_doubt.expect("the token holds the lease")
}

fn ids(signals: &[Signal]) -> Vec<&str> {
    signals.iter().map(|signal| signal.id.as_str()).collect()
}
