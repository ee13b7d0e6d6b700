//! A Prometheus or an Alertmanager of the test's own, with a file of the caller's.

use crate::backend::free_port;
use crate::http::{self, Response};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Debian's package of each, and the program in it.
pub const PROMETHEUS: &str = "prometheus";
/// See [`PROMETHEUS`].
pub const ALERTMANAGER: &str = "prometheus-alertmanager";
/// What is not ready by then will not be: it usually takes half a second.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// A child process that listens. Dropped: it is killed, and what it stored is removed.
#[derive(Debug)]
pub struct Monitor {
    process: Child,
    address: String,
    log: PathBuf,
    // Removed last.
    _directory: TempDir,
}

impl Monitor {
    /// A Prometheus; returns when it is ready.
    ///
    /// # Panics
    /// When it cannot be started, with what it said.
    pub fn prometheus(config: &Path, further: &[String]) -> Self {
        Self::start(PROMETHEUS, config, "--storage.tsdb.path", further)
    }

    /// An Alertmanager that converses with no other; returns when it is ready.
    ///
    /// # Panics
    /// When it cannot be started, with what it said.
    pub fn alertmanager(config: &Path) -> Self {
        Self::start(ALERTMANAGER, config, "--storage.path", &["--cluster.listen-address=".to_owned()])
    }

    fn start(program: &str, config: &Path, storage: &str, further: &[String]) -> Self {
        let directory = tempfile::Builder::new().prefix("coordinator-test-").tempdir();
        let directory = directory.expect("a temporary directory");
        let log = directory.path().join("log");
        let output = File::create(&log).expect("a log");
        let address = format!("127.0.0.1:{}", free_port());
        // Killed with the test, however that ends.
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
                "{program} has to be on PATH (Debian's package `{program}`), and ended:\n{}",
                started.said()
            );
            assert!(began.elapsed() < PATIENCE, "{program} is never ready:\n{}", started.said());
            // Between two looks; the loop ends with the state, not with the time.
            sleep(LOOK);
        }
        started
    }

    /// Where it listens: host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its answer, if that is 200.
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
        // Whatever fails here is of no interest beside what the test found.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- {} said\n{}", self.address, self.said());
        }
    }
}
