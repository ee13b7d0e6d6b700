//! Tests of hooks over real sockets: who may post, what is stored, and what is remembered and counted.

use crate::client::{Answer, get, post, request};
use crate::fake::{Fake, Server};
use crate::ledger::Ledger;
use adapter_http::{Hook, HookSettings, Hooks};
use domain::ledger::HookName;
use domain::metrics::Refusal;
use domain::ports::StoreError;
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::mpsc;

const SECRET: &str = "canary-0123456789";
const BODY: &str =
    r#"{"type":"EXIT","instrument":"NIFTY","position":"ALL","price":1.10,"timestamp":"2025-11-29T15:45:30"}"#;

fn settings() -> HookSettings {
    HookSettings {
        preset: Some("portfolio-manager".to_owned()),
        secrets: vec![SECRET.to_owned()],
        ..HookSettings::default()
    }
}

fn hook(name: &str, settings: HookSettings) -> Hook {
    Hook::new(HookName::parse(name).expect("a name"), settings).expect("sound settings")
}

/// Hooks of every kind.
fn hooks() -> Arc<Hooks> {
    let text = |text: &str| Some(text.to_owned());
    let none = HookSettings { secrets: Vec::new(), secret_in: text("none"), ..settings() };
    Arc::new(Hooks::new([
        hook("pm", settings()),
        hook("field", HookSettings { secret_in: text("field"), ..settings() }),
        hook("hmac", HookSettings { secret_in: text("hmac"), ..settings() }),
        hook("here", HookSettings { sources: vec!["127.0.0.0/8".to_owned()], ..none.clone() }),
        hook("there", HookSettings { sources: vec!["tradingview".to_owned()], ..none.clone() }),
        hook(
            "proxied",
            HookSettings {
                sources: vec!["tradingview".to_owned()],
                trusted_proxies: vec!["127.0.0.1".to_owned()],
                ..none
            },
        ),
    ]))
}

async fn server() -> (Server, Arc<Ledger>) {
    let ledger = Arc::new(Ledger::default());
    let fake = Fake { ledger: Arc::clone(&ledger), hooks: hooks(), ..Fake::default() };
    (Server::start(fake).await, ledger)
}

fn path() -> String {
    format!("/hooks/pm/{SECRET}")
}

async fn requests(server: &Server) -> Vec<Value> {
    let answer = server.ask(&get("/hooks")).await;
    assert!(answer.status == 200 && !answer.body.contains("canary"), "{answer:?}");
    answer.json()["requests"].as_array().expect("a list").clone()
}

fn verdicts(requests: &[Value]) -> Vec<(&str, &str, u64)> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    assert!(requests.iter().all(|request| text(&request["at"]).is_some()));
    let shown = requests.iter().map(|request| {
        let hook = request["hook"].as_str().unwrap_or("none");
        (hook, request["verdict"].as_str().expect("a word"), request["status"].as_u64().expect("a number"))
    });
    shown.collect()
}

#[tokio::test]
async fn an_alert_is_stored_and_an_identical_one_is_the_same_signal() {
    let (server, ledger) = server().await;
    let first = server.ask(post(&path(), &[("Content-Type", "text/plain; charset=utf-8")], BODY)).await;
    assert_eq!(first.status, 201, "{first:?}");
    let signal = first.json();
    assert_eq!(signal["verdict"], "accepted");
    assert_eq!(signal["timestamp"], "2025-11-29T10:15:30.000+00:00");
    assert!(first.body.contains(r#""payload":{"price":1.10}"#), "the price keeps its digits: {first:?}");
    let id = signal["id"].as_str().expect("an id").to_owned();
    assert_eq!(first.header("location"), Some(format!("/signals/{id}").as_str()));
    let again = server.ask(post(&path(), &[], BODY)).await;
    assert_eq!((again.status, again.json()["verdict"].clone()), (200, "repeated".into()));
    assert_eq!(again.json()["id"], *id);
    let actor = ledger.actors.lock().expect("no panic")[0].clone();
    assert_eq!((actor.who.as_str(), actor.origin.as_str()), ("hook pm", "127.0.0.1"));
    let requests = requests(&server).await;
    assert_eq!(verdicts(&requests), [("pm", "repeated", 200), ("pm", "accepted", 201)]);
    assert_eq!((&requests[1]["signal"], requests[1]["from"].as_str()), (&id.into(), Some("127.0.0.1")));
    assert!(requests[1]["body"].as_str().expect("text").contains(r#""type":"EXIT""#));
}

#[tokio::test]
async fn only_who_knows_the_secret_may_post() {
    let (server, ledger) = server().await;
    let with = |secret: &str| BODY.replacen('{', &format!(r#"{{"secret":"{secret}","#), 1);
    // printf '%s' BODY | openssl dgst -sha256 -hmac SECRET
    let signature = "8b0be60e57f06495e940680aed49a6eeee14aa604f333635e69ff6936a9fa62a";
    let wrong_path = format!("/hooks/field/{SECRET}");
    let signed = |value: &str| post("/hooks/hmac", &[("X-Signature", value)], BODY);
    for (request, status) in [
        (post("/hooks/pm", &[], BODY), 403),
        (post("/hooks/pm/canary-0123456788", &[], BODY), 403),
        (post("/hooks/field", &[], BODY), 403),
        (post("/hooks/field", &[], with("canary-0123456788")), 403),
        (post(&wrong_path, &[], with(SECRET)), 403),
        (post("/hooks/hmac", &[], BODY), 403),
        (signed(&signature.replace('f', "e")), 403),
        (post("/hooks/canary-no-hook", &[], BODY), 404),
        (post(&format!("/hooks/nothing/{SECRET}"), &[], BODY), 404),
        (post(&format!("/hooks/pm/{SECRET}/more"), &[], BODY), 404),
        (post("/hooks/pm/", &[], BODY), 404),
        (post("/hooks/pm/%ff", &[], BODY), 404),
        (post(&format!("/hook/pm/{SECRET}"), &[], BODY), 404),
        (post(&format!("//hooks/pm/{SECRET}"), &[], BODY), 404),
        (post("/hooks/%ff", &[], BODY), 404),
    ] {
        let answer = server.ask(&request).await;
        assert_eq!(answer.status, status, "{answer:?} to {}", String::from_utf8_lossy(&request));
        assert!(!answer.body.contains("canary"), "{answer:?}");
    }
    assert!(ledger.signals.lock().expect("no panic").is_empty());
    let counted = std::mem::take(&mut *ledger.refused.lock().expect("no panic"));
    let forbidden = counted.iter().filter(|why| **why == Refusal::Forbidden).count();
    assert_eq!((forbidden, counted.len()), (7, 15), "every refused alert is counted: {counted:?}");
    assert!(
        requests(&server).await.iter().all(|request| request["body"].is_null()),
        "nothing of a stranger is shown"
    );

    assert_eq!(server.ask(post("/hooks/field", &[], with(SECRET))).await.status, 201);
    assert_eq!(server.ask(signed(signature)).await.status, 200, "the same instruction");
    assert_eq!(server.ask(signed(&format!("sha256={signature}"))).await.status, 200);
    let stored = ledger.signals.lock().expect("no panic")[0].instruction.payload.clone();
    assert_eq!(stored, r#"{"price":1.10}"#);
}

#[tokio::test]
async fn too_many_wrong_secrets_of_an_address_are_limited_and_a_right_one_is_still_accepted() {
    let (server, ledger) = server().await;
    for attempt in 1..=12 {
        let field = BODY.replacen('{', r#"{"secret":"canary-0123456788","#, 1);
        let request = match attempt % 3 {
            0 => post("/hooks/pm/canary-0123456788", &[], BODY),
            1 => post("/hooks/field", &[], field),
            _ => post("/hooks/hmac", &[("X-Signature", &"0".repeat(64))], BODY),
        };
        let answer = server.ask(request).await;
        assert_eq!(answer.status, if attempt <= 10 { 403 } else { 429 }, "attempt {attempt}: {answer:?}");
        let wait = answer.header("retry-after").and_then(|text| text.parse::<u64>().ok());
        assert_eq!(wait.is_some_and(|wait| (1..=61).contains(&wait)), attempt > 10, "{answer:?}");
    }
    let counted = ledger.refused.lock().expect("no panic").clone();
    assert_eq!(counted, [Refusal::Forbidden; 12], "each is counted");
    // A trade must not be lost because another client of the same address guesses.
    assert_eq!(server.ask(post(&path(), &[], BODY)).await.status, 201);
    let requests = requests(&server).await;
    assert_eq!(verdicts(&requests)[..2], [("pm", "accepted", 201), ("pm", "refused", 429)]);
}

#[tokio::test]
async fn a_path_below_hooks_is_answered_without_what_may_be_a_secret() {
    let (server, _) = server().await;
    for (method, path, shown) in [
        ("GET", "/hooks/pm/former-0123456789/x", "/hooks/pm/***"),
        ("PUT", "/hooks/pm/former-0123456789", "/hooks/pm/***"),
        ("GET", "/hooks/former-0123456789", "/hooks/***"),
        ("POST", "/hooks/former-0123456789/x/y", "/hooks/***/***"),
    ] {
        let answer = server.ask(request(method, path, &[])).await;
        assert!(matches!(answer.status, 404 | 405) && answer.body.contains(shown), "{path}: {answer:?}");
        assert!(!answer.body.contains("former"), "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn only_the_sources_of_a_hook_may_post() {
    let (server, ledger) = server().await;
    let from = |path: &str, forwarded: &str| post(path, &[("X-Forwarded-For", forwarded)], BODY);
    assert_eq!(server.ask(post("/hooks/here", &[], BODY)).await.status, 201);
    let refused = server.ask(from("/hooks/there", "52.89.214.238")).await.problem(403);
    assert!(refused["detail"].as_str().expect("a sentence").contains("trusted_proxies"), "{refused}");
    assert_eq!(server.ask(from("/hooks/proxied", "52.89.214.238")).await.status, 200);
    server.ask(from("/hooks/proxied", "52.89.214.238, 198.51.100.1")).await.problem(403);
    server.ask(post("/hooks/proxied", &[], BODY)).await.problem(403);
    let actors = ledger.actors.lock().expect("no panic");
    assert_eq!(actors.last().map(|actor| actor.origin.as_str()), Some("52.89.214.238 by 127.0.0.1"));
}

#[tokio::test]
async fn a_refused_body_is_explained_counted_and_remembered() {
    let (server, ledger) = server().await;
    for (body, status, why, detail) in [
        ("BUY NIFTY", 400, Refusal::Malformed, "hook pm: the body is not"),
        (r#"{"price":{{close}}}"#, 400, Refusal::Malformed, "{{close}}"),
        (r#"{"type":"EXIT","position":"ALL"}"#, 422, Refusal::Invalid, "hook pm: instrument: "),
        (&BODY.replace("1.10", r#""{{close}}""#), 422, Refusal::Invalid, "{{close}}"),
    ] {
        let problem = server.ask(post(&path(), &[], body)).await.problem(status);
        assert!(problem["detail"].as_str().expect("a sentence").contains(detail), "{problem}");
        let counted = std::mem::take(&mut *ledger.refused.lock().expect("no panic"));
        assert_eq!(counted, [why], "{body}");
    }
    let problem = server.ask(post(&path(), &[], "{}")).await.problem(422);
    let fields: Vec<&str> = problem["errors"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|fault| fault["field"].as_str())
        .collect();
    assert_eq!(fields, ["instrument", "signal_type", "position", "timestamp"]);
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(70_000));
    let large =
        large.replacen('{', r#"{"type":"EXIT","instrument":"A","position":"P","timestamp":1764411330,"#, 1);
    server.ask(post(&path(), &[], &large)).await.problem(413);
    server.ask(post(&path(), &[], "x".repeat(200_000))).await.problem(413);
    let requests = requests(&server).await;
    assert_eq!(verdicts(&requests)[0], ("pm", "refused", 413));
    assert!(requests.iter().any(|request| request["why"].to_string().contains("instrument")));
}

#[tokio::test]
async fn strangers_do_not_push_out_a_body_that_came_with_the_right_secret() {
    let (server, _) = server().await;
    let chunks = format!("30d40\r\n{}\r\n0\r\n\r\n", "x".repeat(200_000));
    let large = request("POST", &path(), &[("Transfer-Encoding", "chunked")]) + &chunks;
    server.ask(large).await.problem(413);
    for _ in 0..25 {
        server.ask(post("/hooks/nothing", &[], BODY)).await;
    }
    let requests = requests(&server).await;
    assert!(verdicts(&requests).contains(&("pm", "refused", 413)), "{requests:?}");
}

/// TradingView repeats an alert after 500 to 599 only, so nothing that may succeed later is answered with less.
#[tokio::test]
async fn a_store_that_does_not_answer_is_503_and_counts() {
    let answered = |fake: Fake| async move {
        let ledger = Arc::clone(&fake.ledger);
        let server = Server::start(fake).await;
        let answer: Answer = server.ask(post(&path(), &[], BODY)).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("3")), "{answer:?}");
        assert_eq!(verdicts(&requests(&server).await), [("pm", "unavailable", 503)]);
        assert_eq!(*ledger.refused.lock().expect("no panic"), [Refusal::Other]);
        answer.body
    };
    let failing = Fake {
        store: Err(StoreError::Unavailable("no connection".to_owned())),
        hooks: hooks(),
        ..Fake::default()
    };
    assert!(answered(failing).await.contains("no connection"));
    let (asked, _kept) = mpsc::unbounded_channel();
    let silent = Fake { silent: Some(asked), hooks: hooks(), ..Fake::default() };
    assert!(answered(silent).await.contains("within 900 ms"));
}

#[tokio::test]
async fn the_list_names_the_hooks_without_their_secrets() {
    let (server, _) = server().await;
    let answer = server.ask(&get("/hooks")).await.json();
    let paths: Vec<&str> =
        answer["hooks"].as_array().expect("a list").iter().filter_map(|hook| hook["path"].as_str()).collect();
    assert!(paths.contains(&"/hooks/pm/SECRET") && paths.contains(&"/hooks/hmac"), "{paths:?}");
}
