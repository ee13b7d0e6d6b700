//! Metrics of the access to the pages.

use super::{Kind, Metric, Sample, metric};
use crate::metrics::{AccessRefusal, Snapshot, unit};
use alloc::string::ToString;
use alloc::vec::Vec;

/// Metrics of requests that were refused for their credential.
pub(super) const METRICS: &[Metric] = &[metric(
    "coordinator_http_access_refused_total",
    "1",
    "Requests that this process refused for their credential, by reason: missing, unknown, expired, or without the role.",
    Kind::LabelledCounter { labels: &["reason"], read: refused },
)];

fn refused(snapshot: &Snapshot) -> Vec<Sample> {
    let counts = AccessRefusal::ALL.into_iter().zip(snapshot.counters.access_refused);
    counts.map(|(why, n)| Sample { labels: [why.to_string()].into(), value: unit::count(n) }).collect()
}
