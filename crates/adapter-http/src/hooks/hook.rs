//! [`Hook`]: a configured hook, checked.

use super::preset::{PRESETS, preset};
use super::secret::{Place, Secrets};
use super::settings::HookSettings;
use super::source::{Sources, networks};
use super::template::Template;
use axum::http::HeaderName;
use domain::ledger::{HookName, WINDOW_S_MAX};
use jiff::tz::TimeZone;
use regex::{Regex, RegexBuilder};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};

/// Shortest window of a hook whose alerts have no timestamp of their own. Without a window, each repetition would be a
/// signal. It covers the repetitions of a sender and the permitted
/// difference of clocks.
pub const RECEIVED_WINDOW_S_MIN: u32 = 60;
/// Time from an alert of TradingView to its last repetition: 3 repetitions after answers of 500 to 599, each 5 s later
/// (<https://www.tradingview.com/support/solutions/43000735201>), and at most 3 s until each answer.
const REPEATED_S: u32 = 3 * (3 + 5);
/// Permitted difference of the clocks of the instances, which date the alerts. docs/hooks.md names it.
const CLOCKS_APART_S_MAX: u32 = 30;
const _: () = assert!(REPEATED_S + CLOCKS_APART_S_MAX <= RECEIVED_WINDOW_S_MIN);
/// Longest time from the timestamp to the expiry: a year.
pub const EXPIRES_AFTER_S_MAX: u32 = 366 * 24 * 3_600;
/// Longest regular expression, and the memory of its program: far more than a sentence of an alert needs.
const PATTERN_LEN_MAX: usize = 1_024;
const PATTERN_BYTES_MAX: usize = 256 * 1024;

/// A fault of a hook's settings: the key, and what is required, which completes a sentence that begins with "is".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookFault {
    /// The key below the hook, such as `instrument` or `defaults.position`.
    pub key: String,
    /// The fault, without any secret.
    pub what: String,
}

/// The time of a signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Moment {
    /// The alert has it.
    Of(Template),
    /// The arrival of the alert.
    Received,
}

/// The fields that become the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PayloadFields {
    /// Those that are not, alone, the value of a mapped field. The parts of `{ticker}:{interval}` stay.
    Rest,
    /// All of them.
    All,
    /// None; constants only.
    Nothing,
}

/// A hook: who may post to it, and the way from a body to a signal.
#[derive(Debug, Clone)]
pub struct Hook {
    pub(super) name: HookName,
    pub(super) preset: Option<String>,
    pub(super) secrets: Secrets,
    pub(super) sources: Sources,
    pub(super) instrument: Template,
    pub(super) signal_type: Template,
    pub(super) position: Template,
    pub(super) timestamp: Moment,
    pub(super) id: Option<Template>,
    pub(super) expires_at: Option<Template>,
    pub(super) expires_after_s: Option<u32>,
    pub(super) defaults: BTreeMap<String, String>,
    pub(super) constants: BTreeMap<String, Box<RawValue>>,
    pub(super) payload: PayloadFields,
    pub(super) time_zone: Option<(String, TimeZone)>,
    pub(super) pattern: Option<Regex>,
    pub(super) window_s: u32,
    /// Everything but the secrets, for the comparison of instances.
    written: String,
}

impl Hook {
    /// Checks the settings of a hook.
    ///
    /// # Errors
    /// Every fault, in the order of the settings.
    pub fn new(name: HookName, settings: HookSettings) -> Result<Self, Vec<HookFault>> {
        let settings = in_effect(settings).map_err(|fault| vec![fault])?;
        let mut faults = Faults::default();
        let written = format!("{:?}", Unsecret(&settings));
        let secrets = faults.secrets(&settings);
        let sources = faults.sources(&settings);
        let instrument = faults.required("instrument", settings.instrument.as_deref());
        let signal_type = faults.required("signal_type", settings.signal_type.as_deref());
        let position = faults.required("position", settings.position.as_deref());
        let timestamp = match settings.timestamp.as_deref() {
            Some("received") => Some(Moment::Received),
            other => faults.required("timestamp", other).map(Moment::Of),
        };
        let id = faults.optional("id", settings.id.as_deref());
        let expires_at = faults.optional("expires_at", settings.expires_at.as_deref());
        faults.expires_after(settings.expires_after_s, expires_at.as_ref());
        let constants = faults.constants(&settings.constants);
        let of_alert = match &timestamp {
            Some(Moment::Of(template)) => Some(template),
            Some(Moment::Received) | None => None,
        };
        let templates = [
            instrument.as_ref(),
            signal_type.as_ref(),
            position.as_ref(),
            of_alert,
            id.as_ref(),
            expires_at.as_ref(),
        ];
        faults.defaults(&settings.defaults, &templates);
        let payload = faults.payload(settings.payload.as_deref());
        let time_zone = faults.time_zone(settings.time_zone.as_deref());
        let pattern = faults.pattern(settings.pattern.as_deref());
        let window_s = settings.duplicate_window_s.unwrap_or(0);
        faults.window(window_s, timestamp.as_ref());
        faults.signed(secrets.as_ref(), timestamp.as_ref());
        let hook = || {
            Some(Self {
                name,
                preset: settings.preset.clone(),
                secrets: secrets?,
                sources: sources?,
                instrument: instrument?,
                signal_type: signal_type?,
                position: position?,
                timestamp: timestamp?,
                id,
                expires_at,
                expires_after_s: settings.expires_after_s,
                defaults: settings.defaults.clone(),
                constants,
                payload: payload?,
                time_zone,
                pattern,
                window_s,
                written,
            })
        };
        match hook() {
            Some(hook) if faults.0.is_empty() => Ok(hook),
            _ => Err(faults.0),
        }
    }

    /// Its name.
    pub fn name(&self) -> &HookName {
        &self.name
    }

    /// Every setting in effect except the secrets, as text for a comparison.
    pub fn written(&self) -> &str {
        &self.written
    }

    /// The path of its requests, with `SECRET` for the secret.
    pub fn path(&self) -> String {
        match self.secrets.place {
            Place::Path => format!("/hooks/{}/SECRET", self.name),
            Place::Field(_) | Place::Hmac(_) | Place::None => format!("/hooks/{}", self.name),
        }
    }
}

/// The settings, with those of the preset where none is given.
fn in_effect(settings: HookSettings) -> Result<HookSettings, HookFault> {
    let Some(name) = settings.preset.as_deref() else { return Ok(settings) };
    match preset(name) {
        Some(preset) => Ok(settings.over(preset)),
        None => Err(HookFault {
            key: "preset".to_owned(),
            what: format!("{name:?}, not one of {}", PRESETS.join(", ")),
        }),
    }
}

/// All settings but the secrets.
struct Unsecret<'s>(&'s HookSettings);

impl std::fmt::Debug for Unsecret<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let HookSettings {
            preset: _,
            secrets: _,
            secret_in,
            secret_field,
            secret_header,
            sources,
            trusted_proxies,
            instrument,
            signal_type,
            position,
            timestamp,
            id,
            expires_at,
            expires_after_s,
            defaults,
            constants,
            payload,
            time_zone,
            pattern,
            duplicate_window_s,
        } = self.0;
        let places = (secret_in, secret_field, secret_header, sources, trusted_proxies);
        let mapping = (instrument, signal_type, position, timestamp, id, expires_at, expires_after_s);
        let more = (defaults, constants, payload, time_zone, pattern, duplicate_window_s);
        (places, mapping, more).fmt(f)
    }
}

/// The faults so far.
#[derive(Default)]
struct Faults(Vec<HookFault>);

impl Faults {
    fn add(&mut self, key: &str, what: impl Into<String>) {
        self.0.push(HookFault { key: key.to_owned(), what: what.into() });
    }

    fn required(&mut self, key: &str, text: Option<&str>) -> Option<Template> {
        if text.is_none() {
            let example = if key == "timestamp" { "\"{time}\", or \"received\"" } else { "\"{ticker}\"" };
            self.add(key, format!("missing: name the field of the body, such as {example}, or set a preset"));
        }
        self.optional(key, text)
    }

    fn optional(&mut self, key: &str, text: Option<&str>) -> Option<Template> {
        Template::parse(text?).map_err(|what| self.add(key, what)).ok()
    }

    fn secrets(&mut self, settings: &HookSettings) -> Option<Secrets> {
        let place = match settings.secret_in.as_deref() {
            None | Some("path") => Place::Path,
            Some("field") => {
                let field = settings.secret_field.clone().unwrap_or_else(|| "secret".to_owned());
                if field.is_empty() || field.contains(['/', '{', '}']) {
                    self.add("secret_field", "not the name of a field of the body, such as \"secret\"");
                }
                Place::Field(field)
            }
            Some("hmac") => {
                let header = settings.secret_header.clone().unwrap_or_else(|| "X-Signature".to_owned());
                if HeaderName::from_bytes(header.as_bytes()).is_err() {
                    self.add("secret_header", "not the name of a header, such as \"X-Signature\"");
                    return None;
                }
                Place::Hmac(header)
            }
            Some("none") => Place::None,
            Some(other) => {
                self.add("secret_in", format!("{other:?}, not one of path, field, hmac, none"));
                return None;
            }
        };
        if settings.secret_field.is_some() && !matches!(place, Place::Field(_)) {
            self.add("secret_field", "without effect: secret_in is not \"field\"");
        }
        if settings.secret_header.is_some() && !matches!(place, Place::Hmac(_)) {
            self.add("secret_header", "without effect: secret_in is not \"hmac\"");
        }
        Secrets::new(place, settings.secrets.clone()).map_err(|what| self.add("secret_file", what)).ok()
    }

    fn sources(&mut self, settings: &HookSettings) -> Option<Sources> {
        if settings.secret_in.as_deref() == Some("none") && settings.sources.is_empty() {
            self.add(
                "sources",
                "missing: without a secret only the networks of the senders protect the hook",
            );
        }
        let mut read = |key: &str, texts: &[String]| match networks(texts) {
            Ok(nets) => Some(nets),
            Err(faults) => {
                for what in faults {
                    self.add(key, what);
                }
                None
            }
        };
        let allowed = read("sources", &settings.sources);
        let proxies = read("trusted_proxies", &settings.trusted_proxies);
        if settings.secret_in.as_deref() == Some("none") {
            for (key, nets) in [("sources", &allowed), ("trusted_proxies", &proxies)] {
                if nets.iter().flatten().any(|net| net.prefix_len() == 0) {
                    self.add(
                        key,
                        "every address, and the hook has no secret: any sender could post; name networks",
                    );
                }
            }
        }
        Some(Sources { allowed: allowed?, proxies: proxies? })
    }

    fn constants(&mut self, texts: &BTreeMap<String, String>) -> BTreeMap<String, Box<RawValue>> {
        let mut constants = BTreeMap::new();
        for (name, json) in texts {
            match RawValue::from_string(json.clone()) {
                Ok(value) => {
                    constants.insert(name.clone(), value);
                }
                Err(_) => self.add(&format!("constants.{name}"), "not a text, a number or a truth value"),
            }
        }
        constants
    }

    /// A default that no template uses is a mistyped name.
    fn defaults(&mut self, defaults: &BTreeMap<String, String>, templates: &[Option<&Template>]) {
        let named: BTreeSet<&str> = templates
            .iter()
            .flatten()
            .flat_map(|template| template.fields())
            .map(|field| field.written.as_str())
            .collect();
        for name in defaults.keys().filter(|name| !named.contains(name.as_str())) {
            self.add(&format!("defaults.{name}"), "without effect: no template names this field of the body");
        }
    }

    fn payload(&mut self, text: Option<&str>) -> Option<PayloadFields> {
        match text {
            None | Some("rest") => Some(PayloadFields::Rest),
            Some("all") => Some(PayloadFields::All),
            Some("none") => Some(PayloadFields::Nothing),
            Some(other) => {
                self.add("payload", format!("{other:?}, not one of rest, all, none"));
                None
            }
        }
    }

    fn time_zone(&mut self, name: Option<&str>) -> Option<(String, TimeZone)> {
        let name = name?;
        match TimeZone::get(name) {
            Ok(zone) => Some((name.to_owned(), zone)),
            Err(_) => {
                self.add(
                    "time_zone",
                    format!("{name:?}, not a name of the IANA database, such as Asia/Kolkata"),
                );
                None
            }
        }
    }

    fn pattern(&mut self, text: Option<&str>) -> Option<Regex> {
        let text = text?;
        if text.len() > PATTERN_LEN_MAX {
            self.add("pattern", format!("longer than {PATTERN_LEN_MAX} bytes"));
            return None;
        }
        // The text must match as a whole.
        let whole = format!("^(?:{text})$");
        match RegexBuilder::new(&whole).size_limit(PATTERN_BYTES_MAX).build() {
            Ok(pattern) if pattern.capture_names().flatten().next().is_none() => {
                self.add("pattern", "without a named group: write (?<action>BUY|SELL)");
                None
            }
            Ok(pattern) => Some(pattern),
            Err(error) => {
                let why = error.to_string();
                let last = why.lines().last().unwrap_or_default().trim().to_owned();
                self.add("pattern", format!("not a regular expression: {last}"));
                None
            }
        }
    }

    fn expires_after(&mut self, after_s: Option<u32>, expires_at: Option<&Template>) {
        if expires_at.is_some() && after_s.is_some() {
            self.add("expires_after", "set together with expires_at: set one of them");
        }
        if after_s == Some(0) {
            self.add("expires_after", "0 s: no alert would be sent; at least 1 s is required");
        }
    }

    fn signed(&mut self, secrets: Option<&Secrets>, timestamp: Option<&Moment>) {
        let is_signed = secrets.is_some_and(|secrets| matches!(secrets.place, Place::Hmac(_)));
        if is_signed && timestamp == Some(&Moment::Received) {
            self.add(
                "timestamp",
                "\"received\", and secret_in is \"hmac\": the signature covers only the body, so a captured alert could be \
                 posted again and again as a new signal; name a field of the body with the time",
            );
        }
    }

    fn window(&mut self, window_s: u32, timestamp: Option<&Moment>) {
        if window_s > WINDOW_S_MAX {
            self.add("duplicate_window", format!("{window_s} s, more than {WINDOW_S_MAX} s"));
        }
        if timestamp == Some(&Moment::Received) && window_s < RECEIVED_WINDOW_S_MIN {
            self.add(
                "duplicate_window",
                format!(
                    "{window_s} s, and timestamp is \"received\": at least {RECEIVED_WINDOW_S_MIN} s are required, because \
                     a repeated alert would be a second signal"
                ),
            );
        }
    }
}
