//! Standard output of commands.

use crate::failure::Failure;
use std::fmt::Display;
use std::io::{ErrorKind, Write, stdout};

/// Exit code that a shell reports for a process that SIGPIPE has ended.
const UNREAD: u8 = 141;

/// Prints a line, or several.
pub fn line(text: impl Display) -> Result<(), Failure> {
    write(format!("{text}\n"))
}

/// Prints a text unchanged. If the reader has closed the pipe, as `head` does, the command ends without a
/// message.
pub fn write(text: impl Display) -> Result<(), Failure> {
    let mut output = stdout().lock();
    let written = write!(output, "{text}").and_then(|()| output.flush());
    written.map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure { message: String::new(), exit_code: UNREAD },
        _ => Failure::other(format!("standard output: {error}")),
    })
}
