//! The query of the list of signals, and the path of the next page.

use crate::problem::Problem;
use axum::http::StatusCode;
use domain::ledger::{Label, Signal, StateName};
use domain::ports::{ListQuery, SIGNALS_READ_MAX};
use std::fmt::Write;

/// Default number of signals in one answer.
pub const SIGNALS_LIMIT_DEFAULT: u32 = 50;
/// Most signals in one answer.
pub const SIGNALS_LIMIT_MAX: u32 = SIGNALS_READ_MAX;

/// Most characters of a parameter that an answer repeats.
const SHOWN_CHARS_MAX: usize = 64;

/// Refuses a query whose escapes are not UTF-8. They would become other characters, and the answer would be about
/// another instrument.
pub(super) fn check_text(raw: &str) -> Result<(), Problem> {
    let mut bytes = Vec::new();
    let mut rest = raw.as_bytes();
    while let [first, after @ ..] = rest {
        let digits = after.get(..2).filter(|two| *first == b'%' && two.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|two| std::str::from_utf8(two).ok());
        let escaped = digits.and_then(|two| u8::from_str_radix(two, 16).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    match String::from_utf8(bytes) {
        Ok(_) => Ok(()),
        Err(_) => Err(Problem::new(StatusCode::BAD_REQUEST, "the query is not UTF-8")),
    }
}

/// Parses the parameters. Each may occur once.
pub(super) fn read(parameters: &[(String, String)]) -> Result<ListQuery, Problem> {
    let mut query = ListQuery { state: None, instrument: None, before: None, limit: SIGNALS_LIMIT_DEFAULT };
    let mut seen = Vec::new();
    for (name, value) in parameters {
        let wrong = |wanted: &str| {
            let name: String = name.chars().take(SHOWN_CHARS_MAX).collect();
            Problem::new(StatusCode::BAD_REQUEST, format!("{name}: {wanted}")).with("field", name)
        };
        if seen.contains(&name) {
            return Err(wrong("written more than once"));
        }
        seen.push(name);
        let number =
            || value.bytes().all(|byte| byte.is_ascii_digit()).then(|| value.parse::<i64>().ok()).flatten();
        match name.as_str() {
            "state" => {
                let states = StateName::ALL.map(StateName::as_str).join(", ");
                query.state = Some(
                    StateName::parse(value).ok_or_else(|| wrong(&format!("one of {states} is required")))?,
                );
            }
            "instrument" => {
                let label = Label::parse(value.trim());
                query.instrument = Some(label.map_err(|error| wrong(&error.to_string()))?);
            }
            "before" => {
                let before = number().and_then(|number| number.try_into().ok());
                query.before = Some(before.ok_or_else(|| wrong("the arrival of a signal is required"))?);
            }
            "limit" => {
                let limit = number().and_then(|number| u32::try_from(number).ok());
                let limit = limit.filter(|limit| (1..=SIGNALS_LIMIT_MAX).contains(limit));
                let wanted = format!("a whole number from 1 to {SIGNALS_LIMIT_MAX} is required");
                query.limit = limit.ok_or_else(|| wrong(&wanted))?;
            }
            _ => return Err(wrong("unknown; the parameters are state, instrument, before and limit")),
        }
    }
    Ok(query)
}

/// The path of the next page; `None` if this one is not full.
pub(super) fn next(query: &ListQuery, page: &[Signal]) -> Option<String> {
    let last = page.last().filter(|_| page.len() >= query.limit as usize)?;
    let mut path = String::from("/signals?");
    if let Some(state) = query.state {
        path = path + "state=" + state.as_str() + "&";
    }
    if let Some(instrument) = &query.instrument {
        path.push_str("instrument=");
        for byte in instrument.as_str().bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    path.push(char::from(byte));
                }
                _ => write!(path, "%{byte:02X}").expect("a String takes everything"),
            }
        }
        path.push('&');
    }
    write!(path, "limit={}&before={}", query.limit, last.arrival).expect("a String takes everything");
    Some(path)
}
