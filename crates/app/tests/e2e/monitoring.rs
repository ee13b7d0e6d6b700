//! [`Monitoring`]: a Prometheus and an Alertmanager that watch a group with the shipped files, only faster:
//! every duration in them is divided by [`FASTER`], and the names of hosts are the test's.

use crate::wait::until;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use tempfile::TempDir;
use testkit::broker::HttpBroker;
use testkit::monitor::Monitor;

/// A minute is six seconds, and a scrape happens every three.
const FASTER: u64 = 10;
/// The job in the shipped files.
pub const JOB: &str = "portfolio_manager";

/// Both programs, and the receiver of their notifications.
pub struct Monitoring {
    /// Receives notifications as a broker receives orders.
    receiver: HttpBroker,
    prometheus: Monitor,
    _alertmanager: Monitor,
    _directory: TempDir,
}

impl Monitoring {
    /// Watches `targets` (host and port), each of which was scraped when this returns.
    pub fn start(targets: &[String]) -> Self {
        let started = Self::start_unreached(targets);
        until("Prometheus has scraped every target", || {
            let up = started.query(&format!("count(up{{job=\"{JOB}\"}} == 1)"))?;
            (up[0]["value"][1].as_str()? == targets.len().to_string()).then_some(())
        });
        started
    }

    /// Watches `targets`, none of which may answer yet.
    pub fn start_unreached(targets: &[String]) -> Self {
        let targets: Vec<String> = targets.iter().map(|target| format!("\n          - {target}")).collect();
        let targets = targets.concat();
        let group = "\n        labels:\n          group: default\n";
        Self::start_by(FASTER, &format!("      - targets:{targets}{group}"))
    }

    /// Watches the entries of `static_configs`, with every duration divided by `faster`.
    pub fn start_by(faster: u64, targets: &str) -> Self {
        let directory = tempfile::Builder::new().prefix("coordinator-test-").tempdir();
        let directory = directory.expect("a temporary directory");
        let receiver = HttpBroker::start();
        let alertmanager = start_alertmanager(directory.path(), &receiver.url(), faster);
        let prometheus = start_prometheus(directory.path(), targets, alertmanager.address(), faster);
        let started = Self { receiver, prometheus, _alertmanager: alertmanager, _directory: directory };
        started.wait_firing("Watchdog");
        started
    }

    /// Prometheus' answer to a query now: a list of series, possibly empty. `None` if it refuses.
    pub fn query(&self, query: &str) -> Option<serde_json::Value> {
        let encoded = query.bytes().fold(String::new(), |encoded, byte| format!("{encoded}%{byte:02X}"));
        let mut answer = self.prometheus.ask("GET", &format!("/api/v1/query?query={encoded}"), "")?.json();
        Some(answer["data"]["result"].take())
    }

    /// Waits until the receiver was notified that the alert fires.
    pub fn wait_firing(&self, alert: &str) {
        until(&format!("{alert} fires"), || self.notified().firing.contains(alert).then_some(()));
    }

    /// Waits until the receiver was notified that the alert is over.
    pub fn wait_resolved(&self, alert: &str) {
        until(&format!("{alert} is resolved"), || (!self.notified().firing.contains(alert)).then_some(()));
    }

    /// All notifications of the receiver so far.
    pub fn notified(&self) -> Notified {
        let named = |alerts: BTreeSet<(String, String)>| alerts.into_iter().map(|(alert, _)| alert).collect();
        let NotifiedOf { firing, ever } = self.notified_of();
        Notified { firing: named(firing), ever: named(ever) }
    }

    /// As [`notified`](Self::notified), each alert with its group.
    pub fn notified_of(&self) -> NotifiedOf {
        let mut notified = NotifiedOf::default();
        let mut open: BTreeMap<String, (String, String)> = BTreeMap::new();
        for notification in self.receiver.orders() {
            for alert in notification.body["alerts"].as_array().into_iter().flatten() {
                let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
                let id = text(&alert["fingerprint"]);
                let name = (text(&alert["labels"]["alertname"]), text(&alert["labels"]["group"]));
                if alert["status"] == "firing" {
                    notified.ever.insert(name.clone());
                    open.insert(id, name);
                } else {
                    open.remove(&id);
                }
            }
        }
        notified.firing = open.into_values().collect();
        notified
    }
}

/// Names of alerts, each with its group.
#[derive(Debug, Default)]
pub struct NotifiedOf {
    /// Alerts that fire as far as the receiver knows.
    pub firing: BTreeSet<(String, String)>,
    /// Alerts that have ever fired.
    pub ever: BTreeSet<(String, String)>,
}

/// Names of alerts.
#[derive(Debug, Default)]
pub struct Notified {
    /// Alerts that fire as far as the receiver knows.
    pub firing: BTreeSet<String>,
    /// Alerts that have ever fired.
    pub ever: BTreeSet<String>,
}

fn shipped(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docker").join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn start_alertmanager(directory: &Path, receiver: &str, by: u64) -> Monitor {
    let secrets = directory.join("secrets");
    fs::create_dir(&secrets).expect("a directory");
    fs::write(secrets.join("webhook_token"), "of the test").expect("written");
    let text = shipped("alertmanager/alertmanager.yml")
        .replace("/etc/alertmanager/secrets", &secrets.to_string_lossy())
        .replace("http://alert-receiver:8080", receiver);
    let config = directory.join("alertmanager.yml");
    fs::write(&config, faster(&text, by)).expect("written");
    Monitor::alertmanager(&config)
}

fn start_prometheus(directory: &Path, targets: &str, alertmanager: &str, by: u64) -> Monitor {
    let rules = directory.join("rules");
    fs::create_dir(&rules).expect("a directory");
    let text = shipped("prometheus/prometheus.yml");
    let named: Vec<&str> = text.lines().filter_map(|line| line.trim().strip_prefix("- rules/")).collect();
    assert!(!named.is_empty(), "{text}");
    for file in named {
        let text = shipped(&format!("prometheus/rules/{file}"));
        fs::write(rules.join(file), faster(&text, by)).expect("written");
    }
    // The targets are the end of the file.
    let (before, _) = text
        .split_once("    static_configs:\n      - targets:\n          - coordinator-1:")
        .expect("targets");
    let text = format!("{before}    static_configs:\n{targets}").replace("alertmanager:9093", alertmanager);
    let config = directory.join("prometheus.yml");
    fs::write(&config, faster(&text, by)).expect("written");
    // One minute: alerts that fired before Alertmanager was discovered are sent then.
    Monitor::prometheus(&config, &[format!("--rules.alert.resend-delay={}s", 60 / by)])
}

/// The file with every duration divided: those that are the value of a key, and the windows of queries.
fn faster(text: &str, by: u64) -> String {
    let line = |line: &str| {
        let value =
            line.split_once(": ").and_then(|(key, value)| Some(format!("{key}: {}", divided(value, by)?)));
        value.unwrap_or_else(|| windows_divided(line, by))
    };
    text.lines().map(|text| line(text) + "\n").collect()
}

/// The query with every window divided.
pub fn windows_faster(line: &str) -> String {
    windows_divided(line, FASTER)
}

fn windows_divided(line: &str, by: u64) -> String {
    let mut parts = line.split('[');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |before, part| {
        let divided = part.split_once(']').and_then(|(window, rest)| {
            let steps: Option<Vec<String>> = window
                .split(':')
                .map(|step| if step.is_empty() { Some(String::new()) } else { divided(step, by) })
                .collect();
            Some(format!("{before}[{}]{rest}", steps?.join(":")))
        });
        divided.unwrap_or_else(|| format!("{before}[{part}"))
    })
}

/// A duration of one number and unit, divided; `None` for every other text.
fn divided(text: &str, by: u64) -> Option<String> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let number: u64 = text[..text.len() - unit.len()].parse().ok()?;
    let unit_ms = match unit {
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    Some(format!("{}ms", number * unit_ms / by))
}

#[test]
fn durations_are_divided_and_nothing_else_is() {
    let text =
        "scrape_interval: 30s\nexpr: a[5m] > 30 and b{x=~\"[1h]\"}[1h:30s]\nfor: 0s\nurl: http://a:9093\n";
    let expected = "scrape_interval: 3000ms\nexpr: a[30000ms] > 30 and b{x=~\"[360000ms]\"}[360000ms:3000ms]\nfor: 0ms\nurl: http://a:9093\n";
    assert_eq!(faster(text, FASTER), expected);
}
