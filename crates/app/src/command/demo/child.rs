//! [`Children`]: the instances of the demonstration, which are processes of this binary.

use crate::config::Config;
use crate::failure::Failure;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Time that a child has to end before it is killed.
const END_TIME_MAX: Duration = Duration::from_secs(5);
/// Lines of children that wait in the queue. A child writes a few a second.
const LINES_KEPT: usize = 1024;

/// A line of `--events-json`.
#[derive(Debug, Deserialize)]
struct Line {
    ev: String,
    t: u64,
    epoch: u64,
    t0: Option<u64>,
}

/// An instance that leads.
#[derive(Debug, Clone, Copy)]
pub struct Lead {
    child: usize,
    /// Begin of its leadership, in CLOCK_MONOTONIC nanoseconds.
    pub t: u64,
    pub epoch: u64,
}

/// A leader that was killed.
#[derive(Debug, Clone, Copy)]
pub struct Killed {
    /// Time of the kill, in CLOCK_MONOTONIC nanoseconds.
    pub t: u64,
    /// Time at which its last acknowledged renewal was sent.
    renewed: u64,
}

impl Killed {
    /// Milliseconds from the end of the killed leader's lease until `t`.
    #[allow(clippy::cast_precision_loss)] // Printed in milliseconds.
    pub fn past_lease_ms(&self, t: u64, ttl: Duration) -> f64 {
        let end = self.renewed.saturating_add(u64::try_from(ttl.as_nanos()).unwrap_or(u64::MAX));
        (t as f64 - end as f64) / 1e6
    }
}

/// All instances, dead ones included: each start has a new name.
pub struct Children {
    data_dir: PathBuf,
    broker: PathBuf,
    ttl: Duration,
    running: BTreeMap<usize, Child>,
    pages: BTreeMap<usize, String>,
    renewed: BTreeMap<usize, u64>,
    said: mpsc::Sender<(usize, Said)>,
    heard: mpsc::Receiver<(usize, Said)>,
    started: usize,
}

enum Said {
    Event(Line),
    Page(String),
}

impl Children {
    pub fn new(config: &Config, broker: &Path) -> Self {
        let (said, heard) = mpsc::channel(LINES_KEPT);
        Self {
            data_dir: config.data_dir.clone(),
            broker: broker.to_owned(),
            ttl: config.leader_ttl,
            running: BTreeMap::new(),
            pages: BTreeMap::new(),
            renewed: BTreeMap::new(),
            said,
            heard,
            started: 0,
        }
    }

    /// Starts another instance.
    pub fn start(&mut self) -> Result<(), Failure> {
        let failed = |error: std::io::Error| Failure::other(format!("an instance did not start: {error}"));
        let program = std::env::current_exe().map_err(failed)?;
        let mut command = Command::new(program);
        let settings =
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("COORDINATOR_"));
        settings.for_each(|(name, _)| {
            command.env_remove(name);
        });
        let mut child = command
            .env_remove("LEADER_TTL")
            .env(crate::run::DEMO_BROKER, &self.broker)
            // The demonstration must not wait for the limit of signals.
            .env("COORDINATOR_SIGNALS_MAX_PER_MINUTE", "none")
            .env("COORDINATOR_SIGNALS_MAX_PER_DAY", "none")
            .args(["run", "--events-json", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&self.data_dir)
            .args(["--leader-ttl", &format!("{}ms", self.ttl.as_millis())])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let name = self.started;
        self.started += 1;
        let (out, err) =
            (child.stdout.take().expect("it is piped"), child.stderr.take().expect("it is piped"));
        let said = self.said.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(out).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if let Ok(line) = serde_json::from_str(&line) {
                    // The demonstration is over if this fails.
                    let _ = said.send((name, Said::Event(line))).await;
                }
            }
        });
        let said = self.said.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(err).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(page) = line.trim_start().strip_prefix("page ") {
                    let _ = said.send((name, Said::Page(page.trim().to_owned()))).await;
                }
            }
        });
        self.running.insert(name, child);
        Ok(())
    }

    /// Waits until an instance leads.
    pub async fn next_lead(&mut self, patience: Duration) -> Result<Lead, Failure> {
        let lead = async {
            // The sender is a field of `self`, so this ends with a leader or by the timeout.
            while let Some((child, said)) = self.heard.recv().await {
                if let Some(lead) = self.hear(child, said) {
                    return Some(lead);
                }
            }
            None
        };
        timeout(patience, lead)
            .await
            .ok()
            .flatten()
            .ok_or_else(|| Failure::other(format!("no instance led within {patience:?}")))
    }

    fn hear(&mut self, child: usize, said: Said) -> Option<Lead> {
        match said {
            Said::Page(page) => {
                self.pages.insert(child, page);
                None
            }
            Said::Event(line) => {
                if let Some(sent) = line.t0 {
                    self.renewed.insert(child, sent);
                }
                (line.ev == "lead").then_some(Lead { child, t: line.t, epoch: line.epoch })
            }
        }
    }

    /// Kills the leader with SIGKILL.
    pub fn kill(&mut self, leader: &Lead) -> Result<Killed, Failure> {
        while let Ok((child, said)) = self.heard.try_recv() {
            self.hear(child, said);
        }
        let mut child =
            self.running.remove(&leader.child).ok_or_else(|| Failure::other("the leader has ended"))?;
        let t = coordinator::clock::monotonic_nanos(coordinator::clock::now());
        child
            .start_kill()
            .map_err(|error| Failure::other(format!("the leader cannot be killed: {error}")))?;
        self.pages.remove(&leader.child);
        Ok(Killed { t, renewed: self.renewed.get(&leader.child).copied().unwrap_or(t) })
    }

    /// A short name to print.
    pub fn name(&self, lead: &Lead) -> String {
        let pid = self.running.get(&lead.child).and_then(Child::id);
        let number = lead.child + 1;
        pid.map_or_else(|| format!("instance {number}"), |pid| format!("instance {number} (pid {pid})"))
    }

    /// The addresses of the pages that the children have announced.
    pub async fn pages(&mut self) -> String {
        let all = async {
            while self.pages.len() < self.running.len() {
                let Some((child, said)) = self.heard.recv().await else { return };
                self.hear(child, said);
            }
        };
        // A page that is not known is left out.
        let _ = timeout(END_TIME_MAX, all).await;
        self.pages.values().cloned().collect::<Vec<_>>().join(" ")
    }

    /// Ends every child with SIGTERM, and after a timeout with SIGKILL.
    pub async fn stop(&mut self) {
        for child in self.running.values() {
            if let Some(pid) = child.id().and_then(|pid| rustix::process::Pid::from_raw(pid.cast_signed())) {
                // The child may have ended already.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
        }
        for (_, mut child) in std::mem::take(&mut self.running) {
            if timeout(END_TIME_MAX, child.wait()).await.is_err() {
                // Killed on drop.
                drop(child);
            }
        }
    }
}
