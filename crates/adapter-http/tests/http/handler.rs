//! Cases of the handler with every kind of answer of a service.

use crate::broker::{Broker, Does};
use crate::ledger::claimed;
use adapter_http::{Credentials, HandlerUrl, HttpHandler, HttpHandlerConfig, Source};
use domain::id::ClaimId;
use domain::lease::{Epoch, Timeline, Token};
use domain::ledger::{Outcome, Signal};
use domain::ports::{Answer, SignalHandler};
use serde_json::Value;
use std::time::Duration;

/// Longer than any test.
const NEVER: Duration = Duration::from_hours(1);
const SOON: Duration = Duration::from_millis(50);

fn token() -> Token {
    Token { timeline: Timeline(1), epoch: Epoch(9), claim: ClaimId::from_u128(0x4a_0000_0001) }
}

fn handler(url: &str, timeout: Duration) -> HttpHandler {
    let url = |path: &str| HandlerUrl::parse(&format!("{url}{path}")).expect("a URL");
    HttpHandler::new(HttpHandlerConfig {
        execute: url("/execute?desk=1"),
        lookup: Some(url("/orders/")),
        timeout,
        tls: None,
        credentials: Credentials::default(),
    })
}

fn signal() -> Signal {
    claimed("n-1")
}

async fn execute(broker: &Broker, timeout: Duration) -> Answer {
    let answer = handler(&broker.url(""), timeout).execute(&signal(), &token()).await;
    assert_eq!(broker.asked().len(), 1, "the request is sent once, whatever the answer");
    answer
}

async fn executed(status: &str, body: &str) -> (Outcome, String) {
    let answer = execute(&Broker::answering(status, body).await, NEVER).await;
    (answer.outcome, answer.note)
}

async fn found(status: &str, body: &str) -> (Outcome, String) {
    let broker = Broker::answering(status, body).await;
    let answer = handler(&broker.url(""), NEVER).lookup(&signal(), &token()).await;
    (answer.outcome, answer.note)
}

#[tokio::test]
async fn the_service_gets_the_signal_its_key_and_the_epoch() {
    let broker = Broker::answering("200 OK", "").await;
    execute(&broker, NEVER).await;
    let request = broker.asked().remove(0);
    let (head, body) = request.split_once("\r\n\r\n").expect("a head");
    let fingerprint = signal().fingerprint().to_string();
    assert!(head.starts_with("POST /execute?desk=1 HTTP/1.1\r\n"), "{head}");
    let host = broker.url("").replace("http://", "host: ");
    for line in [
        "content-type: application/json",
        &format!("idempotency-key: {fingerprint}"),
        "coordinator-epoch: 9",
        "coordinator-claim: 00000000-0000-0000-0000-004a00000001",
        "coordinator-timeline: 1",
        "coordinator-attempt: 2",
        "connection: close",
        &host,
    ] {
        assert_eq!(head.lines().filter(|own| *own == line).count(), 1, "{line} in {head}");
    }
    assert!(body.contains("\"payload\":{\"price\":1.10},"), "{body}");
    let document: Value = serde_json::from_str(body).expect("JSON");
    assert_eq!((&document["id"], &document["fingerprint"]), (&"n-1".into(), &fingerprint.as_str().into()));
    assert_eq!((&document["epoch"], &document["attempt"]), (&9.into(), &2.into()));
}

#[tokio::test]
async fn with_an_empty_body_the_status_says_it_and_most_say_nothing() {
    use Outcome::{Done, InDoubt, Sent};
    for (status, outcome) in [
        ("200 OK", Done),
        ("201 Created", Done),
        ("204 No Content", Done),
        ("202 Accepted", Sent),
        ("203 Non-Authoritative Information", InDoubt),
        ("206 Partial Content", InDoubt),
        ("301 Moved Permanently", InDoubt),
        ("307 Temporary Redirect", InDoubt),
        ("400 Bad Request", InDoubt),
        ("401 Unauthorized", InDoubt),
        ("404 Not Found", InDoubt),
        ("409 Conflict", InDoubt),
        ("422 Unprocessable Content", InDoubt),
        ("429 Too Many Requests", InDoubt),
        ("500 Internal Server Error", InDoubt),
        ("502 Bad Gateway", InDoubt),
        ("503 Service Unavailable", InDoubt),
        ("599 ", InDoubt),
    ] {
        let code = &status[..3];
        assert_eq!(executed(status, "").await, (outcome, format!("HTTP {code}")), "{status}");
        if code != "204" {
            for body in ["<html>", "{}", "[\"done\"]", "{\"note\":null}"] {
                let (outcome, note) = executed(status, body).await;
                assert_eq!(outcome, InDoubt, "{status} {body}");
                assert!(note.starts_with(&format!("HTTP {code} with ")), "{note}");
            }
        }
    }
    let refused = executed("400 Bad Request", "{\"note\":\"margin\"}").await;
    let note = "HTTP 400 with a JSON object that has no \"outcome\"; its note: margin";
    assert_eq!(refused, (InDoubt, note.to_owned()));
}

/// Real answers of services that refused an order, or that are not order services: none of them is an
/// execution.
#[tokio::test]
async fn an_answer_that_is_not_understood_is_never_done() {
    let gzip = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xab, 0x56, 0xca];
    let plain = "Content-Type: application/json\r\n";
    let latin = b"{\"outcome\":\"rejected\",\"note\":\"refus\xe9\"}";
    let cases: &[(&str, &str, &[u8], &str)] = &[
        (
            "NaN, as Flask writes it",
            plain,
            br#"{"outcome":"rejected","avg_price":NaN}"#,
            "no NaN and no Infinity",
        ),
        ("Infinity", plain, br#"{"outcome":"rejected","avg_price":-Infinity}"#, "no NaN and no Infinity"),
        ("a byte order mark", plain, b"\xef\xbb\xbf{\"outcome\":\"rejected\"}", "byte order mark"),
        ("a raw newline", plain, b"{\"outcome\":\"rejected\",\"note\":\"a\nb\"}", "is not JSON: "),
        ("latin-1", "Content-Type: application/json; charset=latin-1\r\n", latin, "not UTF-8"),
        ("UTF-16", plain, b"\xff\xfe{\x00}\x00", "not UTF-8"),
        ("gzip that is announced", "Content-Encoding: gzip\r\n", &gzip, "Content-Encoding gzip"),
        ("gzip that is not", plain, &gzip, "compressed with gzip"),
        ("an encoding without a body", "Content-Encoding: br\r\n", b"", "Content-Encoding br"),
        ("half an object", plain, br#"{"outcome":"rejec"#, "is not JSON: "),
        ("two objects", plain, br#"{"outcome":"done"}{"outcome":"rejected"}"#, "is not JSON: "),
        ("an array", plain, br#"[{"outcome":"rejected"}]"#, "JSON, but not an object"),
        ("a text", plain, br#""rejected""#, "JSON, but not an object"),
        ("null", plain, b"null", "JSON, but not an object"),
        ("a word", plain, b"REJECTED", "is not JSON"),
        ("another key", plain, br#"{"Outcome":"rejected"}"#, "the key \"Outcome\"; it must be \"outcome\""),
        ("no outcome", plain, br#"{"error":"margin"}"#, "has no \"outcome\""),
        ("an outcome within", plain, br#"{"data":{"outcome":"rejected"}}"#, "has no \"outcome\""),
        (
            "a login page",
            "Content-Type: text/html\r\n",
            b"\n<!doctype html><title>Sign in</title>",
            "HTML or XML",
        ),
        ("white space", plain, b"\r\n", "white space only"),
    ];
    for (what, headers, body, reason) in cases {
        for status in ["200 OK", "201 Created", "202 Accepted"] {
            let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
            let bytes = [head.as_bytes(), body].concat();
            let answer = execute(&Broker::start(Does::Answers(bytes.clone())).await, NEVER).await;
            assert_eq!(answer.outcome, Outcome::InDoubt, "{what}: {answer:?}");
            assert!(answer.note.starts_with(&format!("HTTP {}", &status[..3])), "{what}: {}", answer.note);
            assert!(answer.note.contains(reason), "{what}: {}", answer.note);
            let broker = Broker::start(Does::Answers(bytes)).await;
            let found = handler(&broker.url(""), NEVER).lookup(&signal(), &token()).await;
            assert_eq!(found.outcome, Outcome::InDoubt, "{what}: {found:?}");
            assert!(found.note.contains(reason), "{what}: {}", found.note);
        }
    }
}

/// An empty body without a length could be one that was cut off.
#[tokio::test]
async fn an_empty_body_is_done_when_the_head_says_that_it_is_empty() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let cut = "HTTP/1.0 200 OK\r\n\r\n";
    let none = "HTTP/1.1 204 No Content\r\n\r\n";
    for (bytes, outcome) in [(chunked, Outcome::Done), (none, Outcome::Done), (cut, Outcome::InDoubt)] {
        let answer = execute(&Broker::start(Does::Answers(bytes.into())).await, NEVER).await;
        assert_eq!(answer.outcome, outcome, "{bytes}: {answer:?}");
    }
}

#[tokio::test]
async fn an_outcome_counts_whatever_the_status() {
    use Outcome::{Done, InDoubt, Received, Rejected, Sent};
    for (word, outcome) in [
        ("done", Done),
        ("sent", Sent),
        ("rejected", Rejected),
        ("not_executed", Received),
        ("unknown", InDoubt),
    ] {
        for status in ["200 OK", "202 Accepted", "409 Conflict", "500 Internal Server Error"] {
            let body = format!("{{\"note\":\" 42\\n\",\"outcome\":\"{word}\",\"more\":[1]}}");
            assert_eq!(executed(status, &body).await, (outcome, "42".to_owned()), "{word} {status}");
        }
        let without_note = executed("200 OK", &format!("{{\"outcome\":\"{word}\",\"note\":42}}")).await;
        assert_eq!(without_note, (outcome, "42".to_owned()));
        let without_note = executed("200 OK", &format!("{{\"outcome\":\"{word}\"}}")).await;
        assert_eq!(without_note, (outcome, "HTTP 200".to_owned()));
    }
    let (_, note) =
        executed("200 OK", &format!("{{\"outcome\":\"done\",\"note\":\"{}\"}}", "₹".repeat(999))).await;
    assert_eq!(note.chars().count(), 256);
}

#[tokio::test]
async fn an_unknown_outcome_is_no_success() {
    for body in [
        r#"{"outcome":"failed"}"#,
        r#"{"outcome":"Done"}"#,
        r#"{"outcome":""}"#,
        r#"{"outcome":null}"#,
        r#"{"outcome":true}"#,
        r#"{"outcome":["done"]}"#,
        r#"{"outcome":"done","outcome":"rejected"}"#,
        r#"{"outcome":"done","outcome":"done"}"#,
    ] {
        let (outcome, note) = executed("200 OK", body).await;
        assert_eq!(outcome, Outcome::InDoubt, "{body}");
        assert!(note.starts_with("HTTP 200 with an outcome that is not done, sent"), "{note}");
        assert_eq!(found("200 OK", body).await.0, Outcome::InDoubt, "{body}");
    }
}

#[tokio::test]
async fn only_a_connection_that_was_never_made_means_not_executed() {
    // No server listens on that port, and no client gets it by chance.
    let handler = handler("http://127.0.0.1:1", NEVER);
    let answer = handler.execute(&signal(), &token()).await;
    assert_eq!(answer.outcome, Outcome::Received, "{answer:?}");
    assert!(answer.note.starts_with("could not connect: "), "{answer:?}");
    let answer = handler.lookup(&signal(), &token()).await;
    assert_eq!(answer.outcome, Outcome::InDoubt, "without a lookup the outcome is unknown: {answer:?}");
    assert!(answer.note.starts_with("lookup: could not connect"), "{answer:?}");
}

#[tokio::test]
async fn an_answer_that_does_not_come_to_its_end_is_unknown() {
    let half_head = b"HTTP/1.1 200 OK\r\nContent-Le".to_vec();
    let half_body = b"HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n{\"outcome\":\"done\"".to_vec();
    let half_chunk = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n12\r\n{\"outcome\":".to_vec();
    let large =
        format!("HTTP/1.1 200 OK\r\n\r\n{{\"outcome\":\"done\",\"more\":\"{}\"}}", "x".repeat(70_000));
    let head = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(70_000));
    for does in [
        Does::CutsAtOnce,
        Does::CutsAfterReading,
        Does::Answers(half_head),
        Does::Answers(half_body),
        Does::Answers(half_chunk),
        Does::Answers(b"SSH-2.0-OpenSSH_9.6\r\n".to_vec()),
        Does::Answers(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n".to_vec()),
        Does::Answers(large.into_bytes()),
        Does::Answers(head.into_bytes()),
        Does::Babbles,
    ] {
        let answer = execute(&Broker::start(does).await, NEVER).await;
        assert_eq!(answer.outcome, Outcome::InDoubt, "{answer:?}");
        assert!(!answer.note.is_empty());
    }
}

#[tokio::test]
async fn a_service_that_takes_too_long_is_not_waited_for() {
    for begun in ["", "HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n{\"outcome\":\"done\""] {
        let answer = execute(&Broker::start(Does::Stalls(begun.into())).await, SOON).await;
        assert_eq!(answer, Answer::unknown("no answer within 50 ms"));
    }
    // An answer is complete when all of it has arrived; the connection may stay open.
    let whole = "HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n{\"outcome\":\"done\"}";
    let answer = execute(&Broker::start(Does::Stalls(whole.into())).await, NEVER).await;
    assert_eq!(answer.outcome, Outcome::Done);
}

#[tokio::test]
async fn every_signal_has_a_separate_connection() {
    let kept = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n".to_vec();
    let broker = Broker::start(Does::Stalls(kept)).await;
    let handler = handler(&broker.url(""), NEVER);
    for sent in 1..=3 {
        assert_eq!(handler.execute(&signal(), &token()).await.outcome, Outcome::Done);
        assert_eq!(broker.asked().len(), sent);
    }
}

#[tokio::test]
async fn a_lookup_counts_when_it_is_200_with_an_outcome() {
    use Outcome::{Done, InDoubt, Received, Rejected, Sent};
    for (word, outcome) in [
        ("done", Done),
        ("sent", Sent),
        ("rejected", Rejected),
        ("not_executed", Received),
        ("unknown", InDoubt),
    ] {
        let body = format!("{{\"outcome\":\"{word}\",\"note\":\"42\",\"attempt\":2}}");
        assert_eq!(found("200 OK", &body).await, (outcome, "42".to_owned()));
        for status in ["201 Created", "202 Accepted", "302 Found", "404 Not Found", "500 Oh"] {
            let (outcome, note) = found(status, &body).await;
            assert_eq!(outcome, InDoubt, "{status}");
            assert!(note.contains(&status[..3]), "{status} {note}");
        }
    }
    for body in ["", "{}", "done", "[]", "\u{0}"] {
        assert_eq!(found("200 OK", body).await.0, InDoubt, "{body}");
    }
}

/// This very leader may have sent the attempt under this very epoch, and it may still be on its way.
#[tokio::test]
async fn not_executed_counts_when_the_service_confirms_that_it_refuses_the_attempt() {
    for attempt in
        ["", ",\"attempt\":1", ",\"attempt\":\"2\"", ",\"attempt\":null", ",\"attempt\":2,\"attempt\":2"]
    {
        let (outcome, note) = found("200 OK", &format!("{{\"outcome\":\"not_executed\"{attempt}}}")).await;
        assert_eq!(outcome, Outcome::InDoubt, "{attempt}");
        assert!(note.contains("without \"attempt\":2"), "{attempt}: {note}");
    }
    for attempt in [2, 3] {
        let (outcome, _) =
            found("200 OK", &format!("{{\"outcome\":\"not_executed\",\"attempt\":{attempt}}}")).await;
        assert_eq!(outcome, Outcome::Received, "{attempt}");
    }
    assert_eq!(found("200 OK", "{\"outcome\":\"done\"}").await.0, Outcome::Done);
}

#[tokio::test]
async fn a_lookup_asks_below_its_url_or_says_that_it_cannot() {
    let broker = Broker::answering("404 Not Found", "").await;
    let mut config = HttpHandlerConfig {
        execute: HandlerUrl::parse(&broker.url("/execute")).expect("a URL"),
        lookup: Some(HandlerUrl::parse(&broker.url("/orders/?desk=1")).expect("a URL")),
        timeout: NEVER,
        tls: None,
        credentials: Credentials::default(),
    };
    HttpHandler::new(config.clone()).lookup(&signal(), &token()).await;
    let request = broker.asked().remove(0);
    let line = format!("GET /orders/{}?desk=1 HTTP/1.1\r\n", signal().fingerprint());
    assert!(request.starts_with(&line), "{request}");
    assert!(request.contains("\r\ncoordinator-epoch: 9\r\ncoordinator-claim: 00000000-0000-0000-0000-004a00000001\r\ncoordinator-timeline: 1\r\ncoordinator-attempt: 2\r\n"), "{request}");

    config.lookup = None;
    let answer = HttpHandler::new(config).lookup(&signal(), &token()).await;
    assert_eq!(answer, Answer::unknown("no lookup URL is configured"));
    assert_eq!(broker.asked().len(), 1);
}

/// The signature is what `openssl dgst -sha256 -hmac secret` prints for the signed text.
#[tokio::test]
async fn a_request_identifies_its_sender_by_token_and_signature() {
    let broker = Broker::answering("200 OK", "").await;
    let url = |path: &str| HandlerUrl::parse(&broker.url(path)).expect("a URL");
    let secret = |text: &'static str| Some(Source::new(move || Ok(text.to_owned())));
    let handler = HttpHandler::new(HttpHandlerConfig {
        execute: url("/execute"),
        lookup: Some(url("/orders")),
        timeout: NEVER,
        tls: None,
        credentials: Credentials { token: secret("t0ken"), key: secret("secret") },
    });
    handler.lookup(&signal(), &token()).await;
    handler.execute(&signal(), &token()).await;
    let asked = broker.asked();
    // GET, the fingerprint, timeline 1, epoch 9, the claim, attempt 2, an empty body; joined by newlines.
    let of_lookup =
        "coordinator-signature: sha256=3286cd886be27bdd7bf30806a4104cc0b206f68af0171b2b1bf6d980aac93594\r\n";
    assert!(asked[0].contains(of_lookup), "{}", asked[0]);
    for request in &asked {
        assert!(request.contains("\r\nauthorization: Bearer t0ken\r\n"), "{request}");
        assert_eq!(request.matches("coordinator-signature: sha256=").count(), 1, "{request}");
    }
    assert!(!asked[1].contains(of_lookup), "the signature covers the method and the body: {}", asked[1]);
    assert!(!format!("{handler:?}").contains("t0ken"));
}

#[tokio::test]
async fn nothing_is_sent_without_the_secret_or_the_tls_settings() {
    let broker = Broker::answering("200 OK", "").await;
    let none = || Some(Source::new(|| Err("the file has gone".to_owned())));
    let newline = || Some(Source::new(|| Ok("a\r\nb: c".to_owned())));
    let https = broker.url("/execute").replace("http://", "https://");
    let plain = Credentials::default;
    for (url, credentials, why) in [
        (broker.url("/execute"), Credentials { token: none(), ..plain() }, "the file has gone"),
        (broker.url("/execute"), Credentials { key: none(), ..plain() }, "the file has gone"),
        (
            broker.url("/execute"),
            Credentials { token: newline(), ..plain() },
            "characters that a header cannot have",
        ),
        (https, plain(), "no TLS settings"),
    ] {
        let execute = HandlerUrl::parse(&url).expect("a URL");
        let config = HttpHandlerConfig { execute, lookup: None, timeout: NEVER, tls: None, credentials };
        let answer = HttpHandler::new(config).execute(&signal(), &token()).await;
        assert_eq!(answer.outcome, Outcome::Received, "{answer:?}");
        assert!(answer.note.contains(why), "{answer:?}");
    }
    assert_eq!(broker.asked().len(), 0);
}
