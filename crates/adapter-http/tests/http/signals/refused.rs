//! Cases of refused submissions: each is counted by its reason, and its answer names the remedy.

use super::{body, server, submission};
use crate::client::post;
use crate::ledger::Ledger;
use domain::metrics::Refusal;
use serde_json::json;

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
