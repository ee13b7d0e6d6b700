//! Parses the values of arguments. Settings are not parsed here: they are checked together with the file and the
//! environment.

use adapter_http::Role;
use domain::ledger::{Label, SignalId, StateName};

/// A state of a signal.
pub fn state(text: &str) -> Result<StateName, String> {
    let names = StateName::ALL.map(StateName::as_str).join(", ");
    StateName::parse(text).ok_or_else(|| format!("a state is one of {names}"))
}

/// The name of an instrument.
pub fn label(text: &str) -> Result<Label, String> {
    Label::parse(text).map_err(|error| error.to_string())
}

/// The id of a signal.
pub fn signal_id(text: &str) -> Result<SignalId, String> {
    SignalId::parse(text).map_err(|error| error.to_string())
}

/// A reason for the history or the audit.
pub fn reason(text: &str) -> Result<String, String> {
    adapter_http::reason(text)
}

/// A role of a credential.
pub fn role(text: &str) -> Result<Role, String> {
    Role::parse(text)
}
