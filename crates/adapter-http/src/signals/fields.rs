//! The fields of a request's body, and everything that is wrong with them at once.

use crate::json::raw::{self, Member, NoObject, Plain};
use crate::problem::Problem;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;

/// More faults are not listed: nobody reads them, and an attacker's body would be answered with a larger one.
const FAULTS_MAX: usize = 20;
/// Characters of a field's name that are shown: more than any name of ours has.
const NAME_CHARS_MAX: usize = 64;

/// What is wrong with one field.
#[derive(Debug, Serialize)]
struct Fault {
    field: String,
    detail: String,
}

/// The members of the body that nobody has taken yet, and the faults found so far.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    members: Vec<Member<'a>>,
    faults: Vec<Fault>,
}

impl<'a> Fields<'a> {
    /// The fields of a JSON object. One that is written twice is a fault: which of the two is meant?
    pub(super) fn read(body: &'a [u8]) -> Result<Self, Problem> {
        let wrong = |detail: String| Problem::new(StatusCode::BAD_REQUEST, detail);
        let text =
            std::str::from_utf8(body).map_err(|error| wrong(format!("the body is not UTF-8: {error}")))?;
        let mut members = raw::members(text).map_err(|fault| match fault {
            NoObject::Malformed(reason) => wrong(format!("the body is not JSON: {reason}")),
            NoObject::AnotherKind => wrong("the body is not a JSON object".to_owned()),
        })?;
        let mut fields = Self { members: Vec::new(), faults: Vec::new() };
        // Stable: the first of a name stays the first.
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

    /// Takes a field out; null is as good as nothing.
    pub(super) fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        let at = self.members.iter().position(|(own, _)| own == name)?;
        let (_, value) = self.members.remove(at);
        (Plain::of(value) != Plain::Null).then_some(value)
    }

    /// Takes everything out that is left.
    pub(super) fn take_rest(&mut self) -> Vec<Member<'a>> {
        std::mem::take(&mut self.members)
    }

    /// A field that has to be there; `parse` says what is wanted.
    pub(super) fn required<T>(
        &mut self,
        name: &str,
        parse: impl Fn(&Plain) -> Result<T, String>,
    ) -> Option<T> {
        let given = self.take(name);
        parse(&given.map_or(Plain::Null, Plain::of))
            .map_err(|wanted| match given {
                Some(_) => self.fault(name, wanted),
                None => self.fault(name, format!("missing: {wanted}")),
            })
            .ok()
    }

    /// A field that may be missing; `parse` says what is wanted.
    pub(super) fn optional<T>(
        &mut self,
        name: &str,
        parse: impl Fn(&Plain) -> Result<T, String>,
    ) -> Option<T> {
        let given = self.take(name)?;
        parse(&Plain::of(given)).map_err(|wanted| self.fault(name, wanted)).ok()
    }

    /// Notes what is wrong with a field.
    pub(super) fn fault(&mut self, field: &str, detail: impl Into<String>) {
        if self.faults.len() < FAULTS_MAX {
            let field = field.chars().take(NAME_CHARS_MAX).collect();
            self.faults.push(Fault { field, detail: detail.into() });
        }
    }

    /// Notes every field that is left: `known` says which there are.
    pub(super) fn refuse_rest(&mut self, known: &str) {
        for (name, _) in self.take_rest() {
            self.fault(&name, format!("unknown; the fields are {known}"));
        }
    }

    /// What was read, unless something is wrong: then 422, which names all of it.
    pub(super) fn finish<T>(self, value: Option<T>) -> Result<T, Problem> {
        match (value, self.faults.first()) {
            (Some(value), None) => Ok(value),
            (_, first) => {
                let detail =
                    first.map_or_else(String::new, |first| format!("{}: {}", first.field, first.detail));
                Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
                    .with("field", first.map(|first| first.field.as_str()))
                    .with("errors", &self.faults))
            }
        }
    }
}

/// A whole number within a range, written as a number or as a string.
pub(super) fn whole(least: u32, most: u32) -> impl Fn(&Plain) -> Result<u32, String> {
    move |plain| {
        let number = match plain {
            Plain::Text(text) | Plain::Number(text) => digits(text.trim()),
            Plain::Null | Plain::Other => None,
        };
        number
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| format!("a whole number from {least} to {most} is wanted"))
    }
}

fn digits(text: &str) -> Option<u32> {
    // `parse` alone would take a sign.
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}
