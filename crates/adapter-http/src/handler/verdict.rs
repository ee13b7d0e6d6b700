//! Reads a service's answer as an outcome, for both calls of the handler. Invariant: `done` requires an
//! outcome, or an answer that is certainly empty. An answer that is not understood is never a success,
//! because services write refusals in many forms.

use super::exchange::Reply;
use crate::json::raw::{self, Member, NoObject, Plain};
use crate::outcome;
use domain::ledger::Outcome;
use domain::ports::Answer;
use hyper::StatusCode;

/// The first bytes of a gzip stream (RFC 1952).
const GZIP: [u8; 2] = [0x1f, 0x8b];
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// The answer to a request that executes a signal.
pub(super) fn executed(reply: &Reply) -> Answer {
    let status = reply.status_text();
    match outcome_of(reply) {
        Ok(Some((outcome, note))) => Answer { outcome, note: note.unwrap_or(status) },
        Ok(None) => {
            let outcome = match reply.status {
                StatusCode::OK | StatusCode::CREATED | StatusCode::NO_CONTENT => Outcome::Done,
                StatusCode::ACCEPTED => Outcome::Sent,
                _ => Outcome::InDoubt,
            };
            Answer { outcome, note: status }
        }
        Err(why) => in_doubt(&format!("{status} {why}")),
    }
}

/// The answer to a lookup of this attempt; it counts if it is a 200 with an outcome. `not_executed` must also
/// name the attempt: so a service confirms that it refuses this attempt, which may still be on its way, from
/// now on.
pub(super) fn found(reply: &Reply, attempt: u32) -> Answer {
    let status = reply.status_text();
    match outcome_of(reply) {
        Ok(Some((Outcome::Received, _)))
            if reply.status == StatusCode::OK && refused(reply) < Some(attempt) =>
        {
            in_doubt(&format!(
                "lookup: not_executed without \"attempt\":{attempt}, which confirms that this attempt is refused from now on"
            ))
        }
        Ok(Some((outcome, note))) if reply.status == StatusCode::OK => {
            Answer { outcome, note: note.unwrap_or_else(|| "looked up".to_owned()) }
        }
        Ok(Some(_)) => in_doubt(&format!("lookup: {status}; an outcome counts with HTTP 200 only")),
        Ok(None) => in_doubt(&format!("lookup: {status} with an empty body")),
        Err(why) => in_doubt(&format!("lookup: {status} {why}")),
    }
}

/// The attempt that the body names: the service refuses it and all earlier ones.
fn refused(reply: &Reply) -> Option<u32> {
    let members = raw::members(std::str::from_utf8(&reply.body).ok()?).ok()?;
    let mut attempts = members.iter().filter(|(name, _)| name == "attempt").map(|(_, raw)| Plain::of(raw));
    match (attempts.next(), attempts.next()) {
        (Some(Plain::Number(attempt)), None) => attempt.parse().ok(),
        _ => None,
    }
}

fn in_doubt(why: &str) -> Answer {
    Answer::unknown(outcome::note(why))
}

/// The outcome and the note in the body; `None` if the body is certainly empty.
///
/// # Errors
/// The fault of the body, as a continuation of the status.
fn outcome_of(reply: &Reply) -> Result<Option<(Outcome, Option<String>)>, String> {
    if let Some(encoding) = &reply.encoding {
        return Err(format!("with a body in Content-Encoding {encoding}; send it without an encoding"));
    }
    if reply.body.is_empty() {
        return if reply.is_delimited {
            Ok(None)
        } else {
            Err("without a body and without Content-Length, as if it were cut off; send Content-Length: 0"
                .into())
        };
    }
    if reply.body.starts_with(&GZIP) {
        return Err("with a body that is compressed with gzip; send it without an encoding".into());
    }
    let Ok(text) = std::str::from_utf8(&reply.body) else {
        return Err("with a body that is not UTF-8".into());
    };
    let members = raw::members(text).map_err(|fault| not_an_object(text, &fault))?;
    let note = note_of(&members);
    let mut outcomes = members.iter().filter(|(name, _)| name == "outcome").map(|(_, raw)| Plain::of(raw));
    match (outcomes.next(), outcomes.next()) {
        (Some(Plain::Text(text)), None) => match outcome::outcome(&text) {
            Some(outcome) => Ok(Some((outcome, note))),
            None => Err(unknown_outcome()),
        },
        (Some(_), _) => Err(unknown_outcome()),
        (None, _) => {
            let why = match members.iter().find(|(name, _)| name.trim().eq_ignore_ascii_case("outcome")) {
                Some((name, _)) => format!("with the key {name:?}; it must be \"outcome\""),
                None => "with a JSON object that has no \"outcome\"".to_owned(),
            };
            Err(match note {
                Some(note) => format!("{why}; its note: {note}"),
                None => why,
            })
        }
    }
}

fn unknown_outcome() -> String {
    format!("with an outcome that is not {}", outcome::OUTCOMES)
}

fn note_of(members: &[Member<'_>]) -> Option<String> {
    members.iter().filter(|(name, _)| name == "note").find_map(|(_, raw)| match Plain::of(raw) {
        Plain::Text(text) | Plain::Number(text) => Some(outcome::note(&text)).filter(|note| !note.is_empty()),
        Plain::Null | Plain::Other => None,
    })
}

fn not_an_object(text: &str, fault: &NoObject) -> String {
    let start = text.trim_start();
    if text.starts_with(BYTE_ORDER_MARK) {
        return "with a byte order mark before the body; JSON is sent without one".into();
    }
    if start.starts_with('<') {
        return "with an HTML or XML page as its body, perhaps of a proxy or a login".into();
    }
    match fault {
        NoObject::Malformed(_) if start.is_empty() => "with a body of white space only".into(),
        NoObject::Malformed(why) if ["NaN", "Infinity"].iter().any(|word| text.contains(word)) => {
            format!("with a body that is not JSON, which has no NaN and no Infinity: {why}")
        }
        NoObject::Malformed(why) => format!("with a body that is not JSON: {why}"),
        // serde_json returns the same error for a text that does not begin with any value.
        NoObject::AnotherKind if serde_json::from_str::<serde::de::IgnoredAny>(text).is_err() => {
            "with a body that is not JSON".into()
        }
        NoObject::AnotherKind => "with a body that is JSON, but not an object".into(),
    }
}
