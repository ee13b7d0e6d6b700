//! An Alertmanager that runs with the shipped file, as it is, for one test.

use crate::shipped;
use serde_json::{Value, json};
use std::thread::sleep;
use std::time::{Duration, Instant};
use testkit::monitor::Monitor;

/// What has not come by then will not come: it usually takes half a second.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// Ends with its value.
pub struct Alertmanager(Monitor);

impl Alertmanager {
    /// It needs no secret to start: those are read when something is sent. What it sends in a test goes nowhere.
    pub fn start() -> Self {
        Self(Monitor::alertmanager(&shipped("alertmanager/alertmanager.yml")))
    }

    /// As Prometheus posts alerts that fire.
    pub fn post(&self, alerts: &[&Alert]) {
        let alerts: Vec<Value> = alerts.iter().map(|alert| json!({"labels": alert.0})).collect();
        let answer = self.0.ask("POST", "/api/v2/alerts", &Value::from(alerts).to_string());
        answer.expect("it takes the alerts");
    }

    /// All alerts at a moment at which that one is silenced. Which ones are is judged for the answer, so that all of
    /// it is about that moment.
    pub fn until_silenced(&self, silenced: &Alert, posted: usize) -> Told {
        until("the alert is silenced", || {
            let told = Told(self.0.ask("GET", "/api/v2/alerts", "").expect("an answer").json());
            let all = told.0.as_array().is_some_and(|alerts| alerts.len() == posted);
            (all && !told.silenced_by(silenced).is_empty()).then_some(told)
        })
    }
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
