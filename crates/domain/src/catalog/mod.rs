//! Every metric that this process exports: name, kind, labels, unit, help, condition of export, and the function that
//! reads it.
//!
//! Names and types of the `portfolio_manager_` metrics are a contract with existing dashboards and rules
//! (`testdata/metric-contract.json`). The names of all other metrics begin with `coordinator_`.

mod access;
mod contract;
mod election;
mod signals;

use crate::alert::Alerts;
use crate::metrics::{Histogram, Snapshot};
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

/// The type of a metric and the function that reads it.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A value that only grows, from 0 at the start of the process.
    Counter(fn(&Snapshot) -> u64),
    /// A counter for each set of labels; every set begins at 0 when the process starts.
    LabelledCounter {
        /// The names of the labels.
        labels: &'static [&'static str],
        /// The counts.
        read: fn(&Snapshot) -> Vec<Sample>,
    },
    /// A value that goes up and down; `None` while it is unknown, and then the metric is not exported.
    Gauge(fn(&Snapshot) -> Option<f64>),
    /// A gauge for each set of labels. A set that `read` no longer returns is no longer exported.
    LabelledGauge {
        /// The names of the labels.
        labels: &'static [&'static str],
        /// The present values.
        read: fn(&Snapshot) -> Vec<Sample>,
    },
    /// A gauge that is read from the alerts, for each set of labels. Without label names it has one value.
    AlertGauge {
        /// The names of the labels.
        labels: &'static [&'static str],
        /// The values that the alerts give.
        read: fn(&Alerts) -> Vec<Sample>,
    },
    /// A distribution, from 0 when the process starts.
    Histogram(fn(&Snapshot) -> &Histogram),
}

impl Kind {
    /// The type as Prometheus writes it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Counter(_) | Self::LabelledCounter { .. } => "counter",
            Self::Gauge(_) | Self::LabelledGauge { .. } | Self::AlertGauge { .. } => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// One value of a labelled metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// A value for each label, in the order of their names.
    pub labels: Vec<String>,
    /// The value.
    pub value: f64,
}

/// One metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// The name, exactly as exported.
    pub name: &'static str,
    /// The unit in UCUM notation; `1` when it has none.
    pub unit: &'static str,
    /// The help text: what the value means.
    pub help: &'static str,
    /// The type and the function that reads it.
    pub kind: Kind,
    when: Option<&'static str>,
}

impl Metric {
    /// The condition under which it is exported: `always`, `from 0`, or the event after which it first appears.
    pub fn emitted(&self) -> &'static str {
        self.when.unwrap_or(match self.kind {
            Kind::Gauge(_) | Kind::LabelledGauge { .. } | Kind::AlertGauge { .. } => "always",
            Kind::Counter(_) | Kind::LabelledCounter { .. } | Kind::Histogram(_) => "from 0",
        })
    }

    /// The names of the labels.
    pub fn labels(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::LabelledGauge { labels, .. }
            | Kind::LabelledCounter { labels, .. }
            | Kind::AlertGauge { labels, .. } => labels,
            Kind::Counter(_) | Kind::Gauge(_) | Kind::Histogram(_) => &[],
        }
    }

    const fn only(mut self, when: &'static str) -> Self {
        self.when = Some(when);
        self
    }
}

const fn metric(name: &'static str, unit: &'static str, help: &'static str, kind: Kind) -> Metric {
    Metric { name, unit, help, kind, when: None }
}

/// Every metric.
pub const CATALOG: &[Metric] = &ALL;

const PARTS: [&[Metric]; 4] = [contract::METRICS, election::METRICS, signals::METRICS, access::METRICS];
const ALL: [Metric; PARTS[0].len() + PARTS[1].len() + PARTS[2].len() + PARTS[3].len()] = joined();

/// Joins the parts into one array. If their lengths do not add up to `METRICS`, the compiler stops.
const fn joined<const METRICS: usize>() -> [Metric; METRICS] {
    let mut all = [PARTS[0][0]; METRICS];
    let (mut part, mut at) = (0, 0);
    while part < PARTS.len() {
        let mut n = 0;
        while n < PARTS[part].len() {
            all[at] = PARTS[part][n];
            (n, at) = (n + 1, at + 1);
        }
        part += 1;
    }
    assert!(at == METRICS, "every metric is from a part");
    all
}

/// The alerts of `portfolio_manager_alert_status`, fixed by the contract. `coordinator_alert_status` has all others.
const CONTRACT_ALERTS: [&str; 3] = ["db_sync_failure_rate", "leadership_changes", "heartbeat_staleness"];

fn is_main(alert: &str) -> bool {
    CONTRACT_ALERTS.contains(&alert)
}

fn alert_status(alerts: &Alerts, covers: fn(&str) -> bool) -> Vec<Sample> {
    let covered = alerts.all.iter().filter(|alert| covers(alert.name));
    covered
        .map(|alert| Sample { labels: vec![alert.name.to_string()], value: alert.status.as_number().into() })
        .collect()
}
