//! The settings that all instances of a group must agree on, as each instance publishes them in the instance table.
//! The heartbeat compares them. Invariant: never a secret; a setting that can hold credentials is published as a
//! hash.

use crate::id::InstanceId;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write as _;
use sha2::{Digest, Sha256};

/// Longest text of an instance's settings in characters. A longer one was not written by this system.
pub const SHARED_SETTINGS_LEN_MAX: usize = 1_024;

/// Names of settings and their published values, ordered by name. Written `name=value;name=value`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SharedSettings(BTreeMap<String, String>);

/// A setting that differs between instances of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Differing {
    /// The name of the setting.
    pub setting: String,
    /// Each published value, with the instances that have it.
    pub values: Vec<(String, Vec<InstanceId>)>,
}

impl SharedSettings {
    /// Adds a setting whose value every reader of the instance table may see.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.0.insert(clean(name), clean(value));
        self
    }

    /// Adds a setting whose value may hold credentials: only a hash of it is published.
    #[must_use]
    pub fn with_hash_of(self, name: &str, value: Option<&str>) -> Self {
        match value {
            None => self.with(name, "unset"),
            Some(value) => {
                // Sixteen digits distinguish values without revealing them.
                let hash = Sha256::digest(value.as_bytes());
                let digits: String = hash.iter().take(8).fold(String::new(), |mut text, byte| {
                    write!(text, "{byte:02x}").expect("a String takes everything");
                    text
                });
                self.with(name, &digits)
            }
        }
    }

    /// The names and the published values, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The published text.
    pub fn written(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.0 {
            let separator = if text.is_empty() { "" } else { ";" };
            write!(text, "{separator}{name}={value}").expect("a String takes everything");
        }
        text
    }

    /// Parses the text that an instance published. Unreadable parts are left out: an instance table may hold entries
    /// of newer versions.
    pub fn parse(text: &str) -> Self {
        let text: String = text.chars().take(SHARED_SETTINGS_LEN_MAX).collect();
        let pairs = text.split(';').filter_map(|pair| pair.split_once('='));
        Self(pairs.map(|(name, value)| (clean(name), clean(value))).collect())
    }

    /// The settings that differ between `instances`. An instance that does not publish a setting, because its version
    /// is older, is not compared.
    pub fn differing(instances: &[(InstanceId, Self)]) -> Vec<Differing> {
        let names: BTreeSet<&String> = instances.iter().flat_map(|(_, settings)| settings.0.keys()).collect();
        let mut all = Vec::new();
        for name in names {
            let mut values: BTreeMap<&String, Vec<InstanceId>> = BTreeMap::new();
            for (id, settings) in instances {
                if let Some(value) = settings.0.get(name) {
                    values.entry(value).or_default().push(id.clone());
                }
            }
            if values.len() > 1 {
                let values = values.into_iter().map(|(value, ids)| (value.clone(), ids)).collect();
                all.push(Differing { setting: name.clone(), values });
            }
        }
        all
    }
}

impl Differing {
    /// The instances of each value: `a, b: 60; c: 120`.
    pub fn instances(&self) -> String {
        let mut text = String::new();
        for (value, ids) in &self.values {
            let separator = if text.is_empty() { "" } else { "; " };
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            write!(text, "{separator}{}: {value}", ids.join(", ")).expect("a String takes everything");
        }
        text
    }
}

/// The text without separator characters.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c == ';' || c == '=' || c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> InstanceId {
        InstanceId::parse(text).expect("an id")
    }

    fn settings(handler: Option<&str>, ttl: &str) -> SharedSettings {
        SharedSettings::default().with("leader_ttl", ttl).with_hash_of("signals.handler", handler)
    }

    #[test]
    fn a_written_text_is_parsed_to_the_same_settings() {
        let all = settings(Some("http://user:secret@127.0.0.1:1/orders"), "10s");
        assert_eq!(SharedSettings::parse(&all.written()), all);
        assert!(!all.written().contains("secret"), "{}", all.written());
        assert_eq!(SharedSettings::parse(""), SharedSettings::default());
        assert_eq!(
            SharedSettings::parse("x;;=;y=1=2"),
            SharedSettings::default().with("", "").with("y", "1 2")
        );
    }

    #[test]
    fn a_setting_that_differs_is_named_with_its_instances() {
        let (a, b) = (settings(Some("http://h/"), "10s"), settings(None, "10s"));
        assert_eq!(SharedSettings::differing(&[(id("a"), a.clone()), (id("b"), a.clone())]), []);
        let older = SharedSettings::default();
        let differing =
            SharedSettings::differing(&[(id("a"), a), (id("b"), b.clone()), (id("c"), b), (id("d"), older)]);
        assert_eq!(differing.len(), 1, "{differing:?}");
        assert_eq!(differing[0].setting, "signals.handler");
        let instances = differing[0].instances();
        assert!(instances.starts_with("a: ") && instances.ends_with("; b, c: unset"), "{instances}");
    }
}
