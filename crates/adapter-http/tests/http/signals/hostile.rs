//! Cases of bodies that no client sends by accident.

use super::{body, server, submission};
use crate::client::{Answer, get, post, request};
use crate::ledger::Ledger;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const HEAD: &str = r#""instrument":"NIFTY","signal_type":"EXIT","position":"Long_1","timestamp":1764411330"#;

#[tokio::test]
async fn what_is_no_json_object_is_400() {
    let (server, ledger) = server(Ledger::default()).await;
    let deep = "[".repeat(90_000);
    for bad in [
        &b""[..],
        b" ",
        b"instrument=NIFTY",
        b"{",
        b"[]",
        b"null",
        b"17",
        b"\"{}\"",
        b"{}{}",
        b"\xef\xbb\xbf",
        b"{\"instrument\":\"\xff\"}",
        b"{\"a\":\x00}",
        b"{\"a\":\"\x00\"}",
        b"{\"a\":NaN}",
        b"{\"a\":01}",
        b"{\"\\ud800\":1}",
        b"{'a':1}",
        deep.as_bytes(),
        &[b'\0'; 1024],
    ] {
        let answer = server.ask(post("/signals", &[], bad)).await;
        answer.problem(400);
    }
    assert!(ledger.signals.lock().expect("no panic").is_empty());
}

#[tokio::test]
async fn a_field_that_is_written_twice_is_422_and_named() {
    let (server, _) = server(Ledger::default()).await;
    for (twice, field) in [
        (r#""instrument":"BANK""#, "instrument"),
        (r#""timest\u0061mp":1764411330"#, "timestamp"),
        (r#""price":1,"price":1"#, "price"),
        (r#""payload":{},"payload":{}"#, "payload"),
        (r#""payload":{"a":1,"a":1}"#, "payload"),
        (r#""legs":[{"b":{},"b":{}}]"#, "payload"),
        (r#""payload":{"price":1},"price":1"#, "price"),
    ] {
        let answer = server.ask(post("/signals", &[], format!("{{{HEAD},{twice}}}"))).await;
        let problem = answer.problem(422);
        assert_eq!(problem["field"], field, "{twice}: {problem}");
        assert_eq!(problem["errors"].as_array().map(Vec::len), Some(1), "{problem}");
    }
}

#[tokio::test]
async fn depth_is_limited_and_numbers_are_not_read() {
    let (server, ledger) = server(Ledger::default()).await;
    let nested = |levels: usize| {
        let list = "[".repeat(levels) + &"]".repeat(levels);
        post("/signals", &[], format!("{{{HEAD},\"a\":{list}}}"))
    };
    assert_eq!(server.ask(nested(99)).await.status, 201);
    for levels in [100, 129, 40_000] {
        assert_eq!(server.ask(nested(levels)).await.problem(422)["field"], "payload", "{levels}");
    }
    // A reader that stops at 128 levels can read the deepest payload, in a list too.
    let listed = server.ask(get("/signals")).await.json();
    assert_eq!(listed["signals"][0]["instrument"], "NIFTY");

    let digits = "9".repeat(10_000);
    let huge = format!("{{{HEAD},\"a\":[{digits},1e999999999,-0.0e-7]}}").replace("Long_1", "Long_2");
    assert_eq!(server.ask(post("/signals", &[], huge)).await.status, 201);
    let payload = ledger.signals.lock().expect("no panic")[1].instruction.payload.clone();
    assert_eq!(payload, format!("{{\"a\":[{digits},1e999999999,-0.0e-7]}}"));
    let instant = format!("{{{HEAD}}}").replace("1764411330", &digits);
    assert_eq!(server.ask(post("/signals", &[], instant)).await.problem(422)["field"], "timestamp");
}

#[tokio::test]
async fn hostile_texts_stay_texts() {
    let (server, _) = server(Ledger::default()).await;
    let texts =
        json!({ "instrument": "\"},{<b>\u{202e}", "payload": { "\u{0}\n": "\u{0}</script>\u{2028}" } });
    let answer = server.ask(submission(&body(&texts))).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert!(!answer.body.contains(['\0', '\n']), "{}", answer.body);
    assert_eq!(answer.json()["instrument"], texts["instrument"]);
    assert_eq!(answer.json()["payload"], texts["payload"]);
    // Half of a surrogate pair is not text.
    let half = format!("{{{HEAD},\"a\":\"\\ud800\"}}");
    assert_eq!(server.ask(post("/signals", &[], half)).await.problem(422)["field"], "payload");
}

#[tokio::test]
async fn an_answer_is_not_much_larger_than_its_request() {
    let (server, _) = server(Ledger::default()).await;
    let many: Vec<String> = (0..3_000).map(|n| format!("\"k{n}\":1,\"k{n}\":1")).collect();
    let answer = server.ask(post("/signals", &[], format!("{{{}}}", many.join(",")))).await;
    assert_eq!(answer.problem(422)["errors"].as_array().map(Vec::len), Some(20));
    let name = "n".repeat(60_000);
    let answer = server.ask(post("/signals", &[], format!("{{{HEAD},\"{name}\":1,\"{name}\":1}}"))).await;
    assert!(answer.body.len() < 1_000, "{}", answer.body.len());
    answer.problem(413);
    let name = "n".repeat(40_000);
    let answer = server.ask(post("/signals", &[], format!("{{{HEAD},\"{name}\":1,\"{name}\":1}}"))).await;
    assert!(answer.body.len() < 1_000, "{}", answer.body.len());
    assert_eq!(answer.problem(422)["field"], "n".repeat(64));
}

#[tokio::test]
async fn a_large_request_is_refused_announced_or_not() {
    let (server, ledger) = server(Ledger::default()).await;
    for (path, len) in [("/signals", 98_305), ("/signals/claim", 65_537), ("/signals/x/result", 65_537)] {
        // The client sends no byte of the body.
        server.ask(request("POST", path, &[("Content-Length", &len.to_string())])).await.problem(413);
        let head = request("POST", path, &[("Transfer-Encoding", "chunked")]);
        let mut stream = server.connect().await;
        stream.write_all(format!("{head}{len:x}\r\n{}", " ".repeat(len)).as_bytes()).await.expect("sent");
        // The body never ends; the server answers anyway.
        Answer::read_one(&mut stream).await.problem(413);
    }
    assert!(ledger.signals.lock().expect("no panic").is_empty());
}

#[tokio::test]
async fn a_body_that_breaks_off_stores_nothing() {
    let (server, ledger) = server(Ledger::default()).await;
    let whole = submission(&body(&json!({})));
    let mut stream = server.connect().await;
    stream.write_all(&whole[..whole.len() - 1]).await.expect("sent");
    stream.shutdown().await.expect("half closed");
    let mut rest = Vec::new();
    // The server answers or cuts the connection, and is finished in either case.
    let _ = stream.read_to_end(&mut rest).await;
    assert!(ledger.signals.lock().expect("no panic").is_empty());
}
