//! Cleans up when the test process is killed and no destructor runs.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// A shell that waits for the end of its input, which only the end of this process closes, and then runs a
/// script. Dropped: nothing is run.
#[derive(Debug)]
pub(super) struct Watchdog(Child);

impl Watchdog {
    /// Runs `script` with `arguments` ($1 and so on) when this process ends before the watchdog is dropped.
    pub(super) fn new(script: &str, arguments: &[&str]) -> Result<Self, String> {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("read -r _; {script}")).arg("watchdog").args(arguments);
        // A Ctrl-C is for the test; its end is what the watchdog waits for.
        shell.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        shell.spawn().map(Self).map_err(|error| format!("cannot start sh: {error}"))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        // Killed before its input closes, so that the script does not run. Both fail only if it is gone.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
