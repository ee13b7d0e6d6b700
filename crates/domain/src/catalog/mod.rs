//! Every metric this process tells: name, kind, labels, unit, help, when, and how it is read.
//!
//! Names and types of the `portfolio_manager_` metrics are a contract with dashboards and rules that exist
//! already (`testdata/metric-contract.json`); everything beyond it is called `coordinator_`.

mod contract;
mod election;
mod signals;

use crate::alert::Alerts;
use crate::metrics::{Histogram, Snapshot};
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

/// How a metric behaves and is read.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Only grows, from 0 when the process starts.
    Counter(fn(&Snapshot) -> u64),
    /// A counter for each set of labels, all of them from 0 when the process starts.
    LabelledCounter {
        /// The names of the labels.
        labels: &'static [&'static str],
        /// The counts.
        read: fn(&Snapshot) -> Vec<Sample>,
    },
    /// Goes up and down; `None` while it is unknown, and then it is not told at all.
    Gauge(fn(&Snapshot) -> Option<f64>),
    /// A gauge for each set of labels; a set that is not read any more is not told any more.
    LabelledGauge {
        /// The names of the labels.
        labels: &'static [&'static str],
        /// What is the case.
        read: fn(&Snapshot) -> Vec<Sample>,
    },
    /// A gauge of what the alerts say, for each set of labels; without names of labels it is one value.
    AlertGauge {
        /// The names of the labels.
        labels: &'static [&'static str],
        /// What the alerts say.
        read: fn(&Alerts) -> Vec<Sample>,
    },
    /// A distribution, from 0 when the process starts.
    Histogram(fn(&Snapshot) -> &Histogram),
}

impl Kind {
    /// As Prometheus writes it.
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
    /// Its name, exactly as it is told.
    pub name: &'static str,
    /// Its unit in the notation of UCUM; `1` when it has none.
    pub unit: &'static str,
    /// What it says.
    pub help: &'static str,
    /// How it behaves and is read.
    pub kind: Kind,
    when: Option<&'static str>,
}

impl Metric {
    /// When it is told: `always`, `from 0`, or since when.
    pub fn emitted(&self) -> &'static str {
        self.when.unwrap_or(match self.kind {
            Kind::Gauge(_) | Kind::LabelledGauge { .. } | Kind::AlertGauge { .. } => "always",
            Kind::Counter(_) | Kind::LabelledCounter { .. } | Kind::Histogram(_) => "from 0",
        })
    }

    /// The names of its labels.
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

const PARTS: [&[Metric]; 3] = [contract::METRICS, election::METRICS, signals::METRICS];
const ALL: [Metric; PARTS[0].len() + PARTS[1].len() + PARTS[2].len()] = joined();

/// The parts in one array; the compiler stops when their lengths do not add up to it.
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

/// The alerts that `portfolio_manager_alert_status` is defined for; all others are told by
/// `coordinator_alert_status`.
const CONTRACT_ALERTS: [&str; 3] = ["db_sync_failure_rate", "leadership_changes", "heartbeat_staleness"];

fn is_main(alert: &str) -> bool {
    CONTRACT_ALERTS.contains(&alert)
}

fn alert_status(alerts: &Alerts, tells: fn(&str) -> bool) -> Vec<Sample> {
    let told = alerts.all.iter().filter(|alert| tells(alert.name));
    told.map(|alert| Sample { labels: vec![alert.name.to_string()], value: alert.status.as_number().into() })
        .collect()
}
