//! Metrics of the election beyond the contract.

use super::{Kind, Metric, Sample, alert_status, is_main, metric};
use crate::alert::SAMPLES_MIN;
use crate::decision::Subject;
use crate::metrics::{Snapshot, unit};
use alloc::string::ToString;
use alloc::vec::Vec;
use core::time::Duration;

/// The time for which a removed instance is exported; the alert about its last heartbeat ends after the same time.
const REMOVAL_SHOWN: Duration = Duration::from_hours(24);

/// Metrics of the election and of its alerts.
pub(super) const METRICS: &[Metric] = &[
    metric(
        "coordinator_alert_status",
        "1",
        "Status of each further alert: 0 OK, 1 WARNING, 2 CRITICAL.",
        Kind::AlertGauge { labels: &["alert"], read: |a| alert_status(a, |alert| !is_main(alert)) },
    ),
    metric(
        "coordinator_lease_margin_seconds",
        "s",
        "Time until the lease of this leader ends unless it is renewed.",
        Kind::Gauge(|s| s.view.lease_left.filter(|_| s.view.is_leader).map(|left| left.as_secs_f64())),
    )
    .only("only on a leader"),
    metric(
        "coordinator_settings_differ",
        "1",
        "1 for each setting that instances of the group have different values of, with these instances.",
        Kind::LabelledGauge { labels: &["setting", "instances"], read: settings_differ },
    )
    .only("only while they differ"),
    metric(
        "coordinator_instance_removed_start_time_seconds",
        "s",
        "Unix time of the start of each process that an operator removed on purpose within a day, in seconds.",
        Kind::LabelledGauge { labels: &["instance_id"], read: removed },
    )
    .only("for a day after `coordinator remove`"),
    metric(
        "coordinator_recovery_acknowledged_timestamp_seconds",
        "s",
        "Unix time of the last acknowledgement of failed recoveries by an operator, in seconds.",
        Kind::Gauge(|s| Some(unit::seconds(s.recovery_acknowledged()?.at_ms))),
    )
    .only("once acknowledged"),
    metric(
        "coordinator_recovery_last_failure_timestamp_seconds",
        "s",
        "Unix time of the end of the last crash recovery that failed, in seconds.",
        Kind::Gauge(|s| s.last_recovery_failure_ms.map(unit::seconds)),
    )
    .only("once a recovery failed"),
    metric(
        "coordinator_db_sync_heartbeats_missing",
        "1",
        "Heartbeats with a sync that are missing before the failure rate is judged: at first 20, or the window if it is smaller.",
        Kind::Gauge(|s| Some(unit::count(heartbeats_missing(s)))),
    ),
    metric(
        "coordinator_store_forgot_timestamp_seconds",
        "s",
        "When the state store was last found to have forgotten, in unix time: a standby was promoted or a backup restored.",
        Kind::Gauge(|s| s.store_forgot_ms.map(unit::seconds)),
    )
    .only("since the state store has forgotten"),
    metric(
        "coordinator_ticket_faults_total",
        "1",
        "Tickets found in Redis that this system cannot have written.",
        Kind::Counter(|s| s.counters.ticket_faults),
    ),
];

/// An instance is left out of the instance table after a day, and so is its removal here. The latest removal of an id is
/// the first one.
fn removed(snapshot: &Snapshot) -> Vec<Sample> {
    let mut samples: Vec<Sample> = Vec::new();
    for decision in &snapshot.decisions {
        let age_ms = u128::try_from(snapshot.now_ms.saturating_sub(decision.at_ms)).unwrap_or(0);
        if let Subject::InstanceRemoved { id, started_ms } = &decision.subject
            && age_ms < REMOVAL_SHOWN.as_millis()
            && !samples.iter().any(|sample| sample.labels[0] == id.as_str())
        {
            samples.push(Sample { labels: [id.to_string()].into(), value: unit::seconds(*started_ms) });
        }
    }
    samples
}

fn heartbeats_missing(snapshot: &Snapshot) -> u64 {
    let window = &snapshot.window;
    SAMPLES_MIN.min(window.capacity).saturating_sub(window.samples) as u64
}

fn settings_differ(snapshot: &Snapshot) -> Vec<Sample> {
    let sample = |differing: &crate::settings::Differing| Sample {
        labels: [differing.setting.clone(), differing.instances()].into(),
        value: 1.0,
    };
    snapshot.settings_differ.iter().map(sample).collect()
}
