//! A report on one instance: the snapshot and the alerts that it fires.

use super::{Alerts, evaluate};
use crate::metrics::Snapshot;

/// One snapshot and its alerts. The pages, the Prometheus text and OTLP all show a report, so a number and the alert
/// about it always belong to the same moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The measurements.
    pub snapshot: Snapshot,
    /// Every alert, evaluated on [`snapshot`](Self::snapshot).
    pub alerts: Alerts,
}

impl Report {
    /// Evaluates the alerts of `snapshot`.
    pub fn of(snapshot: Snapshot) -> Self {
        let alerts = evaluate(&snapshot);
        Self { snapshot, alerts }
    }
}
