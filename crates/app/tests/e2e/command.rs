//! Runs the binary once, to its end.

use crate::wait::{PATIENCE, block_on};
use std::io::{Seek, Write};
use std::process::Stdio;
use tokio::process::Command;
use tokio::time::timeout;

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_coordinator");

/// Output and exit code of a run.
#[derive(Debug)]
pub struct Said {
    /// The exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    /// The last line of standard output as JSON.
    pub fn json(&self) -> serde_json::Value {
        let line = self.stdout.lines().last().unwrap_or_default();
        serde_json::from_str(line).unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"))
    }

    /// Whether it did nothing because the store did not accept its connection in time, as on a busy machine. An operator
    /// calls it again.
    pub fn was_not_connected(&self) -> bool {
        self.code == Some(1) && self.stdout.is_empty() && self.stderr.contains("no connection within")
    }

    /// Asserts that it ended with 2 and printed all of `parts` on standard error.
    #[track_caller]
    pub fn refused(&self, parts: &[&str]) {
        assert_eq!(self.code, Some(2), "{self:?}");
        for part in parts {
            assert!(self.stderr.contains(part), "nothing about {part:?} in {self:?}");
        }
    }
}

/// A command line to run.
pub struct Call {
    command: Command,
}

/// `coordinator ARGUMENTS`, without the settings of the user who runs the tests.
pub fn coordinator(arguments: &[&str]) -> Call {
    // If the test is killed, the process ends too.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "SIGKILL", "--", BINARY]).args(arguments);
    let foreign = |name: &str| name.starts_with("COORDINATOR_") || name == "LEADER_TTL";
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(foreign)) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
    Call { command }
}

impl Call {
    /// Adds an environment variable.
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Gives it a text as standard input.
    pub fn input(mut self, text: &str) -> Self {
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(text.as_bytes()).and_then(|()| file.rewind()).expect("written");
        self.command.stdin(file);
        self
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn run(mut self) -> Said {
        let output = block_on(async { timeout(PATIENCE, self.command.output()).await });
        let output = output
            .unwrap_or_else(|_| panic!("does not end: {:?}", self.command))
            .unwrap_or_else(|error| panic!("{:?} (setpriv is in package util-linux): {error}", self.command));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }
}
