//! The fields of a request's body, and all their faults at once.

use super::placeholder::placeholder;
use crate::json::raw::{self, Member, NoObject, Plain};
use crate::problem::Problem;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;

/// Most faults in an answer. Otherwise the answer to an attacker's body could be larger than the body.
const FAULTS_MAX: usize = 20;
/// Most characters of a field's name that are shown; more than any of our names has.
const NAME_CHARS_MAX: usize = 64;

const BYTE_ORDER_MARK: &str = "\u{feff}";
/// Example of a body, for a client that sent something else.
const EXAMPLE: &str = r#"send a JSON object such as {"instrument":"NIFTY","signal_type":"EXIT","position":"Long_1","timestamp":"2025-11-29T10:15:30+05:30"}"#;

pub(crate) fn not_an_object(text: &str, fault: &NoObject) -> String {
    let why = match fault {
        NoObject::Malformed(reason) => format!("the body is not JSON: {reason}"),
        NoObject::AnotherKind => "the body is not a JSON object".to_owned(),
    };
    if let Some(placeholder) = placeholder(text) {
        return format!("{why}; the placeholder {placeholder} was not filled; {EXAMPLE}");
    }
    if ["NaN", "Infinity"].iter().any(|word| text.contains(word)) {
        return format!("{why}; JSON has no NaN and no Infinity: leave the field out or send null");
    }
    format!("{why}; {EXAMPLE}")
}

/// The fault of one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Fault {
    pub(crate) field: String,
    pub(crate) detail: String,
}

/// 422 with all faults; `context` comes before the sentence about the first.
pub(crate) fn invalid(context: &str, faults: &[Fault]) -> Problem {
    let first = faults.first();
    let detail =
        first.map_or_else(String::new, |first| format!("{context}{}: {}", first.field, first.detail));
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
        .with("field", first.map(|first| first.field.as_str()))
        .with("errors", faults)
}

/// The members of the body that were not read yet, and the faults so far.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    members: Vec<Member<'a>>,
    faults: Vec<Fault>,
}

impl<'a> Fields<'a> {
    /// Reads the fields of a JSON object. A field that is written twice is a fault, because its value is
    /// unclear.
    pub(crate) fn read(body: &'a [u8]) -> Result<Self, Problem> {
        let wrong = |detail: String| Problem::new(StatusCode::BAD_REQUEST, detail);
        let text =
            std::str::from_utf8(body).map_err(|error| wrong(format!("the body is not UTF-8: {error}")))?;
        // Some clients write a byte order mark before a text in UTF-8.
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        let mut members = raw::members(text).map_err(|fault| wrong(not_an_object(text, &fault)))?;
        let mut fields = Self { members: Vec::new(), faults: Vec::new() };
        // The sort is stable: the first member with a name stays the first.
        members.sort_by(|(a, _), (b, _)| a.cmp(b));
        members.dedup_by(|(name, _), (first, _)| {
            let twice = name == first;
            if twice {
                fields.fault(name, "written more than once");
            }
            twice
        });
        fields.members = members;
        Ok(fields)
    }

    /// Removes and returns a field; null counts as missing.
    pub(crate) fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        let at = self.members.iter().position(|(own, _)| own == name)?;
        let (_, value) = self.members.remove(at);
        (Plain::of(value) != Plain::Null).then_some(value)
    }

    /// Removes and returns all fields that are left.
    pub(crate) fn take_rest(&mut self) -> Vec<Member<'a>> {
        std::mem::take(&mut self.members)
    }

    /// A field that must exist; the error of `parse` says what is required.
    pub(crate) fn required<T>(
        &mut self,
        name: &str,
        parse: impl Fn(&Plain) -> Result<T, String>,
    ) -> Option<T> {
        let given = self.take(name);
        if self.holds_placeholder(name, given) {
            return None;
        }
        parse(&given.map_or(Plain::Null, Plain::of))
            .map_err(|wanted| match given {
                Some(_) => self.fault(name, wanted),
                None => self.fault(name, format!("missing: {wanted}")),
            })
            .ok()
    }

    /// A field that may be missing; the error of `parse` says what is required.
    pub(crate) fn optional<T>(
        &mut self,
        name: &str,
        parse: impl Fn(&Plain) -> Result<T, String>,
    ) -> Option<T> {
        let given = self.take(name)?;
        if self.holds_placeholder(name, Some(given)) {
            return None;
        }
        parse(&Plain::of(given)).map_err(|wanted| self.fault(name, wanted)).ok()
    }

    /// Whether a value is an unfilled placeholder, which is a fault.
    fn holds_placeholder(&mut self, name: &str, given: Option<&RawValue>) -> bool {
        let found = given.and_then(|given| placeholder(given.get())).map(str::to_owned);
        if let Some(placeholder) = &found {
            self.fault(name, format!("the placeholder {placeholder} was not filled"));
        }
        found.is_some()
    }

    /// Records the fault of a field.
    pub(crate) fn fault(&mut self, field: &str, detail: impl Into<String>) {
        if self.faults.len() < FAULTS_MAX {
            let field = field.chars().take(NAME_CHARS_MAX).collect();
            self.faults.push(Fault { field, detail: detail.into() });
        }
    }

    /// Records a fault for every field that is left; `known` lists the valid ones.
    pub(crate) fn refuse_rest(&mut self, known: &str) {
        for (name, _) in self.take_rest() {
            self.fault(&name, format!("unknown; the fields are {known}"));
        }
    }

    /// The parsed value, or 422 with all faults.
    pub(crate) fn finish<T>(self, value: Option<T>) -> Result<T, Problem> {
        match (value, self.faults.first()) {
            (Some(value), None) => Ok(value),
            _ => Err(invalid("", &self.faults)),
        }
    }
}

/// A whole number within a range, written as a number or as a string.
pub(crate) fn whole(least: u32, most: u32) -> impl Fn(&Plain) -> Result<u32, String> {
    move |plain| {
        let number = match plain {
            Plain::Text(text) | Plain::Number(text) => digits(text.trim()),
            Plain::Null | Plain::Other => None,
        };
        number
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| format!("a whole number from {least} to {most} is required"))
    }
}

fn digits(text: &str) -> Option<u32> {
    // `parse` alone would accept a sign.
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}
