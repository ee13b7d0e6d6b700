//! Signals in memory behind the fake backend: enough of a ledger for the routes.

use adapter_http::{Pull, Reported};
use domain::id::ClaimId;
use domain::lease::{Epoch, Timeline, Token};
use domain::ledger::{
    Actor, AuditEntry, Fingerprint, Instruction, Label, NewSignal, Signal, SignalId, SignalState, Totals,
};
use domain::metrics::Refusal;
use domain::ports::{ListQuery, Recorded, Report, Submit};
use std::sync::Mutex;
use std::time::Duration;

pub const RECEIVED_MS: i64 = 1_764_411_331_250;

/// Submitted signals, and the arguments of calls.
pub struct Ledger {
    pub signals: Mutex<Vec<Signal>>,
    pub actors: Mutex<Vec<Actor>>,
    pub pulls: Mutex<Vec<(u16, Duration)>>,
    pub reports: Mutex<Vec<(Report, Actor)>>,
    /// The answer to a service that pulls.
    pub pull: Pull,
    /// The answer to a result.
    pub reported: Reported,
    pub remembers_since_s: i64,
    pub accepts_until_s: i64,
    pub refused: Mutex<Vec<Refusal>>,
    /// The present totals; `None`: the ledger does not answer.
    pub totals: Option<Totals>,
    /// The actions of operators, in words.
    pub requests: Mutex<Vec<String>>,
    /// The answer to the decision of an operator.
    pub decided: Recorded,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            signals: Mutex::default(),
            actors: Mutex::default(),
            pulls: Mutex::default(),
            reports: Mutex::default(),
            pull: Pull::Empty,
            reported: Reported::Recorded,
            remembers_since_s: 1_700_000_000,
            accepts_until_s: 4_000_000_000,
            refused: Mutex::default(),
            totals: None,
            requests: Mutex::default(),
            decided: Recorded::Recorded,
        }
    }
}

impl Ledger {
    pub fn of(signals: impl IntoIterator<Item = Signal>) -> Self {
        Self { signals: Mutex::new(signals.into_iter().collect()), ..Self::default() }
    }

    pub fn submit(&self, new: &NewSignal, actor: &Actor) -> Submit {
        self.actors.lock().expect("no panic").push(actor.clone());
        let mut signals = self.signals.lock().expect("no panic");
        let fingerprint = Fingerprint::of(&new.instruction);
        if let Some(first) = signals.iter().find(|signal| signal.fingerprint() == fingerprint) {
            return if first.instruction == new.instruction {
                Submit::Repeated(first.clone())
            } else {
                Submit::Conflict(first.clone())
            };
        }
        if let Some(other) = signals.iter().find(|signal| signal.id == new.id()) {
            return Submit::Conflict(other.clone());
        }
        let arrival = signals.len() as u64 + 1;
        let signal = received(new.id(), new.instruction.clone(), arrival);
        signals.push(signal.clone());
        Submit::Accepted(signal)
    }

    pub fn find(&self, id: &SignalId) -> Option<(Signal, Vec<AuditEntry>)> {
        let signals = self.signals.lock().expect("no panic");
        let signal = signals.iter().find(|signal| signal.id == *id)?.clone();
        let audit = vec![AuditEntry {
            number: 9,
            at_ms: signal.received_ms,
            actor: Actor { who: "client".to_owned(), origin: "127.0.0.1:1".to_owned() },
            epoch: Some(Epoch(7)),
            what: "received".to_owned(),
            signal: Some(id.clone()),
            attempt: 0,
            note: None,
        }];
        Some((signal, audit))
    }

    pub fn list(&self, query: &ListQuery) -> Vec<Signal> {
        let signals = self.signals.lock().expect("no panic");
        signals
            .iter()
            .rev()
            .filter(|signal| query.state.is_none_or(|state| signal.state.name() == state))
            .filter(|signal| query.instrument.as_ref().is_none_or(|of| signal.instruction.instrument == *of))
            .filter(|signal| query.before.is_none_or(|before| signal.arrival < before))
            .take(query.limit as usize)
            .cloned()
            .collect()
    }
}

pub fn received(id: SignalId, instruction: Instruction, arrival: u64) -> Signal {
    Signal {
        id,
        instruction,
        arrival,
        state: SignalState::Received,
        attempt: 0,
        received_ms: RECEIVED_MS,
        claimed_ms: None,
        settled_ms: None,
        note: None,
    }
}

pub fn signal_id(id: &str) -> SignalId {
    SignalId::parse(id).expect("an id")
}

/// A waiting signal.
pub fn signal(id: &str, instrument: &str, arrival: u64) -> Signal {
    let label = |text| Label::parse(text).expect("a label");
    let instruction = Instruction {
        instrument: label(instrument),
        signal_type: label("BASE_ENTRY"),
        position: label("Long_1"),
        timestamp_s: 1_764_411_330,
        payload: r#"{"price":1.10}"#.to_owned(),
        expires_ms: None,
    };
    received(signal_id(id), instruction, arrival)
}

/// A signal that was claimed in epoch 7.
pub fn claimed(id: &str) -> Signal {
    let token = Token { timeline: Timeline(1), epoch: Epoch(7), claim: ClaimId::from_u128(5) };
    Signal {
        state: SignalState::Claimed(token),
        attempt: 2,
        claimed_ms: Some(RECEIVED_MS + 1_000),
        ..signal(id, "NIFTY", 3)
    }
}
