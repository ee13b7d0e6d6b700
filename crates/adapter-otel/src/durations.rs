//! The histograms, for which OpenTelemetry has no observable instrument.
//!
//! Its synchronous instrument would keep a second set of counts in addition to the snapshot's, updated at
//! other times, so that in one scrape `_count` and the counter of the same syncs could disagree. The registry
//! accepts any collector; this one copies the buckets of one of the snapshot's histograms.

use crate::scrape::Current;
use domain::catalog::Metric;
use domain::metrics::Histogram;
use prometheus::core::{Collector, Desc};
use prometheus::proto;
use std::collections::HashMap;

/// Copies one histogram of the scrape into the registry's form.
pub(crate) struct Durations {
    desc: Desc,
    index: usize,
    current: Current,
}

impl Durations {
    /// A collector for `metric`, which is at `index` in the catalog.
    pub(crate) fn new(metric: &Metric, index: usize, current: Current) -> prometheus::Result<Self> {
        let desc = Desc::new(metric.name.to_owned(), metric.help.to_owned(), Vec::new(), HashMap::new())?;
        Ok(Self { desc, index, current })
    }
}

impl Collector for Durations {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let Some(histogram) = self.current.with(|scrape| scrape.histogram(self.index).copied()) else {
            return Vec::new();
        };
        let mut metric = proto::Metric::default();
        metric.set_histogram(convert(&histogram));
        let mut family = proto::MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(proto::MetricType::HISTOGRAM);
        family.set_metric(vec![metric]);
        vec![family]
    }
}

fn convert(histogram: &Histogram) -> proto::Histogram {
    let bucket = |(bound, up_to): (core::time::Duration, u64)| {
        let mut bucket = proto::Bucket::default();
        bucket.set_upper_bound(bound.as_secs_f64());
        bucket.set_cumulative_count(up_to);
        bucket
    };
    let mut converted = proto::Histogram::default();
    converted.set_bucket(histogram.cumulative().map(bucket).collect());
    converted.set_sample_count(histogram.count());
    converted.set_sample_sum(histogram.sum().as_secs_f64());
    converted
}
