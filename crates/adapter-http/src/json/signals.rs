//! The JSON of signals.

use super::cluster::ReadJson;
use super::rfc3339;
use crate::present::List;
use domain::lease::{Epoch, Token};
use domain::ledger::{AuditEntry, Signal};
use serde::Serialize;
use serde_json::value::RawValue;

/// A signal in the ledger.
#[derive(Debug, Serialize)]
pub struct SignalJson<'a> {
    id: &'a str,
    fingerprint: String,
    instrument: &'a str,
    signal_type: &'a str,
    position: &'a str,
    timestamp: Option<String>,
    payload: Payload<'a>,
    expires_at: Option<String>,
    state: &'static str,
    attempt: u32,
    epoch: Option<u64>,
    arrival: u64,
    received_at: Option<String>,
    claimed_at: Option<String>,
    settled_at: Option<String>,
    note: Option<&'a str>,
}

/// A payload is JSON, or any text that another program wrote into the store.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Payload<'a> {
    Json(&'a RawValue),
    Text(&'a str),
}

impl<'a> From<&'a Signal> for SignalJson<'a> {
    fn from(signal: &'a Signal) -> Self {
        let instruction = &signal.instruction;
        let payload = instruction.payload.as_str();
        Self {
            id: signal.id.as_str(),
            fingerprint: signal.fingerprint().to_string(),
            instrument: instruction.instrument.as_str(),
            signal_type: instruction.signal_type.as_str(),
            position: instruction.position.as_str(),
            timestamp: rfc3339(instruction.timestamp_s.saturating_mul(1_000)),
            payload: serde_json::from_str(payload).map_or(Payload::Text(payload), Payload::Json),
            expires_at: instruction.expires_ms.and_then(rfc3339),
            state: signal.state.name().as_str(),
            attempt: signal.attempt,
            epoch: signal.state.token().map(|token| token.epoch.0),
            arrival: signal.arrival,
            received_at: rfc3339(signal.received_ms),
            claimed_at: signal.claimed_ms.and_then(rfc3339),
            settled_at: signal.settled_ms.and_then(rfc3339),
            note: signal.note.as_deref(),
        }
    }
}

impl SignalJson<'_> {
    /// The signal as it is sent to a service in this epoch.
    pub(crate) fn in_epoch(mut self, epoch: Epoch) -> Self {
        self.epoch = Some(epoch.0);
        self
    }
}

/// A line of the audit.
#[derive(Debug, Serialize)]
pub struct AuditJson<'a> {
    number: u64,
    at: Option<String>,
    who: &'a str,
    from: &'a str,
    epoch: Option<u64>,
    what: &'a str,
    attempt: u32,
    note: Option<&'a str>,
}

impl<'a> From<&'a AuditEntry> for AuditJson<'a> {
    fn from(entry: &'a AuditEntry) -> Self {
        Self {
            number: entry.number,
            at: rfc3339(entry.at_ms),
            who: &entry.actor.who,
            from: &entry.actor.origin,
            epoch: entry.epoch.map(|epoch| epoch.0),
            what: &entry.what,
            attempt: entry.attempt,
            note: entry.note.as_deref(),
        }
    }
}

/// A signal and its audit.
#[derive(Debug, Serialize)]
pub(crate) struct StoryJson<'a> {
    #[serde(flatten)]
    signal: SignalJson<'a>,
    audit: Vec<AuditJson<'a>>,
}

impl<'a> StoryJson<'a> {
    pub(crate) fn new(signal: &'a Signal, audit: &'a [AuditEntry]) -> Self {
        Self { signal: signal.into(), audit: audit.iter().map(AuditJson::from).collect() }
    }
}

/// A page of the list, and the path of the next one.
#[derive(Debug, Serialize)]
pub(crate) struct ListJson<'a> {
    signals: Vec<SignalJson<'a>>,
    next: Option<String>,
    /// False if the ledger does not answer and has more signals that match than this instance keeps.
    complete: bool,
    #[serde(flatten)]
    read: ReadJson,
}

impl<'a> ListJson<'a> {
    /// Of the present moment, or the last known list.
    pub(crate) fn new(list: &'a List) -> Self {
        Self {
            signals: list.signals.iter().map(SignalJson::from).collect(),
            next: list.next.clone(),
            complete: list.complete,
            read: ReadJson::of(&list.read),
        }
    }
}

/// Signals for a service that pulls, or the reason why there are none.
#[derive(Debug, Serialize)]
pub(crate) struct PullJson<'a> {
    epoch: Option<u64>,
    timeline: Option<u32>,
    claim: Option<String>,
    signals: Vec<SignalJson<'a>>,
    why: Option<&'static str>,
}

impl<'a> PullJson<'a> {
    pub(crate) fn claimed(token: &Token, signals: &'a [Signal]) -> Self {
        let signals = signals.iter().map(|signal| SignalJson::from(signal).in_epoch(token.epoch)).collect();
        let (timeline, claim) = (Some(token.timeline.0), Some(token.claim.to_string()));
        Self { epoch: Some(token.epoch.0), timeline, claim, signals, why: None }
    }

    pub(crate) fn none(why: &'static str) -> Self {
        Self { epoch: None, timeline: None, claim: None, signals: Vec::new(), why: Some(why) }
    }
}
