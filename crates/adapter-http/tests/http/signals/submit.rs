//! Cases of accepted submissions and their answers.

use super::{body, server, submission};
use crate::client::{get, post};
use crate::fake::{Fake, Server};
use crate::ledger::{Ledger, signal};
use domain::ledger::PAYLOAD_LEN_MAX;
use domain::ports::StoreError;
use serde_json::{Value, json};

const FINGERPRINT: &str = "f3cf0ef24f784b2f0c9c2ffa478b5a13864e02ca72f3c846cfd41e1f9d0b64d2";

#[tokio::test]
async fn a_signal_is_accepted_once_and_shown_again() {
    let (server, ledger) = server(Ledger::default()).await;
    let request = post(
        "/signals",
        &[],
        r#"{"instrument": " NIFTY ", "signal_type": "BASE_ENTRY", "position": "Long_1", "id": "n-1",
            "timestamp": "2025-11-29T15:45:30.9+05:30", "payload": {"qty": 50, "price": 1.10},
            "expires_at": "2099-01-01T00:00:00.25Z"}"#,
    );
    let first = server.ask(&request).await;
    assert_eq!((first.status, first.header("location")), (201, Some("/signals/n-1")));
    assert_eq!(first.header("content-type"), Some("application/json"));
    let expected = format!(
        r#"{{"id":"n-1","fingerprint":"{FINGERPRINT}","instrument":"NIFTY","signal_type":"BASE_ENTRY","position":"Long_1","timestamp":"2025-11-29T10:15:30.000+00:00","payload":{{"price":1.10,"qty":50}},"expires_at":"2099-01-01T00:00:00.250+00:00","state":"received","attempt":0,"epoch":null,"arrival":1,"received_at":"2025-11-29T10:15:31.250+00:00","claimed_at":null,"settled_at":null,"note":null}}"#
    );
    assert_eq!(first.body, expected);
    let actor = ledger.actors.lock().expect("no panic").pop().expect("an actor");
    assert!(actor.who == "client" && actor.origin.starts_with("127.0.0.1:"), "{actor:?}");

    let again = server.ask(&request).await;
    assert_eq!((again.status, again.header("location"), &again.body), (200, None, &expected));
    assert_eq!(ledger.signals.lock().expect("no panic").len(), 1);
}

#[tokio::test]
async fn whatever_the_body_is_called_it_is_json() {
    for content_type in [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("a")] {
        let (server, _) = server(Ledger::default()).await;
        let header = content_type.map(|value| ("Content-Type", value));
        let answer = server.ask(post("/signals", header.as_slice(), body(&json!({})).to_string())).await;
        assert_eq!(answer.status, 201, "{content_type:?}");
        assert_eq!(answer.json()["id"], FINGERPRINT, "without an id its fingerprint is its name");
        assert_eq!(answer.json()["payload"], json!({}));
    }
}

#[tokio::test]
async fn a_flat_body_becomes_the_payload_and_keeps_its_text() {
    let (server, ledger) = server(Ledger::default()).await;
    let flat = r#"{ "qty" : 50, "timestamp": 1764411330, "instrument": 500325, "signal_type": "EXIT", "position": 1,
                    "price": 48500.05, "stop": 1.10, "big": 123456789012345678901234567890.50, "id": 17,
                    "note": null, "payload": {"z": [1.0, "\u00e9"], "a": {"y": 1, "x": -0}} }"#;
    let answer = server.ask(post("/signals", &[], flat)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let canonical = r#"{"a":{"x":-0,"y":1},"big":123456789012345678901234567890.50,"note":null,"price":48500.05,"qty":50,"stop":1.10,"z":[1.0,"é"]}"#;
    {
        let signals = ledger.signals.lock().expect("no panic");
        let instruction = &signals[0].instruction;
        assert_eq!(instruction.payload, canonical);
        assert_eq!((instruction.instrument.as_str(), instruction.position.as_str()), ("500325", "1"));
        assert_eq!((signals[0].id.as_str(), instruction.timestamp_s), ("17", 1_764_411_330));
    }
    assert!(answer.body.contains(&format!("\"payload\":{canonical},")), "{}", answer.body);

    // The same content in another order and with other spaces is a repetition; the shown signal can be
    // submitted again.
    let nested = format!(
        r#"{{"id":"17","position":"1","payload":{canonical},"signal_type":"EXIT","instrument":"500325","timestamp":"1764411330000"}}"#
    );
    assert_eq!(server.ask(post("/signals", &[], &nested)).await.status, 200);
    let shown = server.ask(get("/signals/17")).await;
    assert!(shown.body.contains(&format!("\"payload\":{canonical},")), "{}", shown.body);
    // A digit more is another instruction.
    let answer = server.ask(post("/signals", &[], nested.replace("1.10", "1.1"))).await;
    let problem = answer.problem(409);
    assert!(answer.body.contains("\"stop\":1.10"), "the existing one, unchanged: {}", answer.body);
    assert_eq!(problem["signal"]["id"], "17");
}

#[tokio::test]
async fn a_conflict_shows_the_existing_signal_and_says_what_clashes() {
    let (server, _) = server(Ledger::of([signal("n-1", "NIFTY", 1)])).await;
    for (changes, clash) in [
        (json!({ "payload": { "price": 2 } }), "one fingerprint"),
        (json!({ "payload": { "price": 1.1 }, "expires_at": 4_070_908_800_i64 }), "one fingerprint"),
        (json!({ "position": "Long_2", "id": "n-1" }), "the id n-1 belongs to another signal"),
    ] {
        let problem = server.ask(submission(&body(&changes))).await.problem(409);
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(clash)), "{problem}");
        assert_eq!(
            (&problem["signal"]["id"], &problem["signal"]["state"]),
            (&json!("n-1"), &json!("received"))
        );
    }
}

#[tokio::test]
async fn faults_are_all_named_at_once_the_first_of_them_first() {
    let (server, ledger) = server(Ledger::default()).await;
    let everything = json!({
        "instrument": "", "signal_type": "a\nb", "timestamp": "2025-11-29T10:15:30", "id": "a b",
        "payload": { "qty": 1 }, "qty": 2, "expires_at": "later", "position": null,
    });
    let problem = server.ask(submission(&body(&everything))).await.problem(422);
    let fields: Vec<&Value> =
        problem["errors"].as_array().expect("a list").iter().map(|e| &e["field"]).collect();
    assert_eq!(fields, ["instrument", "signal_type", "position", "timestamp", "id", "expires_at", "qty"]);
    assert_eq!(problem["field"], "instrument");
    let details: Vec<&str> =
        problem["errors"].as_array().expect("a list").iter().filter_map(|e| e["detail"].as_str()).collect();
    assert_eq!(problem["detail"], format!("instrument: {}", details[0]));
    for (detail, part) in details.iter().zip([
        "1 to 64 characters",
        "1 to 64 characters",
        "missing: a text",
        "an offset is required",
        "A-Z a-z 0-9",
        "RFC 3339",
        "the payload contains it too",
    ]) {
        assert!(detail.contains(part), "{detail} / {part}");
    }
    assert!(ledger.signals.lock().expect("no panic").is_empty());
}

/// It is accepted, and the leader expires it: an alert must report a missed trade to the operator, because
/// the sender of signals does not read answers. Its repetition is a repetition at any time.
#[tokio::test]
async fn a_signal_that_has_expired_already_is_accepted() {
    let (server, _) = server(Ledger::default()).await;
    let late = body(&json!({ "expires_at": 1 }));
    for status in [201, 200] {
        let answer = server.ask(submission(&late)).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
}

#[tokio::test]
async fn one_faulty_field_is_422_and_named() {
    let (server, ledger) = server(Ledger::default()).await;
    let long = "x".repeat(65);
    for (field, changes) in [
        ("instrument", json!({ "instrument": null })),
        ("instrument", json!({ "instrument": 1.5 })),
        ("instrument", json!({ "instrument": true })),
        ("instrument", json!({ "instrument": ["NIFTY"] })),
        ("signal_type", json!({ "signal_type": long })),
        ("position", json!({ "position": "a\u{0}b" })),
        ("timestamp", json!({ "timestamp": null })),
        ("timestamp", json!({ "timestamp": {} })),
        ("timestamp", json!({ "timestamp": "soon" })),
        ("timestamp", json!({ "timestamp": -1 })),
        ("timestamp", json!({ "timestamp": 1e300 })),
        ("payload", json!({ "payload": [] })),
        ("payload", json!({ "payload": "{}" })),
        ("id", json!({ "id": "" })),
        ("id", json!({ "id": ".." })),
        ("id", json!({ "id": "x".repeat(129) })),
        ("id", json!({ "id": "a/b" })),
        ("id", json!({ "id": 1.5 })),
        ("expires_at", json!({ "expires_at": "2099-01-01T00:00:00" })),
        ("expires_at", json!({ "expires_at": -1 })),
    ] {
        let problem = server.ask(submission(&body(&changes))).await.problem(422);
        assert_eq!(problem["field"], field, "{changes} {problem}");
        assert_eq!(problem["errors"].as_array().map(Vec::len), Some(1), "{problem}");
    }
    assert!(ledger.signals.lock().expect("no panic").is_empty());
}

#[tokio::test]
async fn what_may_have_been_forgotten_is_refused() {
    let (server, _) = server(Ledger { remembers_since_s: 1_764_411_330, ..Ledger::default() }).await;
    let problem = server.ask(submission(&body(&json!({ "timestamp": 1_764_411_329 })))).await.problem(422);
    assert_eq!(problem["field"], "timestamp");
    let detail = problem["errors"][0]["detail"].as_str().expect("a sentence");
    assert!(detail.starts_with("too old: ") && detail.contains("2025-11-29T10:15:30Z"), "{detail}");
    assert_eq!(server.ask(submission(&body(&json!({})))).await.status, 201, "the very second is remembered");
}

#[tokio::test]
async fn nothing_is_acknowledged_that_is_not_stored() {
    // The schema may not exist yet, or a table was dropped: the client submits the signal again.
    let schema = StoreError::Corrupt("the schema is not ours".to_owned());
    for error in
        [StoreError::Unavailable("refused".to_owned()), StoreError::Unknown("timeout".to_owned()), schema]
    {
        let server = Server::start(Fake { store: Err(error.clone()), ..Fake::default() }).await;
        let answer = server.ask(submission(&body(&json!({})))).await;
        assert_eq!(answer.problem(503)["detail"], error.to_string());
        assert!(answer.header("retry-after").is_some());
    }
}

#[tokio::test]
async fn a_payload_has_a_largest_size() {
    let (server, _) = server(Ledger::default()).await;
    // {"a":"..."} has eight bytes in addition to the text.
    let filled = |len: usize| submission(&body(&json!({ "payload": { "a": "x".repeat(len - 8) } })));
    assert_eq!(server.ask(filled(PAYLOAD_LEN_MAX)).await.status, 201);
    assert_eq!(server.ask(filled(PAYLOAD_LEN_MAX + 1)).await.problem(413)["field"], "payload");
    // Spaces and escapes do not count, because the canonical form is stored.
    let spread = body(&json!({ "position": "Long_2" })).to_string() + &" ".repeat(80 * 1024);
    assert_eq!(server.ask(post("/signals", &[], spread)).await.status, 201);
}
