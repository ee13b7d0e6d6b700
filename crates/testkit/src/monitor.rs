//! A Prometheus or an Alertmanager for one test, with the caller's configuration.

use crate::backend::free_port;
use crate::http::{self, Response};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Debian's package of each; the program has the same name.
pub const PROMETHEUS: &str = "prometheus";
/// See [`PROMETHEUS`].
pub const ALERTMANAGER: &str = "prometheus-alertmanager";
/// Timeout of a start, which usually takes half a second.
const PATIENCE: Duration = Duration::from_mins(1);
/// Pause between two polls.
const POLL: Duration = Duration::from_millis(20);

/// A child process that listens. Dropping it kills it and removes its files.
#[derive(Debug)]
pub struct Monitor {
    process: Child,
    address: String,
    log: PathBuf,
    // Removed last.
    _directory: TempDir,
}

impl Monitor {
    /// Starts a Prometheus; returns when it is ready.
    ///
    /// # Panics
    /// If it cannot be started, with its output.
    pub fn prometheus(config: &Path, further: &[String]) -> Self {
        Self::start(PROMETHEUS, config, "--storage.tsdb.path", further)
    }

    /// Starts an Alertmanager without peers; returns when it is ready.
    ///
    /// # Panics
    /// If it cannot be started, with its output.
    pub fn alertmanager(config: &Path) -> Self {
        Self::start(ALERTMANAGER, config, "--storage.path", &["--cluster.listen-address=".to_owned()])
    }

    fn start(program: &str, config: &Path, storage: &str, further: &[String]) -> Self {
        let directory = tempfile::Builder::new().prefix("coordinator-test-").tempdir();
        let directory = directory.expect("a temporary directory");
        let log = directory.path().join("log");
        let output = File::create(&log).expect("a log");
        let address = format!("127.0.0.1:{}", free_port());
        // Killed with the test, however the test ends.
        let process = Command::new("setpriv")
            .args(["--pdeathsig", "SIGKILL", "--", program])
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("{storage}={}", directory.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .args(further)
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("the log once more"))
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("setpriv is in package util-linux: {error}"));
        let mut started = Self { process, address, log, _directory: directory };
        let began = Instant::now();
        while started.ask("GET", "/-/ready", "").is_none() {
            let ended = started.process.try_wait().expect("a child can be waited for");
            assert!(
                ended.is_none(),
                "{program} must be on PATH (Debian's package `{program}`), and ended:\n{}",
                started.said()
            );
            assert!(began.elapsed() < PATIENCE, "{program} is never ready:\n{}", started.said());
            // A pause between two polls. The state ends the loop, not the time.
            sleep(POLL);
        }
        started
    }

    /// Its address: host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its answer, if the status is 200.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> Option<Response> {
        let json = [("Content-Type", "application/json")];
        let answer = http::request(&self.address, method, path, &json, body).ok()?;
        (answer.status == 200).then_some(answer)
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        // A failure here is less important than the result of the test.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- {} said\n{}", self.address, self.said());
        }
    }
}
