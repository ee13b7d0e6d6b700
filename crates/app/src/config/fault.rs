//! [`Fault`]: an error in the configuration, with its place.

use std::fmt;

/// Most characters of an outside text that a message shows.
const SHOWN_MAX: usize = 80;

/// Source of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The default: no value was written.
    Default,
    /// The configuration file: its path, and a key or a line and column.
    File(String, String),
    /// The environment variable of that name.
    Environment(String),
    /// The flag of that name.
    Flag(&'static str),
}

/// On one line, whatever characters the names contain.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, place) => write!(f, "{}:{}", one_line(path), one_line(place)),
            Self::Environment(name) => write!(f, "environment {}", one_line(name)),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// One error: where the value was written, and what is allowed there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Place of the value.
    pub origin: Origin,
    /// Description on one line, without any secret.
    pub message: String,
}

impl Fault {
    /// Creates a fault.
    pub fn new(origin: Origin, message: impl Into<String>) -> Self {
        Self { origin, message: message.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.message)
    }
}

/// A value for a message: cut and escaped. A value that looks like a URL is not shown, because it may contain
/// a password.
pub fn shown(value: &str) -> String {
    if value.contains("://") || value.contains('@') {
        return "a value like a URL (not shown)".to_owned();
    }
    let start: String = value.chars().take(SHOWN_MAX).collect();
    let rest = if start.len() < value.len() { " (cut)" } else { "" };
    format!("{start:?}{rest}")
}

/// A name for a message: cut and escaped.
pub fn one_line(name: &str) -> String {
    name.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect()
}
