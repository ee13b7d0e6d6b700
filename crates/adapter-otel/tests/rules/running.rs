//! An Alertmanager that runs with the shipped file, as it is, for one test.

use crate::shipped;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Debian's package with amtool and Alertmanager.
pub const PACKAGE: &str = "prometheus-alertmanager";
const PROGRAM: &str = "prometheus-alertmanager";
/// What has not come by then will not come: it usually takes half a second.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// Ends with its value.
pub struct Alertmanager {
    process: Child,
    address: SocketAddr,
    directory: PathBuf,
}

impl Alertmanager {
    /// It needs no secret to start: those are read when something is sent. What it sends in a test goes nowhere.
    pub fn start(test: &str) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory for what it stores");
        let log = directory.join("log");
        let process = Command::new(PROGRAM)
            .arg("--config.file")
            .arg(shipped("alertmanager/alertmanager.yml"))
            .arg("--storage.path")
            .arg(&directory)
            // A port that is free, and no conversation with others.
            .args(["--web.listen-address=127.0.0.1:0", "--cluster.listen-address="])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).expect("a log"))
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{PROGRAM} has to be on PATH, it is in Debian's package `{PACKAGE}`: {error}")
            });
        // From here on a panic ends the process.
        let mut started = Self { process, address: SocketAddr::from(([127, 0, 0, 1], 0)), directory };
        started.address = until("it listens", || {
            let log = std::fs::read_to_string(&log).expect("its log");
            let ended = started.process.try_wait().expect("a child");
            assert!(ended.is_none(), "{PROGRAM} ended:\n{log}");
            listens_on(&log)
        });
        until("it is ready", || started.ask("GET", "/-/ready", "").is_ok().then_some(()));
        started
    }

    /// As Prometheus posts alerts that fire.
    pub fn post(&self, alerts: &[&Alert]) {
        let alerts: Vec<Value> = alerts.iter().map(|alert| json!({"labels": alert.0})).collect();
        let answer = self.ask("POST", "/api/v2/alerts", &Value::from(alerts).to_string());
        answer.expect("it takes the alerts");
    }

    /// All alerts at a moment at which that one is silenced. Which ones are is judged for the answer, so that all of
    /// it is about that moment.
    pub fn until_silenced(&self, silenced: &Alert, posted: usize) -> Told {
        until("the alert is silenced", || {
            let told = self.ask("GET", "/api/v2/alerts", "").expect("an answer");
            let told = Told(serde_json::from_str(&told).expect("JSON"));
            let all = told.0.as_array().is_some_and(|alerts| alerts.len() == posted);
            (all && !told.silenced_by(silenced).is_empty()).then_some(told)
        })
    }

    /// The body of the answer, or what is wrong.
    fn ask(&self, method: &str, path: &str, body: &str) -> Result<String, String> {
        let told = |error: std::io::Error| error.to_string();
        let mut stream = TcpStream::connect(self.address).map_err(told)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(told)?;
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).map_err(told)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(told)?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or("no head")?;
        if head.split(' ').nth(1) == Some("200") { Ok(body.to_owned()) } else { Err(answer) }
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        // Whatever fails here is of no interest beside what the test found.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// The address in the line that tells of it.
fn listens_on(log: &str) -> Option<SocketAddr> {
    let line = log.lines().find(|line| line.contains("Listening on"))?;
    let (_, address) = line.rsplit_once("address=")?;
    address.trim_matches('"').parse().ok()
}

/// Looks until there is something to return.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        // Between two looks; the loop ends with the state, not with the time.
        sleep(LOOK);
    }
}

/// An alert that fires, by its labels.
#[derive(Debug)]
pub struct Alert(Value);

impl Alert {
    pub fn new(name: &str, labels: &[(&str, &str)]) -> Self {
        let mut all = json!({"alertname": name});
        for (name, value) in labels {
            all[*name] = Value::from(*value);
        }
        Self(all)
    }
}

/// What Alertmanager says of its alerts.
pub struct Told(Value);

impl Told {
    /// The fingerprints of the alerts that silence it.
    pub fn silenced_by(&self, alert: &Alert) -> Vec<&str> {
        let by = self.find(alert)["status"]["inhibitedBy"].as_array().expect("a list");
        by.iter().map(|by| by.as_str().expect("a fingerprint")).collect()
    }

    pub fn fingerprint(&self, alert: &Alert) -> &str {
        self.find(alert)["fingerprint"].as_str().expect("a fingerprint")
    }

    fn find(&self, alert: &Alert) -> &Value {
        let mut all = self.0.as_array().expect("a list").iter();
        all.find(|told| told["labels"] == alert.0).expect("an alert that was posted")
    }
}
