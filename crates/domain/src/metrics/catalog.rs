//! Every metric this process tells: name, kind, labels, unit, help, when, and how it is read.
//!
//! Names and types of the `portfolio_manager_` metrics are a contract with dashboards and rules that exist
//! already (`testdata/metric-contract.json`); everything beyond it is called `coordinator_`.

use super::histogram::Histogram;
use super::{Snapshot, fingerprint, unit};
use crate::id::InstanceId;
use crate::recovery::RecoveryCode;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

/// How a metric behaves and is read.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Only grows, from 0 when the process starts.
    Counter(fn(&Snapshot) -> u64),
    /// Goes up and down; `None` while it is unknown, and then it is not told at all.
    Gauge(fn(&Snapshot) -> Option<f64>),
    /// A gauge for each set of labels; a set that is not read any more is not told any more.
    LabelledGauge {
        /// The names of the labels.
        labels: &'static [&'static str],
        /// What is the case.
        read: fn(&Snapshot) -> Vec<Sample>,
    },
    /// A distribution, from 0 when the process starts.
    Histogram(fn(&Snapshot) -> &Histogram),
}

impl Kind {
    /// As Prometheus writes it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Counter(_) => "counter",
            Self::Gauge(_) | Self::LabelledGauge { .. } => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// One value of a labelled gauge.
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
            Kind::Gauge(_) | Kind::LabelledGauge { .. } => "always",
            Kind::Counter(_) | Kind::Histogram(_) => "from 0",
        })
    }

    /// The names of its labels.
    pub fn labels(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::LabelledGauge { labels, .. } => labels,
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

const ONE_SAMPLE: &str = "once 1 sample";
const RECOVERY_RAN: &str = "once a recovery ran";

/// The alerts that `portfolio_manager_alert_status` is defined for; all others are told by
/// `coordinator_alert_status`.
const CONTRACT_ALERTS: [&str; 3] = ["db_sync_failure_rate", "leadership_changes", "heartbeat_staleness"];

/// Every metric.
pub const CATALOG: &[Metric] = &[
    metric(
        "portfolio_manager_db_sync_failure_rate",
        "1",
        "Share of failed syncs in the rolling window, 0.0 to 1.0; 0 without samples.",
        Kind::Gauge(|s| Some(s.window.failure_rate())),
    ),
    metric(
        "portfolio_manager_db_sync_p50_latency_ms",
        "ms",
        "Median duration of the syncs in the rolling window, failures included, in milliseconds.",
        Kind::Gauge(|s| s.window.latency.map(|latency| unit::millis(latency.p50))),
    )
    .only(ONE_SAMPLE),
    metric(
        "portfolio_manager_db_sync_p95_latency_ms",
        "ms",
        "95th percentile of the durations of the syncs in the rolling window, in milliseconds.",
        Kind::Gauge(|s| s.window.latency.map(|latency| unit::millis(latency.p95))),
    )
    .only(ONE_SAMPLE),
    metric(
        "portfolio_manager_db_sync_p99_latency_ms",
        "ms",
        "99th percentile of the durations of the syncs in the rolling window, in milliseconds.",
        Kind::Gauge(|s| s.window.latency.map(|latency| unit::millis(latency.p99))),
    )
    .only(ONE_SAMPLE),
    metric(
        "portfolio_manager_db_sync_total",
        "1",
        "Syncs with the state store attempted since the process started.",
        Kind::Counter(|s| s.counters.syncs()),
    ),
    metric(
        "portfolio_manager_db_sync_success_total",
        "1",
        "Syncs with the state store that were answered.",
        Kind::Counter(|s| s.counters.syncs_succeeded),
    ),
    metric(
        "portfolio_manager_db_sync_failure_total",
        "1",
        "Syncs with the state store that failed or were not answered in time.",
        Kind::Counter(|s| s.counters.syncs_failed),
    ),
    metric(
        "portfolio_manager_db_sync_duration_seconds",
        "s",
        "Durations of all syncs with the state store, failures included.",
        Kind::Histogram(|s| &s.sync_duration),
    ),
    metric(
        "portfolio_manager_leadership_changes",
        "1",
        "Changes of leader in the group that this process observed, not only its own.",
        Kind::Counter(|s| s.counters.leadership_changes),
    ),
    metric(
        "portfolio_manager_leader_epoch",
        "1",
        "Fencing epoch of the lease row: grows by 1 with every change of leader, survives restarts.",
        Kind::Gauge(|s| s.view.epoch.filter(|epoch| epoch.0 > 0).map(|epoch| unit::count(epoch.0))),
    )
    .only("once known, never 0"),
    metric(
        "portfolio_manager_is_leader",
        "1",
        "1 while this instance believes that it leads, else 0.",
        Kind::Gauge(|s| Some(flag(s.view.is_leader))),
    ),
    metric(
        "portfolio_manager_current_leader_redis",
        "1",
        "48-bit fingerprint of the leader's id in Redis, 0 without one.",
        Kind::Gauge(|s| Some(leader(s.view.leader_redis.as_ref()))),
    ),
    metric(
        "portfolio_manager_current_leader_db",
        "1",
        "48-bit fingerprint of the leader's id in the state store, 0 without one.",
        Kind::Gauge(|s| Some(leader(s.view.leader_db.as_ref()))),
    ),
    metric(
        "portfolio_manager_leader_info",
        "1",
        "1 for the leader that each store names.",
        Kind::LabelledGauge { labels: &["store", "leader"], read: leader_info },
    )
    .only("only while there is a leader"),
    metric(
        "portfolio_manager_instance_info",
        "1",
        "1 for this instance and its version.",
        Kind::LabelledGauge { labels: &["instance_id", "version"], read: instance_info },
    ),
    metric(
        "portfolio_manager_heartbeat_running",
        "1",
        "1 while the heartbeat task is alive, else 0.",
        Kind::Gauge(|s| Some(flag(s.view.heartbeat_running))),
    ),
    metric(
        "portfolio_manager_last_heartbeat_timestamp",
        "s",
        "Unix time of the last heartbeat, in seconds; leaders and followers beat.",
        Kind::Gauge(|s| s.last_heartbeat_ms.map(unit::seconds)),
    )
    .only("once a heartbeat happened"),
    metric(
        "portfolio_manager_fallback_mode",
        "1",
        "1 while Redis is unreachable for this instance, else 0.",
        Kind::Gauge(|s| Some(flag(s.view.fallback))),
    ),
    metric(
        "portfolio_manager_overall_alert_status",
        "1",
        "The worst of all alerts: 0 OK, 1 WARNING, 2 CRITICAL.",
        Kind::Gauge(|s| Some(s.alerts.overall.as_number().into())),
    ),
    metric(
        "portfolio_manager_alert_status",
        "1",
        "Status of each main alert: 0 OK, 1 WARNING, 2 CRITICAL.",
        Kind::LabelledGauge {
            labels: &["alert"],
            read: |s| alert_status(s, |alert| CONTRACT_ALERTS.contains(&alert)),
        },
    ),
    metric(
        "portfolio_manager_split_brain_detected_total",
        "1",
        "Times this process found its lease superseded and demoted itself.",
        Kind::Counter(|s| s.counters.split_brains),
    ),
    metric(
        "portfolio_manager_recovery_time_ms",
        "ms",
        "Duration of the last crash recovery, in milliseconds.",
        Kind::Gauge(|s| s.last_recovery.map(|last| unit::millis(last.took))),
    )
    .only(RECOVERY_RAN),
    metric(
        "portfolio_manager_recovery_success_count",
        "1",
        "Crash recoveries that passed since the process started.",
        Kind::Counter(|s| s.counters.recoveries_succeeded),
    ),
    metric(
        "portfolio_manager_recovery_failure_count",
        "1",
        "Crash recoveries that failed since the process started.",
        Kind::Counter(|s| s.counters.recoveries_failed),
    ),
    metric(
        "portfolio_manager_recovery_error_code",
        "1",
        "Why the last crash recovery failed: 0 it did not, 1 DB_UNAVAILABLE, 2 DATA_CORRUPT, 3 VALIDATION_FAILED.",
        Kind::Gauge(|s| Some(s.recovery_error().map_or(0, RecoveryCode::as_number).into())),
    ),
    metric(
        "portfolio_manager_positions_recovered",
        "1",
        "Positions of the last crash recovery that passed.",
        Kind::Gauge(|s| s.positions_recovered.map(f64::from)),
    )
    .only(RECOVERY_RAN),
    metric(
        "portfolio_manager_last_recovery_timestamp",
        "s",
        "Unix time of the end of the last crash recovery, in seconds.",
        Kind::Gauge(|s| s.last_recovery.map(|last| unit::seconds(last.at_ms))),
    )
    .only(RECOVERY_RAN),
    metric(
        "process_start_time_seconds",
        "s",
        "Unix time of the start of the process, in seconds.",
        Kind::Gauge(|s| Some(unit::seconds(s.started_ms))),
    ),
    metric(
        "coordinator_alert_status",
        "1",
        "Status of each further alert: 0 OK, 1 WARNING, 2 CRITICAL.",
        Kind::LabelledGauge {
            labels: &["alert"],
            read: |s| alert_status(s, |alert| !CONTRACT_ALERTS.contains(&alert)),
        },
    ),
    metric(
        "coordinator_lease_margin_seconds",
        "s",
        "Time until this leader stops believing unless the lease is renewed.",
        Kind::Gauge(|s| s.view.lease_left.filter(|_| s.view.is_leader).map(|left| left.as_secs_f64())),
    )
    .only("only on a leader"),
    metric(
        "coordinator_signals",
        "1",
        "Signals of the group by their state.",
        Kind::LabelledGauge { labels: &["state"], read: signals },
    )
    .only("once counted"),
    metric(
        "coordinator_ticket_faults_total",
        "1",
        "Tickets met in Redis that this system cannot have written.",
        Kind::Counter(|s| s.counters.ticket_faults),
    ),
];

fn flag(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}

fn leader(id: Option<&InstanceId>) -> f64 {
    unit::count(id.map_or(0, fingerprint))
}

fn leader_info(snapshot: &Snapshot) -> Vec<Sample> {
    let stores = [("redis", &snapshot.view.leader_redis), ("db", &snapshot.view.leader_db)];
    let info = |(store, leader): (&str, &Option<InstanceId>)| {
        leader
            .as_ref()
            .map(|leader| Sample { labels: vec![store.to_string(), leader.to_string()], value: 1.0 })
    };
    stores.into_iter().filter_map(info).collect()
}

fn instance_info(snapshot: &Snapshot) -> Vec<Sample> {
    vec![Sample { labels: vec![snapshot.instance.to_string(), snapshot.version.clone()], value: 1.0 }]
}

fn alert_status(snapshot: &Snapshot, tells: fn(&str) -> bool) -> Vec<Sample> {
    let told = snapshot.alerts.all.iter().filter(|alert| tells(alert.name));
    told.map(|alert| Sample { labels: vec![alert.name.to_string()], value: alert.status.as_number().into() })
        .collect()
}

fn signals(snapshot: &Snapshot) -> Vec<Sample> {
    let Some(counts) = snapshot.signals else { return Vec::new() };
    let states = [
        ("received", counts.received),
        ("claimed", counts.claimed),
        ("done", counts.done),
        ("rejected", counts.rejected),
        ("in_doubt", counts.in_doubt),
    ];
    states
        .into_iter()
        .map(|(state, n)| Sample { labels: vec![state.to_string()], value: unit::count(n) })
        .collect()
}
