//! `coordinator signals`: lists signals, resolves those in doubt, and turns the kill switch.

use super::group::{AUDIT_LINES, Decision, Group};
use super::print_json;
use super::table::{date, table, visible};
use crate::cli::SignalsCommand;
use crate::command::status::Form;
use crate::failure::Failure;
use crate::output::line;
use adapter_http::{AuditJson, SignalJson};
use domain::ledger::{AuditEntry, Outcome, Signal, SignalId, StateName, Totals};
use domain::ports::{ListQuery, Recorded, SIGNALS_READ_MAX, Switch, Switched};
use serde::Serialize;
use std::time::Duration;

/// Pages of signals in which a beginning of an id is looked for.
const PAGES_MAX: usize = 20;
/// Most candidates that a message names.
const CANDIDATES_SHOWN: usize = 8;
/// Length of a fingerprint, which is the id of a signal for which the client chose none.
const FINGERPRINT_LEN: usize = 64;
/// Fewest characters with which an operator decides about a signal.
const BEGINNING_MIN: usize = 8;

/// Runs the command.
pub async fn signals(group: &dyn Group, command: &SignalsCommand) -> Result<(), Failure> {
    let outcome = carry_out(group, command).await;
    group.close().await;
    outcome
}

async fn carry_out(group: &dyn Group, command: &SignalsCommand) -> Result<(), Failure> {
    let form = |json: bool| if json { Form::Json } else { Form::Table };
    match command {
        SignalsCommand::List { state, instrument, before, limit, json } => {
            let (state, instrument, before, limit) = (*state, instrument.clone(), *before, *limit);
            list(group, &ListQuery { state, instrument, before, limit }, form(*json)).await
        }
        SignalsCommand::Show { id, json } => show(group, id, form(*json)).await,
        SignalsCommand::Resolve { id, executed, not_executed: _, send_again, attempt, reason, json } => {
            let outcome = match (executed, send_again) {
                (true, _) => Outcome::Done,
                (false, true) => Outcome::Received,
                (false, false) => Outcome::Rejected,
            };
            resolve(group, id, outcome, *attempt, reason, form(*json)).await
        }
        SignalsCommand::Acknowledge { id, reason, json } => acknowledge(group, id, reason, form(*json)).await,
        SignalsCommand::Pause { reason, json } => switch(group, Switch::Pause, reason, form(*json)).await,
        SignalsCommand::Resume { reason, json } => switch(group, Switch::Resume, reason, form(*json)).await,
    }
}

#[derive(Serialize)]
struct ListJson<'a> {
    signals: Vec<SignalJson<'a>>,
    open: OpenJson<'a>,
}

#[derive(Serialize)]
struct OpenJson<'a> {
    received: u64,
    claimed: u64,
    sent: u64,
    in_doubt: u64,
    oldest_in_doubt_s: Option<f64>,
    sent_last_minute: u32,
    sent_last_day: u32,
    paused: Option<&'a str>,
}

#[derive(Serialize)]
struct ResolvedJson<'a> {
    id: &'a str,
    state: &'static str,
    attempt: u32,
}

#[derive(Serialize)]
struct SwitchJson {
    /// The position of the kill switch now.
    paused: bool,
    /// False if it was in this position already; then the former reason remains.
    changed: bool,
}

#[derive(Serialize)]
struct ShowJson<'a> {
    #[serde(flatten)]
    signal: SignalJson<'a>,
    audit: Vec<AuditJson<'a>>,
}

async fn list(group: &dyn Group, query: &ListQuery, form: Form) -> Result<(), Failure> {
    let signals = group.list(query).await?;
    let totals = group.totals().await?;
    match form {
        Form::Json => print_json(&ListJson {
            signals: signals.iter().map(SignalJson::from).collect(),
            open: OpenJson {
                received: totals.received,
                claimed: totals.claimed,
                sent: totals.sent,
                in_doubt: totals.in_doubt,
                oldest_in_doubt_s: totals.oldest_in_doubt.map(|age| age.as_secs_f64()),
                sent_last_minute: totals.sent_last_minute,
                sent_last_day: totals.sent_last_day,
                paused: totals.paused.as_ref().map(|paused| paused.reason.as_str()),
            },
        }),
        Form::Table => {
            line(format_args!("{}\n", summary(&totals)))?;
            line(rows(&signals))?;
            if let Some(last) = signals.last().filter(|_| signals.len() == query.limit as usize) {
                line(format_args!("\nfor the next page: --before {}", last.arrival))?;
            }
            Ok(())
        }
    }
}

fn summary(totals: &Totals) -> String {
    let age = |age: Option<Duration>| {
        age.map_or_else(String::new, |age| format!(" (the oldest for {} s)", age.as_secs()))
    };
    let mut lines = vec![
        format!(
            "waiting {}{}, claimed {}, sent {}, in doubt {}{}",
            totals.received,
            age(totals.oldest_received),
            totals.claimed,
            totals.sent,
            totals.in_doubt,
            age(totals.oldest_in_doubt)
        ),
        format!(
            "sent in the last minute {}, in the last 24 hours {}",
            totals.sent_last_minute, totals.sent_last_day
        ),
    ];
    if let Some(paused) = &totals.paused {
        let (since, reason, who) = (date(paused.since_ms), visible(&paused.reason), visible(&paused.who));
        lines.push(format!("PAUSED since {since} UTC by {who}: {reason}; nothing is sent"));
    }
    if totals.in_doubt > 0 {
        lines.push("in doubt: query the broker, then `coordinator signals resolve ID ...`".to_owned());
    }
    lines.join("\n")
}

fn rows(signals: &[Signal]) -> String {
    let rows: Vec<Vec<String>> = signals
        .iter()
        .map(|signal| {
            let instruction = &signal.instruction;
            vec![
                signal.arrival.to_string(),
                signal.id.to_string(),
                signal.state.name().to_string(),
                signal.attempt.to_string(),
                visible(instruction.instrument.as_str()),
                visible(instruction.signal_type.as_str()),
                visible(instruction.position.as_str()),
                date(signal.received_ms),
                visible(signal.note.as_deref().unwrap_or_default()),
            ]
        })
        .collect();
    let header =
        ["ARRIVAL", "ID", "STATE", "ATTEMPT", "INSTRUMENT", "TYPE", "POSITION", "RECEIVED (UTC)", "NOTE"];
    table(&header, &rows)
}

/// The signal with that id, or the only one whose id begins with it.
async fn found(group: &dyn Group, id: &SignalId) -> Result<Signal, Failure> {
    if let Some(signal) = group.find(id).await? {
        return Ok(signal);
    }
    let mut meant = Vec::new();
    let mut before = None;
    for _ in 0..PAGES_MAX {
        let query = ListQuery { state: None, instrument: None, before, limit: SIGNALS_READ_MAX };
        let page = group.list(&query).await?;
        before = page.last().map(|signal| signal.arrival);
        let is_last = page.len() < SIGNALS_READ_MAX as usize;
        meant.extend(page.into_iter().filter(|signal| signal.id.as_str().starts_with(id.as_str())));
        if is_last {
            return only(meant, id);
        }
    }
    Err(Failure::usage(format!(
        "there is no signal {id}, and there are too many signals to look for one that begins with it: name the whole id"
    )))
}

fn only(mut meant: Vec<Signal>, id: &SignalId) -> Result<Signal, Failure> {
    match (meant.pop(), meant.is_empty()) {
        (Some(signal), true) => Ok(signal),
        (None, _) => Err(Failure::usage(format!(
            "there is no signal {id}, and none begins with it; see `coordinator signals list`"
        ))),
        (Some(last), false) => {
            let ids = meant.iter().chain([&last]).take(CANDIDATES_SHOWN).map(|signal| signal.id.as_str());
            let ids = ids.collect::<Vec<_>>().join(", ");
            Err(Failure::usage(format!("{} signals begin with {id}: {ids}", meant.len() + 1)))
        }
    }
}

async fn show(group: &dyn Group, id: &SignalId, form: Form) -> Result<(), Failure> {
    let signal = found(group, id).await?;
    let audit = group.audit(&signal.id).await?;
    match form {
        Form::Json => print_json(&ShowJson {
            signal: SignalJson::from(&signal),
            audit: audit.iter().map(AuditJson::from).collect(),
        }),
        Form::Table => {
            tell(&signal)?;
            line(format_args!("\n{}", lines(&audit)))?;
            if audit.len() == AUDIT_LINES as usize {
                line(format_args!("\nthese are the latest {AUDIT_LINES} changes; there may be older ones"))?;
            }
            Ok(())
        }
    }
}

fn tell(signal: &Signal) -> Result<(), Failure> {
    let instruction = &signal.instruction;
    let time = |ms: Option<i64>| ms.map_or_else(|| "-".to_owned(), |ms| format!("{} UTC", date(ms)));
    let rows = [
        ("id", signal.id.to_string()),
        ("fingerprint", signal.fingerprint().to_string()),
        ("state", format!("{} (attempt {})", signal.state.name(), signal.attempt)),
        ("instrument", visible(instruction.instrument.as_str())),
        ("type", visible(instruction.signal_type.as_str())),
        ("position", visible(instruction.position.as_str())),
        ("timestamp", time(Some(instruction.timestamp_s.saturating_mul(1_000)))),
        ("expires", time(instruction.expires_ms)),
        ("payload", visible(&instruction.payload)),
        ("received", time(Some(signal.received_ms))),
        ("claimed", time(signal.claimed_ms)),
        ("ended", time(signal.settled_ms)),
        ("note", visible(signal.note.as_deref().unwrap_or("-"))),
    ];
    for (name, value) in rows {
        line(format_args!("{name:<12} {value}"))?;
    }
    Ok(())
}

fn lines(audit: &[AuditEntry]) -> String {
    let rows: Vec<Vec<String>> = audit
        .iter()
        .rev()
        .map(|entry| {
            vec![
                date(entry.at_ms),
                visible(&entry.what),
                entry.attempt.to_string(),
                entry.epoch.map_or_else(|| "-".to_owned(), |epoch| epoch.to_string()),
                visible(&entry.actor.who),
                visible(&entry.actor.origin),
                visible(entry.note.as_deref().unwrap_or_default()),
            ]
        })
        .collect();
    table(&["AT (UTC)", "WHAT", "ATTEMPT", "EPOCH", "WHO", "FROM", "NOTE"], &rows)
}

/// The signal that an operator decides about. A beginning is enough for an id that the coordinator has computed; an id
/// that a client chose is named whole, because `s-1` must not decide about `s-10` when `s-1` does not exist.
async fn decided(group: &dyn Group, id: &SignalId) -> Result<Signal, Failure> {
    let signal = found(group, id).await?;
    if signal.id == *id || is_long_beginning(id.as_str(), signal.id.as_str()) {
        return Ok(signal);
    }
    Err(Failure::usage(format!("there is no signal {id}; {} begins with it: name the whole id", signal.id)))
}

/// True if at least [`BEGINNING_MIN`] characters name an id of the form of a fingerprint.
fn is_long_beginning(text: &str, id: &str) -> bool {
    let computed = id.len() == FINGERPRINT_LEN && id.bytes().all(|b| b.is_ascii_hexdigit());
    computed && text.len() >= BEGINNING_MIN && id.starts_with(text)
}

async fn resolve(
    group: &dyn Group,
    id: &SignalId,
    outcome: Outcome,
    attempt: Option<u32>,
    reason: &str,
    form: Form,
) -> Result<(), Failure> {
    let signal = decided(group, id).await?;
    let id = &signal.id;
    let attempt = match attempt {
        Some(attempt) => attempt,
        None if signal.attempt <= 1 => signal.attempt,
        // It may have been sent again after the operator queried the broker.
        None => {
            return Err(Failure::usage(format!(
                "{id} was claimed {} times: state with --attempt which attempt you have checked (see `coordinator \
                 signals show {id}`)",
                signal.attempt
            )));
        }
    };
    let answer = group.resolve(Decision { id, attempt, outcome, reason }).await?;
    match (answer, outcome.state()) {
        (Recorded::Recorded, state) if form == Form::Json => {
            print_json(&ResolvedJson { id: id.as_str(), state: state.as_str(), attempt })
        }
        (Recorded::Recorded, StateName::Received) => {
            line(format_args!("{id} waits again: the leader sends it"))
        }
        (Recorded::Recorded, state) => line(format_args!("{id} is {state}")),
        (Recorded::Refused, wanted) => {
            let signal = found(group, id).await?;
            Err(Failure::usage(format!(
                "{id} is {} (attempt {}), which cannot become {wanted} by attempt {attempt}: only a signal in doubt \
                 can be resolved, or one that was sent and has no result",
                signal.state.name(),
                signal.attempt
            )))
        }
    }
}

async fn acknowledge(group: &dyn Group, id: &SignalId, reason: &str, form: Form) -> Result<(), Failure> {
    let signal = decided(group, id).await?;
    let id = &signal.id;
    match group.acknowledge(id, reason).await? {
        Recorded::Recorded if form == Form::Json => print_json(&ResolvedJson {
            id: id.as_str(),
            state: StateName::Rejected.as_str(),
            attempt: signal.attempt,
        }),
        Recorded::Recorded => line(format_args!("{id} is acknowledged: it is rejected, and was never sent")),
        Recorded::Refused => {
            let state = found(group, id).await?.state.name();
            let remedy = match state {
                StateName::InDoubt => format!(": `coordinator signals resolve {id} ...` decides about it"),
                StateName::Received
                | StateName::Claimed
                | StateName::Sent
                | StateName::Done
                | StateName::Rejected
                | StateName::Expired => String::new(),
            };
            Err(Failure::usage(format!("{id} is {state}: only an expired signal is acknowledged{remedy}")))
        }
    }
}

async fn switch(group: &dyn Group, to: Switch, reason: &str, form: Form) -> Result<(), Failure> {
    let turned = group.switch(to, reason).await?;
    if form == Form::Json {
        let (paused, changed) = (to == Switch::Pause, turned == Switched::Turned);
        return print_json(&SwitchJson { paused, changed });
    }
    let told = match (to, turned) {
        (Switch::Pause, Switched::Turned) => {
            "paused: no signal is claimed from now on; signals that are already claimed may still be sent (`coordinator signals list \
             --state claimed`)"
        }
        (Switch::Pause, Switched::Unchanged) => "it was paused already; the first reason remains",
        (Switch::Resume, Switched::Turned) => "resumed: signals that wait are sent",
        (Switch::Resume, Switched::Unchanged) => "it was not paused",
    };
    line(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_decides_only_about_a_computed_id() {
        let computed = "623fca9389bbb1af1cdcb064625b5b8e4be1c9f0d0a7ecef01a3b54eaca8b3e9";
        assert!(is_long_beginning(&computed[..8], computed) && is_long_beginning(computed, computed));
        assert!(!is_long_beginning(&computed[..7], computed), "too short");
        assert!(!is_long_beginning("623fca94", computed));
        assert!(!is_long_beginning("s-1", "s-10") && !is_long_beginning("order-2026", "order-20261"));
    }
}
