//! The JSON of `/coordinator/metrics`. Existing dashboards depend on its keys.

use super::rfc3339;
use domain::alert::{Alert, Alerts, Report};
use domain::id::InstanceId;
use domain::metrics::{Snapshot, unit};
use domain::recovery::RecoveryCode;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use std::time::Duration;

/// One report as JSON. Latencies without enough samples are 0.0; every other unknown value is null.
#[derive(Debug, Serialize)]
pub struct MetricsJson<'a> {
    db_sync_success: u64,
    db_sync_failure: u64,
    db_sync_total: u64,
    db_sync_failure_rate: f64,
    db_sync_avg_latency_ms: f64,
    db_sync_min_latency_ms: f64,
    db_sync_max_latency_ms: f64,
    db_sync_p50_latency_ms: f64,
    db_sync_p95_latency_ms: f64,
    db_sync_p99_latency_ms: f64,
    db_sync_latency_samples: usize,
    leadership_changes: u64,
    current_leader_redis: Option<&'a str>,
    current_leader_db: Option<&'a str>,
    this_instance: &'a str,
    is_leader: bool,
    heartbeat_running: bool,
    fallback_mode: bool,
    last_heartbeat: Option<String>,
    recovery: RecoveryJson,
    alerts: AlertsJson<'a>,
    overall_alert_status: &'static str,
}

impl<'a> From<&'a Report> for MetricsJson<'a> {
    fn from(report: &'a Report) -> Self {
        let Report { snapshot, alerts } = report;
        let latency = snapshot.window.latency;
        let ms =
            |of: fn(&domain::metrics::Latency) -> Duration| latency.map_or(0.0, |l| unit::millis(of(&l)));
        Self {
            db_sync_success: snapshot.counters.syncs_succeeded,
            db_sync_failure: snapshot.counters.syncs_failed,
            db_sync_total: snapshot.counters.syncs(),
            db_sync_failure_rate: snapshot.window.failure_rate(),
            db_sync_avg_latency_ms: ms(|latency| latency.avg),
            db_sync_min_latency_ms: ms(|latency| latency.min),
            db_sync_max_latency_ms: ms(|latency| latency.max),
            db_sync_p50_latency_ms: ms(|latency| latency.p50),
            db_sync_p95_latency_ms: ms(|latency| latency.p95.unwrap_or_default()),
            db_sync_p99_latency_ms: ms(|latency| latency.p99.unwrap_or_default()),
            db_sync_latency_samples: snapshot.window.samples,
            leadership_changes: snapshot.counters.leadership_changes,
            current_leader_redis: snapshot.view.leader_redis.as_ref().map(InstanceId::as_str),
            current_leader_db: snapshot.view.leader_db.as_ref().map(InstanceId::as_str),
            this_instance: snapshot.instance.as_str(),
            is_leader: snapshot.view.is_leader,
            heartbeat_running: snapshot.view.heartbeat_running,
            fallback_mode: snapshot.view.fallback,
            last_heartbeat: snapshot.last_heartbeat_ms.and_then(rfc3339),
            recovery: RecoveryJson::from(snapshot),
            alerts: AlertsJson(alerts),
            overall_alert_status: alerts.overall.as_str(),
        }
    }
}

#[derive(Debug, Serialize)]
struct RecoveryJson {
    time_ms: Option<f64>,
    success_count: u64,
    failure_count: u64,
    error_code: Option<&'static str>,
    positions_recovered: Option<u32>,
    last_recovery: Option<String>,
}

impl From<&Snapshot> for RecoveryJson {
    fn from(snapshot: &Snapshot) -> Self {
        let last = snapshot.last_recovery;
        Self {
            time_ms: last.map(|last| unit::millis(last.took)),
            success_count: snapshot.counters.recoveries_succeeded,
            failure_count: snapshot.counters.recoveries_failed,
            error_code: snapshot.recovery_error().map(RecoveryCode::as_str),
            positions_recovered: snapshot.positions_recovered,
            last_recovery: last.and_then(|last| rfc3339(last.at_ms)),
        }
    }
}

/// Every alert under its name, and the worst status of all.
#[derive(Debug)]
struct AlertsJson<'a>(&'a Alerts);

impl Serialize for AlertsJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.all.len() + 1))?;
        for alert in &self.0.all {
            map.serialize_entry(alert.name, &AlertJson::from(alert))?;
        }
        map.serialize_entry("overall_status", self.0.overall.as_str())?;
        map.end()
    }
}

#[derive(Debug, Serialize)]
struct AlertJson<'a> {
    status: &'static str,
    value: Option<f64>,
    threshold_warning: Option<f64>,
    threshold_critical: Option<f64>,
    message: &'a str,
}

impl<'a> From<&'a Alert> for AlertJson<'a> {
    fn from(alert: &'a Alert) -> Self {
        Self {
            status: alert.status.as_str(),
            value: alert.value,
            threshold_warning: alert.threshold_warning,
            threshold_critical: alert.threshold_critical,
            message: &alert.message,
        }
    }
}
