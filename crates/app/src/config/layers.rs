//! Collects the settings from the file, the environment and the flags, and reports unknown names.

use super::fault::{Fault, Origin};
use super::hooks::{self, ConfiguredHook};
use super::key::{self, Key};
use super::nearest::nearest;
use crate::cli::Flags;
use crate::secret::Secret;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use toml::{Table, Value};

/// Between the values of a list that is written as one text.
pub const LIST_SEPARATOR: &str = ",";

/// All values that were written.
#[derive(Default)]
pub struct Layers {
    /// The values of each setting with their places; a later one overrides an earlier one.
    pub written: BTreeMap<Key, Vec<(Origin, String)>>,
    /// The sound hooks of the file.
    pub hooks: Vec<ConfiguredHook>,
    /// Values and names that belong to no setting.
    pub faults: Vec<Fault>,
}

impl Layers {
    /// Reads all three sources. `file` is the path, for messages, and the text.
    pub fn read(
        file: Option<(&str, &str)>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        flags: &Flags,
    ) -> Self {
        let mut layers = Self::default();
        let environment: BTreeMap<OsString, OsString> = environment.into_iter().collect();
        if let Some((path, text)) = file {
            layers.file(path, text, &environment);
        }
        layers.environment(environment);
        layers.flags(flags);
        layers
    }

    fn write(&mut self, key: Key, origin: Origin, value: String) {
        self.written.entry(key).or_default().push((origin, value));
    }

    fn file(&mut self, path: &str, text: &str, environment: &BTreeMap<OsString, OsString>) {
        let table = match text.parse::<Table>() {
            Ok(table) => table,
            Err(error) => {
                // The error's own text quotes the line, which may contain a password.
                let at = error.span().map_or(0, |span| span.start);
                let place = line_and_column(text, at);
                self.faults.push(Fault::new(
                    Origin::File(path.to_owned(), place),
                    "not TOML: put a value that is not a number in quotes, and write each key once",
                ));
                return;
            }
        };
        let sections: BTreeSet<_> = Key::ALL.iter().filter_map(|key| key.section_and_name().0).collect();
        for (name, value) in table {
            if name == hooks::SECTION {
                self.hooks = hooks::read(path, value, environment, &mut self.faults);
                continue;
            }
            match (sections.contains(name.as_str()), value) {
                (true, Value::Table(section)) => {
                    for (inner, value) in section {
                        self.file_value(path, &format!("{name}.{inner}"), value);
                    }
                }
                (true, _) => {
                    let message = format!("is a section: write [{name}] above its keys");
                    self.faults.push(Fault::new(Origin::File(path.to_owned(), name), message));
                }
                (false, value) => self.file_value(path, &name, value),
            }
        }
    }

    fn file_value(&mut self, path: &str, name: &str, value: Value) {
        let origin = Origin::File(path.to_owned(), name.to_owned());
        let Some(key) = Key::ALL.into_iter().find(|key| key.in_file() == name) else {
            let sections = Key::ALL.iter().filter_map(|key| key.section_and_name().0);
            let meant = nearest(name, Key::ALL.iter().map(|key| key.in_file()).chain(sections));
            self.faults.push(unknown(origin, "key", meant));
            return;
        };
        match value {
            Value::String(text) => self.write(key, origin, text),
            Value::Integer(number) => self.write(key, origin, number.to_string()),
            Value::Boolean(value) if key.is_switch() => self.write(key, origin, value.to_string()),
            Value::Array(values) if key.is_list() => match texts(&values) {
                Some(texts) => self.write(key, origin, texts.join(LIST_SEPARATOR)),
                None => {
                    self.faults
                        .push(Fault::new(origin, "is a list with something that is no text in quotes"));
                }
            },
            Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) | Value::Array(_) | Value::Table(_) => {
                self.faults.push(Fault::new(origin, "is neither a text in quotes nor a whole number"));
            }
        }
    }

    /// The environment has no order, so faults are reported in the order of names.
    fn environment(&mut self, sorted: BTreeMap<OsString, OsString>) {
        let known: BTreeMap<String, Key> = Key::ALL
            .into_iter()
            .flat_map(|key| key.in_environment().into_iter().map(move |name| (name, key)))
            .collect();
        let mut services = Vec::new();
        for (name, value) in sorted {
            let ours = name.as_encoded_bytes().starts_with(key::PREFIX.as_bytes());
            let name = name.to_string_lossy().into_owned();
            if !ours && name != key::LEADER_TTL || key::is_no_setting(&name) {
                continue;
            }
            if value.to_str().is_some_and(|value| key::is_of_a_service(&name, value)) {
                services.push(name);
                continue;
            }
            let origin = Origin::Environment(name.clone());
            match (known.get(&name), value.to_str()) {
                (None, _) => {
                    let meant = nearest(&name, known.keys().map(String::as_str));
                    self.faults.push(unknown(origin, "variable", meant));
                }
                (Some(_), None) => self.faults.push(Fault::new(origin, "is not UTF-8 text")),
                (Some(key), Some(value)) => self.write(*key, origin, value.to_owned()),
            }
        }
        if !services.is_empty() {
            tracing::info!(
                "ignored variables that Kubernetes sets for a Service called coordinator (enableServiceLinks): {}",
                services.join(", ")
            );
        }
    }

    fn flags(&mut self, flags: &Flags) {
        let Flags {
            config: _,
            data_dir,
            redis,
            redis_url_file,
            redis_tls,
            postgres,
            postgres_url_file,
            postgres_schema,
            postgres_tls,
            group,
            leader_ttl,
            listen,
            advertise,
            insecure_network,
            instance_id,
            handler,
        } = flags;
        let listen = (!listen.is_empty()).then(|| listen.join(LIST_SEPARATOR));
        let insecure_network = insecure_network.then_some("true");
        let texts = [
            (Key::DataDir, data_dir.as_deref()),
            (Key::RedisUrl, redis.as_ref().map(Secret::expose)),
            (Key::RedisUrlFile, redis_url_file.as_deref()),
            (Key::RedisTls, redis_tls.as_deref()),
            (Key::PostgresUrl, postgres.as_ref().map(Secret::expose)),
            (Key::PostgresUrlFile, postgres_url_file.as_deref()),
            (Key::PostgresSchema, postgres_schema.as_deref()),
            (Key::PostgresTls, postgres_tls.as_deref()),
            (Key::Group, group.as_deref()),
            (Key::LeaderTtl, leader_ttl.as_deref()),
            (Key::Listen, listen.as_deref()),
            (Key::Advertise, advertise.as_deref()),
            (Key::InsecureNetwork, insecure_network),
            (Key::InstanceId, instance_id.as_deref()),
            (Key::SignalsHandler, handler.as_deref()),
        ];
        for (key, text) in texts {
            if let (Some(flag), Some(text)) = (key.flag(), text) {
                self.write(key, Origin::Flag(flag), text.to_owned());
            }
        }
    }
}

/// The texts of a list; `None` if it contains anything else.
fn texts(values: &[Value]) -> Option<Vec<&str>> {
    values.iter().map(Value::as_str).collect()
}

fn unknown(origin: Origin, kind: &str, meant: Option<&str>) -> Fault {
    let hint = meant.map_or_else(String::new, |name| format!("; did you mean {name}?"));
    Fault::new(origin, format!("unknown {kind}{hint}"))
}

/// The place of byte `at` in `text`: line and column, counted from 1.
fn line_and_column(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("line {line}, column {column}")
}
