//! Hooks: the front door for alerts of other systems, `POST /hooks/NAME`.
//!
//! - `settings`, `preset`, `hook`: a hook as it is configured, and its check.
//! - `secret`, `source`: who may post.
//! - `body`, `template`, `reading`: the way from a body to a signal, field by field.
//! - `routes`, `recent`: the paths, and their latest requests with the answers.
//!
//! Invariants: no alert is acknowledged before it is durable. No secret is stored, logged or shown.

mod body;
#[cfg(test)]
mod checks;
mod hook;
mod preset;
mod reading;
mod recent;
mod routes;
mod secret;
mod settings;
mod source;
mod template;
#[cfg(test)]
mod tests;

pub use hook::{EXPIRES_AFTER_S_MAX, Hook, HookFault, RECEIVED_WINDOW_S_MIN};
pub use preset::PRESETS;
pub use reading::{ReadField, Reading};
pub(crate) use routes::{is_hook, routes};
pub use settings::HookSettings;

use crate::access::attempts::Attempts;
use domain::ledger::HookName;
use recent::Recent;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::Instant;

/// The hooks of an instance, and their latest requests.
#[derive(Debug, Default)]
pub struct Hooks {
    by_name: BTreeMap<HookName, Hook>,
    recent: Recent,
    attempts: Attempts,
}

impl Hooks {
    /// The hooks with their names.
    pub fn new(hooks: impl IntoIterator<Item = Hook>) -> Self {
        let by_name = hooks.into_iter().map(|hook| (hook.name().clone(), hook)).collect();
        Self { by_name, ..Self::default() }
    }

    /// A path for answers and their reasons in the log. Everything below `/hooks` that is no configured name may be a
    /// secret. A sender that mistypes `/hooks` sends its secret to another path.
    pub(crate) fn without_secrets(&self, path: &str) -> String {
        let shown = match path.strip_prefix("/hooks/") {
            None => path.to_owned(),
            Some(rest) => {
                let (name, more) = rest.split_once('/').unwrap_or((rest, ""));
                let is_known = HookName::parse(name).is_ok_and(|name| self.by_name.contains_key(&name));
                let name = if is_known || name.is_empty() { name } else { "***" };
                if more.is_empty() { format!("/hooks/{name}") } else { format!("/hooks/{name}/***") }
            }
        };
        self.by_name.values().fold(shown, |text, hook| hook.secrets.masked(&text))
    }

    /// Counts a wrong secret; the time until the address may fail again, if it has failed too often.
    fn failed(&self, address: Option<IpAddr>) -> Option<Duration> {
        address.and_then(|address| self.attempts.failed(address, Instant::now()))
    }
}
