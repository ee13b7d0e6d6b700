//! [`Operator`]: lists the signals in doubt at an instance, and resolves them at the command line.

use crate::seat::GROUP;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use testkit::http::Client;

/// Signals on a page of the list: few, so that there are several pages.
const PAGE: u32 = 7;
/// Timeout of an answer; there is no fault when the list is read.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// A signal in doubt in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InDoubt {
    /// Id of the signal.
    pub id: String,
    /// Its fingerprint, the key of its orders at the service.
    pub key: String,
    /// The attempt in doubt.
    pub attempt: u32,
}

impl InDoubt {
    fn read(signal: &Value) -> Option<Self> {
        let text = |name: &str| Some(signal[name].as_str()?.to_owned());
        let attempt = signal["attempt"].as_u64()?.try_into().ok()?;
        let in_doubt = signal["state"] == "in_doubt";
        in_doubt.then_some(())?;
        Some(Self { id: text("id")?, key: text("fingerprint")?, attempt })
    }

    /// The key and the attempt in the service's orders.
    pub fn key_and_attempt(&self) -> (String, u32) {
        (self.key.clone(), self.attempt)
    }
}

/// See the [module](self).
pub struct Operator {
    program: PathBuf,
    postgres: String,
    data_dir: PathBuf,
    doors: Vec<Client>,
    /// The instance that was queried last.
    asked: usize,
}

impl Operator {
    /// An operator with that binary, who knows the addresses of the database and the instances.
    pub fn new(program: PathBuf, postgres: String, directory: &Path, doors: &[SocketAddr]) -> Self {
        let doors = doors.iter().map(|door| Client::new(door.to_string(), ANSWER_TIME_MAX)).collect();
        Self { program, postgres, data_dir: directory.join("operator"), doors, asked: 0 }
    }

    /// All signals in doubt, from one instance after the other.
    ///
    /// # Errors
    /// Any other answer.
    pub fn listed(&mut self) -> Result<Vec<InDoubt>, String> {
        self.asked = (self.asked + 1) % self.doors.len();
        let door = &self.doors[self.asked];
        let mut listed = Vec::new();
        let mut next = Some(format!("/signals?state=in_doubt&limit={PAGE}"));
        while let Some(path) = next {
            // A connection that was idle for long may have been closed. The second attempt uses a new one.
            let list = || door.send("GET", &path, &[], "");
            let answer = list().or_else(|_| list());
            let answer = answer.map_err(|error| format!("{path}: {error}"))?;
            let wrong = || format!("{path}: HTTP {}: {}", answer.status, answer.body);
            let page: Value = serde_json::from_str(&answer.body).map_err(|_| wrong())?;
            for signal in page["signals"].as_array().ok_or_else(wrong)? {
                listed.push(InDoubt::read(signal).ok_or_else(wrong)?);
            }
            next = page["next"].as_str().map(str::to_owned);
        }
        Ok(listed)
    }

    /// Resolves the signal according to the service's orders: it is done, or it is sent again.
    ///
    /// # Errors
    /// The output of the command, if it fails.
    pub fn resolve(&self, signal: &InDoubt, executed: bool) -> Result<(), String> {
        let (decision, reason): (&[&str], _) = if executed {
            (&["--executed"], "there is an order at the broker")
        } else {
            (&["--not-executed", "--send-again"], "there is no order at the broker, and none can arrive")
        };
        let mut command = Command::new(&self.program);
        let ours = |name: &str| name.starts_with("COORDINATOR_") || name == "LEADER_TTL";
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(ours)) {
            command.env_remove(name);
        }
        command.args(["signals", "resolve", &signal.id]).args(decision).args(["--reason", reason]);
        command.args(["--attempt", &signal.attempt.to_string(), "--group", GROUP]);
        command.args(["--postgres", &self.postgres]).arg("--data-dir").arg(&self.data_dir);
        let output = command.stdin(Stdio::null()).output();
        let output = output.map_err(|error| format!("{}: {error}", self.program.display()))?;
        if output.status.success() {
            return Ok(());
        }
        let said = [output.stdout, output.stderr].concat();
        Err(format!("signals resolve {}: {}", signal.id, String::from_utf8_lossy(&said).trim()))
    }
}
