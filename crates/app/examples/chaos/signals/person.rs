//! The person who looks after signals in doubt: lists them at an instance, and settles them by the command line.

use crate::seat::GROUP;
use crate::wire::Wire;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Signals on a page of the list: so few that there are several pages.
const PAGE: u32 = 7;
/// Everything is well when the list is asked for.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// A signal in doubt, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// The signal's name.
    pub id: String,
    /// Its fingerprint, which the service has it by.
    pub key: String,
    /// The claim that nobody knows about.
    pub attempt: u32,
}

impl Doubt {
    fn read(signal: &Value) -> Option<Self> {
        let text = |name: &str| Some(signal[name].as_str()?.to_owned());
        let attempt = signal["attempt"].as_u64()?.try_into().ok()?;
        let in_doubt = signal["state"] == "in_doubt";
        in_doubt.then_some(())?;
        Some(Self { id: text("id")?, key: text("fingerprint")?, attempt })
    }

    /// As the service's books have it.
    pub fn key_and_attempt(&self) -> (String, u32) {
        (self.key.clone(), self.attempt)
    }
}

/// See the [module](self).
pub struct Person {
    program: PathBuf,
    postgres: String,
    data_dir: PathBuf,
    doors: Vec<Wire>,
    /// Who was asked last.
    asked: usize,
}

impl Person {
    /// Somebody with that binary, who knows where the database and the instances are.
    pub fn new(program: PathBuf, postgres: String, directory: &Path, doors: &[SocketAddr]) -> Self {
        let doors = doors.iter().map(|&door| Wire::new(door, ANSWER_TIME_MAX)).collect();
        Self { program, postgres, data_dir: directory.join("person"), doors, asked: 0 }
    }

    /// All signals in doubt, of one instance after the other.
    ///
    /// # Errors
    /// What was said instead.
    pub fn listed(&mut self) -> Result<Vec<Doubt>, String> {
        self.asked = (self.asked + 1) % self.doors.len();
        let door = &mut self.doors[self.asked];
        let mut listed = Vec::new();
        let mut next = Some(format!("/signals?state=in_doubt&limit={PAGE}"));
        while let Some(path) = next {
            // A connection that was idle for long may have been closed; then the second one is new.
            let answer = door.ask("GET", &path, "").or_else(|_| door.ask("GET", &path, ""));
            let answer = answer.map_err(|error| format!("{path}: {error}"))?;
            let wrong = || format!("{path}: HTTP {}: {}", answer.status, answer.body);
            let page: Value = serde_json::from_str(&answer.body).map_err(|_| wrong())?;
            for signal in page["signals"].as_array().ok_or_else(wrong)? {
                listed.push(Doubt::read(signal).ok_or_else(wrong)?);
            }
            next = page["next"].as_str().map(str::to_owned);
        }
        Ok(listed)
    }

    /// Settles it, as the service's books have it: it is executed, or it is sent again.
    ///
    /// # Errors
    /// What the command said, when it does not do it.
    pub fn resolve(&self, doubt: &Doubt, executed: bool) -> Result<(), String> {
        let (decision, reason): (&[&str], _) = if executed {
            (&["--executed"], "there is an order in the broker's books")
        } else {
            (&["--not-executed", "--send-again"], "there is no order in the broker's books, and will be none")
        };
        let mut command = Command::new(&self.program);
        let ours = |name: &str| name.starts_with("COORDINATOR_") || name == "LEADER_TTL";
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(ours)) {
            command.env_remove(name);
        }
        command.args(["signals", "resolve", &doubt.id]).args(decision).args(["--reason", reason]);
        command.args(["--attempt", &doubt.attempt.to_string(), "--group", GROUP]);
        command.args(["--postgres", &self.postgres]).arg("--data-dir").arg(&self.data_dir);
        let output = command.stdin(Stdio::null()).output();
        let output = output.map_err(|error| format!("{}: {error}", self.program.display()))?;
        if output.status.success() {
            return Ok(());
        }
        let said = [output.stdout, output.stderr].concat();
        Err(format!("signals resolve {}: {}", doubt.id, String::from_utf8_lossy(&said).trim()))
    }
}
