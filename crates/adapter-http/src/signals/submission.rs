//! Parses a submitted signal.

use super::fields::Fields;
use super::placeholder::placeholder;
use super::time::unix_ms;
use crate::json::raw::{self, DEPTH_MAX, Member, NoObject, Plain, Unclear};
use crate::problem::Problem;
use axum::http::StatusCode;
use domain::id::ID_LEN_MAX;
use domain::ledger::{INSTRUCTION_LABEL_LEN_MAX, Instruction, Label, NewSignal, PAYLOAD_LEN_MAX, SignalId};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// Parses a signal from a request's body. Unknown fields belong to the payload, because charts send flat
/// objects. The timestamp must be within `accepted_s` (unix seconds): an older signal may have been
/// forgotten, and a later timestamp is wrong. `expires_at` may be far in the future. A signal that has
/// expired already is accepted too, so that the ledger shows the missed signal and an alert reports it.
pub(super) fn read(body: &[u8], accepted_s: RangeInclusive<i64>) -> Result<NewSignal, Problem> {
    let mut fields = Fields::read(body)?;
    let instrument = fields.required("instrument", label);
    let signal_type = fields.required("signal_type", label);
    let position = fields.required("position", label);
    let timestamp_s = fields.required("timestamp", unix_ms).map(|at_ms| at_ms.div_euclid(1_000));
    if timestamp_s.is_some_and(|at| at < *accepted_s.start()) {
        fields.fault("timestamp", too_old(*accepted_s.start()));
    }
    if timestamp_s.is_some_and(|at| at > *accepted_s.end()) {
        fields.fault("timestamp", too_new(*accepted_s.end()));
    }
    let payload = payload(&mut fields);
    let id = fields.optional("id", id);
    let expires_ms = fields.optional("expires_at", unix_ms);
    let payload = canonical(payload, &mut fields);
    let large = payload.as_ref().is_some_and(|payload| payload.len() > PAYLOAD_LEN_MAX);
    let instruction = || {
        Some(Instruction {
            instrument: instrument?,
            signal_type: signal_type?,
            position: position?,
            timestamp_s: timestamp_s?,
            payload: payload?,
            expires_ms,
        })
    };
    let instruction = fields.finish(instruction())?;
    if large {
        return Err(payload_too_large());
    }
    Ok(NewSignal { id, instruction, hook: None })
}

pub(crate) fn payload_too_large() -> Problem {
    let detail = format!("payload: it has more than {PAYLOAD_LEN_MAX} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail).with("field", "payload")
}

pub(crate) fn too_new(until_s: i64) -> String {
    format!("in the future: signals dated after {}, 24 hours from now, are refused", written(until_s))
}

fn written(at_s: i64) -> String {
    jiff::Timestamp::from_second(at_s).map_or_else(|_| at_s.to_string(), |at| at.to_string())
}

pub(crate) fn too_old(since_s: i64) -> String {
    let since = written(since_s);
    format!("too old: signals from before {since} may have been accepted, executed and forgotten")
}

/// The members of the payload.
fn payload<'a>(fields: &mut Fields<'a>) -> Vec<Member<'a>> {
    let Some(raw) = fields.take("payload") else { return Vec::new() };
    raw::members(raw.get()).unwrap_or_else(|fault| {
        fields.fault(
            "payload",
            match fault {
                NoObject::AnotherKind => "a JSON object is required",
                // The payload was checked to be JSON before, so the fault is in a name.
                NoObject::Malformed(_) => NO_TEXT,
            },
        );
        Vec::new()
    })
}

pub(crate) const NO_TEXT: &str = "a string in it is half of a surrogate pair";

/// The payload and the unknown fields in their canonical form.
fn canonical<'a>(mut payload: Vec<Member<'a>>, fields: &mut Fields<'a>) -> Option<String> {
    let mut rest = fields.take_rest();
    let own: BTreeSet<String> = payload.iter().map(|(name, _)| name.clone()).collect();
    rest.retain(|(name, _)| {
        let twice = own.contains(name);
        if twice {
            fields.fault(name, "the payload contains it too: write it once");
        }
        !twice
    });
    payload.extend(rest);
    let told = match raw::canonical(payload) {
        Ok(text) => match placeholder(&text) {
            None => return Some(text),
            Some(placeholder) => format!("the placeholder {placeholder} was not filled"),
        },
        Err(Unclear::Twice(name)) => {
            format!("{:?} occurs twice", name.chars().take(64).collect::<String>())
        }
        Err(Unclear::TooDeep) => format!("it has more than {DEPTH_MAX} levels"),
        Err(Unclear::NoText) => NO_TEXT.to_owned(),
    };
    fields.fault("payload", told);
    None
}

pub(crate) fn label(plain: &Plain) -> Result<Label, String> {
    text(plain).and_then(|text| Label::parse(text.trim()).ok()).ok_or_else(|| {
        format!("a text of 1 to {INSTRUCTION_LABEL_LEN_MAX} characters on one line is required")
    })
}

pub(crate) fn id(plain: &Plain) -> Result<SignalId, String> {
    let text = text(plain).unwrap_or_default();
    // A client would treat them as steps in the path of the signal's address.
    if matches!(text, "." | "..") {
        return Err("an id that a path can end with is required, not dots alone".to_owned());
    }
    SignalId::parse(text)
        .map_err(|_| format!("1 to {ID_LEN_MAX} of the characters A-Z a-z 0-9 . _ : - are required"))
}

/// A string, or a whole number as it was written.
fn text(plain: &Plain) -> Option<&str> {
    match plain {
        Plain::Text(text) => Some(text),
        Plain::Number(text) => {
            text.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit()).then_some(text)
        }
        Plain::Null | Plain::Other => None,
    }
}
