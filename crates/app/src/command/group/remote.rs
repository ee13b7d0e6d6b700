//! [`Remote`]: a group by the HTTP server of one of its instances.

use super::decode::{
    DecisionDoc, HistoryDoc, InstanceDoc, LeaseDoc, ListDoc, ProblemDoc, SignalDoc, StatusDoc, TermDoc,
    TotalsDoc, optional_ms,
};
use super::{Condition, Decision, Group};
use crate::command::facts::Read;
use crate::failure::Failure;
use adapter_http::{CheckJson, HISTORY_LIMIT_MAX, InstanceAlert, Reply, Server, Token};
use async_trait::async_trait;
use coordinator::clock;
use domain::decision::Decision as Decided;
use domain::id::InstanceId;
use domain::lease::Epoch;
use domain::ledger::{AuditEntry, Signal, SignalId, StateName, Totals};
use domain::member::{LeaseSeen, Member, MemberSeen, Term};
use domain::metrics::SIGNAL_VALUE_DEFAULT;
use domain::overview::{Facts, Known};
use domain::ports::{ListQuery, Recorded, StepDown, Switch, Switched};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt::Write;
use std::time::Duration;
use tokio::time::sleep;

/// Pause between two requests while a command waits for a change.
const PERIOD_MAX: Duration = Duration::from_millis(500);

pub struct Remote {
    server: Server,
    has_token: bool,
}

impl Remote {
    /// The group of the instance behind `server`.
    pub fn new(server: Server, token: Option<Token>) -> Self {
        Self { has_token: token.is_some(), server: server.with_token(token) }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Failure> {
        self.answer(self.server.get(path).await)
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<Posted<T>, Failure> {
        let reply = self.server.post(path, &body.to_string(), &uuid::Uuid::new_v4().to_string()).await;
        if let Ok(Reply { status: 409, body }) = &reply {
            let problem = serde_json::from_slice(body).map_err(|_| self.fails("HTTP 409"))?;
            return Ok(Posted::Refused(problem));
        }
        let none = || self.fails("the server does not know what the command is about");
        Ok(Posted::Done(self.answer(reply)?.ok_or_else(none)?))
    }

    /// The document of a successful answer; `None` for 404.
    fn answer<T: DeserializeOwned>(&self, reply: Result<Reply, String>) -> Result<Option<T>, Failure> {
        let Reply { status, body } = reply.map_err(|why| self.fails(&why))?;
        if (200..300).contains(&status) {
            let read = serde_json::from_slice(&body);
            return read
                .map(Some)
                .map_err(|error| self.fails(&format!("the answer is of another version: {error}")));
        }
        let detail = serde_json::from_slice::<ProblemDoc>(&body).ok().map(|problem| problem.detail);
        let detail = detail.unwrap_or_else(|| format!("HTTP {status}"));
        match status {
            404 => Ok(None),
            401 if !self.has_token => {
                Err(self.wrong(&format!("{detail}; name the file with your token with --token-file")))
            }
            401 | 403 => Err(self.wrong(&detail)),
            _ => Err(self.fails(&detail)),
        }
    }

    fn fails(&self, why: &str) -> Failure {
        Failure::other(format!("{}: {why}", self.server))
    }

    fn wrong(&self, why: &str) -> Failure {
        Failure::usage(format!("{}: {why}", self.server))
    }

    async fn status(&self) -> Result<StatusDoc, Failure> {
        self.status_in(self.server.get("/status").await)
    }

    fn status_in(&self, reply: Result<Reply, String>) -> Result<StatusDoc, Failure> {
        let missing = || self.fails("the server has no /status: it is no instance of coordinator");
        self.answer(reply)?.ok_or_else(missing)
    }

    /// The same document, if the state store answers.
    async fn present(&self) -> Result<StatusDoc, Failure> {
        let status = self.status().await?;
        match &status.away_since {
            Some(since) => Err(self.fails(&format!("the state store has not answered since {since}"))),
            None => Ok(status),
        }
    }

    fn facts_of(&self, status: &StatusDoc) -> Result<Read, String> {
        let read_ms = optional_ms("read_at", status.read_at.as_deref())?;
        let away_ms = optional_ms("away_since", status.away_since.as_deref())?;
        let now_ms = away_ms.map_or(read_ms, |_| None).unwrap_or_else(clock::calendar_ms);
        let lease = status.lease.as_ref().map(LeaseDoc::seen).transpose()?;
        let members =
            status.instances.iter().map(InstanceDoc::seen).collect::<Result<Vec<MemberSeen>, _>>()?;
        let totals = status.signals.as_ref().map(TotalsDoc::totals).transpose()?;
        let signal_value =
            status.signals.as_ref().map_or(Ok(SIGNAL_VALUE_DEFAULT), TotalsDoc::signal_value)?;
        let ticket = status.redis.as_deref().map(|redis| {
            let holder = status.leader_redis.as_deref().map(InstanceId::from_stored);
            if redis == "answers" { Ok(holder) } else { Err(Failure::other("Redis does not answer")) }
        });
        let holder = |answer: &Result<Option<InstanceId>, Failure>| match answer {
            Ok(holder) => Known::read(holder.clone(), now_ms),
            Err(_) => Known::away(now_ms),
        };
        let facts = Facts {
            now_ms,
            state_store: status.state_store.clone(),
            state_store_fault: status.state_store_fault.clone(),
            heartbeat: Duration::from_millis(status.heartbeat_ms),
            lease: known(lease, read_ms, away_ms, now_ms),
            members: known(Some(members), read_ms, away_ms, now_ms),
            ticket: ticket.as_ref().map(holder),
            totals: known(totals, read_ms, away_ms, now_ms),
            signal_value,
        };
        let since = status.away_since.as_ref();
        let failure =
            since.map(|since| self.fails(&format!("the state store has not answered since {since}")));
        Ok(Read { facts, ticket, failures: failure.into_iter().collect() })
    }

    fn signals(&self, docs: &[SignalDoc]) -> Result<Vec<Signal>, Failure> {
        docs.iter().map(|doc| doc.signal().map_err(|why| self.fails(&why))).collect()
    }
}

/// The answer to an action.
enum Posted<T> {
    Done(T),
    /// 409.
    Refused(ProblemDoc),
}

fn known<T>(value: Option<T>, read_ms: Option<i64>, away_ms: Option<i64>, now_ms: i64) -> Known<T> {
    let mut known = match value {
        Some(value) => Known::read(value, read_ms.unwrap_or(now_ms)),
        None => Known::default(),
    };
    if let Some(away_ms) = away_ms {
        known.failed(away_ms);
    }
    known
}

#[async_trait]
impl Group for Remote {
    async fn facts(&self) -> Read {
        let reply = self.server.get("/status").await;
        let fault = reply.as_ref().ok().and_then(state_store_fault);
        let read =
            self.status_in(reply).and_then(|status| self.facts_of(&status).map_err(|why| self.fails(&why)));
        read.unwrap_or_else(|failure| {
            let now_ms = clock::calendar_ms();
            let facts = Facts {
                now_ms,
                state_store: "the state store".to_owned(),
                state_store_fault: fault,
                heartbeat: Duration::ZERO,
                lease: Known::away(now_ms),
                members: Known::away(now_ms),
                ticket: None,
                totals: Known::away(now_ms),
                signal_value: SIGNAL_VALUE_DEFAULT,
            };
            Read { facts, ticket: None, failures: vec![failure] }
        })
    }

    async fn lease(&self) -> Result<LeaseSeen, Failure> {
        let status = self.present().await?;
        let lease = status.lease.as_ref().ok_or_else(|| self.fails("the lease is unknown"))?;
        lease.seen().map_err(|why| self.fails(&why))
    }

    async fn members(&self) -> Result<Vec<MemberSeen>, Failure> {
        let status = self.present().await?;
        status.instances.iter().map(|one| one.seen().map_err(|why| self.fails(&why))).collect()
    }

    async fn history(&self, limit: u32) -> Result<(Vec<Term>, Option<i64>), Failure> {
        let missing = || self.fails("the server has no /history: it is no instance of coordinator");
        let doc: HistoryDoc = self.get(&format!("/history?limit={limit}")).await?.ok_or_else(missing)?;
        let read = || {
            let terms = doc.terms.iter().map(TermDoc::term).collect::<Result<Vec<Term>, String>>()?;
            Ok((terms, optional_ms("store_forgot_at", doc.store_forgot_at.as_deref())?))
        };
        read().map_err(|why: String| self.fails(&why))
    }

    async fn decisions(&self, limit: u32) -> Option<Vec<Decided>> {
        let limit = limit.min(HISTORY_LIMIT_MAX);
        let doc: HistoryDoc = self.get(&format!("/history?limit={limit}")).await.ok()??;
        doc.decisions?.iter().map(DecisionDoc::decision).collect::<Result<Vec<Decided>, String>>().ok()
    }

    async fn changed(&self, time: Duration) {
        sleep(time.min(PERIOD_MAX)).await;
    }

    async fn alerts_of(&self, _: &Member) -> Result<Vec<InstanceAlert>, String> {
        // The address in the table is for the server's host, and another host must not get the token.
        Err("the command reads only the named server".to_owned())
    }

    async fn find(&self, id: &SignalId) -> Result<Option<Signal>, Failure> {
        let doc: Option<SignalDoc> = self.get(&format!("/signals/{}", encoded(id.as_str()))).await?;
        doc.map(|doc| doc.signal().map_err(|why| self.fails(&why))).transpose()
    }

    async fn list(&self, query: &ListQuery) -> Result<Vec<Signal>, Failure> {
        let mut path = format!("/signals?limit={}", query.limit);
        let mut with = |name: &str, value: &str| {
            write!(path, "&{name}={}", encoded(value)).expect("a String takes everything");
        };
        if let Some(state) = query.state.map(StateName::as_str) {
            with("state", state);
        }
        if let Some(instrument) = &query.instrument {
            with("instrument", instrument.as_str());
        }
        if let Some(before) = query.before {
            with("before", &before.to_string());
        }
        let missing = || self.fails("the instance keeps no signals");
        let doc: ListDoc = self.get(&path).await?.ok_or_else(missing)?;
        // An old list could cause a second execution.
        if let Some(since) = &doc.away_since {
            return Err(self.fails(&format!("the state store has not answered since {since}")));
        }
        self.signals(&doc.signals)
    }

    async fn audit(&self, id: &SignalId) -> Result<Vec<AuditEntry>, Failure> {
        let doc: Option<SignalDoc> = self.get(&format!("/signals/{}", encoded(id.as_str()))).await?;
        let lines = doc.map(|doc| doc.audit).unwrap_or_default();
        lines.iter().map(|line| line.entry(id).map_err(|why| self.fails(&why))).collect()
    }

    async fn totals(&self) -> Result<Totals, Failure> {
        let status = self.present().await?;
        let totals = status.signals.as_ref().ok_or_else(|| self.fails("the signals were not counted yet"))?;
        totals.totals().map_err(|why| self.fails(&why))
    }

    async fn resolve(&self, decision: Decision<'_>) -> Result<Recorded, Failure> {
        let outcome = match decision.outcome.state() {
            StateName::Received => "send_again",
            state => state.as_str(),
        };
        let body = json!({ "attempt": decision.attempt, "outcome": outcome, "reason": decision.reason });
        let path = format!("/signals/{}/resolve", encoded(decision.id.as_str()));
        Ok(recorded(&self.post::<Value>(&path, &body).await?))
    }

    async fn acknowledge(&self, id: &SignalId, reason: &str) -> Result<Recorded, Failure> {
        let path = format!("/signals/{}/acknowledge", encoded(id.as_str()));
        Ok(recorded(&self.post::<Value>(&path, &json!({ "reason": reason })).await?))
    }

    async fn switch(&self, to: Switch, reason: &str) -> Result<Switched, Failure> {
        let path = if to == Switch::Pause { "/signals/pause" } else { "/signals/resume" };
        match self.post::<Value>(path, &json!({ "reason": reason })).await? {
            Posted::Done(answer) if answer["changed"] == true => Ok(Switched::Turned),
            Posted::Done(_) => Ok(Switched::Unchanged),
            Posted::Refused(problem) => Err(self.fails(&problem.detail)),
        }
    }

    async fn check_recovery(&self) -> Result<CheckJson, Failure> {
        match self.post("/recovery/check", &json!({})).await? {
            Posted::Done(check) => Ok(check),
            Posted::Refused(problem) => Err(self.fails(&problem.detail)),
        }
    }

    async fn acknowledge_recovery(&self, reason: &str) -> Result<CheckJson, Failure> {
        match self.post("/recovery/acknowledge", &json!({ "reason": reason })).await? {
            Posted::Done(check) => Ok(check),
            Posted::Refused(problem) => Err(self.fails(&problem.detail)),
        }
    }

    async fn step_down(
        &self,
        epoch: Epoch,
        to: Option<&InstanceId>,
        reason: &str,
        condition: Condition,
    ) -> Result<StepDown, Failure> {
        let force = condition == Condition::Always;
        let mut body = json!({ "epoch": epoch.0, "reason": reason, "force": force });
        if let Some(to) = to {
            body["to"] = json!(to.as_str());
        }
        match self.post::<Value>("/leadership/step-down", &body).await? {
            Posted::Done(_) => Ok(StepDown::Requested),
            Posted::Refused(problem) => Err(self.fails(&problem.detail)),
        }
    }

    async fn close(&self) {}
}

/// The fault of the tables in an answer of a server whose state store answers with damaged tables.
fn state_store_fault(reply: &Reply) -> Option<String> {
    let problem: ProblemDoc = serde_json::from_slice(&reply.body).ok().filter(|_| reply.status == 500)?;
    problem.state_store_fault
}

fn recorded(posted: &Posted<Value>) -> Recorded {
    match posted {
        Posted::Done(_) => Recorded::Recorded,
        Posted::Refused(_) => Recorded::Refused,
    }
}

/// A text as one part of a path or a value of a query.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            _ => write!(encoded, "%{byte:02X}").expect("a String takes everything"),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instrument_is_one_value_of_a_query() {
        assert_eq!(encoded("NIFTY-24_Jan.~"), "NIFTY-24_Jan.~");
        assert_eq!(encoded("M&M ₹/?#%"), "M%26M%20%E2%82%B9%2F%3F%23%25");
    }
}
