//! Tests of the OTLP pushes: to a receiver that accepts them, and to one that does not.

use crate::TTL;
use crate::group::{Group, Lead};
use crate::wait::{PATIENCE, block_on, until};
use axum::Router;
use axum::body::Bytes;
use axum::http::{StatusCode, Uri};
use contract::event::EventKind;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use std::collections::BTreeMap;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use testkit::process::Signal;

/// Treatment of what arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Conduct {
    Takes,
    Refuses,
    Hangs,
}

struct Receiver {
    address: SocketAddr,
    conduct: Arc<Mutex<Conduct>>,
    arrived: Arc<Mutex<Vec<Arrived>>>,
}

struct Arrived {
    path: String,
    body: Bytes,
    became: Conduct,
}

impl Receiver {
    fn start(conduct: Conduct) -> Self {
        let conduct = Arc::new(Mutex::new(conduct));
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let (how, bodies) = (Arc::clone(&conduct), Arc::clone(&arrived));
        let router = Router::new().fallback(async move |uri: Uri, body: Bytes| {
            let became = *how.lock().expect("no test panics here");
            let arrived = Arrived { path: uri.path().to_owned(), body, became };
            bodies.lock().expect("no test panics here").push(arrived);
            match became {
                Conduct::Takes => StatusCode::OK,
                Conduct::Refuses => StatusCode::INTERNAL_SERVER_ERROR,
                Conduct::Hangs => pending().await,
            }
        });
        let address = block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let address = listener.local_addr().expect("it is bound");
            tokio::spawn(async move { axum::serve(listener, router).await });
            address
        });
        Self { address, conduct, arrived }
    }

    /// Instances of one group that push to it; one of them leads.
    fn group(&self, names: &[&str]) -> (Group, Lead) {
        let mut group = Group::embedded(TTL);
        let url = format!("http://{}/", self.address);
        for name in names {
            let launch = group.launch(name).environment("COORDINATOR_TELEMETRY_OTLP", &url);
            group.start_as(name, &launch);
            group.wait_ready(name);
        }
        let lead = group.wait_lead(0);
        group.wait_active(&lead.name);
        (group, lead)
    }

    fn becomes(&self, conduct: Conduct) {
        *self.conduct.lock().expect("no test panics here") = conduct;
    }

    /// The bodies that arrived at `path` and had that treatment.
    fn bodies(&self, path: &str, fate: Conduct) -> Vec<Bytes> {
        let arrived = self.arrived.lock().expect("no test panics here");
        let of = arrived.iter().filter(|arrived| arrived.path == path && arrived.became == fate);
        of.map(|arrived| arrived.body.clone()).collect()
    }

    fn wait_bodies(&self, path: &str, fate: Conduct, count: usize) {
        until(&format!("{count} requests of {path}"), || {
            (self.bodies(path, fate).len() >= count).then_some(())
        });
    }

    /// The accepted spans of an instance, by their names and epochs; a span that was pushed again counts
    /// once.
    fn spans(&self, name: &str) -> BTreeMap<(String, u64), Span> {
        let mut spans = BTreeMap::new();
        for body in self.bodies("/v1/traces", Conduct::Takes) {
            for of in ExportTraceServiceRequest::decode(body).expect("OTLP").resource_spans {
                if is_from(of.resource.as_ref(), name) {
                    let all = of.scope_spans.into_iter().flat_map(|scope| scope.spans);
                    spans.extend(
                        all.map(|span| ((span.name.clone(), number(&span, "coordinator.epoch")), span)),
                    );
                }
            }
        }
        spans
    }

    fn wait_span(&self, instance: &str, name: &str, epoch: u64) -> Span {
        until(&format!("the span {name} of {instance} under epoch {epoch}"), || {
            self.spans(instance).remove(&(name.to_owned(), epoch))
        })
    }

    /// The types of the metrics in the first push of an instance, by name.
    fn wait_metrics(&self, instance: &str) -> BTreeMap<String, &'static str> {
        until(&format!("metrics of {instance}"), || {
            let requests = self.bodies("/v1/metrics", Conduct::Takes).into_iter();
            let mut all = requests
                .flat_map(|body| ExportMetricsServiceRequest::decode(body).expect("OTLP").resource_metrics);
            let first = all.find(|of| is_from(of.resource.as_ref(), instance))?;
            let metrics = first.scope_metrics.into_iter().flat_map(|scope| scope.metrics);
            Some(metrics.map(|metric| (metric.name, kind(metric.data.as_ref()))).collect())
        })
    }
}

fn kind(data: Option<&Data>) -> &'static str {
    match data {
        Some(Data::Gauge(_)) => "gauge",
        Some(Data::Sum(sum)) if sum.is_monotonic => "counter",
        Some(Data::Histogram(_)) => "histogram",
        other => panic!("no metric of ours: {other:?}"),
    }
}

fn value(attributes: &[KeyValue], key: &str) -> Option<Value> {
    attributes.iter().find(|pair| pair.key == key)?.value.clone()?.value
}

fn is_from(resource: Option<&Resource>, instance: &str) -> bool {
    let resource = resource.expect("it says where it is from");
    let text = |text: &str| Some(Value::StringValue(text.to_owned()));
    assert_eq!(value(&resource.attributes, "service.name"), text("coordinator"));
    assert_eq!(value(&resource.attributes, "coordinator.group"), text("default"));
    value(&resource.attributes, "service.instance.id") == text(instance)
}

fn text(span: &Span, key: &str) -> Option<String> {
    match value(&span.attributes, key)? {
        Value::StringValue(text) => Some(text),
        other => panic!("{key} is {other:?}"),
    }
}

fn number(span: &Span, key: &str) -> u64 {
    match value(&span.attributes, key) {
        Some(Value::IntValue(number)) => number.try_into().expect("not negative"),
        other => panic!("{key} is {other:?} in {span:?}"),
    }
}

/// The types in a scrape of `/metrics`, by name.
fn scraped(group: &mut Group, name: &str) -> BTreeMap<String, String> {
    let text = group.process(name).get("/metrics").expect("it listens").body;
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
}

#[test]
fn a_takeover_and_a_step_down_are_spans_and_metrics_have_the_names_of_a_scrape() {
    let receiver = Receiver::start(Conduct::Takes);
    let (mut group, first) = receiver.group(&["a", "b"]);
    group.step_down("kernel update");
    let next = group.wait_lead(first.epoch);
    group.wait_active(&next.name);

    let span = |name: &str| receiver.wait_span(&first.name, name, first.epoch);
    let (takeover, recovery) = (span("takeover"), span("recovery"));
    let (leadership, handover) = (span("leadership"), span("handover"));
    assert!(takeover.parent_span_id.is_empty() && takeover.status.is_none(), "{takeover:?}");
    for (child, parent) in [(&recovery, &takeover), (&leadership, &takeover), (&handover, &leadership)] {
        assert_eq!((&child.trace_id, &child.parent_span_id), (&parent.trace_id, &parent.span_id));
        assert!(child.status.is_none(), "{child:?}");
    }
    assert!(takeover.start_time_unix_nano < leadership.start_time_unix_nano, "a claim takes its time");
    assert_eq!(recovery.start_time_unix_nano, leadership.start_time_unix_nano);
    assert_eq!(handover.start_time_unix_nano, leadership.end_time_unix_nano);
    assert_eq!(text(&leadership, "coordinator.end").as_deref(), Some("released"));
    assert_eq!(text(&leadership, "coordinator.reason").as_deref(), Some("kernel update"));
    assert_eq!(value(&leadership.attributes, "coordinator.gap_ms"), None, "no instance led before");
    // The duration according to the events.
    let resign = group.wait_event(&first.name, EventKind::Resign, first.epoch);
    let led = leadership.end_time_unix_nano - leadership.start_time_unix_nano;
    assert_eq!(led, resign.t - first.t);

    let takeover = receiver.wait_span(&next.name, "takeover", next.epoch);
    let gap = format!(
        "SELECT CAST(next.from_ms - former.to_ms AS TEXT) FROM coordinator_term AS former, \
                       coordinator_term AS next WHERE former.epoch = {} AND next.epoch = {}",
        first.epoch, next.epoch
    );
    assert_eq!(group.database.text(&gap), Some(number(&takeover, "coordinator.gap_ms").to_string()));

    // A metric that appears or disappears with its value may be in only one of the two; they agree on the
    // type.
    let (pushed, scraped) = (receiver.wait_metrics(&first.name), scraped(&mut group, &first.name));
    for (name, kind) in &pushed {
        assert_eq!(scraped.get(name).map_or(*kind, String::as_str), *kind, "{name}");
    }
    for (name, kind) in scraped.iter().filter(|(_, kind)| *kind != "gauge") {
        assert_eq!(pushed.get(name).copied(), Some(kind.as_str()), "{name}");
    }

    // A span that ends with the process is exported before the process ends.
    group.process(&next.name).signal(Signal::TERM);
    assert_eq!(group.process(&next.name).wait_exit(PATIENCE).code(), Some(0));
    let last = receiver.spans(&next.name);
    assert!(last.contains_key(&("leadership".to_owned(), next.epoch)), "{:?}", last.keys());
    group.finish();
}

#[test]
fn a_leader_that_wakes_past_its_deadline_exports_that_it_expired() {
    let receiver = Receiver::start(Conduct::Takes);
    let (mut group, lead) = receiver.group(&["a"]);
    group.start("b");
    group.freeze("a");
    let next = group.wait_lead(lead.epoch);
    group.process("a").signal(Signal::CONT);
    let leadership = receiver.wait_span("a", "leadership", lead.epoch);
    assert_eq!(text(&leadership, "coordinator.end").as_deref(), Some("expired"));
    assert_eq!(leadership.status.as_ref().map(|status| status.code), Some(2), "{leadership:?}");
    group.expect_only_leader(&next);
    group.finish();
}

#[test]
fn a_receiver_that_hangs_delays_nothing() {
    let receiver = Receiver::start(Conduct::Hangs);
    let (mut group, lead) = receiver.group(&["a", "b"]);
    receiver.wait_bodies("/v1/metrics", Conduct::Hangs, 2);
    group.assert_undisturbed(&lead);
    group.process(&lead.name).signal(Signal::TERM);
    // The other instance leads while the last push of this one still waits, or after it timed out. Then this
    // one ends well.
    let next = group.wait_lead(lead.epoch);
    assert_eq!(group.process(&lead.name).wait_exit(PATIENCE).code(), Some(0));
    // A busy store may answer the release too late for the event.
    let ended = format!("SELECT reason FROM coordinator_term WHERE epoch = {}", lead.epoch);
    let ended = group.database.text(&ended);
    assert!(ended.as_deref().is_some_and(|why| why != "expired"), "the lease was released: {ended:?}");
    group.expect_only_leader(&next);
    group.finish();
}

#[test]
fn an_outage_is_logged_once_and_delayed_pushes_arrive_after_it() {
    let receiver = Receiver::start(Conduct::Refuses);
    let (mut group, first) = receiver.group(&["a"]);
    // There is no other instance, so the handover must be forced, and the same instance leads again.
    group.carry_out(&["step-down", "--force", "--reason", "kernel update"]);
    let second = group.wait_lead(first.epoch);
    group.wait_active("a");
    receiver.wait_bodies("/v1/traces", Conduct::Refuses, 3);
    receiver.wait_bodies("/v1/metrics", Conduct::Refuses, 1);
    until("the refusals are logged", || {
        group.process("a").log().contains("metrics are not accepted").then_some(())
    });
    receiver.becomes(Conduct::Takes);
    for what in ["spans", "metrics"] {
        until("it is accepted again", || {
            group.process("a").log().contains(&format!("OTLP: {what} are accepted again")).then_some(())
        });
    }
    for (name, epoch) in [
        ("takeover", first.epoch),
        ("recovery", first.epoch),
        ("leadership", first.epoch),
        ("handover", first.epoch),
        ("takeover", second.epoch),
        ("recovery", second.epoch),
    ] {
        receiver.wait_span("a", name, epoch);
    }
    group.process("a").signal(Signal::TERM);
    assert_eq!(group.process("a").wait_exit(PATIENCE).code(), Some(0));
    let log = group.process("a").log();
    for what in ["spans", "metrics"] {
        for text in ["are not accepted; the instance continues: ", "are accepted again"] {
            assert_eq!(log.matches(&format!("OTLP: {what} {text}")).count(), 1, "{what} {text} in\n{log}");
        }
    }
    group.finish();
}
