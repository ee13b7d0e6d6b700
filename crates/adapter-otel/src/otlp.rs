//! [`Otlp`]: reports and spans as OTLP, the bodies of requests over HTTP.
//!
//! The messages are filled from the [catalog](domain::catalog), as the text of a scrape is, and not by the
//! OpenTelemetry SDK's reader: it has no instrument for a histogram that was counted already, and reads its
//! instruments one after the other, so that two metrics of one push could be of different times.

use crate::exposition::{RenderError, message};
use crate::scrape::{Point, Scrape};
use domain::alert::Report;
use domain::catalog::{CATALOG, Kind};
use domain::id::{GroupId, InstanceId};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as WiredSpan, Status};
use prost::Message;
use std::panic::catch_unwind;

const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;

/// An operation with a duration. Spans with the same trace belong together.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Id of the trace; not all zeros.
    pub trace: [u8; 16],
    /// Id of the span; not all zeros.
    pub id: [u8; 8],
    /// Id of the span in which it began; `None`: the first span of the trace.
    pub parent: Option<[u8; 8]>,
    /// Name of the operation.
    pub name: &'static str,
    /// Begin, in unix nanoseconds.
    pub from_ns: u64,
    /// End, in unix nanoseconds.
    pub to_ns: u64,
    /// Further facts.
    pub attributes: Vec<(&'static str, Attribute)>,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

/// Value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// A text.
    Text(String),
    /// A number.
    Number(i64),
}

/// Writes the bodies of requests for one instance.
#[derive(Debug, Clone)]
pub struct Otlp {
    resource: Resource,
    scope: InstrumentationScope,
}

impl Otlp {
    /// Value of the header `Content-Type`.
    pub const CONTENT_TYPE: &str = "application/x-protobuf";
    /// Path of metrics, under the receiver's address.
    pub const METRICS_PATH: &str = "/v1/metrics";
    /// Path of spans, under the receiver's address.
    pub const TRACES_PATH: &str = "/v1/traces";

    /// For `instance` of `group` with the version `version`; every body contains them.
    pub fn new(group: &GroupId, instance: &InstanceId, version: &str) -> Self {
        let attributes = [
            ("service.name", "coordinator"),
            ("service.instance.id", instance.as_str()),
            ("service.version", version),
            ("coordinator.group", group.as_str()),
        ];
        let attributes = attributes.map(|(key, value)| pair(key, Value::StringValue(value.to_owned())));
        let resource = Resource { attributes: attributes.into(), ..Resource::default() };
        let scope =
            InstrumentationScope { name: "coordinator".to_owned(), ..InstrumentationScope::default() };
        Self { resource, scope }
    }

    /// Every metric that a scrape of `report` shows, under the same name, with the same values. Does no IO.
    ///
    /// # Errors
    /// [`RenderError::Panicked`] if a metric could not be read: then none is exported.
    pub fn metrics(&self, report: &Report) -> Result<Vec<u8>, RenderError> {
        let metrics = catch_unwind(|| {
            let snapshot = &report.snapshot;
            let times = Times { from_ns: nanos(snapshot.started_ms), at_ns: nanos(snapshot.now_ms) };
            let scrape = Scrape::read(CATALOG, report);
            let metrics = CATALOG.iter().enumerate().filter_map(|(index, metric)| {
                Some(Metric {
                    name: metric.name.to_owned(),
                    description: metric.help.to_owned(),
                    unit: metric.unit.to_owned(),
                    data: Some(data(metric.kind, &scrape, index, times)?),
                    ..Metric::default()
                })
            });
            metrics.collect()
        });
        let metrics = metrics.map_err(|panic| RenderError::Panicked(message(panic.as_ref())))?;
        let scope = ScopeMetrics { scope: Some(self.scope.clone()), metrics, ..ScopeMetrics::default() };
        let resource = ResourceMetrics {
            resource: Some(self.resource.clone()),
            scope_metrics: vec![scope],
            ..ResourceMetrics::default()
        };
        Ok(ExportMetricsServiceRequest { resource_metrics: vec![resource] }.encode_to_vec())
    }

    /// The spans. Does no IO.
    pub fn traces(&self, spans: &[Span]) -> Vec<u8> {
        let spans = spans.iter().map(wired).collect();
        let scope = ScopeSpans { scope: Some(self.scope.clone()), spans, ..ScopeSpans::default() };
        let resource = ResourceSpans {
            resource: Some(self.resource.clone()),
            scope_spans: vec![scope],
            ..ResourceSpans::default()
        };
        ExportTraceServiceRequest { resource_spans: vec![resource] }.encode_to_vec()
    }
}

/// Start of the counters and time of the report, in unix nanoseconds.
#[derive(Debug, Clone, Copy)]
struct Times {
    from_ns: u64,
    at_ns: u64,
}

/// The metric at `index` of the catalog; `None` if it has no value.
fn data(kind: Kind, scrape: &Scrape, index: usize, times: Times) -> Option<Data> {
    let numbers = || scrape.points(index).iter().map(|point| number(point, times)).collect::<Vec<_>>();
    match kind {
        Kind::Counter(_) | Kind::LabelledCounter { .. } => Some(Data::Sum(Sum {
            data_points: numbers(),
            aggregation_temporality: CUMULATIVE,
            is_monotonic: true,
        })),
        Kind::Gauge(_) | Kind::LabelledGauge { .. } | Kind::AlertGauge { .. } => {
            let data_points = numbers();
            (!data_points.is_empty()).then_some(Data::Gauge(Gauge { data_points }))
        }
        Kind::Histogram(_) => Some(Data::Histogram(Histogram {
            data_points: scrape
                .histogram(index)
                .map(|histogram| distribution(histogram, times))
                .into_iter()
                .collect(),
            aggregation_temporality: CUMULATIVE,
        })),
    }
}

fn number(point: &Point, times: Times) -> NumberDataPoint {
    let label = |label: &opentelemetry::KeyValue| {
        pair(label.key.as_str(), Value::StringValue(label.value.as_str().into_owned()))
    };
    NumberDataPoint {
        attributes: point.labels.iter().map(label).collect(),
        start_time_unix_nano: times.from_ns,
        time_unix_nano: times.at_ns,
        value: Some(Number::AsDouble(point.value)),
        ..NumberDataPoint::default()
    }
}

/// Each bucket has a separate count here, whereas the text of a scrape has cumulative counts; the last one
/// has no bound.
fn distribution(histogram: &domain::metrics::Histogram, times: Times) -> HistogramDataPoint {
    let (bounds, mut up_to): (Vec<f64>, Vec<u64>) =
        histogram.cumulative().map(|(bound, up_to)| (bound.as_secs_f64(), up_to)).unzip();
    up_to.push(histogram.count());
    let below = [0].into_iter().chain(up_to.iter().copied());
    HistogramDataPoint {
        start_time_unix_nano: times.from_ns,
        time_unix_nano: times.at_ns,
        count: histogram.count(),
        sum: Some(histogram.sum().as_secs_f64()),
        bucket_counts: up_to.iter().zip(below).map(|(up_to, below)| up_to - below).collect(),
        explicit_bounds: bounds,
        ..HistogramDataPoint::default()
    }
}

fn wired(span: &Span) -> WiredSpan {
    let attribute = |(key, value): &(&'static str, Attribute)| {
        let value = match value {
            Attribute::Text(text) => Value::StringValue(text.clone()),
            Attribute::Number(number) => Value::IntValue(*number),
        };
        pair(key, value)
    };
    let status = |error: &String| Status { message: error.clone(), code: StatusCode::Error as i32 };
    WiredSpan {
        trace_id: span.trace.into(),
        span_id: span.id.into(),
        parent_span_id: span.parent.map_or_else(Vec::new, Into::into),
        name: span.name.to_owned(),
        kind: SpanKind::Internal as i32,
        start_time_unix_nano: span.from_ns,
        end_time_unix_nano: span.to_ns,
        attributes: span.attributes.iter().map(attribute).collect(),
        status: span.error.as_ref().map(status),
        ..WiredSpan::default()
    }
}

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// Unix milliseconds as nanoseconds; a time before 1970 becomes 1970.
fn nanos(unix_ms: i64) -> u64 {
    u64::try_from(unix_ms).unwrap_or(0).saturating_mul(1_000_000)
}
