//! [`Exposition`]: the Prometheus text of a scrape.

use crate::durations::Durations;
use crate::scrape::{Current, Scrape};
use domain::alert::Report;
use domain::catalog::{CATALOG, Kind, Metric};
use opentelemetry::metrics::{AsyncInstrument, Meter, MeterProvider};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::proto::MetricFamily;
use prometheus::{Registry, TextEncoder};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

/// Value of the header `Content-Type`.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Error if the pipeline could not be set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// The SDK refused the exporter.
    #[error("the metrics exporter could not be built: {0}")]
    Exporter(String),
    /// The SDK refused a metric.
    #[error("the metric {name} could not be registered: {reason}")]
    Metric {
        /// Name of the metric.
        name: &'static str,
        /// Reason.
        reason: String,
    },
}

/// Error if no reliable text can be produced. The endpoint answers 500.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// Reading a metric panicked with this message.
    #[error("a metric could not be read: {0}")]
    Panicked(String),
    /// The number of a metric's series differs from the number that was read: the provider is shut down or
    /// dropped some.
    #[error("the metrics provider is dead: {name} has {found} of {expected} series")]
    Incomplete {
        /// Name of the metric.
        name: &'static str,
        /// Number of series in the text.
        found: usize,
        /// Number of series that were read from the snapshot.
        expected: usize,
    },
    /// The text could not be written.
    #[error("the metrics could not be written: {0}")]
    Encode(String),
}

/// Renders reports as Prometheus text. A process should have only one, because building it sets up the whole
/// pipeline.
pub struct Exposition {
    catalog: &'static [Metric],
    registry: Registry,
    provider: SdkMeterProvider,
    current: Current,
    /// Serialises scrapes: two at a time would use each other's values.
    scraping: Mutex<()>,
}

impl Exposition {
    /// Sets up the pipeline for every metric of the catalog, on a separate registry.
    pub fn new() -> Result<Self, BuildError> {
        Self::of(CATALOG)
    }

    fn of(catalog: &'static [Metric]) -> Result<Self, BuildError> {
        let registry = Registry::new();
        // The names are the contract: nothing may be added to them, and no series may contain its origin.
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .without_counter_suffixes()
            .without_units()
            .without_target_info()
            .scope_info_enabled(false)
            .build()
            .map_err(|error| BuildError::Exporter(error.to_string()))?;
        // An empty resource, because the default one reads the environment.
        let resource = Resource::builder_empty().build();
        let provider = SdkMeterProvider::builder().with_resource(resource).with_reader(exporter).build();
        let current = Current::default();
        let meter = provider.meter("coordinator");
        for (index, metric) in catalog.iter().enumerate() {
            register(metric, index, &meter, &registry, &current)
                .map_err(|error| BuildError::Metric { name: metric.name, reason: error.to_string() })?;
        }
        Ok(Self { catalog, registry, provider, current, scraping: Mutex::new(()) })
    }

    /// The text of `report`, in the format of [`CONTENT_TYPE`]. Calls wait for each other; none does any IO.
    ///
    /// The text is never empty or partial: if a metric panics, or one that was read is not in the text, the
    /// result is a [`RenderError`]. After a panic inside the provider, or its shutdown, every call fails.
    pub fn render(&self, report: &Report) -> Result<String, RenderError> {
        let families = self.gather(report)?;
        TextEncoder::new().encode_to_string(&families).map_err(|error| RenderError::Encode(error.to_string()))
    }

    /// Shuts the provider down: from then on every [`render`](Self::render) fails. Repeated calls are
    /// harmless.
    pub fn shutdown(&self) {
        // An error means that it was shut down or failed before: nothing is left to do.
        let _ = self.provider.shutdown();
    }

    fn gather(&self, report: &Report) -> Result<Vec<MetricFamily>, RenderError> {
        let _one_at_a_time = self.scraping.lock().unwrap_or_else(PoisonError::into_inner);
        let scrape = || {
            self.current.set(Scrape::read(self.catalog, report));
            let families = self.registry.gather();
            self.current.with(|scrape| complete(self.catalog, scrape, &families))?;
            Ok(families)
        };
        // A panic may leave a poisoned provider, which the check for completeness detects.
        let families = catch_unwind(AssertUnwindSafe(scrape));
        // In any case, no later scrape may use these values.
        self.current.set(Scrape::default());
        families.unwrap_or_else(|panic| Err(RenderError::Panicked(message(panic.as_ref()))))
    }
}

/// Adds one metric of the catalog to the pipeline.
fn register(
    metric: &'static Metric,
    index: usize,
    meter: &Meter,
    registry: &Registry,
    current: &Current,
) -> prometheus::Result<()> {
    let current = current.clone();
    match metric.kind {
        // The SDK itself keeps the callbacks; the handles that it returns have no use.
        Kind::Counter(_) | Kind::LabelledCounter { .. } => drop(
            meter
                .f64_observable_counter(metric.name)
                .with_unit(metric.unit)
                .with_description(metric.help)
                .with_callback(move |instrument| observe(&current, index, instrument))
                .build(),
        ),
        Kind::Gauge(_) | Kind::LabelledGauge { .. } | Kind::AlertGauge { .. } => drop(
            meter
                .f64_observable_gauge(metric.name)
                .with_unit(metric.unit)
                .with_description(metric.help)
                .with_callback(move |instrument| observe(&current, index, instrument))
                .build(),
        ),
        Kind::Histogram(_) => registry.register(Box::new(Durations::new(metric, index, current)?))?,
    }
    Ok(())
}

fn observe(current: &Current, index: usize, instrument: &dyn AsyncInstrument<f64>) {
    current.with(|scrape| {
        for point in scrape.points(index) {
            instrument.observe(point.value, &point.labels);
        }
    });
}

/// Checks that everything that was read is in the text. The registry omits the metrics of a failed provider,
/// and a scraper would treat that as the truth.
fn complete(catalog: &[Metric], scrape: &Scrape, families: &[MetricFamily]) -> Result<(), RenderError> {
    for (metric, expected) in catalog.iter().zip(scrape.series()) {
        let family = families.iter().find(|family| family.name() == metric.name);
        let found = family.map_or(0, |family| family.get_metric().len());
        if found != expected {
            return Err(RenderError::Incomplete { name: metric.name, found, expected });
        }
    }
    Ok(())
}

/// The text of a panic.
pub(crate) fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn a_provider_that_is_shut_down_is_an_error_and_not_an_empty_text() {
        let exposition = Exposition::new().unwrap();
        exposition.render(&fixture::fresh()).unwrap();
        for _ in 0..2 {
            exposition.shutdown();
            let error = exposition.render(&fixture::fresh()).unwrap_err();
            assert!(matches!(error, RenderError::Incomplete { found: 0, .. }), "{error}");
        }
    }

    #[test]
    fn a_callback_that_panics_is_an_error_now_and_later() {
        let exposition = Exposition::new().unwrap();
        let meter = exposition.provider.meter("test");
        meter.u64_observable_gauge("faulty").with_callback(|_| panic!("out of order")).build();
        let first = exposition.render(&fixture::fresh()).unwrap_err();
        assert_eq!(first, RenderError::Panicked("out of order".to_owned()));
        let second = exposition.render(&fixture::fresh()).unwrap_err();
        assert!(matches!(second, RenderError::Incomplete { found: 0, .. }), "{second}");
    }

    #[test]
    fn a_metric_that_cannot_be_read_is_an_error_for_that_snapshot_alone() {
        static LEADERS_ONLY: [Metric; 1] = [{
            let mut metric = CATALOG[0];
            metric.kind = Kind::Gauge(|snapshot| {
                assert!(snapshot.view.is_leader, "not a leader");
                Some(1.0)
            });
            metric
        }];
        let exposition = Exposition::of(&LEADERS_ONLY).unwrap();
        let error = exposition.render(&fixture::fresh()).unwrap_err();
        assert_eq!(error, RenderError::Panicked("not a leader".to_owned()));
        assert!(exposition.render(&fixture::full()).unwrap().contains(LEADERS_ONLY[0].name));
    }

    #[test]
    fn a_metric_the_provider_refuses_is_an_error() {
        static MISNAMED: [Metric; 1] = [{
            let mut metric = CATALOG[0];
            metric.name = "0 is no way for a name to begin";
            metric
        }];
        let exposition = Exposition::of(&MISNAMED).unwrap();
        let error = exposition.render(&fixture::fresh()).unwrap_err();
        assert_eq!(error, RenderError::Incomplete { name: MISNAMED[0].name, found: 0, expected: 1 });
    }
}
