//! Cases of urgent alerts as an Alertmanager receives them.

use crate::broker::Broker;
use adapter_http::{AlertWebhook, HandlerUrl};
use domain::id::{GroupId, InstanceId};
use domain::metrics::Urgent;
use domain::recovery::RecoveryCode;
use serde_json::{Value, json};

const AT_MS: i64 = 1_764_411_330_250;

fn webhook(broker: &Broker) -> AlertWebhook {
    let url = HandlerUrl::parse(&broker.url("/api/v2/alerts")).expect("a URL");
    let group = GroupId::parse("desk").expect("an id");
    AlertWebhook::new(url, group, InstanceId::parse("a-1").expect("an id"))
        .job("trading")
        .runbooks("http://127.0.0.1:5001/runbooks/")
}

#[tokio::test]
async fn one_request_posts_all_events() {
    let broker = Broker::answering("200 OK", "").await;
    let corrupt = Urgent::RecoveryFailed(RecoveryCode::DataCorrupt);
    let told = webhook(&broker).post(&[(Urgent::FencedWrite, AT_MS), (corrupt, AT_MS)]).await;
    assert_eq!(told, Ok(()));
    let request = broker.asked().remove(0);
    let (head, body) = request.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("POST /api/v2/alerts HTTP/1.1\r\n"), "{head}");
    assert!(head.to_lowercase().contains("content-type: application/json"), "{head}");
    let alerts: Value = serde_json::from_str(body).expect("JSON");
    let labels = |alertname: &str, component: &str, condition: &str| {
        json!({
            "alertname": alertname, "severity": "critical", "component": component, "condition": condition,
            "job": "trading", "group": "desk", "instance_id": "a-1",
        })
    };
    assert_eq!(alerts[0]["labels"], labels("FencedWrite", "signals", "fenced_write"));
    let rule = monitoring::urgent::rule(corrupt);
    assert_eq!(alerts[1]["labels"], labels("RecoveryDataCorrupt", "crash_recovery", rule.condition));
    assert_eq!(
        alerts[1]["annotations"]["summary"],
        "a-1: recovery failed with DATA_CORRUPT: trading is halted"
    );
    assert_eq!(
        alerts[1]["annotations"]["runbook_url"],
        "http://127.0.0.1:5001/runbooks/recovery-data-corrupt"
    );
    assert_eq!(alerts[0]["startsAt"], "2025-11-29T10:15:30.250+00:00");
    let ends = alerts[0]["endsAt"].as_str().expect("a time");
    assert!(ends > "2026-01-01", "{ends}: Alertmanager notifies about no alert that is over when it arrives");
    assert_eq!(alerts.as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn a_refused_body_is_an_error() {
    let broker = Broker::answering("503 Service Unavailable", "").await;
    let told = webhook(&broker).post(&[(Urgent::SplitBrain, AT_MS)]).await;
    assert_eq!(told, Err("HTTP 503".to_owned()));
}
