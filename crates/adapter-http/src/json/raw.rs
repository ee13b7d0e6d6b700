//! JSON in its original form. Numbers are never parsed: a price keeps its digits, 1.10 stays 1.10.

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// Most levels of a payload. Readers stop at 128 (serde_json does), and in a list a payload is three levels
/// deep.
pub(crate) const DEPTH_MAX: usize = 100;

/// The name and the value of a member.
pub(crate) type Member<'a> = (String, &'a RawValue);

/// The reason why a text is not an object.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoObject {
    /// It is not JSON, for this reason.
    Malformed(String),
    /// It is another kind of JSON, or malformed from its start.
    AnotherKind,
}

/// The members of an object in their order; members with the same name are all included.
pub(crate) fn members(json: &str) -> Result<Vec<Member<'_>>, NoObject> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let read = deserializer.deserialize_map(Members).and_then(|members| deserializer.end().map(|()| members));
    read.map_err(|error| match error.classify() {
        serde_json::error::Category::Data => NoObject::AnotherKind,
        _ => NoObject::Malformed(error.to_string()),
    })
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<Member<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}

/// A value that is neither a list nor an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Plain {
    /// A string.
    Text(String),
    /// A number, as it was written.
    Number(String),
    /// Null, or no value.
    Null,
    /// Any other value.
    Other,
}

impl Plain {
    pub(crate) fn of(raw: &RawValue) -> Self {
        let text = raw.get();
        match text.as_bytes().first() {
            Some(b'"') => serde_json::from_str(text).map_or(Self::Other, Self::Text),
            Some(b'-' | b'0'..=b'9') => Self::Number(text.to_owned()),
            Some(b'n') => Self::Null,
            _ => Self::Other,
        }
    }
}

/// The reason why a value has no canonical form.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unclear {
    /// It has two members with this name.
    Twice(String),
    /// It has more than [`DEPTH_MAX`] levels.
    TooDeep,
    /// A string contains half of a surrogate pair.
    NoText,
}

/// An object of these members in its canonical form: names sorted, no spaces, a character escaped only if it
/// must be, numbers as they were written. A repetition is recognised by an equal form.
pub(crate) fn canonical(members: Vec<Member<'_>>) -> Result<String, Unclear> {
    let mut text = String::new();
    write_object(members, 1, &mut text)?;
    Ok(text)
}

fn write_object(mut members: Vec<Member<'_>>, depth: usize, into: &mut String) -> Result<(), Unclear> {
    members.sort_by(|(a, _), (b, _)| a.cmp(b));
    if let Some(pair) = members.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(Unclear::Twice(pair[0].0.clone()));
    }
    let mut before = '{';
    for (name, value) in &members {
        into.push(before);
        write_string(name, into);
        into.push(':');
        write_value(value, depth, into)?;
        before = ',';
    }
    into.push_str(if members.is_empty() { "{}" } else { "}" });
    Ok(())
}

/// The text was checked to be JSON before, except for the content of its strings.
fn write_value(value: &RawValue, above: usize, into: &mut String) -> Result<(), Unclear> {
    let (json, depth) = (value.get(), above + 1);
    match json.as_bytes().first() {
        Some(b'{' | b'[') if depth > DEPTH_MAX => return Err(Unclear::TooDeep),
        Some(b'{') => write_object(members(json).map_err(|_| Unclear::NoText)?, depth, into)?,
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(json).map_err(|_| Unclear::NoText)?;
            let mut before = '[';
            for item in &items {
                into.push(before);
                write_value(item, depth, into)?;
                before = ',';
            }
            into.push_str(if items.is_empty() { "[]" } else { "]" });
        }
        Some(b'"') => {
            let text: String = serde_json::from_str(json).map_err(|_| Unclear::NoText)?;
            write_string(&text, into);
        }
        // A number, true, false or null.
        _ => into.push_str(json),
    }
    Ok(())
}

fn write_string(text: &str, into: &mut String) {
    into.push_str(&serde_json::to_string(text).expect("a string is JSON"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical_of(json: &str) -> Result<String, Unclear> {
        canonical(members(json).expect("an object"))
    }

    #[test]
    fn the_canonical_form_is_sorted_and_keeps_digits() {
        let loose = " { \"b\" : [ 1.10 , -0 , 1E+2 , 48500.05, 1e999999 ] , \"a\\u0062\" : { } ,
                      \"a\" : { \"z\" : \"\\u00e9\\/\\u0000\" , \"y\" : [ ] , \"x\" : [ true , false , null ] } } ";
        let tight = r#"{"a":{"x":[true,false,null],"y":[],"z":"é/\u0000"},"ab":{},"b":[1.10,-0,1E+2,48500.05,1e999999]}"#;
        assert_eq!(canonical_of(loose).as_deref(), Ok(tight));
        assert_eq!(canonical_of(tight).as_deref(), Ok(tight), "a canonical form does not change");
        assert_eq!(canonical_of("{}").as_deref(), Ok("{}"));
    }

    #[test]
    fn a_name_that_stands_twice_is_found_at_every_level() {
        for json in [r#"{"a":1,"b":2,"a":1}"#, r#"{"x":{"a":1,"\u0061":2}}"#, r#"{"x":[[{"a":{},"a":{}}]]}"#]
        {
            assert_eq!(canonical_of(json), Err(Unclear::Twice("a".to_owned())), "{json}");
        }
    }

    #[test]
    fn what_is_too_deep_or_no_text_has_no_form() {
        let nested = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        assert!(canonical_of(&nested(DEPTH_MAX - 1)).is_ok());
        assert_eq!(canonical_of(&nested(DEPTH_MAX)), Err(Unclear::TooDeep));
        assert_eq!(canonical_of(&nested(30_000)), Err(Unclear::TooDeep));
        for json in [r#"{"a":"\ud800"}"#, r#"{"a":["\udc00"]}"#, r#"{"a":{"\ud800":1}}"#] {
            assert_eq!(canonical_of(json), Err(Unclear::NoText), "{json}");
        }
    }

    #[test]
    fn other_texts_are_no_objects() {
        for json in ["[]", "1", "\"a\"", "null", "true"] {
            assert_eq!(members(json).map(|members| members.len()), Err(NoObject::AnotherKind), "{json}");
        }
        for json in ["", "{", "{} {}", "{\"a\":01}", "{\"a\":\"\u{1}\"}", "{a:1}", "{\"a\":1,}", "\u{feff}{}"]
        {
            assert!(matches!(members(json), Err(NoObject::Malformed(_))), "{json}: {:?}", members(json));
        }
    }

    #[test]
    fn plain_values_are_distinguished() {
        let plain = |json: &str| Plain::of(&RawValue::from_string(json.to_owned()).expect("JSON"));
        assert_eq!(plain("\"a\\n\""), Plain::Text("a\n".to_owned()));
        assert_eq!(plain("-1.50"), Plain::Number("-1.50".to_owned()));
        assert_eq!((plain("null"), plain("true"), plain("[1]")), (Plain::Null, Plain::Other, Plain::Other));
        assert_eq!(plain("\"\\ud800\""), Plain::Other);
    }
}
