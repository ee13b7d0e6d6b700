//! [`Body`]: the fields of an alert's body, from JSON or from plain text. Numbers keep their digits.

use crate::json::raw::{self, NoObject};
use crate::signals::not_an_object;
use regex::Regex;
use serde_json::value::{RawValue, to_raw_value};

const BYTE_ORDER_MARK: &str = "\u{feff}";

/// The fields, in the order of the body.
#[derive(Debug)]
pub(super) struct Body {
    members: Vec<(String, Box<RawValue>)>,
}

/// The kind of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Json,
    Text,
}

impl Body {
    /// Reads a JSON object, or a text that `pattern` matches as a whole. The content type does not matter: TradingView sends
    /// `text/plain` for a message that is not quite JSON, and the difference is what its user must learn.
    pub(super) fn read(bytes: &[u8], pattern: Option<&Regex>) -> Result<(Self, Kind), String> {
        let text = std::str::from_utf8(bytes).map_err(|error| format!("the body is not UTF-8: {error}"))?;
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        match (Self::json(text), pattern) {
            (Ok(body), _) => Ok((body, Kind::Json)),
            (Err(fault), None) => Err(not_an_object(text, &fault)),
            (Err(fault), Some(pattern)) => match Self::matched(text.trim(), pattern) {
                Some(body) => Ok((body, Kind::Text)),
                None if text.trim_start().starts_with('{') => Err(not_an_object(text, &fault)),
                None => Err(format!("the text does not match the pattern of the hook: {}", pattern.as_str())),
            },
        }
    }

    pub(super) fn json(text: &str) -> Result<Self, NoObject> {
        let members = raw::members(text)?;
        Ok(Self { members: members.into_iter().map(|(name, value)| (name, value.to_owned())).collect() })
    }

    fn matched(text: &str, pattern: &Regex) -> Option<Self> {
        let found =
            pattern.captures(text).filter(|found| found.get(0).is_some_and(|all| all.len() == text.len()))?;
        let groups = pattern.capture_names().flatten();
        let member = |name: &str| {
            let value = found.name(name)?.as_str();
            Some((name.to_owned(), to_raw_value(value).expect("a text is JSON")))
        };
        Some(Self { members: groups.filter_map(member).collect() })
    }

    /// Names that occur more than once: their value is unclear.
    pub(super) fn twice(&self) -> Vec<String> {
        let mut names: Vec<&str> = self.members.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        let mut twice: Vec<String> =
            names.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0].to_owned()).collect();
        twice.dedup();
        twice
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// Removes every member of that name, and returns the first as text.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let mut taken = self.members.extract_if(.., |(own, _)| own == name).map(|(_, value)| value);
        let first = taken.next();
        taken.for_each(drop);
        first.and_then(|value| match raw::Plain::of(&value) {
            raw::Plain::Text(text) | raw::Plain::Number(text) => Some(text),
            raw::Plain::Null | raw::Plain::Other => None,
        })
    }

    /// The value at the end of a pointer.
    pub(super) fn at(&self, steps: &[String]) -> Option<Box<RawValue>> {
        let (first, rest) = steps.split_first()?;
        let (_, value) = self.members.iter().find(|(name, _)| name == first)?;
        rest.iter().try_fold(value.clone(), |value, step| step_into(&value, step))
    }

    /// Sets a member, whatever the body says.
    pub(super) fn set(&mut self, name: &str, value: &RawValue) {
        self.members.retain(|(own, _)| own != name);
        self.members.push((name.to_owned(), value.to_owned()));
    }

    /// Keeps only the members for whose name `keep` is true.
    pub(super) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.members.retain(|(name, _)| keep(name));
    }

    /// The fields as members.
    pub(super) fn members(&self) -> Vec<raw::Member<'_>> {
        self.members.iter().map(|(name, value)| (name.clone(), &**value)).collect()
    }
}

fn step_into(value: &RawValue, step: &str) -> Option<Box<RawValue>> {
    let json = value.get();
    match json.as_bytes().first() {
        Some(b'{') => {
            let members = raw::members(json).ok()?;
            members.into_iter().find(|(name, _)| name == step).map(|(_, value)| value.to_owned())
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(json).ok()?;
            items.get(step.parse::<usize>().ok()?).map(|value| (*value).to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern() -> Regex {
        Regex::new(r"(?<action>BUY|SELL) (?<instrument>\S+)(?: @ (?<price>[0-9.]+))?").expect("a pattern")
    }

    fn read(text: &str) -> Result<(String, Kind), String> {
        let (body, kind) = Body::read(text.as_bytes(), Some(&pattern()))?;
        Ok((raw::canonical(body.members()).expect("plain"), kind))
    }

    #[test]
    fn a_text_has_the_named_groups_of_its_pattern() {
        let text = |json: &str| Ok((json.to_owned(), Kind::Text));
        assert_eq!(
            read(" BUY NIFTY @ 24310 \n"),
            text(r#"{"action":"BUY","instrument":"NIFTY","price":"24310"}"#)
        );
        assert_eq!(read("SELL NIFTY"), text(r#"{"action":"SELL","instrument":"NIFTY"}"#));
        assert_eq!(read(r#"{"a":1}"#), Ok((r#"{"a":1}"#.to_owned(), Kind::Json)));
    }

    #[test]
    fn a_text_that_matches_only_in_part_is_refused() {
        for wrong in ["", "BUY", "please BUY NIFTY @ 1", "BUY NIFTY @ 1 or so", "HOLD NIFTY"] {
            assert!(read(wrong).is_err_and(|why| why.contains("pattern")), "{wrong:?}");
        }
        let unquoted = read(r#"{"price": {{close}}}"#);
        assert!(unquoted.is_err_and(|why| why.contains("{{close}}")), "the placeholder is named");
    }

    #[test]
    fn a_member_is_taken_with_its_repetitions() {
        let mut body = Body::json(r#"{"a":"1","b":2,"a":"3"}"#).expect("an object");
        assert_eq!(body.twice(), ["a"]);
        assert_eq!(body.take("a").as_deref(), Some("1"));
        assert_eq!((body.take("a"), body.len()), (None, 1));
    }
}
