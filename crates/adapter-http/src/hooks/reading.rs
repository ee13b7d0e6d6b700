//! The way from a body to a signal, field by field. Pure: the same hook, body and time give the same result.

use super::body::{Body, Kind};
use super::hook::{Hook, Moment, PayloadFields};
use super::secret::Place;
use super::template::{NoValue, Template};
use crate::json::raw::{self, DEPTH_MAX, Plain, Unclear};
use crate::json::rfc3339;
use crate::signals::{
    EXPIRED_BOUNDS, Fault, NO_TEXT, Repeated, id, label, placeholder, too_new, too_old, unix_ms, unix_ms_in,
};
use domain::ledger::{Dated, FromHook, Instruction, Label, NewSignal, PAYLOAD_LEN_MAX};
use serde::Serialize;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// Most faults of one body.
const FAULTS_MAX: usize = 20;
/// Most bytes of a body or a payload that are kept for `hooks tail`.
pub(super) const SHOWN_LEN_MAX: usize = 2_048;

/// One field of the signal, for an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReadField {
    /// The name.
    pub field: &'static str,
    /// The value; `None` if there is none.
    pub value: Option<String>,
    /// Where the value comes from.
    pub from: String,
}

/// The reason why a body becomes no signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NotRead {
    /// The secret in the body is missing or wrong.
    Secret(String),
    /// It has no fields.
    Malformed(String),
    /// These fields are wrong.
    Invalid(Vec<Fault>),
    /// The payload is too large.
    TooLarge,
}

/// A body as a hook reads it.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The fields of the signal, as far as they could be read.
    pub fields: Vec<ReadField>,
    /// The kind and size of the body.
    pub body: String,
    /// The body without the secret, cut; `None` if it has no fields.
    pub shown: Option<String>,
    pub(crate) result: Result<NewSignal, NotRead>,
}

impl Reading {
    /// The signal.
    ///
    /// # Errors
    /// Each fault as `field: what is wrong`.
    pub fn signal(&self) -> Result<&NewSignal, Vec<String>> {
        self.result.as_ref().map_err(|why| match why {
            NotRead::Secret(what) | NotRead::Malformed(what) => vec![what.clone()],
            NotRead::Invalid(faults) => {
                faults.iter().map(|fault| format!("{}: {}", fault.field, fault.detail)).collect()
            }
            NotRead::TooLarge => vec![format!("payload: it has more than {PAYLOAD_LEN_MAX} bytes")],
        })
    }
}

impl Hook {
    /// Reads a body that arrived at `received_ms` (unix milliseconds). The timestamp of the signal must be within
    /// `accepted_s` (unix seconds). Never panics, whatever the body is.
    pub fn read(&self, body: &[u8], received_ms: i64, accepted_s: RangeInclusive<i64>) -> Reading {
        let (mut fields_of_body, kind) = match Body::read(body, self.pattern.as_ref()) {
            Ok(read) => read,
            Err(why) => {
                let missing = match &self.secrets.place {
                    Place::Field(field) => format!("; the secret is expected in the field {field:?}"),
                    Place::Path | Place::Hmac(_) | Place::None => String::new(),
                };
                return Reading {
                    fields: Vec::new(),
                    body: format!("{} bytes", body.len()),
                    shown: None,
                    result: Err(NotRead::Malformed(self.secrets.masked(&format!("{why}{missing}")))),
                };
            }
        };
        let twice = fields_of_body.twice();
        let secret = match &self.secrets.place {
            Place::Field(field) => {
                let once = !twice.contains(field);
                match fields_of_body.take(field) {
                    Some(given) if once && self.secrets.has(&given) => Ok(()),
                    Some(_) => Err(format!("the secret in the field {field:?} is wrong")),
                    None => Err(format!("the field {field:?} with the secret is missing")),
                }
            }
            Place::Path | Place::Hmac(_) | Place::None => Ok(()),
        };
        let kind = match kind {
            Kind::Json => "a JSON object with",
            Kind::Text => "plain text with",
        };
        let described = format!("{kind} {} fields, {} bytes", fields_of_body.len(), body.len());
        let shown =
            raw::canonical(fields_of_body.members()).ok().map(|text| cut(&self.secrets.masked(&text)));
        let mut reader = Reader { hook: self, body: fields_of_body, fields: Vec::new(), faults: Vec::new() };
        for name in twice.iter().filter(|name| !self.is_secret(name)) {
            reader.fault(name, "written more than once");
        }
        let result = reader.signal(received_ms, &accepted_s);
        let result = secret.map_err(NotRead::Secret).and(result);
        Reading { fields: reader.fields, body: described, shown, result }
    }

    fn is_secret(&self, name: &str) -> bool {
        matches!(&self.secrets.place, Place::Field(field) if field == name)
    }
}

/// The state of one reading.
struct Reader<'h> {
    hook: &'h Hook,
    body: Body,
    fields: Vec<ReadField>,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    fn signal(&mut self, received_ms: i64, accepted_s: &RangeInclusive<i64>) -> Result<NewSignal, NotRead> {
        let hook = self.hook;
        let instrument = self.label("instrument", &hook.instrument);
        let signal_type = self.label("signal_type", &hook.signal_type);
        let position = self.label("position", &hook.position);
        let timestamp_s = self.timestamp(received_ms, accepted_s);
        let id = self.id();
        let expires_ms = self.expiry(received_ms, timestamp_s);
        let payload = self.payload();
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
        let dated = match hook.timestamp {
            Moment::Of(_) => Dated::BySender,
            Moment::Received => Dated::ByArrival,
        };
        let from = FromHook { name: hook.name.clone(), window_s: hook.window_s, dated };
        match instruction() {
            Some(_) if !self.faults.is_empty() => Err(NotRead::Invalid(std::mem::take(&mut self.faults))),
            Some(_) if large => Err(NotRead::TooLarge),
            Some(instruction) => Ok(NewSignal { id, instruction, hook: Some(from) }),
            None => Err(NotRead::Invalid(std::mem::take(&mut self.faults))),
        }
    }

    fn fault(&mut self, field: &str, detail: impl Into<String>) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(Fault { field: field.chars().take(64).collect(), detail: detail.into() });
        }
    }

    fn show(&mut self, field: &'static str, value: Option<String>, from: impl Into<String>) {
        self.fields.push(ReadField { field, value, from: from.into() });
    }

    /// The value of a template, or the default; `None` after a fault.
    fn plain(&mut self, field: &str, template: &Template) -> Option<Plain> {
        let fault = match template.value(&self.body, &self.hook.defaults) {
            Ok(plain) => {
                let (Plain::Text(text) | Plain::Number(text)) = &plain else { return None };
                match placeholder(text) {
                    None => return Some(plain),
                    Some(found) => format!("the placeholder {found} was not filled"),
                }
            }
            Err(NoValue::Missing(name)) => format!("the body has no {name:?}, or it is null or empty"),
            Err(NoValue::NotPlain(name)) => format!("{name:?} is neither a text nor a number"),
        };
        self.fault(field, fault);
        None
    }

    fn mapped<T>(
        &mut self,
        field: &str,
        template: &Template,
        parse: impl Fn(&Plain) -> Result<T, String>,
    ) -> Option<T> {
        let plain = self.plain(field, template)?;
        parse(&plain).map_err(|wanted| self.fault(field, wanted)).ok()
    }

    fn label(&mut self, field: &'static str, template: &Template) -> Option<Label> {
        let found = self.mapped(field, template, label);
        self.show(field, found.as_ref().map(ToString::to_string), template.written());
        found
    }

    /// A time, in the time zone of the hook if it has no offset.
    fn time(&mut self, field: &str, template: &Template, repeated: Repeated) -> Option<i64> {
        match &self.hook.time_zone {
            Some((_, zone)) => self.mapped(field, template, |plain| unix_ms_in(plain, zone, repeated)),
            None => self.mapped(field, template, |plain| {
                unix_ms(plain).map_err(|why| format!("{why}; or set time_zone of the hook"))
            }),
        }
    }

    fn timestamp(&mut self, received_ms: i64, accepted_s: &RangeInclusive<i64>) -> Option<i64> {
        let hook = self.hook;
        let (at_ms, from) = match &hook.timestamp {
            Moment::Received => (Some(received_ms), "the arrival of the alert".to_owned()),
            Moment::Of(template) => {
                let zone = hook.time_zone.as_ref().map(|(name, _)| format!(", without an offset in {name}"));
                (
                    self.time("timestamp", template, Repeated::Before(received_ms)),
                    format!("{}{}", template.written(), zone.unwrap_or_default()),
                )
            }
        };
        let seconds = at_ms.map(|at_ms| at_ms.div_euclid(1_000));
        self.show("timestamp", seconds.and_then(|at| rfc3339(at.saturating_mul(1_000))), from);
        if seconds.is_some_and(|at| at < *accepted_s.start()) {
            self.fault("timestamp", too_old(*accepted_s.start()));
        }
        if seconds.is_some_and(|at| at > *accepted_s.end()) {
            self.fault("timestamp", too_new(*accepted_s.end()));
        }
        seconds
    }

    fn id(&mut self) -> Option<domain::ledger::SignalId> {
        let Some(template) = &self.hook.id else {
            self.show("id", None, "the fingerprint");
            return None;
        };
        let found = self.mapped("id", template, id);
        self.show("id", found.as_ref().map(ToString::to_string), template.written());
        found
    }

    fn expiry(&mut self, received_ms: i64, timestamp_s: Option<i64>) -> Option<i64> {
        let hook = self.hook;
        let (at_ms, from) = match (&hook.expires_at, hook.expires_after_s) {
            (Some(template), _) => {
                let at_ms = self.time("expires_at", template, Repeated::After(received_ms));
                (at_ms, template.written().to_owned())
            }
            (None, Some(after_s)) => {
                let at_ms = timestamp_s.map(|at_s| at_s.saturating_add(after_s.into()).saturating_mul(1_000));
                (
                    at_ms.filter(|at_ms| EXPIRED_BOUNDS.contains(at_ms)),
                    format!("{after_s} s after the timestamp"),
                )
            }
            (None, None) => (None, "no expiry".to_owned()),
        };
        self.show("expires_at", at_ms.and_then(rfc3339), from);
        at_ms
    }

    fn payload(&mut self) -> Option<String> {
        let hook = self.hook;
        let used: BTreeSet<&str> = match hook.payload {
            PayloadFields::Rest => hook
                .templates()
                .filter_map(Template::alone)
                .filter_map(|pointer| {
                    let [name] = &pointer.steps[..] else { return None };
                    Some(name.as_str())
                })
                .collect(),
            PayloadFields::All | PayloadFields::Nothing => BTreeSet::new(),
        };
        let nothing = hook.payload == PayloadFields::Nothing;
        // A placeholder in a field that is not kept is a fault too: the alert is not what its user meant.
        if nothing
            && let Ok(all) = raw::canonical(self.body.members())
            && let Some(found) = placeholder(&all)
        {
            let found = format!("the placeholder {found} was not filled");
            self.fault("payload", found);
        }
        self.body.retain(|name| !nothing && !used.contains(name));
        for (name, value) in &hook.constants {
            self.body.set(name, value);
        }
        let from = match hook.payload {
            PayloadFields::Rest => "the other fields of the body",
            PayloadFields::All => "all fields of the body",
            PayloadFields::Nothing => "no field of the body",
        };
        let from = if hook.constants.is_empty() { from.to_owned() } else { format!("{from}, and constants") };
        let fault = match raw::canonical(self.body.members()) {
            Ok(text) => match placeholder(&text).map(str::to_owned) {
                None => {
                    self.show("payload", Some(cut(&hook.secrets.masked(&text))), from);
                    return Some(text);
                }
                Some(found) => format!("the placeholder {found} was not filled"),
            },
            Err(Unclear::Twice(name)) => {
                format!("{:?} occurs twice", name.chars().take(64).collect::<String>())
            }
            Err(Unclear::TooDeep) => format!("it has more than {DEPTH_MAX} levels"),
            Err(Unclear::NoText) => NO_TEXT.to_owned(),
        };
        self.show("payload", None, from);
        self.fault("payload", fault);
        None
    }
}

impl Hook {
    /// Every template.
    fn templates(&self) -> impl Iterator<Item = &Template> {
        let timestamp = match &self.timestamp {
            Moment::Of(template) => Some(template),
            Moment::Received => None,
        };
        [&self.instrument, &self.signal_type, &self.position]
            .into_iter()
            .chain(timestamp)
            .chain(&self.id)
            .chain(&self.expires_at)
    }
}

/// A text of bounded length.
pub(super) fn cut(text: &str) -> String {
    let end = (0..=SHOWN_LEN_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    if end == text.len() { text.to_owned() } else { format!("{}...", &text[..end]) }
}
