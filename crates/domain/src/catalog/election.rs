//! Metrics of the election beyond the contract.

use super::{Kind, Metric, Sample, alert_status, is_main, metric};
use crate::metrics::{Snapshot, unit};
use alloc::vec::Vec;

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

fn settings_differ(snapshot: &Snapshot) -> Vec<Sample> {
    let sample = |differing: &crate::settings::Differing| Sample {
        labels: [differing.setting.clone(), differing.instances()].into(),
        value: 1.0,
    };
    snapshot.settings_differ.iter().map(sample).collect()
}
