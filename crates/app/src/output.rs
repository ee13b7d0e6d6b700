//! What commands print.

use crate::failure::Failure;
use std::fmt::Display;
use std::io::{ErrorKind, Write, stdout};

/// As a shell tells of a process that SIGPIPE has ended.
const UNREAD: u8 = 141;

/// A line, or several.
pub fn line(text: impl Display) -> Result<(), Failure> {
    write(format!("{text}\n"))
}

/// A text as it is. Whoever reads may have enough of it, as `head` does: then the command ends without a word.
pub fn write(text: impl Display) -> Result<(), Failure> {
    let mut output = stdout().lock();
    let written = write!(output, "{text}").and_then(|()| output.flush());
    written.map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure { message: String::new(), exit_code: UNREAD },
        _ => Failure::other(format!("standard output: {error}")),
    })
}
