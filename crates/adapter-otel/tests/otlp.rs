//! Tests of the pushed bodies, decoded with OTLP's messages: they equal the text of a scrape of the same
//! snapshot.

mod fixture;

use adapter_otel::{Attribute, Exposition, Otlp, Span};
use domain::alert::Report;
use domain::id::GroupId;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, HistogramDataPoint, NumberDataPoint};
use prost::Message;
use std::collections::BTreeMap;

const STARTED_NS: u64 = 1_700_000_000_000_000_000;
const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;

/// Types by name, and values by series, as in the text.
#[derive(Debug, Default, PartialEq)]
struct Exported {
    types: BTreeMap<String, String>,
    series: BTreeMap<String, f64>,
}

fn otlp() -> Otlp {
    Otlp::new(&GroupId::parse("desk").expect("an id"), &fixture::id("me"), "1.2.3")
}

fn scraped(report: &Report) -> Exported {
    let text = Exposition::new().expect("a pipeline").render(report).expect("a text");
    let mut exported = Exported::default();
    for line in text.lines() {
        if let Some(line) = line.strip_prefix("# TYPE ") {
            let (name, kind) = line.split_once(' ').expect("a name and a type");
            exported.types.insert(name.to_owned(), kind.to_owned());
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').expect("a series and a value");
            exported.series.insert(series.to_owned(), value.parse().expect("a number"));
        }
    }
    exported
}

fn pushed(report: &Report) -> Exported {
    let body = otlp().metrics(report).expect("readable metrics");
    let request = ExportMetricsServiceRequest::decode(body.as_slice()).expect("OTLP");
    let [resource] = request.resource_metrics.as_slice() else { panic!("one resource: {request:?}") };
    let [scope] = resource.scope_metrics.as_slice() else { panic!("one scope: {request:?}") };
    let mut exported = Exported::default();
    for metric in &scope.metrics {
        let name = metric.name.as_str();
        assert!(!metric.description.is_empty() && !metric.unit.is_empty(), "{metric:?}");
        let kind = match metric.data.as_ref().expect("data") {
            Data::Gauge(gauge) => {
                exported.numbers(name, &gauge.data_points);
                "gauge"
            }
            Data::Sum(sum) => {
                assert!(sum.is_monotonic && sum.aggregation_temporality == CUMULATIVE, "{metric:?}");
                exported.numbers(name, &sum.data_points);
                "counter"
            }
            Data::Histogram(histogram) => {
                assert_eq!(histogram.aggregation_temporality, CUMULATIVE);
                let [point] = histogram.data_points.as_slice() else { panic!("one series: {metric:?}") };
                exported.histogram(name, point);
                "histogram"
            }
            other => panic!("no metric of ours: {other:?}"),
        };
        assert_eq!(exported.types.insert(name.to_owned(), kind.to_owned()), None, "{name} is there twice");
    }
    exported
}

impl Exported {
    fn numbers(&mut self, name: &str, points: &[NumberDataPoint]) {
        assert!(!points.is_empty(), "{name} has no value, so it must be left out");
        for point in points {
            assert_eq!(point.start_time_unix_nano, STARTED_NS, "{name}");
            let Some(Number::AsDouble(value)) = point.value else { panic!("no float: {point:?}") };
            let mut labels: Vec<String> =
                point.attributes.iter().map(|pair| format!("{}=\"{}\"", pair.key, text(pair))).collect();
            labels.sort_unstable();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            self.series.insert(format!("{name}{labels}"), value);
        }
    }

    /// Adds the buckets up, as in the text.
    fn histogram(&mut self, name: &str, point: &HistogramDataPoint) {
        let bounds = point.explicit_bounds.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
        assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
        let mut up_to = 0;
        for (bound, count) in bounds.zip(&point.bucket_counts) {
            up_to += count;
            self.series.insert(format!("{name}_bucket{{le=\"{bound}\"}}"), number(up_to));
        }
        self.series.insert(format!("{name}_count"), number(point.count));
        self.series.insert(format!("{name}_sum"), point.sum.expect("a sum"));
    }
}

#[allow(clippy::cast_precision_loss)] // Small counts.
fn number(count: u64) -> f64 {
    count as f64
}

fn text(pair: &KeyValue) -> &str {
    match &pair.value {
        Some(AnyValue { value: Some(Value::StringValue(text)) }) => text,
        other => panic!("no text: {other:?}"),
    }
}

#[test]
fn names_types_and_values_are_those_of_a_scrape() {
    for snapshot in [fixture::fresh(), fixture::full()] {
        let (scraped, pushed) = (scraped(&snapshot), pushed(&snapshot));
        assert!(scraped.types.len() > 28 && scraped.types.values().any(|kind| kind == "histogram"));
        assert_eq!(pushed, scraped);
    }
}

#[test]
fn every_body_says_who_pushes() {
    let who = |attributes: &[KeyValue]| -> Vec<(String, String)> {
        attributes.iter().map(|pair| (pair.key.clone(), text(pair).to_owned())).collect()
    };
    let expected = [
        ("service.name", "coordinator"),
        ("service.instance.id", "me"),
        ("service.version", "1.2.3"),
        ("coordinator.group", "desk"),
    ];
    let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let metrics = otlp().metrics(&fixture::full()).expect("readable metrics");
    let metrics = ExportMetricsServiceRequest::decode(metrics.as_slice()).expect("OTLP");
    let resource = metrics.resource_metrics[0].resource.as_ref().expect("a resource");
    assert_eq!(who(&resource.attributes), expected);
    let traces = ExportTraceServiceRequest::decode(otlp().traces(&[]).as_slice()).expect("OTLP");
    let resource = traces.resource_spans[0].resource.as_ref().expect("a resource");
    assert_eq!(who(&resource.attributes), expected);
}

#[test]
fn spans_arrive_as_they_are() {
    let takeover = Span {
        trace: [1; 16],
        id: [2; 8],
        parent: None,
        name: "takeover",
        from_ns: 5,
        to_ns: 9,
        attributes: vec![("epoch", Attribute::Number(42)), ("end", Attribute::Text("expired".to_owned()))],
        error: None,
    };
    let recovery = Span {
        id: [3; 8],
        parent: Some([2; 8]),
        name: "recovery",
        attributes: Vec::new(),
        error: Some("DATA_CORRUPT".to_owned()),
        ..takeover.clone()
    };
    let body = otlp().traces(&[takeover, recovery]);
    let request = ExportTraceServiceRequest::decode(body.as_slice()).expect("OTLP");
    let [takeover, recovery] = request.resource_spans[0].scope_spans[0].spans.as_slice() else {
        panic!("two spans: {request:?}")
    };
    assert_eq!((takeover.trace_id.as_slice(), takeover.span_id.as_slice()), (&[1; 16][..], &[2; 8][..]));
    assert_eq!(
        (takeover.name.as_str(), takeover.parent_span_id.len(), &takeover.status),
        ("takeover", 0, &None)
    );
    assert_eq!((takeover.start_time_unix_nano, takeover.end_time_unix_nano), (5, 9));
    let epoch = takeover.attributes[0].value.as_ref().and_then(|value| value.value.clone());
    assert_eq!((takeover.attributes[0].key.as_str(), epoch), ("epoch", Some(Value::IntValue(42))));
    assert_eq!((takeover.attributes[1].key.as_str(), text(&takeover.attributes[1])), ("end", "expired"));
    assert_eq!(recovery.parent_span_id, takeover.span_id);
    let status = recovery.status.as_ref().expect("it failed");
    assert_eq!((status.message.as_str(), status.code), ("DATA_CORRUPT", 2));
}
