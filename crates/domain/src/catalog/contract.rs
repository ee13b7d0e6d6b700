//! The metrics that existing dashboards and rules use, as listed in `testdata/metric-contract.json`.

use super::{Kind, Metric, Sample, alert_status, is_main, metric};
use crate::alert::Alerts;
use crate::id::InstanceId;
use crate::metrics::{Snapshot, View, fingerprint, unit};
use crate::recovery::RecoveryCode;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

const ONE_SAMPLE: &str = "once 1 sample";
const RECOVERY_RAN: &str = "once a recovery ran";

/// Every metric of the contract.
pub(super) const METRICS: &[Metric] = &[
    metric(
        "portfolio_manager_db_sync_failure_rate",
        "1",
        "Share of the heartbeats in the rolling window in which a sync failed, 0.0 to 1.0; 0 without samples.",
        Kind::Gauge(|s| Some(s.window.failure_rate())),
    ),
    metric(
        "portfolio_manager_db_sync_p50_latency_ms",
        "ms",
        "Median of the longest sync of each heartbeat in the rolling window, failures included, in milliseconds.",
        Kind::Gauge(|s| s.window.latency.map(|latency| unit::millis(latency.p50))),
    )
    .only(ONE_SAMPLE),
    metric(
        "portfolio_manager_db_sync_p95_latency_ms",
        "ms",
        "95th percentile of the longest sync of each heartbeat in the rolling window, in milliseconds; from 20 heartbeats on.",
        Kind::Gauge(|s| Some(unit::millis(s.window.latency?.p95?))),
    )
    .only(ONE_SAMPLE),
    metric(
        "portfolio_manager_db_sync_p99_latency_ms",
        "ms",
        "99th percentile of the longest sync of each heartbeat in the rolling window, in milliseconds; from 100 heartbeats on.",
        Kind::Gauge(|s| Some(unit::millis(s.window.latency?.p99?))),
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
        "Fencing epoch of the lease: grows by 1 with every change of leader, survives restarts.",
        Kind::Gauge(|s| s.view.epoch.filter(|epoch| epoch.0 > 0).map(|epoch| unit::count(epoch.0))),
    )
    .only("once known, never 0"),
    metric(
        "portfolio_manager_is_leader",
        "1",
        "1 while this instance leads (its lease is valid), else 0.",
        Kind::Gauge(|s| Some(flag(s.view.is_leader))),
    ),
    metric(
        "portfolio_manager_current_leader_redis",
        "1",
        "48-bit fingerprint of the leader's id in Redis, 0 without one; absent while Redis does not answer.",
        Kind::Gauge(|s| (!s.view.fallback).then(|| leader(s.view.leader_redis.as_ref()))),
    ),
    metric(
        "portfolio_manager_current_leader_db",
        "1",
        "48-bit fingerprint of the leader's id in the state store, 0 without one; absent while it is unknown.",
        Kind::Gauge(|s| leader_db(&s.view)),
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
        "Unix time of the last heartbeat, in seconds; leaders and followers write heartbeats.",
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
        Kind::AlertGauge { labels: &[], read: overall_status },
    ),
    metric(
        "portfolio_manager_alert_status",
        "1",
        "Status of each main alert: 0 OK, 1 WARNING, 2 CRITICAL.",
        Kind::AlertGauge { labels: &["alert"], read: |a| alert_status(a, is_main) },
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
        "Duration of the last crash recovery with all its attempts, in milliseconds.",
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
];

fn overall_status(alerts: &Alerts) -> Vec<Sample> {
    vec![Sample { labels: vec![], value: alerts.overall.as_number().into() }]
}

fn flag(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}

fn leader(id: Option<&InstanceId>) -> f64 {
    unit::count(id.map_or(0, fingerprint))
}

/// Unknown without an answer of the state store, except on a leader: it knows until its lease ends.
fn leader_db(view: &View) -> Option<f64> {
    let known = view.leader_db.is_some() || view.state_store_answers;
    known.then(|| leader(view.leader_db.as_ref()))
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
