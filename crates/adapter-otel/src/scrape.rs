//! [`Scrape`]: the values of every metric of the catalog, read from one report.

use domain::alert::Report;
use domain::catalog::{Kind, Metric, Sample};
use domain::metrics::{Histogram, unit};
use opentelemetry::KeyValue;
use std::sync::{Arc, Mutex, PoisonError};

/// The values of the metrics, in the order of the catalog.
#[derive(Debug, Default)]
pub(crate) struct Scrape(Vec<Reading>);

/// The value of one metric.
#[derive(Debug)]
enum Reading {
    Points(Vec<Point>),
    Histogram(Histogram),
}

/// One value and its labels. Counters are floats too, as in the text.
#[derive(Debug, Clone)]
pub(crate) struct Point {
    pub(crate) labels: Vec<KeyValue>,
    pub(crate) value: f64,
}

impl Scrape {
    pub(crate) fn read(catalog: &[Metric], report: &Report) -> Self {
        Self(catalog.iter().map(|metric| Reading::read(metric, report)).collect())
    }

    /// The points of the metric at `index` of the catalog; none for a histogram.
    pub(crate) fn points(&self, index: usize) -> &[Point] {
        match self.0.get(index) {
            Some(Reading::Points(points)) => points,
            Some(Reading::Histogram(_)) | None => &[],
        }
    }

    /// The histogram at `index` of the catalog.
    pub(crate) fn histogram(&self, index: usize) -> Option<&Histogram> {
        match self.0.get(index) {
            Some(Reading::Histogram(histogram)) => Some(histogram),
            Some(Reading::Points(_)) | None => None,
        }
    }

    /// Number of series that each metric of the catalog must have in the text.
    pub(crate) fn series(&self) -> impl Iterator<Item = usize> {
        self.0.iter().map(|reading| match reading {
            Reading::Points(points) => points.len(),
            Reading::Histogram(_) => 1,
        })
    }
}

impl Reading {
    fn read(metric: &Metric, report: &Report) -> Self {
        let Report { snapshot, alerts } = report;
        let plain = |value| Point { labels: Vec::new(), value };
        match metric.kind {
            Kind::Counter(read) => Self::Points(vec![plain(unit::count(read(snapshot)))]),
            Kind::Gauge(read) => Self::Points(read(snapshot).map(plain).into_iter().collect()),
            Kind::LabelledGauge { labels, read } | Kind::LabelledCounter { labels, read } => {
                Self::Points(read(snapshot).into_iter().map(|sample| labelled(labels, sample)).collect())
            }
            Kind::AlertGauge { labels, read } => {
                Self::Points(read(alerts).into_iter().map(|sample| labelled(labels, sample)).collect())
            }
            Kind::Histogram(read) => Self::Histogram(*read(snapshot)),
        }
    }
}

fn labelled(names: &[&'static str], sample: Sample) -> Point {
    let labels = names.iter().zip(sample.labels).map(|(name, value)| KeyValue::new(*name, value)).collect();
    Point { labels, value: sample.value }
}

/// The current scrape, which the instruments read; empty between scrapes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Current(Arc<Mutex<Scrape>>);

impl Current {
    /// Replaces the last scrape.
    pub(crate) fn set(&self, scrape: Scrape) {
        // A scrape is always replaced as a whole, so a panic leaves nothing half done.
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = scrape;
    }

    /// Calls `read` with the scrape.
    pub(crate) fn with<T>(&self, read: impl FnOnce(&Scrape) -> T) -> T {
        read(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
