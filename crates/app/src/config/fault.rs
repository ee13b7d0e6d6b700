//! What is wrong with the configuration, and where.

use std::fmt;

/// Longest text from outside that a message shows, in characters.
const SHOWN_MAX: usize = 80;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The configuration file, by path, and the place in it: a key, or a line and column.
    File(String, String),
    /// The environment variable of that name.
    Environment(String),
    /// The flag of that name.
    Flag(&'static str),
}

/// On one line, whatever the names contain.
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

/// One thing that is wrong: where it was written, and what is allowed there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub origin: Origin,
    /// What, on one line, without any secret.
    pub message: String,
}

impl Fault {
    /// A fault.
    pub fn new(origin: Origin, message: impl Into<String>) -> Self {
        Self { origin, message: message.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.message)
    }
}

/// A value as a message shows it: cut, escaped, and not at all when it looks like a URL in the wrong place,
/// which may carry a password.
pub fn shown(value: &str) -> String {
    if value.contains("://") || value.contains('@') {
        return "a value like a URL (not shown)".to_owned();
    }
    let start: String = value.chars().take(SHOWN_MAX).collect();
    let rest = if start.len() < value.len() { " (cut)" } else { "" };
    format!("{start:?}{rest}")
}

/// A name as a message shows it: cut and escaped.
pub fn one_line(name: &str) -> String {
    name.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect()
}
