//! The JSON of the HTTP server as values of the domain. A document of another version is an error with the name of what is
//! missing, never a default.

use domain::decision::{Decision, Subject};
use domain::id::{ClaimId, InstanceId, Nonce};
use domain::lease::{Epoch, Timeline, Token};
use domain::ledger::{
    Actor, AuditEntry, Instruction, Label, Paused, Signal, SignalId, SignalState, StateName, Totals,
};
use domain::member::{Health, LeaseSeen, Member, MemberSeen, MemberState, Term};
use domain::recovery::RecoveryCode;
use domain::settings::SharedSettings;
use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::time::Duration;

/// The answer of `/status`.
#[derive(Debug, Deserialize)]
pub struct StatusDoc {
    pub state_store: String,
    pub state_store_fault: Option<String>,
    pub heartbeat_ms: u64,
    pub redis: Option<String>,
    pub leader_redis: Option<String>,
    pub lease: Option<LeaseDoc>,
    pub signals: Option<TotalsDoc>,
    pub read_at: Option<String>,
    pub away_since: Option<String>,
    pub instances: Vec<InstanceDoc>,
}

#[derive(Debug, Deserialize)]
pub struct LeaseDoc {
    holder: Option<String>,
    epoch: u64,
    released: bool,
    ttl_ms: u64,
    renewed_age_ms: u64,
    since: Option<String>,
    store_forgot_at: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct TotalsDoc {
    received: u64,
    claimed: u64,
    sent: u64,
    in_doubt: u64,
    oldest_received_ms: Option<u64>,
    oldest_in_doubt_ms: Option<u64>,
    expired_last_day: u32,
    sent_last_minute: u32,
    sent_last_day: u32,
    paused: Option<PausedDoc>,
    signal_value_rupees: String,
}

#[derive(Debug, Deserialize)]
struct PausedDoc {
    reason: String,
    who: String,
    since: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct InstanceDoc {
    id: String,
    nonce: String,
    host: String,
    address: String,
    last_reported: String,
    epoch: u64,
    fallback: bool,
    alerts: String,
    version: String,
    started: Option<String>,
    cannot_lead: Option<String>,
    sync_p95_ms: Option<f64>,
    heartbeat_age_ms: u64,
    settings: String,
}

/// The answer of `/history`.
#[derive(Debug, Deserialize)]
pub struct HistoryDoc {
    pub terms: Vec<TermDoc>,
    /// Null if the server could not read them.
    pub decisions: Option<Vec<DecisionDoc>>,
    pub store_forgot_at: Option<String>,
}

/// A decision of an operator that concerns no signal.
#[derive(Debug, Deserialize)]
pub struct DecisionDoc {
    at: Option<String>,
    who: String,
    from: String,
    decision: String,
    instance: Option<String>,
    started: Option<String>,
    error_code: Option<String>,
    reason: String,
}

#[derive(Debug, Deserialize)]
pub struct TermDoc {
    timeline: u32,
    epoch: u64,
    holder: String,
    host: String,
    from: Option<String>,
    to: Option<String>,
    reason: Option<String>,
}

/// The answer of `/signals`.
#[derive(Debug, Deserialize)]
pub struct ListDoc {
    pub signals: Vec<SignalDoc>,
    pub away_since: Option<String>,
}

/// The answer of `/signals/{id}`; an answer without `audit` is the signal alone.
#[derive(Debug, Deserialize)]
pub struct SignalDoc {
    id: String,
    instrument: String,
    signal_type: String,
    position: String,
    timestamp: Option<String>,
    payload: Box<RawValue>,
    expires_at: Option<String>,
    state: String,
    attempt: u32,
    epoch: Option<u64>,
    arrival: u64,
    received_at: Option<String>,
    claimed_at: Option<String>,
    settled_at: Option<String>,
    note: Option<String>,
    #[serde(default)]
    pub audit: Vec<AuditDoc>,
}

#[derive(Debug, Deserialize)]
pub struct AuditDoc {
    number: u64,
    at: Option<String>,
    who: String,
    from: String,
    epoch: Option<u64>,
    what: String,
    attempt: u32,
    note: Option<String>,
}

/// A problem document.
#[derive(Debug, Deserialize)]
pub struct ProblemDoc {
    pub detail: String,
    /// What is wrong with the tables of the state store, which answers.
    pub state_store_fault: Option<String>,
}

impl LeaseDoc {
    pub fn seen(&self) -> Result<LeaseSeen, String> {
        Ok(LeaseSeen {
            holder: self.holder.as_deref().map(InstanceId::from_stored),
            epoch: Epoch(self.epoch),
            released: self.released,
            ttl: Duration::from_millis(self.ttl_ms),
            renewed_age: Duration::from_millis(self.renewed_age_ms),
            since_ms: optional_ms("since", self.since.as_deref())?,
            forgot_ms: optional_ms("store_forgot_at", self.store_forgot_at.as_deref())?,
        })
    }
}

impl TotalsDoc {
    pub fn totals(&self) -> Result<Totals, String> {
        let paused = self.paused.as_ref().map(|paused| {
            let since_ms = ms("since", paused.since.as_deref())?;
            Ok::<_, String>(Paused { reason: paused.reason.clone(), who: paused.who.clone(), since_ms })
        });
        Ok(Totals {
            received: self.received,
            claimed: self.claimed,
            sent: self.sent,
            in_doubt: self.in_doubt,
            oldest_received: self.oldest_received_ms.map(Duration::from_millis),
            oldest_in_doubt: self.oldest_in_doubt_ms.map(Duration::from_millis),
            expired_last_day: self.expired_last_day,
            sent_last_minute: self.sent_last_minute,
            sent_last_day: self.sent_last_day,
            paused: paused.transpose()?,
        })
    }

    pub fn signal_value(&self) -> Result<Decimal, String> {
        self.signal_value_rupees.parse().map_err(|_| wrong("signal_value_rupees"))
    }
}

impl InstanceDoc {
    pub fn seen(&self) -> Result<MemberSeen, String> {
        let levels = [Health::Ok, Health::Warning, Health::Critical];
        let member = Member {
            id: InstanceId::from_stored(&self.id),
            nonce: Nonce::new(u128::from_str_radix(&self.nonce, 16).map_err(|_| wrong("nonce"))?),
            host: self.host.clone(),
            address: self.address.clone(),
            state: MemberState::parse(&self.last_reported).ok_or_else(|| wrong("last_reported"))?,
            epoch: Epoch(self.epoch),
            fallback: self.fallback,
            alerts: levels
                .into_iter()
                .find(|level| level.as_str() == self.alerts)
                .ok_or_else(|| wrong("alerts"))?,
            version: self.version.clone(),
            started_ms: ms("started", self.started.as_deref())?,
            settings: SharedSettings::parse(&self.settings),
            cannot_lead: self.cannot_lead.clone(),
            sync_p95: self.sync_p95_ms.and_then(|ms| Duration::try_from_secs_f64(ms / 1_000.0).ok()),
        };
        Ok(MemberSeen { member, heartbeat_age: Duration::from_millis(self.heartbeat_age_ms) })
    }
}

impl DecisionDoc {
    pub fn decision(&self) -> Result<Decision, String> {
        let subject = match (self.decision.as_str(), &self.instance, &self.error_code) {
            ("instance_removed", Some(id), _) => Subject::InstanceRemoved {
                id: InstanceId::from_stored(id),
                started_ms: ms("started", self.started.as_deref())?,
            },
            ("recovery_acknowledged", _, None) => Subject::RecoveryAcknowledged { verdict: None },
            ("recovery_acknowledged", _, Some(code)) => {
                let known = RecoveryCode::ALL.into_iter().find(|known| known.as_str() == code);
                Subject::RecoveryAcknowledged { verdict: Some(known.ok_or_else(|| wrong("error_code"))?) }
            }
            _ => return Err(wrong("decision")),
        };
        Ok(Decision {
            at_ms: ms("at", self.at.as_deref())?,
            actor: Actor { who: self.who.clone(), origin: self.from.clone() },
            subject,
            reason: self.reason.clone(),
        })
    }
}

impl TermDoc {
    pub fn term(&self) -> Result<Term, String> {
        Ok(Term {
            timeline: Timeline(self.timeline),
            epoch: Epoch(self.epoch),
            holder: InstanceId::from_stored(&self.holder),
            host: self.host.clone(),
            from_ms: ms("from", self.from.as_deref())?,
            to_ms: optional_ms("to", self.to.as_deref())?,
            reason: self.reason.clone(),
        })
    }
}

impl SignalDoc {
    pub fn signal(&self) -> Result<Signal, String> {
        let label = |name: &str, text: &str| Label::parse(text).map_err(|_| wrong(name));
        Ok(Signal {
            id: SignalId::parse(&self.id).map_err(|_| wrong("id"))?,
            instruction: Instruction {
                instrument: label("instrument", &self.instrument)?,
                signal_type: label("signal_type", &self.signal_type)?,
                position: label("position", &self.position)?,
                timestamp_s: ms("timestamp", self.timestamp.as_deref())?.div_euclid(1_000),
                payload: self.payload.get().to_owned(),
                expires_ms: optional_ms("expires_at", self.expires_at.as_deref())?,
            },
            arrival: self.arrival,
            state: self.state()?,
            attempt: self.attempt,
            received_ms: ms("received_at", self.received_at.as_deref())?,
            claimed_ms: optional_ms("claimed_at", self.claimed_at.as_deref())?,
            settled_ms: optional_ms("settled_at", self.settled_at.as_deref())?,
            note: self.note.clone(),
        })
    }

    fn state(&self) -> Result<SignalState, String> {
        // The document has only the epoch of the token, and the commands print nothing else of it.
        let token = || {
            let epoch = Epoch(self.epoch.ok_or_else(|| wrong("epoch"))?);
            Ok::<_, String>(Token { timeline: Timeline(0), epoch, claim: ClaimId::NIL })
        };
        Ok(match StateName::parse(&self.state).ok_or_else(|| wrong("state"))? {
            StateName::Received => SignalState::Received,
            StateName::Claimed => SignalState::Claimed(token()?),
            StateName::Sent => SignalState::Sent(token()?),
            StateName::Done => SignalState::Done,
            StateName::Rejected => SignalState::Rejected,
            StateName::Expired => SignalState::Expired,
            StateName::InDoubt => SignalState::InDoubt,
        })
    }
}

impl AuditDoc {
    /// A line of the audit of that signal.
    pub fn entry(&self, of: &SignalId) -> Result<AuditEntry, String> {
        Ok(AuditEntry {
            number: self.number,
            at_ms: ms("at", self.at.as_deref())?,
            actor: Actor { who: self.who.clone(), origin: self.from.clone() },
            epoch: self.epoch.map(Epoch),
            what: self.what.clone(),
            signal: Some(of.clone()),
            attempt: self.attempt,
            note: self.note.clone(),
        })
    }
}

/// A time that must be there, in unix milliseconds.
pub fn ms(name: &str, text: Option<&str>) -> Result<i64, String> {
    optional_ms(name, text)?.ok_or_else(|| wrong(name))
}

/// A time that may be missing, in unix milliseconds.
pub fn optional_ms(name: &str, text: Option<&str>) -> Result<Option<i64>, String> {
    let read = |text: &str| text.parse::<Timestamp>().map(Timestamp::as_millisecond).map_err(|_| wrong(name));
    text.map(read).transpose()
}

fn wrong(name: &str) -> String {
    format!("`{name}` in the answer is not as expected: the server has another version")
}

#[cfg(test)]
mod tests {
    use super::*;
    use adapter_http::{DecisionJson, SignalJson, rfc3339};

    #[test]
    fn a_signal_is_the_same_after_its_way_over_http() {
        let label = |text| Label::parse(text).expect("a label");
        let instruction = Instruction {
            instrument: label("NIFTY"),
            signal_type: label("EXIT"),
            position: label("Long_1"),
            timestamp_s: 1_764_411_330,
            payload: r#"{"price":1.10}"#.to_owned(),
            expires_ms: Some(1_764_411_390_500),
        };
        let token = Token { timeline: Timeline(0), epoch: Epoch(7), claim: ClaimId::NIL };
        for state in [
            SignalState::Received,
            SignalState::Claimed(token),
            SignalState::Sent(token),
            SignalState::InDoubt,
        ] {
            let signal = Signal {
                id: SignalId::parse("s-1").expect("an id"),
                instruction: instruction.clone(),
                arrival: 3,
                state,
                attempt: 2,
                received_ms: 1_764_411_331_250,
                claimed_ms: Some(1_764_411_332_000),
                settled_ms: None,
                note: Some("order 4711".to_owned()),
            };
            let text = serde_json::to_string(&SignalJson::from(&signal)).expect("JSON");
            let read: SignalDoc = serde_json::from_str(&text).expect("our own form");
            assert_eq!(read.signal(), Ok(signal));
        }
    }

    #[test]
    fn a_decision_is_the_same_after_its_way_over_http() {
        let id = InstanceId::parse("c-3").expect("an id");
        for subject in [
            Subject::InstanceRemoved { id, started_ms: 1_764_411_330_250 },
            Subject::RecoveryAcknowledged { verdict: None },
            Subject::RecoveryAcknowledged { verdict: Some(RecoveryCode::ValidationFailed) },
        ] {
            let decision = Decision {
                at_ms: 1_764_411_331_500,
                actor: Actor { who: "asha".to_owned(), origin: "command line on desk".to_owned() },
                subject,
                reason: "known".to_owned(),
            };
            let text = serde_json::to_string(&DecisionJson::from(&decision)).expect("JSON");
            let read: DecisionDoc = serde_json::from_str(&text).expect("our own form");
            assert_eq!(read.decision(), Ok(decision));
        }
    }

    #[test]
    fn a_document_of_another_version_is_an_error() {
        let doc = |state| {
            format!(
                r#"{{"id":"s","instrument":"i","signal_type":"t","position":"p","timestamp":"{}","payload":1,
                "state":"{state}","attempt":0,"arrival":1,"received_at":null}}"#,
                rfc3339(0).expect("a time")
            )
        };
        for (state, why) in [("flying", "`state`"), ("claimed", "`epoch`"), ("received", "`received_at`")] {
            let read: SignalDoc = serde_json::from_str(&doc(state)).expect("the form");
            assert!(read.signal().expect_err(state).contains(why), "{state}");
        }
    }
}
