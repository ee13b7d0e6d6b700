//! The sections `[hooks.NAME]`: hooks to which other systems post alerts. They are only in the file. Invariant: no message
//! shows a secret.

use super::fault::{Fault, Origin, one_line, shown};
use super::nearest::nearest;
use super::{parse, url_file};
use adapter_http::{EXPIRES_AFTER_S_MAX, Hook, HookSettings, PRESETS, RECEIVED_WINDOW_S_MIN};
use domain::ledger::{HookName, WINDOW_S_MAX};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::time::Duration;
use toml::{Table, Value};

/// Name of the section.
pub const SECTION: &str = "hooks";
/// Most hooks: a desk has a handful.
const HOOKS_MAX: usize = 64;

/// A hook, and the table that it was read from, which has no secret.
#[derive(Debug, Clone)]
pub struct ConfiguredHook {
    /// The hook.
    pub hook: Hook,
    /// As it is in the file.
    pub table: Table,
    /// Its place.
    pub origin: Origin,
}

impl PartialEq for ConfiguredHook {
    fn eq(&self, other: &Self) -> bool {
        self.hook.name() == other.hook.name() && self.table == other.table
    }
}

impl Eq for ConfiguredHook {}

/// A key below a hook: its name, the form of its value, and its meaning with the default.
struct HookKey(&'static str, &'static str, &'static str);

const KEYS: [HookKey; 20] = [
    HookKey("preset", "", "Settings for a known sender; every other key overrides the preset"),
    HookKey(
        "secret_file",
        "path of a file",
        "File with the secret on one line, and during a rotation the next secret on a second line; only its owner may have permissions",
    ),
    HookKey(
        "secret_env",
        "name of a variable",
        "Environment variable with the secret, instead of `secret_file`",
    ),
    HookKey(
        "secret_in",
        "`path`, `field`, `hmac` or `none`",
        "Place of the secret: the path `/hooks/NAME/SECRET` (the default), a field of the body that is removed before anything is stored, the key of an HMAC-SHA256 signature, or no secret; `none` needs `sources`",
    ),
    HookKey("secret_field", "name of a field", "Field of the body with the secret; `secret` by default"),
    HookKey(
        "secret_header",
        "name of a header",
        "Header with the signature: HMAC-SHA256 over the body in hexadecimal digits, also after `sha256=`; `X-Signature` by default",
    ),
    HookKey(
        "sources",
        "list of networks",
        "Networks that may post (`10.0.0.0/8`), or `tradingview` for the addresses of TradingView; any by default",
    ),
    HookKey(
        "trusted_proxies",
        "list of networks",
        "Proxies whose `X-Forwarded-For` names the sender; none by default",
    ),
    HookKey("instrument", "template", "The instrument of the signal"),
    HookKey("signal_type", "template", "The type of the signal"),
    HookKey("position", "template", "The position of the signal"),
    HookKey("timestamp", "template, or `received`", "The time of the signal, or the arrival of the alert"),
    HookKey(
        "time_zone",
        "IANA name",
        "Time zone of a time without an offset, such as `Asia/Kolkata`; without it such a time is refused",
    ),
    HookKey("id", "template", "The id of the signal; its fingerprint by default"),
    HookKey("expires_at", "template", "Time after which the signal is not sent"),
    HookKey(
        "expires_after",
        "time, at least 1 s",
        "Time from the timestamp to the expiry, instead of `expires_at`",
    ),
    HookKey(
        "payload",
        "`rest`, `all` or `none`",
        "The fields of the body that become the payload: those that are not the value of one of the templates above (the default), all, or none",
    ),
    HookKey(
        "pattern",
        "regular expression",
        "Plain text bodies: the named groups (`(?<price>[0-9.]+)`) of an expression that must match the whole text are the fields",
    ),
    HookKey(
        "defaults",
        "table",
        "Values of fields that the body does not have, or that are null or empty, by the names in the templates: `defaults.order_id = \"main\"`",
    ),
    HookKey("constants", "table", "Fields of the payload with a fixed value: `constants.desk = \"a\"`"),
];
/// The last key has numbers in its description.
const WINDOW: &str = "duplicate_window";

/// Reads the section. `value` is what the file has under `hooks`.
pub fn read(
    path: &str,
    value: Value,
    environment: &BTreeMap<OsString, OsString>,
    faults: &mut Vec<Fault>,
) -> Vec<ConfiguredHook> {
    let at = |key: &str| Origin::File(path.to_owned(), key.to_owned());
    let Value::Table(hooks) = value else {
        faults.push(Fault::new(
            at(SECTION),
            "is a section of hooks: write [hooks.NAME] above the keys of each",
        ));
        return Vec::new();
    };
    if hooks.len() > HOOKS_MAX {
        faults.push(Fault::new(at(SECTION), format!("has more than {HOOKS_MAX} hooks")));
    }
    let mut sound = Vec::new();
    for (name, value) in hooks.into_iter().take(HOOKS_MAX) {
        let place = format!("{SECTION}.{name}");
        let name = match (HookName::parse(&name), value) {
            (Err(wanted), _) => {
                faults.push(Fault::new(at(&place), format!("not the name of a hook: {wanted}")));
                continue;
            }
            (Ok(_), value) if !value.is_table() => {
                faults.push(Fault::new(at(&place), format!("is a section: write [{place}] above its keys")));
                continue;
            }
            (Ok(name), value) => (name, value),
        };
        let (name, Value::Table(table)) = name else { continue };
        let mut reader = Reader { path, place: &place, faults: Vec::new() };
        let settings = reader.settings(&table, environment);
        let wrong = std::mem::take(&mut reader.faults);
        // A key with a fault here may be missing there: only one of them is reported.
        let reported: BTreeSet<String> = wrong.iter().map(|(key, _)| key.clone()).collect();
        let secret_is_wrong = ["secret_file", "secret_env"].iter().any(|key| reported.contains(*key));
        let checked = Hook::new(name, settings);
        let mut all: Vec<(String, String)> = wrong;
        match checked {
            Ok(hook) if all.is_empty() => {
                sound.push(ConfiguredHook { hook, table, origin: at(&place) });
                continue;
            }
            Ok(_) => {}
            Err(more) => all.extend(more.into_iter().filter_map(|fault| {
                let known = reported.contains(&fault.key) || fault.key == "secret_file" && secret_is_wrong;
                (!known).then(|| (fault.key, format!("is {}", fault.what)))
            })),
        }
        faults.extend(all.into_iter().map(|(key, what)| Fault::new(at(&format!("{place}.{key}")), what)));
    }
    sound
}

/// Reads the values of one hook.
struct Reader<'p> {
    path: &'p str,
    place: &'p str,
    /// The key, and a sentence about it.
    faults: Vec<(String, String)>,
}

impl Reader<'_> {
    fn fault(&mut self, key: &str, what: impl Into<String>) {
        self.faults.push((key.to_owned(), what.into()));
    }

    fn settings(&mut self, table: &Table, environment: &BTreeMap<OsString, OsString>) -> HookSettings {
        self.unknown_keys(table);
        HookSettings {
            preset: self.text(table, "preset"),
            secrets: self.secrets(table, environment),
            secret_in: self.text(table, "secret_in"),
            secret_field: self.text(table, "secret_field"),
            secret_header: self.text(table, "secret_header"),
            sources: self.list(table, "sources"),
            trusted_proxies: self.list(table, "trusted_proxies"),
            instrument: self.text(table, "instrument"),
            signal_type: self.text(table, "signal_type"),
            position: self.text(table, "position"),
            timestamp: self.text(table, "timestamp"),
            id: self.text(table, "id"),
            expires_at: self.text(table, "expires_at"),
            expires_after_s: self.seconds(table, "expires_after", 1, EXPIRES_AFTER_S_MAX),
            defaults: self.texts(table, "defaults"),
            constants: self.constants(table),
            payload: self.text(table, "payload"),
            time_zone: self.text(table, "time_zone"),
            pattern: self.text(table, "pattern"),
            duplicate_window_s: self.seconds(table, WINDOW, 0, WINDOW_S_MAX),
        }
    }

    fn unknown_keys(&mut self, table: &Table) {
        let known = || KEYS.iter().map(|key| key.0).chain([WINDOW]);
        for name in table.keys().filter(|name| !known().any(|known| known == *name)) {
            let hint = match nearest(name, known()) {
                _ if name == "secret" => {
                    "; write the secret to a file, and the path of the file as secret_file".to_owned()
                }
                Some(meant) => format!("; did you mean {meant}?"),
                None => String::new(),
            };
            self.fault(&one_line(name), format!("unknown key{hint}"));
        }
    }

    fn text(&mut self, table: &Table, key: &str) -> Option<String> {
        match table.get(key)? {
            Value::String(text) => Some(text.clone()),
            _ => {
                self.fault(key, "is not a text in quotes");
                None
            }
        }
    }

    fn list(&mut self, table: &Table, key: &str) -> Vec<String> {
        let items = match table.get(key) {
            None => return Vec::new(),
            Some(Value::String(text)) => return vec![text.clone()],
            Some(Value::Array(items)) => items,
            Some(_) => {
                self.fault(key, "is not a list of texts: write [\"tradingview\", \"10.0.0.0/8\"]");
                return Vec::new();
            }
        };
        let texts: Option<Vec<String>> = items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
        texts.unwrap_or_else(|| {
            self.fault(key, "is not a list of texts: write [\"tradingview\", \"10.0.0.0/8\"]");
            Vec::new()
        })
    }

    fn seconds(&mut self, table: &Table, key: &str, least: u32, most: u32) -> Option<u32> {
        let text = match table.get(key)? {
            Value::String(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            _ => {
                self.fault(key, "is neither a text in quotes nor a whole number");
                return None;
            }
        };
        match parse::duration(&text, Duration::from_secs(least.into()), Duration::from_secs(most.into())) {
            Ok(time) if time.subsec_millis() == 0 => u32::try_from(time.as_secs()).ok(),
            Ok(_) => {
                self.fault(key, format!("is {}, not whole seconds", shown(&text)));
                None
            }
            Err(what) => {
                self.fault(key, format!("is {what}"));
                None
            }
        }
    }

    fn texts(&mut self, table: &Table, key: &str) -> BTreeMap<String, String> {
        let Some(inner) = self.table(table, key) else { return BTreeMap::new() };
        let mut texts = BTreeMap::new();
        for (name, value) in inner {
            match value {
                Value::String(text) => texts.insert(name.clone(), text.clone()),
                Value::Integer(number) => texts.insert(name.clone(), number.to_string()),
                _ => {
                    self.fault(&format!("{key}.{}", one_line(name)), "is neither a text nor a whole number");
                    continue;
                }
            };
        }
        texts
    }

    fn constants(&mut self, table: &Table) -> BTreeMap<String, String> {
        let Some(inner) = self.table(table, "constants") else { return BTreeMap::new() };
        let mut constants = BTreeMap::new();
        for (name, value) in inner {
            match value {
                Value::String(text) => constants.insert(name.clone(), serde_json::json!(text).to_string()),
                Value::Integer(number) => constants.insert(name.clone(), number.to_string()),
                Value::Boolean(truth) => constants.insert(name.clone(), truth.to_string()),
                _ => {
                    let what = "is neither a text, nor a whole number, nor true or false; a price is a text in quotes";
                    self.fault(&format!("constants.{}", one_line(name)), what);
                    continue;
                }
            };
        }
        constants
    }

    fn table<'t>(&mut self, table: &'t Table, key: &str) -> Option<&'t Table> {
        let value = table.get(key)?;
        if value.as_table().is_none() {
            self.fault(key, format!("is a table: write [{}.{key}] above its keys", self.place));
        }
        value.as_table()
    }

    fn secrets(&mut self, table: &Table, environment: &BTreeMap<OsString, OsString>) -> Vec<String> {
        let (file, variable) = (self.text(table, "secret_file"), self.text(table, "secret_env"));
        let (lines, key) = match (file, variable) {
            (None, None) => return Vec::new(),
            (Some(_), Some(_)) => {
                self.fault(
                    "secret_env",
                    format!("set together with secret_file ({}): set one of them", self.path),
                );
                return Vec::new();
            }
            (Some(path), None) => (url_file::lines(&path), "secret_file"),
            (None, Some(name)) => (from_environment(&name, environment), "secret_env"),
        };
        lines.unwrap_or_else(|what| {
            self.fault(key, format!("is {what}"));
            Vec::new()
        })
    }
}

fn from_environment(name: &str, environment: &BTreeMap<OsString, OsString>) -> Result<Vec<String>, String> {
    if name.starts_with(super::key::PREFIX) {
        return Err(format!(
            "{}, a name of a setting: choose one without {}",
            shown(name),
            super::key::PREFIX
        ));
    }
    let value = environment.iter().find(|(own, _)| own.to_str() == Some(name)).map(|(_, value)| value);
    match value.map(|value| value.to_str()) {
        None => Err(format!("{}, a variable that is not set", shown(name))),
        Some(None) => Err(format!("{}, a variable that is not UTF-8 text", shown(name))),
        Some(Some(text)) => Ok(text.lines().map(str::to_owned).collect()),
    }
}

/// The section as Markdown, for docs/settings.md.
pub fn reference() -> String {
    let mut text = "\n## Section `[hooks.NAME]`\n\n\
        Hooks turn alerts of other systems into signals ([hooks.md](hooks.md)). They are only in the file: a section for each\n\
        hook, whose requests go to `/hooks/NAME`. A template is a text with fields of the body in braces:\n\
        `{ticker}:{interval}`, or `{/order/id}` for a JSON pointer.\n\n| key | value | meaning |\n|---|---|---|\n"
        .to_owned();
    let presets: Vec<String> = PRESETS.iter().map(|preset| format!("`{preset}`")).collect();
    for HookKey(name, form, meaning) in KEYS {
        let form = if name == "preset" { presets.join(", ") } else { form.to_owned() };
        let _ = writeln!(text, "| `{name}` | {form} | {meaning} |");
    }
    let _ = writeln!(
        text,
        "| `{WINDOW}` | seconds, or as 60s: 0 to {WINDOW_S_MAX} | Alerts of the hook about the same instrument, type and \
         position whose timestamps differ by at most this time are one signal; 0 by default, and at least \
         {RECEIVED_WINDOW_S_MIN} with `timestamp = \"received\"` |"
    );
    text
}

/// The section of the sample file.
pub fn sample() -> &'static str {
    "\n# Hooks turn alerts of other systems into signals; docs/hooks.md has all keys. Example:\n\
     #  [hooks.tv]\n\
     #  preset = \"tradingview-strategy\"\n\
     #  secret_file = \"/etc/coordinator/tv.secret\"\n"
}

/// The hooks as they are in the file, with their places.
pub fn render(hooks: &[ConfiguredHook]) -> String {
    let mut text = String::new();
    for ConfiguredHook { hook, table, origin } in hooks {
        let inner: Table = [(hook.name().to_string(), Value::Table(table.clone()))].into_iter().collect();
        let outer: Table = [(SECTION.to_owned(), Value::Table(inner))].into_iter().collect();
        let _ = write!(text, "\n# {origin}: POST {}\n{outer}", hook.path());
    }
    text
}
