//! Cases of signals that a service pulls, and of the results that it reports.

use super::server;
use crate::client::{get, post, request};
use crate::fake::{self, Fake, Server};
use crate::ledger::{Ledger, claimed, signal_id};
use adapter_http::{Pull, Reported};
use domain::id::ClaimId;
use domain::lease::{Epoch, Timeline, Token};
use domain::ledger::{LimitReached, Outcome};
use domain::ports::{Report, StoreError};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn claimed_signals_come_with_their_epoch() {
    let token = Token { timeline: Timeline(1), epoch: Epoch(7), claim: ClaimId::from_u128(5) };
    let pull = Pull::Claimed { token, signals: vec![claimed("n-1")] };
    let (server, ledger) = server(Ledger { pull, ..Ledger::default() }).await;
    let answer = server.ask(post("/signals/claim", &[], "")).await;
    assert_eq!(answer.status, 200);
    let body = answer.json();
    assert_eq!((&body["epoch"], &body["why"]), (&json!(7), &Value::Null));
    let claim = json!("00000000-0000-0000-0000-000000000005");
    assert_eq!((&body["timeline"], &body["claim"]), (&json!(1), &claim), "with the epoch, the fencing token");
    let first = &body["signals"][0];
    assert_eq!((&first["id"], &first["attempt"], &first["epoch"]), (&json!("n-1"), &json!(2), &json!(7)));
    assert!(answer.body.contains("\"payload\":{\"price\":1.10}"), "{}", answer.body);

    for body in [r#"{"max":100,"wait_ms":4000}"#, r#"{"max":"5"}"#, "{}", r#"{"wait_ms":null}"#] {
        assert_eq!(server.ask(post("/signals/claim", &[], body)).await.status, 200, "{body}");
    }
    assert_eq!(server.ask(request("POST", "/signals/claim", &[])).await.status, 200, "no body at all");
    let ms = Duration::from_millis;
    let asked = [(1, ms(0)), (100, ms(4_000)), (5, ms(0)), (1, ms(0)), (1, ms(0)), (1, ms(0))];
    assert_eq!(*ledger.pulls.lock().expect("no panic"), asked);
}

#[tokio::test]
async fn without_a_signal_the_answer_states_the_reason() {
    for (pull, why) in [
        (Pull::Empty, "empty"),
        (Pull::Paused, "paused"),
        (Pull::Limited(LimitReached::PerMinute), "limit_per_minute"),
        (Pull::Limited(LimitReached::PerDay), "limit_per_day"),
    ] {
        let (server, _) = server(Ledger { pull, ..Ledger::default() }).await;
        let answer = server.ask(post("/signals/claim", &[], "{}")).await;
        let expected = json!({ "epoch": null, "timeline": null, "claim": null, "signals": [], "why": why });
        assert_eq!((answer.status, answer.json()), (200, expected));
    }
}

#[tokio::test]
async fn only_the_leader_grants_claims_and_only_without_a_handler() {
    let ledger = Arc::new(Ledger {
        pull: Pull::NotLeading,
        reported: Reported::NotLeading,
        ..Ledger::of([claimed("n-1")])
    });
    let mut leader = fake::leading("b-2");
    leader.active = false;
    let server = Server::start(Fake { leader, ledger, ..Fake::default() }).await;
    let expected = server.ask(get("/leader")).await;
    let result = r#"{"attempt":2,"outcome":"done"}"#;
    for request in [post("/signals/claim", &[], ""), post("/signals/n-1/result", &[], result)] {
        let answer = server.ask(request).await;
        assert_eq!(answer.problem(503), expected.json());
        for name in ["coordinator-leader", "coordinator-leader-address", "retry-after"] {
            assert!(answer.header(name).is_some() && answer.header(name) == expected.header(name), "{name}");
        }
    }

    let (server, _) = self::server(Ledger { pull: Pull::Pushed, ..Ledger::default() }).await;
    server.ask(post("/signals/claim", &[], "")).await.problem(409);
}

#[tokio::test]
async fn a_claim_that_is_not_understood_claims_nothing() {
    let (server, ledger) = server(Ledger::default()).await;
    for (body, field) in [
        (r#"{"max":0}"#, "max"),
        (r#"{"max":101}"#, "max"),
        (r#"{"max":1.5}"#, "max"),
        (r#"{"max":"+1"}"#, "max"),
        (r#"{"max":-1}"#, "max"),
        (r#"{"max":true}"#, "max"),
        (r#"{"wait_ms":4001}"#, "wait_ms"),
        (r#"{"wait_ms":99999999999999999999}"#, "wait_ms"),
        (r#"{"wait":1}"#, "wait"),
        (r#"{"max":1,"max":1}"#, "max"),
    ] {
        let problem = server.ask(post("/signals/claim", &[], body)).await.problem(422);
        assert_eq!(problem["field"], field, "{body}: {problem}");
    }
    for body in ["x", "[]", "\u{0}"] {
        server.ask(post("/signals/claim", &[], body)).await.problem(400);
    }
    assert!(ledger.pulls.lock().expect("no panic").is_empty());
}

#[tokio::test]
async fn a_result_is_recorded_and_the_signal_shown() {
    let (server, ledger) = server(Ledger::of([claimed("n-1")])).await;
    for (body, outcome, note) in [
        (r#"{"attempt":2,"outcome":"done","note":" order 42 "}"#, Outcome::Done, Some("order 42")),
        (r#"{"attempt":"2","outcome":"sent","note":42}"#, Outcome::Sent, Some("42")),
        (r#"{"attempt":2,"outcome":"rejected","note":null}"#, Outcome::Rejected, None),
        (r#"{"attempt":2,"outcome":"not_executed"}"#, Outcome::Received, None),
        (r#"{"attempt":2,"outcome":"unknown","note":"a\nb\u0000"}"#, Outcome::InDoubt, Some("a b ")),
    ] {
        let answer = server.ask(post("/signals/n-1/result", &[], body)).await;
        assert_eq!((answer.status, &answer.json()["id"]), (200, &json!("n-1")), "{body}");
        let (report, actor) = ledger.reports.lock().expect("no panic").pop().expect("a report");
        assert!(actor.who == "client" && actor.origin.starts_with("127.0.0.1:"), "{actor:?}");
        let note = note.map(ToOwned::to_owned);
        assert_eq!(report, Report { id: signal_id("n-1"), attempt: 2, outcome, note });
    }
    let long = json!({ "attempt": 2, "outcome": "done", "note": "₹".repeat(10_000) }).to_string();
    assert_eq!(server.ask(post("/signals/n-1/result", &[], long)).await.status, 200);
    let (report, _) = ledger.reports.lock().expect("no panic").pop().expect("a report");
    assert_eq!(report.note.map(|note| note.chars().count()), Some(256));
}

#[tokio::test]
async fn a_refused_result_shows_the_state_of_the_signal() {
    let ledger = Ledger { reported: Reported::Refused, ..Ledger::of([claimed("n-1")]) };
    let (server, _) = server(ledger).await;
    let result = r#"{"attempt":1,"outcome":"done"}"#;
    let problem = server.ask(post("/signals/n-1/result", &[], result)).await.problem(409);
    assert_eq!((&problem["signal"]["attempt"], &problem["signal"]["state"]), (&json!(2), &json!("claimed")));
    for id in ["n-2", "%00"] {
        server.ask(post(&format!("/signals/{id}/result"), &[], result)).await.problem(404);
    }
}

#[tokio::test]
async fn a_result_that_is_not_understood_changes_nothing() {
    let (server, ledger) = server(Ledger::of([claimed("n-1")])).await;
    for (body, field) in [
        (r#"{"outcome":"done"}"#, "attempt"),
        (r#"{"attempt":0,"outcome":"done"}"#, "attempt"),
        (r#"{"attempt":4294967296,"outcome":"done"}"#, "attempt"),
        (r#"{"attempt":2}"#, "outcome"),
        (r#"{"attempt":2,"outcome":"filled"}"#, "outcome"),
        (r#"{"attempt":2,"outcome":1}"#, "outcome"),
        (r#"{"attempt":2,"outcome":"done","outcome":"rejected"}"#, "outcome"),
        (r#"{"attempt":2,"outcome":"done","note":[]}"#, "note"),
        (r#"{"attempt":2,"outcome":"done","reason":"x"}"#, "reason"),
    ] {
        let problem = server.ask(post("/signals/n-1/result", &[], body)).await.problem(422);
        assert_eq!(problem["field"], field, "{body}: {problem}");
    }
    for body in ["", "x", "[]"] {
        server.ask(post("/signals/n-1/result", &[], body)).await.problem(400);
    }
    assert!(ledger.reports.lock().expect("no panic").is_empty());
}

#[tokio::test]
async fn a_store_that_cannot_record_is_503() {
    let result = r#"{"attempt":2,"outcome":"done"}"#;
    // The second error: a table was dropped.
    for error in
        [StoreError::Unknown("timeout".to_owned()), StoreError::Corrupt("the schema is not ours".to_owned())]
    {
        let server = Server::start(Fake { store: Err(error), ..Fake::default() }).await;
        for request in [post("/signals/claim", &[], ""), post("/signals/n-1/result", &[], result)] {
            let answer = server.ask(request).await;
            answer.problem(503);
            assert!(answer.header("retry-after").is_some());
        }
    }
}
