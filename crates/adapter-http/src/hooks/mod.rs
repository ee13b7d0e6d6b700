//! Hooks: the front door for alerts of other systems, `POST /hooks/NAME`.
//!
//! - `settings`, `preset`, `hook`: a hook as it is configured, and its check.
//! - `secret`, `source`: who may post.
//! - `body`, `template`, `reading`: the way from a body to a signal, field by field.
//! - `routes`, `recent`: the paths, and what they answered of late.
//!
//! Invariants: no alert is acknowledged before it is durable. No secret is stored, logged or shown.

mod body;
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
pub(crate) use routes::{is_hook, routes, without_secret};
pub use settings::HookSettings;

use domain::ledger::HookName;
use recent::Recent;
use std::collections::BTreeMap;

/// The hooks of an instance, and their latest requests.
#[derive(Debug, Default)]
pub struct Hooks {
    hooks: BTreeMap<HookName, Hook>,
    recent: Recent,
}

impl Hooks {
    /// The hooks with their names.
    pub fn new(hooks: impl IntoIterator<Item = Hook>) -> Self {
        let hooks = hooks.into_iter().map(|hook| (hook.name().clone(), hook)).collect();
        Self { hooks, recent: Recent::default() }
    }

    /// A path for logs and answers. A sender that mistypes `/hooks` sends its secret to another path.
    pub(crate) fn without_secrets(&self, path: &str) -> String {
        self.hooks.values().fold(without_secret(path), |text, hook| hook.secrets.masked(&text))
    }
}
