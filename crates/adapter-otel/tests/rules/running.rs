//! [`Alertmanager`]: an Alertmanager that runs with the shipped file, unchanged, for one test.

use crate::shipped;
use serde_json::{Value, json};
use std::thread::sleep;
use std::time::{Duration, Instant};
use testkit::monitor::Monitor;

/// An alert usually takes half a second. One that has not come after this time will not come.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two polls.
const POLL: Duration = Duration::from_millis(20);

/// Ends when it is dropped.
pub struct Alertmanager(Monitor);

impl Alertmanager {
    /// It needs no secret to start, because secrets are read when something is sent. What it sends in a test
    /// goes nowhere.
    pub fn start() -> Self {
        Self(Monitor::alertmanager(&shipped("alertmanager/alertmanager.yml")))
    }

    /// Posts alerts that fire, as Prometheus does.
    pub fn post(&self, alerts: &[&Alert]) {
        let alerts: Vec<Value> = alerts.iter().map(|alert| json!({"labels": alert.0})).collect();
        let answer = self.0.ask("POST", "/api/v2/alerts", &Value::from(alerts).to_string());
        answer.expect("it takes the alerts");
    }

    /// All alerts at a moment at which that one is silenced. Alertmanager computes the silenced ones for the
    /// answer, so the whole answer is about that moment.
    pub fn until_silenced(&self, silenced: &Alert, posted: usize) -> Alerts {
        until("the alert is silenced", || {
            let alerts = Alerts(self.0.ask("GET", "/api/v2/alerts", "").expect("an answer").json());
            let all = alerts.0.as_array().is_some_and(|alerts| alerts.len() == posted);
            (all && !alerts.silenced_by(silenced).is_empty()).then_some(alerts)
        })
    }
}

/// Polls until there is a value.
fn until<T>(what: &str, mut poll: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(seen) = poll() {
            return seen;
        }
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        // A pause between two polls. The state ends the loop, not the time.
        sleep(POLL);
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

/// Alertmanager's answer about its alerts.
pub struct Alerts(Value);

impl Alerts {
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
        all.find(|alerts| alerts["labels"] == alert.0).expect("an alert that was posted")
    }
}
