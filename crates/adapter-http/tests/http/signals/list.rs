//! Cases of lists of signals and of single signals.

use super::server;
use crate::client::get;
use crate::fake::{self, Fake, Server};
use crate::ledger::{Ledger, claimed, signal};
use domain::ledger::{Signal, SignalState};
use domain::ports::StoreError;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::mpsc;

fn ids(page: &Value) -> Vec<&str> {
    let signals = page["signals"].as_array().expect("a list");
    signals.iter().map(|signal| signal["id"].as_str().expect("an id")).collect()
}

/// Two signals for an instrument with letters that a URL must encode, one for another.
fn three() -> [Signal; 3] {
    [signal("a-1", "M&M ₹", 1), signal("b-1", "BANK", 2), signal("a-2", "M&M ₹", 3)]
}

#[tokio::test]
async fn signals_are_listed_the_latest_first() {
    let (server, _) = server(Ledger::of(three())).await;
    let answer = server.ask(get("/signals")).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    assert_eq!((ids(&answer.json()), &answer.json()["next"]), (vec!["a-2", "b-1", "a-1"], &Value::Null));
    assert!(answer.json()["signals"][0].get("audit").is_none());
    assert!(answer.body.contains("\"payload\":{\"price\":1.10}"), "{}", answer.body);
    for (query, expected) in [
        ("state=received&instrument=BANK", &["b-1"][..]),
        ("instrument=M%26M%20%E2%82%B9", &["a-2", "a-1"]),
        ("instrument=M%26M+%E2%82%B9&before=3", &["a-1"]),
        ("state=in_doubt", &[]),
        ("before=0", &[]),
        ("limit=1000", &["a-2", "b-1", "a-1"]),
    ] {
        let page = server.ask(get(&format!("/signals?{query}"))).await.json();
        assert_eq!(ids(&page), expected, "{query}");
    }
}

#[tokio::test]
async fn while_the_ledger_is_away_the_known_signals_are_listed_and_a_gap_is_shown() {
    let error = || StoreError::Unavailable("refused".to_owned());
    let server = Server::start(fake::away(error(), 1, Ledger::of(three())).await).await;
    for (query, expected) in
        [("", &["a-2", "b-1", "a-1"][..]), ("?instrument=BANK", &["b-1"]), ("?before=1", &[])]
    {
        let page = server.ask(get(&format!("/signals{query}"))).await.json();
        assert_eq!(
            (ids(&page), &page["complete"], &page["next"]),
            (expected.to_vec(), &json!(true), &Value::Null)
        );
        assert_eq!(page["away_since"], "2023-11-14T22:13:23.000+00:00");
    }
    let page = server.ask(get("/signals?limit=2")).await.json();
    assert_eq!((ids(&page), &page["complete"]), (vec!["a-2", "b-1"], &json!(false)));
    let many: Vec<Signal> = (1..=100).map(|n| signal(&format!("s-{n}"), "BANK", n)).collect();
    let server = Server::start(fake::away(error(), 1, Ledger::of(many)).await).await;
    let page = server.ask(get("/signals?instrument=NIFTY")).await.json();
    assert_eq!((ids(&page), &page["complete"]), (vec![], &json!(false)), "older ones are not kept");
}

/// A service that pulls executes what the list of claimed signals contains. It may have
/// executed one of them since, and reported it to another instance.
#[tokio::test]
async fn a_list_of_one_state_is_never_the_last_known_one() {
    let error = || StoreError::Unavailable("refused".to_owned());
    let away = fake::away(error(), 1, Ledger::of([claimed("n-1")])).await;
    let answering = away.last.clone();
    let server = Server::start(away).await;
    // The store has failed before, or this request is the first to fail.
    for _ in 0..2 {
        for state in ["claimed", "in_doubt", "received", "done"] {
            let answer = server.ask(get(&format!("/signals?state={state}&instrument=NIFTY"))).await;
            assert!(answer.header("retry-after").is_some(), "{state}");
            answer.problem(503);
        }
        let all = server.ask(get("/signals")).await.json();
        assert_eq!(ids(&all), ["n-1"], "without a state, the last known list");
        assert!(all["away_since"].is_string(), "{all}");
        answering.send_modify(|last| {
            let last = Arc::make_mut(last);
            let (known, read_ms) = last.signals.clone().into_last().expect("read before");
            last.signals.answered(known, read_ms);
        });
    }
}

#[tokio::test]
async fn a_list_of_one_state_is_503_if_the_store_does_not_answer_in_time() {
    let (asked, mut was_asked) = mpsc::unbounded_channel();
    let away = fake::away(StoreError::Unknown("timeout".to_owned()), 1, Ledger::of([claimed("n-1")])).await;
    let server = Server::start(Fake { silent: Some(asked), ..away }).await;
    server.ask(get("/signals?state=claimed")).await.problem(503);
    was_asked.recv().await.expect("the store was queried");
}

/// The memory of the instance is older than the answer of the store to this request.
#[tokio::test]
async fn a_store_that_is_back_is_read_at_once() {
    let away = fake::away(StoreError::Unknown("timeout".to_owned()), 1, Ledger::of([claimed("n-1")])).await;
    let done = Signal { state: SignalState::Done, ..claimed("n-1") };
    let back = Fake { store: Ok(()), ledger: Arc::new(Ledger::of([done])), ..away };
    let server = Server::start(back).await;
    assert_eq!(ids(&server.ask(get("/signals?state=claimed")).await.json()), [""; 0]);
    let all = server.ask(get("/signals")).await.json();
    assert_eq!((&all["signals"][0]["state"], &all["away_since"]), (&json!("done"), &Value::Null));
    for path in ["/status", "/history"] {
        assert_eq!(server.ask(get(path)).await.json()["away_since"], Value::Null, "{path}");
    }
}

#[tokio::test]
async fn pages_follow_each_other_to_the_end() {
    let (server, _) = server(Ledger::of(three())).await;
    let mut path = "/signals?state=received&instrument=M%26M%20%E2%82%B9&limit=1".to_owned();
    let mut seen = Vec::new();
    loop {
        let page = server.ask(get(&path)).await.json();
        seen.extend(ids(&page).into_iter().map(ToOwned::to_owned));
        match page["next"].as_str() {
            Some(next) => path = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen, ["a-2", "a-1"]);
    assert_eq!(path, "/signals?state=received&instrument=M%26M%20%E2%82%B9&limit=1&before=1");
}

#[tokio::test]
async fn a_parameter_that_is_not_understood_is_400_and_named() {
    let (server, _) = server(Ledger::default()).await;
    for (query, field) in [
        ("state=open", "state"),
        ("state=", "state"),
        ("state=Received", "state"),
        ("instrument=", "instrument"),
        ("instrument=%00", "instrument"),
        ("before=-1", "before"),
        ("before=x", "before"),
        ("before=9223372036854775808", "before"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=+5", "limit"),
        ("limit=", "limit"),
        ("limit=1&limit=1", "limit"),
        ("id=x", "id"),
        ("%3Cb%3E=1", "<b>"),
        ("x", "x"),
    ] {
        let problem = server.ask(get(&format!("/signals?{query}"))).await.problem(400);
        assert_eq!(problem["field"], field, "{query}: {problem}");
        let detail = problem["detail"].as_str().expect("a sentence");
        assert!(detail.starts_with(&format!("{field}: ")), "{query}: {detail}");
    }
}

/// Another instrument would be listed.
#[tokio::test]
async fn a_query_that_is_not_utf_8_is_400() {
    let (server, _) = server(Ledger::of(three())).await;
    for query in ["instrument=a%ff", "instrument=%E2%82", "%ff=1"] {
        let problem = server.ask(get(&format!("/signals?{query}"))).await.problem(400);
        assert_eq!(problem["detail"], "the query is not UTF-8", "{query}: {problem}");
    }
    assert_eq!(
        server.ask(get("/signals?instrument=100%25")).await.status,
        200,
        "a percent sign is a character"
    );
}

#[tokio::test]
async fn one_signal_comes_with_its_audit() {
    let (server, _) = server(Ledger::of([claimed("n-1"), signal("claim", "BANK", 4)])).await;
    let answer = server.ask(get("/signals/n-1")).await;
    let expected = json!({
        "id": "n-1", "fingerprint": "f3cf0ef24f784b2f0c9c2ffa478b5a13864e02ca72f3c846cfd41e1f9d0b64d2",
        "instrument": "NIFTY", "signal_type": "BASE_ENTRY", "position": "Long_1",
        "timestamp": "2025-11-29T10:15:30.000+00:00", "payload": { "price": 1.1 }, "expires_at": null,
        "state": "claimed", "attempt": 2, "epoch": 7, "arrival": 3, "received_at": "2025-11-29T10:15:31.250+00:00",
        "claimed_at": "2025-11-29T10:15:32.250+00:00", "settled_at": null, "note": null,
        "audit": [{
            "number": 9, "at": "2025-11-29T10:15:31.250+00:00", "who": "client", "from": "127.0.0.1:1",
            "epoch": 7, "what": "received", "attempt": 0, "note": null,
        }],
    });
    assert_eq!((answer.status, answer.json()), (200, expected));
    assert_eq!(server.ask(get("/signals/n%2D1")).await.status, 200);
    assert_eq!(server.ask(get("/signals/claim")).await.json()["id"], "claim", "claim is a valid id");
}

#[tokio::test]
async fn a_signal_that_is_not_there_is_404() {
    let (server, _) = server(Ledger::default()).await;
    for id in ["n-1", "claim", "%00", "%ff", "a%2Fb", "%3Cb%3E", &"x".repeat(129)] {
        server.ask(get(&format!("/signals/{id}"))).await.problem(404);
    }
    let away = Fake { store: Err(StoreError::Unknown("timeout".to_owned())), ..Fake::default() };
    let server = Server::start(away).await;
    for path in ["/signals", "/signals/n-1"] {
        let answer = server.ask(get(path)).await;
        answer.problem(503);
        assert!(answer.header("retry-after").is_some());
    }
}

#[tokio::test]
async fn a_payload_that_another_program_wrote_is_shown_as_text() {
    let mut signal = signal("n-1", "NIFTY", 1);
    signal.instruction.payload = "{\"a\":1},\"state\":\"done\"".to_owned();
    signal.instruction.timestamp_s = i64::MAX;
    let (server, _) = server(Ledger::of([signal.clone()])).await;
    let shown = server.ask(get("/signals")).await.json()["signals"][0].clone();
    assert_eq!(
        (&shown["payload"], &shown["state"]),
        (&json!(signal.instruction.payload), &json!("received"))
    );
    assert_eq!(shown["timestamp"], Value::Null);
}
