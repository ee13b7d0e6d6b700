//! Tests of the actions of operators: bodies, answers, and repetitions with an `Idempotency-Key`.

use crate::access::{bearer, credential, token};
use crate::client::{Answer, post};
use crate::fake::{Fake, Server, lease, member};
use crate::ledger::{Ledger, received};
use adapter_http::{Access, Role};
use domain::decision::{Decision, Subject};
use domain::ledger::{Actor, Instruction, Label, SignalId, Totals};
use domain::member::MemberState;
use domain::ports::{Recorded, StoreError};
use serde_json::json;
use std::sync::Arc;

/// A server with one operator.
struct Desk {
    server: Server,
    bearer: String,
    ledger: Arc<Ledger>,
}

impl Desk {
    async fn open(fake: Fake) -> Self {
        let token = token();
        let roles = [Role::Operate, Role::Resolve];
        let access = Some(Arc::new(Access::new(vec![credential("asha", &roles, &token)])));
        let ledger = Arc::clone(&fake.ledger);
        let server = Server::start(Fake { access, ..fake }).await;
        Self { server, bearer: bearer(&token), ledger }
    }

    async fn post(&self, path: &str, body: &str) -> Answer {
        self.post_with(path, body, &[]).await
    }

    async fn post_with(&self, path: &str, body: &str, headers: &[(&str, &str)]) -> Answer {
        let headers = [&[("Authorization", self.bearer.as_str())], headers].concat();
        self.server.ask(post(path, &headers, body)).await
    }

    fn requests(&self) -> Vec<String> {
        self.ledger.requests.lock().expect("no panic").clone()
    }
}

/// `b-2` leads in the epoch 7, and `a-1` is a standby.
fn pair() -> Fake {
    let mut standby = member("a-1");
    standby.member.state = MemberState::Standby;
    Fake { members: vec![member("b-2"), standby], ..Fake::default() }
}

fn with_signal(decided: Recorded) -> Fake {
    let label = |text| Label::parse(text).expect("a label");
    let instruction = Instruction {
        instrument: label("NIFTY"),
        signal_type: label("EXIT"),
        position: label("1"),
        timestamp_s: 1_764_411_330,
        payload: "{}".to_owned(),
        expires_ms: None,
    };
    let signal = received(SignalId::parse("s-1").expect("an id"), instruction, 1);
    Fake { ledger: Arc::new(Ledger { decided, ..Ledger::of([signal]) }), ..Fake::default() }
}

#[tokio::test]
async fn a_handover_names_the_epoch_and_is_requested_in_the_name_of_the_credential() {
    let desk = Desk::open(pair()).await;
    let answer = desk.post("/leadership/step-down", r#"{"epoch":7,"reason":"kernel update"}"#).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.json(), json!({ "leader": "b-2", "epoch": 7, "candidates": ["a-1"] }));
    assert_eq!(desk.requests(), ["step-down 7 kernel update (by asha)"]);
    let chosen = r#"{"epoch":7,"reason":"kernel update","to":"a-1"}"#;
    assert_eq!(desk.post("/leadership/step-down", chosen).await.status, 202);
    assert_eq!(desk.requests()[1], "step-down 7 to a-1 kernel update (by asha)");
    let unable = r#"{"epoch":7,"reason":"kernel update","to":"c-3"}"#;
    let detail = desk.post("/leadership/step-down", unable).await.problem(409)["detail"].to_string();
    assert!(
        detail.contains("c-3 cannot take over from b-2: ") && detail.contains("a-1 can take over"),
        "{detail}"
    );
    let late = desk.post("/leadership/step-down", r#"{"epoch":6,"reason":"again"}"#).await.problem(409);
    assert_eq!((&late["leader"], &late["epoch"]), (&json!("b-2"), &json!(7)));
    assert_eq!(desk.requests().len(), 2, "a later leader is not asked");
}

#[tokio::test]
async fn a_handover_without_a_successor_needs_force() {
    let desk = Desk::open(Fake::default()).await;
    let body = r#"{"epoch":7,"reason":"x"}"#;
    let detail = desk.post("/leadership/step-down", body).await.problem(409)["detail"].to_string();
    assert!(detail.contains("no instance can take over from b-2") && detail.contains("force"), "{detail}");
    assert!(desk.requests().is_empty());
    let body = r#"{"epoch":7,"reason":"x","force":true}"#;
    assert_eq!(desk.post("/leadership/step-down", body).await.status, 202);
    let mut free = lease("b-2");
    free.released = true;
    let desk = Desk::open(Fake { lease: free, ..Fake::default() }).await;
    let detail = desk.post("/leadership/step-down", body).await.problem(409)["detail"].to_string();
    assert!(detail.contains("no instance leads"), "{detail}");
}

#[tokio::test]
async fn a_decision_is_recorded_with_the_attempt_and_the_name() {
    let desk = Desk::open(with_signal(Recorded::Recorded)).await;
    for (outcome, expected) in [("done", "Done"), ("rejected", "Rejected"), ("send_again", "Received")] {
        let body = format!(r#"{{"attempt":2,"outcome":"{outcome}","reason":"order 4711"}}"#);
        let answer = desk.post("/signals/s-1/resolve", &body).await;
        assert_eq!((answer.status, &answer.json()["id"]), (200, &json!("s-1")), "{answer:?}");
        assert_eq!(
            desk.requests().pop().as_deref(),
            Some(&*format!("resolve s-1 2 {expected} asha order 4711"))
        );
    }
    let answer = desk.post("/signals/s-1/acknowledge", r#"{"reason":"the trader knows"}"#).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(desk.requests().pop().as_deref(), Some("acknowledge s-1 asha the trader knows"));
    desk.post("/signals/none/acknowledge", r#"{"reason":"x"}"#).await.problem(404);
    let refused = Desk::open(with_signal(Recorded::Refused)).await;
    let body = r#"{"attempt":2,"outcome":"done","reason":"x"}"#;
    let problem = refused.post("/signals/s-1/resolve", body).await.problem(409);
    assert_eq!(problem["signal"]["id"], "s-1");
    refused.post("/signals/s-1/acknowledge", r#"{"reason":"x"}"#).await.problem(409);
}

#[tokio::test]
async fn the_kill_switch_is_turned_and_recovery_is_checked() {
    let desk = Desk::open(Fake::default()).await;
    for (path, paused, name) in [("/signals/pause", true, "Pause"), ("/signals/resume", false, "Resume")] {
        let answer = desk.post(path, r#"{"reason":"broker outage"}"#).await;
        assert_eq!((answer.status, answer.json()), (200, json!({ "paused": paused, "changed": true })));
        assert_eq!(desk.requests().pop(), Some(format!("{name} asha broker outage")));
    }
    let check = desk.post("/recovery/check", "").await;
    assert_eq!((check.status, &check.json()["verdict"]), (200, &json!("OK")));
}

#[tokio::test]
async fn failed_recoveries_are_acknowledged_in_the_name_of_the_credential() {
    let acknowledged = Decision {
        at_ms: 1_700_000_000_250,
        actor: Actor { who: "asha".to_owned(), origin: "127.0.0.1:4711".to_owned() },
        subject: Subject::RecoveryAcknowledged { verdict: None },
        reason: "corrected".to_owned(),
    };
    let desk = Desk::open(Fake { decisions: Ok(vec![acknowledged]), ..Fake::default() }).await;
    let expected = json!({ "at": "2023-11-14T22:13:20.250+00:00", "who": "asha", "from": "127.0.0.1:4711",
        "reason": "corrected", "error_code": null });
    for (path, body) in [("/recovery/acknowledge", r#"{"reason":"corrected"}"#), ("/recovery/check", "{}")] {
        let answer = desk.post(path, body).await;
        assert_eq!((answer.status, &answer.json()["acknowledged"]), (200, &expected), "{path}: {answer:?}");
        assert_eq!(answer.json()["verdict"], "OK");
    }
    assert_eq!(desk.requests(), ["acknowledge recovery asha corrected"]);
    let none = Desk::open(Fake::default()).await.post("/recovery/check", "").await.json();
    assert_eq!(none.get("acknowledged"), Some(&json!(null)));
    let unread = Fake { decisions: Err(StoreError::Corrupt("no such table".to_owned())), ..Fake::default() };
    let unread = Desk::open(unread).await.post("/recovery/check", "").await.json();
    assert_eq!((unread.get("acknowledged"), &unread["verdict"]), (None, &json!("OK")));
}

#[tokio::test]
async fn an_action_for_an_earlier_epoch_does_nothing() {
    let desk = Desk::open(with_signal(Recorded::Recorded)).await;
    let actions = [
        ("/signals/pause", ""),
        ("/signals/resume", ""),
        ("/signals/s-1/acknowledge", ""),
        ("/signals/s-1/resolve", r#","attempt":2,"outcome":"done""#),
        ("/recovery/acknowledge", ""),
    ];
    for (path, more) in actions {
        let problem = desk.post(path, &format!(r#"{{"reason":"x","epoch":6{more}}}"#)).await.problem(409);
        assert_eq!(problem["epoch"], 7, "{path}");
    }
    assert!(desk.requests().is_empty(), "{:?}", desk.requests());
    for (path, more) in actions {
        let answer = desk.post(path, &format!(r#"{{"reason":"x","epoch":7{more}}}"#)).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
    assert_eq!(desk.requests().len(), actions.len());
}

#[tokio::test]
async fn a_wrong_body_does_nothing_and_every_fault_is_named() {
    let desk = Desk::open(pair()).await;
    let long = format!(r#"{{"reason":"{}"}}"#, "x".repeat(257));
    for (path, body, field) in [
        ("/leadership/step-down", r#"{"reason":"x"}"#, "epoch"),
        ("/leadership/step-down", r#"{"epoch":"soon","reason":"x"}"#, "epoch"),
        ("/leadership/step-down", r#"{"epoch":7}"#, "reason"),
        ("/leadership/step-down", r#"{"epoch":7,"reason":"x","force":"yes"}"#, "force"),
        ("/leadership/step-down", r#"{"epoch":7,"reason":"x","to":7}"#, "to"),
        ("/signals/s-1/resolve", r#"{"outcome":"done","reason":"x"}"#, "attempt"),
        ("/signals/s-1/resolve", r#"{"attempt":1,"outcome":"sent","reason":"x"}"#, "outcome"),
        ("/signals/pause", r#"{"reason":""}"#, "reason"),
        ("/signals/pause", r#"{"reason":"a\nb"}"#, "reason"),
        ("/signals/pause", &long, "reason"),
        ("/signals/resume", "{}", "reason"),
        ("/signals/resume", r#"{"reason":"x","epoch":"soon"}"#, "epoch"),
        ("/recovery/check", r#"{"reason":"x"}"#, "reason"),
        ("/recovery/acknowledge", "{}", "reason"),
    ] {
        assert_eq!(desk.post(path, body).await.problem(422)["field"], field, "{path} {body}");
    }
    assert!(desk.requests().is_empty());
}

#[tokio::test]
async fn a_repetition_with_the_key_gets_the_first_answer_and_does_nothing() {
    let desk = Desk::open(pair()).await;
    let key = [("Idempotency-Key", "5f0c")];
    let body = r#"{"epoch":7,"reason":"x"}"#;
    let first = desk.post_with("/leadership/step-down", body, &key).await;
    let second = desk.post_with("/leadership/step-down", body, &key).await;
    assert_eq!((first.status, &first.body), (202, &second.body));
    assert_eq!((second.status, second.header("content-type")), (202, first.header("content-type")));
    assert_eq!(desk.requests().len(), 1);
    desk.post_with("/leadership/step-down", r#"{"epoch":7,"reason":"y"}"#, &key).await.problem(422);
    desk.post_with("/leadership/step-down", body, &[("Idempotency-Key", "")]).await.problem(400);
    assert_eq!(desk.post("/leadership/step-down", body).await.status, 202);
    assert_eq!(desk.requests().len(), 2, "without a key, each request is carried out");
}

#[tokio::test]
async fn an_answer_of_no_store_is_not_kept() {
    let away = StoreError::Unknown("no answer".to_owned());
    let desk = Desk::open(Fake { store: Err(away), ..Fake::default() }).await;
    let key = [("Idempotency-Key", "5f0c")];
    for n in 1..=2 {
        desk.post_with("/signals/pause", r#"{"reason":"x"}"#, &key).await.problem(503);
        assert_eq!(desk.requests().len(), n);
    }
}

#[tokio::test]
async fn no_process_acts_as_an_operator_while_there_are_no_credentials() {
    let server = Server::start(pair()).await;
    for path in [
        "/leadership/step-down",
        "/signals/s-1/resolve",
        "/signals/s-1/acknowledge",
        "/signals/pause",
        "/signals/resume",
        "/recovery/check",
        "/recovery/acknowledge",
    ] {
        let problem = server.ask(post(path, &[], r#"{"epoch":7,"reason":"x"}"#)).await.problem(403);
        assert!(problem["detail"].to_string().contains("access.tokens_file"), "{problem}");
    }
}

#[tokio::test]
async fn a_page_of_another_origin_cannot_use_the_credentials_of_the_browser() {
    let desk = Desk::open(pair()).await;
    for header in [("Origin", "https://evil.example"), ("Sec-Fetch-Site", "cross-site")] {
        for path in ["/leadership/step-down", "/signals/s-1/resolve", "/signals/pause", "/signals/resume"] {
            desk.post_with(path, r#"{"epoch":7,"reason":"x"}"#, &[header]).await.problem(403);
        }
    }
    assert!(desk.requests().is_empty());
}

#[tokio::test]
async fn the_status_has_the_present_totals() {
    let totals = Totals { in_doubt: 7, ..Totals::default() };
    let ledger = Arc::new(Ledger { totals: Some(totals), ..Ledger::default() });
    let server = Server::start(Fake { ledger, ..Fake::default() }).await;
    let status = server.ask(crate::client::get("/status")).await.json();
    assert_eq!(status["signals"]["in_doubt"], 7);
}
