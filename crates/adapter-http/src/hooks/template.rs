//! [`Template`]: the text of a configured hook that names fields of a body, such as `{ticker}:{interval}`.

use super::body::Body;
use crate::json::raw::Plain;
use std::collections::BTreeMap;

/// Most parts of a template: far more than any name of a position has.
const PARTS_MAX: usize = 32;

/// A text with fields of the body in braces: `{ticker}` is the member of that name, `{/strategy/order/id}` a JSON pointer
/// (RFC 6901). A text that begins with a slash and has no braces is a pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    written: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(Pointer),
}

/// The way to a value: the names of members, or positions in arrays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pointer {
    /// As it was written, for messages.
    pub(super) written: String,
    /// At least one.
    pub(super) steps: Vec<String>,
}

/// The reason why a template has no value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoValue {
    /// The body has no such field, or it is null or an empty text.
    Missing(String),
    /// The field is neither a text nor a number.
    NotPlain(String),
}

impl Pointer {
    fn parse(text: &str) -> Result<Self, String> {
        let steps = match text.strip_prefix('/') {
            None if text.contains('/') => {
                return Err(format!("{text:?} has a slash: a JSON pointer begins with one (/{text})"));
            }
            None => vec![text.to_owned()],
            Some(rest) => rest.split('/').map(unescaped).collect::<Result<_, _>>()?,
        };
        if steps.iter().any(String::is_empty) {
            return Err("a field without a name: write {ticker} or {/strategy/order/id}".to_owned());
        }
        Ok(Self { written: text.to_owned(), steps })
    }
}

/// A step of a pointer: `~1` is a slash and `~0` a tilde.
fn unescaped(step: &str) -> Result<String, String> {
    let mut parts = step.split('~');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (sign, rest) = match part.as_bytes().first() {
            Some(b'0') => ('~', &part[1..]),
            Some(b'1') => ('/', &part[1..]),
            _ => return Err("a tilde in a pointer is written ~0, and a slash in a name ~1".to_owned()),
        };
        text.push(sign);
        text.push_str(rest);
    }
    Ok(text)
}

impl Template {
    /// Parses a template. The error says what is required.
    pub(super) fn parse(written: &str) -> Result<Self, String> {
        if written.trim().is_empty() {
            return Err("empty: a text, or fields of the body such as {ticker}".to_owned());
        }
        if written.starts_with('/') && !written.contains(['{', '}']) {
            let parts = vec![Part::Field(Pointer::parse(written)?)];
            return Ok(Self { written: written.to_owned(), parts });
        }
        if written.contains("{{") {
            return Err("{{...}} is a placeholder of TradingView and belongs in the message of the alert; here {ticker} \
                        names the field ticker of the body"
                .to_owned());
        }
        let unpaired = || "a brace without its pair: a field is written {ticker}".to_owned();
        let (mut parts, mut rest) = (Vec::new(), written);
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let inside = from.strip_prefix('{').ok_or_else(unpaired)?;
            let (name, after) = inside.split_once('}').ok_or_else(unpaired)?;
            if name.contains('{') {
                return Err(unpaired());
            }
            parts.push(Part::Field(Pointer::parse(name)?));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        if parts.len() > PARTS_MAX {
            return Err(format!("more than {PARTS_MAX} parts"));
        }
        Ok(Self { written: written.to_owned(), parts })
    }

    /// The template as it is configured.
    pub(super) fn written(&self) -> &str {
        &self.written
    }

    /// The field whose value it has; `None` if it combines several parts.
    pub(super) fn alone(&self) -> Option<&Pointer> {
        match &self.parts[..] {
            [Part::Field(pointer)] => Some(pointer),
            _ => None,
        }
    }

    /// The fields that it names.
    pub(super) fn fields(&self) -> impl Iterator<Item = &Pointer> {
        self.parts.iter().filter_map(|part| match part {
            Part::Field(pointer) => Some(pointer),
            Part::Text(_) => None,
        })
    }

    /// Its value for a body. A template of one field has the value of the field, so a number stays one. A field without a
    /// value has its default.
    pub(super) fn value(&self, body: &Body, defaults: &BTreeMap<String, String>) -> Result<Plain, NoValue> {
        let plain = |pointer: &Pointer| match plain(body, pointer) {
            Err(NoValue::Missing(name)) => {
                defaults.get(&name).cloned().map(Plain::Text).ok_or(NoValue::Missing(name))
            }
            found => found,
        };
        if let Some(pointer) = self.alone() {
            return plain(pointer);
        }
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Field(pointer) => match plain(pointer)? {
                    Plain::Text(part) | Plain::Number(part) => text.push_str(&part),
                    Plain::Null | Plain::Other => return Err(NoValue::NotPlain(pointer.written.clone())),
                },
            }
        }
        Ok(Plain::Text(text))
    }
}

fn plain(body: &Body, pointer: &Pointer) -> Result<Plain, NoValue> {
    let missing = || NoValue::Missing(pointer.written.clone());
    let found = body.at(&pointer.steps).ok_or_else(missing)?;
    match Plain::of(&found) {
        Plain::Null => Err(missing()),
        Plain::Text(text) if text.trim().is_empty() => Err(missing()),
        Plain::Other => Err(NoValue::NotPlain(pointer.written.clone())),
        plain @ (Plain::Text(_) | Plain::Number(_)) => Ok(plain),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body() -> Body {
        let json = r#"{"ticker":"NIFTY","interval":15,"a/b":"slash","m~n":"tilde","deep":{"list":[{"x":"y"},7]},"no":null,
            "empty":" ","yes":true}"#;
        Body::json(json).expect("an object")
    }

    fn value(template: &str) -> Result<Plain, NoValue> {
        Template::parse(template).expect(template).value(&body(), &BTreeMap::new())
    }

    #[test]
    fn fields_stand_for_their_values() {
        let text = |text: &str| Ok(Plain::Text(text.to_owned()));
        assert_eq!(value("{ticker}:{interval}"), text("NIFTY:15"));
        assert_eq!(value("{interval}"), Ok(Plain::Number("15".to_owned())));
        assert_eq!(value("{interval} min"), text("15 min"));
        assert_eq!(value("/ticker"), text("NIFTY"));
        assert_eq!(value("{/a~1b} {/m~0n}"), text("slash tilde"));
        assert_eq!(value("{/deep/list/0/x}"), text("y"));
        assert_eq!(value("/deep/list/1"), Ok(Plain::Number("7".to_owned())));
        assert_eq!(value("ENTRY"), text("ENTRY"));
    }

    #[test]
    fn a_field_without_a_value_has_its_default() {
        let defaults = [("no", "x"), ("/deep/y", "z"), ("ticker", "unused")];
        let defaults = defaults.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let template = Template::parse("{ticker} {no} {/deep/y}").expect("a template");
        assert_eq!(template.value(&body(), &defaults), Ok(Plain::Text("NIFTY x z".to_owned())));
    }

    #[test]
    fn a_field_without_a_value_is_named() {
        for name in ["nothing", "no", "empty", "/deep/list/2", "/deep/list/x", "/ticker/x"] {
            assert_eq!(value(&format!("{{{name}}}")), Err(NoValue::Missing(name.to_owned())), "{name}");
        }
        for name in ["yes", "deep"] {
            assert_eq!(value(&format!("x {{{name}}}")), Err(NoValue::NotPlain(name.to_owned())), "{name}");
        }
    }

    #[test]
    fn a_template_that_cannot_be_meant_is_refused() {
        for wrong in
            ["", " ", "{ticker", "ticker}", "{}", "{a{b}", "{{ticker}}", "{a/b}", "/a~2b", "//", "{/}"]
        {
            assert!(Template::parse(wrong).is_err(), "{wrong:?}");
        }
        assert!(Template::parse("{{ticker}}").is_err_and(|why| why.contains("{ticker}")));
        assert!(Template::parse(&"{a}".repeat(33)).is_err());
    }
}
