//! What a terminal can show: its colours, lines of at most 80 characters, and short durations.

use domain::member::Health;
use std::ffi::OsString;
use std::io::{IsTerminal, stdout};
use std::time::Duration;

/// Characters of a line of a table or a sentence.
pub const WIDTH: usize = 80;

/// Whether standard output shows colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// A terminal whose operator wants them.
    Shown,
    /// A file, a pipe, or a terminal of an operator who wants none.
    Plain,
}

/// Colours of the severities, and of an instance that acts or does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tint {
    /// As it should be.
    Good,
    /// Should be investigated.
    Warning,
    /// Act now.
    Bad,
}

impl Tint {
    /// The colour of a severity.
    pub fn of(level: Health) -> Self {
        match level {
            Health::Ok => Self::Good,
            Health::Warning => Self::Warning,
            Health::Critical => Self::Bad,
        }
    }
}

impl Colour {
    /// Colours on a terminal, unless NO_COLOR is set (<https://no-color.org>) or the terminal is dumb.
    pub fn of_stdout() -> Self {
        Self::decide(stdout().is_terminal(), std::env::var_os("NO_COLOR"), std::env::var_os("TERM"))
    }

    fn decide(terminal: bool, no_color: Option<OsString>, term: Option<OsString>) -> Self {
        let unwanted = no_color.is_some_and(|value| !value.is_empty());
        if terminal && !unwanted && term.is_none_or(|term| term != "dumb") {
            Self::Shown
        } else {
            Self::Plain
        }
    }

    /// The text in that colour.
    pub fn paint(self, tint: Tint, text: &str) -> String {
        let code = match tint {
            Tint::Good => 32,
            Tint::Warning => 33,
            Tint::Bad => 31,
        };
        match self {
            Self::Shown => format!("\x1b[{code}m{text}\x1b[0m"),
            Self::Plain => text.to_owned(),
        }
    }
}

/// A duration in a table: `0.4s`, `44s`, `6m27s`, `2h33m`, `3d0h`.
pub fn brief(duration: Duration) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1}s", duration.as_secs_f64()),
        10..MINUTE => format!("{seconds}s"),
        MINUTE..HOUR => format!("{}m{}s", seconds / MINUTE, seconds % MINUTE),
        HOUR..DAY => format!("{}h{}m", seconds / HOUR, seconds % HOUR / MINUTE),
        _ => format!("{}d{}h", seconds / DAY, seconds % DAY / HOUR),
    }
}

/// The text in lines of at most `width` characters; every line after the first begins with `indent` spaces. A word
/// that is longer has its own line.
pub fn wrap(text: &str, width: usize, indent: usize) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is a first line");
        let len = line.chars().count();
        if line.trim().is_empty() {
            line.push_str(word);
        } else if len + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(format!("{}{word}", " ".repeat(indent)));
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_only_for_a_terminal_whose_operator_wants_them() {
        let decide = |terminal, no_color: Option<&str>, term: Option<&str>| {
            Colour::decide(terminal, no_color.map(OsString::from), term.map(OsString::from))
        };
        assert_eq!(decide(true, None, Some("xterm")), Colour::Shown);
        assert_eq!(decide(true, Some(""), Some("xterm")), Colour::Shown);
        for plain in [
            decide(true, Some("1"), None),
            decide(false, None, Some("xterm")),
            decide(true, None, Some("dumb")),
        ] {
            assert_eq!(plain, Colour::Plain);
        }
        assert_eq!(Colour::Plain.paint(Tint::Bad, "x"), "x");
        assert_eq!(Colour::Shown.paint(Tint::Bad, "x"), "\x1b[31mx\x1b[0m");
    }

    #[test]
    fn durations_are_brief() {
        for (ms, text) in [
            (400, "0.4s"),
            (9_900, "9.9s"),
            (44_000, "44s"),
            (387_000, "6m27s"),
            (9_180_000, "2h33m"),
            (259_200_000, "3d0h"),
        ] {
            assert_eq!(brief(Duration::from_millis(ms)), text);
        }
    }

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrap("one two three", 7, 2), "one two\n  three");
        assert_eq!(wrap("a-word-that-is-long b", 5, 0), "a-word-that-is-long\nb");
        assert_eq!(wrap("", 5, 0), "");
    }
}
