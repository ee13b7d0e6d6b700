//! Cleans up if the test process is killed and no destructor runs.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// A shell that waits for the end of its input, which only the end of this process closes, and then runs a
/// script. If it is dropped, it runs nothing.
#[derive(Debug)]
pub(super) struct Watchdog(Child);

impl Watchdog {
    /// Runs `script` with `arguments` ($1 and so on) if this process ends before the watchdog is dropped.
    pub(super) fn new(script: &str, arguments: &[&str]) -> Result<Self, String> {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("read -r _; {script}")).arg("watchdog").args(arguments);
        // Ctrl-C must reach only the test; the watchdog waits for the test's end.
        shell.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        shell.spawn().map(Self).map_err(|error| format!("cannot start sh: {error}"))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        // Killed before its input closes, so that the script does not run. Both calls fail only if the shell
        // has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
