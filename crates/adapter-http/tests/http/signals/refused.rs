//! Cases of refused submissions: each is counted by its reason, and its answer names the remedy.

use super::{body, server, submission};
use crate::client::{Answer, post, request};
use crate::fake::{Fake, Server};
use crate::ledger::Ledger;
use adapter_http::Limits;
use domain::metrics::Refusal;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

#[tokio::test]
async fn every_refusal_of_a_submission_is_counted_by_its_reason() {
    let (server, ledger) = server(Ledger::default()).await;
    assert_eq!(server.ask(submission(&body(&json!({})))).await.status, 201);
    assert_eq!(server.ask(submission(&body(&json!({})))).await.status, 200);
    let text = body(&json!({ "position": "Long_2" })).to_string();
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(200_000));
    for (request, status, why) in [
        (post("/signals", &[], "BUY NIFTY @ 24310"), 400, Refusal::Malformed),
        (post("/signals", &[], r#"{"instrument":"NIFTY","price":NaN}"#), 400, Refusal::Malformed),
        (post("/signals", &[("Origin", "http://evil.example")], &text), 403, Refusal::Forbidden),
        (submission(&body(&json!({ "price": 2 }))), 409, Refusal::Conflict),
        (post("/signals", &[], &large), 413, Refusal::TooLarge),
        (submission(&body(&json!({ "timestamp": "2025-11-29T10:15:30" }))), 422, Refusal::Invalid),
    ] {
        let answer = server.ask(request).await;
        assert_eq!(answer.status, status, "{answer:?}");
        let counted = std::mem::take(&mut *ledger.refused.lock().expect("no panic"));
        assert_eq!(counted, [why], "{status}");
    }
    // Other requests are no trades.
    server.ask(post("/signals/claim", &[], "x")).await.problem(400);
    assert!(ledger.refused.lock().expect("no panic").is_empty());
}

#[tokio::test]
async fn a_placeholder_that_was_not_filled_is_named() {
    let (server, ledger) = server(Ledger::default()).await;
    for (field, changes, placeholder) in [
        ("instrument", json!({ "instrument": "{{ticker}}" }), "{{ticker}}"),
        ("signal_type", json!({ "signal_type": "{{strategy.order.action}}" }), "{{strategy.order.action}}"),
        ("timestamp", json!({ "timestamp": "{{timenow}}" }), "{{timenow}}"),
        ("id", json!({ "id": "{{strategy.order.id}}" }), "{{strategy.order.id}}"),
        ("expires_at", json!({ "expires_at": "{{time}}" }), "{{time}}"),
        ("payload", json!({ "price": "{{close}}" }), "{{close}}"),
        ("payload", json!({ "payload": { "legs": [{ "price": "at {{close}}" }] } }), "{{close}}"),
    ] {
        let problem = server.ask(submission(&body(&changes))).await.problem(422);
        assert_eq!(problem["field"], field, "{problem}");
        let detail = problem["detail"].as_str().expect("a sentence");
        assert!(detail.contains(&format!("the placeholder {placeholder} was not filled")), "{detail}");
    }
    let bare = post("/signals", &[], r#"{"instrument":"NIFTY","price":{{close}}}"#);
    let detail = server.ask(bare).await.problem(400)["detail"].to_string();
    assert!(detail.contains("the placeholder {{close}} was not filled"), "{detail}");
    assert!(ledger.signals.lock().expect("no panic").is_empty());
}

#[tokio::test]
async fn a_byte_order_mark_is_no_fault() {
    let (server, _) = server(Ledger::default()).await;
    let text = format!("\u{feff}{}", body(&json!({})));
    assert_eq!(server.ask(post("/signals", &[], text)).await.status, 201);
}

#[tokio::test]
async fn a_body_that_is_no_json_is_answered_with_the_remedy() {
    let (server, _) = server(Ledger::default()).await;
    for (text, remedy) in [
        ("BUY NIFTY @ 24310", "send a JSON object such as {"),
        ("instrument=NIFTY", "send a JSON object such as {"),
        ("[]", "send a JSON object such as {"),
        (r#"{"instrument":"NIFTY","price":NaN}"#, "JSON has no NaN and no Infinity: leave the field out"),
    ] {
        let problem = server.ask(post("/signals", &[], text)).await.problem(400);
        let detail = problem["detail"].as_str().expect("a sentence");
        assert!(detail.starts_with("the body is not ") && detail.contains(remedy), "{text}: {detail}");
    }
}

#[tokio::test]
async fn a_signal_that_is_dated_in_the_future_is_refused() {
    let (server, _) = server(Ledger { accepts_until_s: 1_764_411_330, ..Ledger::default() }).await;
    let problem = server.ask(submission(&body(&json!({ "timestamp": 1_764_411_331 })))).await.problem(422);
    assert_eq!(problem["field"], "timestamp");
    let detail = problem["errors"][0]["detail"].as_str().expect("a sentence");
    assert!(detail.starts_with("in the future: ") && detail.contains("2025-11-29T10:15:30Z"), "{detail}");
    let far = json!({ "expires_at": "2099-01-01T00:00:00Z" });
    assert_eq!(server.ask(submission(&body(&far))).await.status, 201, "an expiry may be far away");
}

/// A chart that posts to a wrong path misses its trade as one that posts a wrong body.
#[tokio::test]
async fn a_submission_that_misses_the_route_is_counted_and_its_answer_names_the_right_path() {
    let (server, ledger) = server(Ledger::default()).await;
    let text = body(&json!({})).to_string();
    for (method, path, status) in [
        ("POST", "/signals/", 404),
        ("POST", "/signal", 404),
        ("POST", "/", 405),
        ("POST", "/signals/claim/", 404),
        ("PUT", "/signals", 405),
        ("PUT", "/signals/claim", 405),
        ("PUT", "/webhook", 404),
    ] {
        let length = text.len().to_string();
        let head =
            request(method, path, &[("Content-Type", "application/json"), ("Content-Length", &length)]);
        let problem = server.ask(head + &text).await.problem(status);
        let detail = problem["detail"].as_str().expect("a sentence");
        assert!(detail.contains(path) && detail.ends_with("POST /signals"), "{detail}");
        let counted = std::mem::take(&mut *ledger.refused.lock().expect("no panic"));
        assert_eq!(counted, [Refusal::Other], "{method} {path}");
    }
    // These are no submissions.
    for (method, path) in [("GET", "/signal"), ("DELETE", "/signals"), ("POST", "/signals/unknown/result")] {
        let status = server.ask(request(method, path, &[])).await.status;
        assert!((400..500).contains(&status), "{method} {path}: {status}");
    }
    assert!(ledger.refused.lock().expect("no panic").is_empty());
}

/// The client announces more than it sends, and waits for the answer, or says that there is no more.
#[tokio::test]
async fn a_body_that_does_not_come_to_its_end_is_counted() {
    let ledger = Arc::new(Ledger::default());
    let limits = Limits { answer: Duration::from_millis(50), ..Limits::default() };
    let server = Server::start_within(limits, Fake { ledger: Arc::clone(&ledger), ..Fake::default() }).await;
    for ends in [false, true] {
        let mut stream = server.connect().await;
        stream
            .write_all(request("POST", "/signals", &[("Content-Length", "100")]).as_bytes())
            .await
            .expect("sent");
        stream.write_all(b"{").await.expect("sent");
        if ends {
            stream.shutdown().await.expect("half of it is closed");
            let counted = async {
                while ledger.refused.lock().expect("no panic").is_empty() {
                    tokio::task::yield_now().await;
                }
            };
            timeout(Duration::from_secs(20), counted).await.expect("it is counted");
        } else {
            Answer::read(&mut stream).await.problem(408);
        }
        let counted = std::mem::take(&mut *ledger.refused.lock().expect("no panic"));
        assert_eq!(counted.len(), 1, "{counted:?}");
    }
}
