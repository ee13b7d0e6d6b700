//! [`HookSettings`]: a hook as it is configured, before it is checked.

use std::collections::BTreeMap;

/// The settings of one hook, as texts. [`Hook::new`](super::Hook::new) checks them. The names are those of the file.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct HookSettings {
    /// The name of a [preset](super::PRESETS).
    pub preset: Option<String>,
    /// The secrets, one of which the sender must know: one, or two while it is rotated.
    pub secrets: Vec<String>,
    /// The place of the secret: `path`, `field`, `hmac` or `none`.
    pub secret_in: Option<String>,
    /// The field of the body with the secret.
    pub secret_field: Option<String>,
    /// The header with the signature.
    pub secret_header: Option<String>,
    /// Networks from which the hook accepts requests, or `tradingview`.
    pub sources: Vec<String>,
    /// Proxies whose `X-Forwarded-For` names the sender.
    pub trusted_proxies: Vec<String>,
    /// Template of the instrument.
    pub instrument: Option<String>,
    /// Template of the type.
    pub signal_type: Option<String>,
    /// Template of the position.
    pub position: Option<String>,
    /// Template of the timestamp, or `received`.
    pub timestamp: Option<String>,
    /// Template of the id.
    pub id: Option<String>,
    /// Template of the expiry.
    pub expires_at: Option<String>,
    /// Seconds from the timestamp to the expiry.
    pub expires_after_s: Option<u32>,
    /// Values of fields that the body does not have, by the names that templates use.
    pub defaults: BTreeMap<String, String>,
    /// Fields of the payload with a fixed value, as JSON.
    pub constants: BTreeMap<String, String>,
    /// The fields of the body that become the payload: `rest`, `all` or `none`.
    pub payload: Option<String>,
    /// The time zone of a timestamp without an offset.
    pub time_zone: Option<String>,
    /// A regular expression for plain text.
    pub pattern: Option<String>,
    /// Seconds within which alerts about the same thing are one signal.
    pub duplicate_window_s: Option<u32>,
}

impl HookSettings {
    /// These settings, and those of `preset` where none is given.
    pub(super) fn over(self, preset: Self) -> Self {
        let list = |own: Vec<String>, other: Vec<String>| if own.is_empty() { other } else { own };
        let table = |own: BTreeMap<String, String>, mut other: BTreeMap<String, String>| {
            other.extend(own);
            other
        };
        // The two say the same in different ways.
        let expires_after_s = if self.expires_at.is_some() {
            self.expires_after_s
        } else {
            self.expires_after_s.or(preset.expires_after_s)
        };
        Self {
            preset: self.preset,
            secrets: list(self.secrets, preset.secrets),
            secret_in: self.secret_in.or(preset.secret_in),
            secret_field: self.secret_field.or(preset.secret_field),
            secret_header: self.secret_header.or(preset.secret_header),
            sources: list(self.sources, preset.sources),
            trusted_proxies: list(self.trusted_proxies, preset.trusted_proxies),
            instrument: self.instrument.or(preset.instrument),
            signal_type: self.signal_type.or(preset.signal_type),
            position: self.position.or(preset.position),
            timestamp: self.timestamp.or(preset.timestamp),
            id: self.id.or(preset.id),
            expires_at: self.expires_at.or(preset.expires_at),
            expires_after_s,
            defaults: table(self.defaults, preset.defaults),
            constants: table(self.constants, preset.constants),
            payload: self.payload.or(preset.payload),
            time_zone: self.time_zone.or(preset.time_zone),
            pattern: self.pattern.or(preset.pattern),
            duplicate_window_s: self.duplicate_window_s.or(preset.duplicate_window_s),
        }
    }
}

/// Without the secrets.
impl std::fmt::Debug for HookSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HookSettings")
            .field("preset", &self.preset)
            .field("secrets", &format_args!("{} not shown", self.secrets.len()))
            .field("instrument", &self.instrument)
            .field("signal_type", &self.signal_type)
            .field("position", &self.position)
            .field("timestamp", &self.timestamp)
            .finish_non_exhaustive()
    }
}
