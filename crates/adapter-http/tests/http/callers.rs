//! Cases of web pages in a browser on this host: they reach loopback too, and must not do anything.

use crate::client::{Answer, get};
use crate::fake::{Fake, Server};
use crate::ledger::Ledger;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;

const BODY: &str = r#"{"instrument":"NIFTY","signal_type":"EXIT","position":"1","timestamp":1764411330}"#;

/// Sends a request with exactly these headers.
async fn ask(server: &Server, line: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let headers: String = headers.iter().flat_map(|(name, value)| [name, ": ", value, "\r\n"]).collect();
    let length = body.len();
    let request = format!("{line}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}");
    let mut stream = server.connect().await;
    stream.write_all(request.as_bytes()).await.expect("sent");
    Answer::read_one(&mut stream).await
}

#[tokio::test]
async fn a_page_of_another_origin_can_submit_nothing() {
    let ledger = Arc::new(Ledger::default());
    let server = Server::start(Fake { ledger: Arc::clone(&ledger), ..Fake::default() }).await;
    let port = server.address.port();
    let host = format!("localhost:{port}");
    for header in [
        ("Origin", "https://evil.example"),
        ("Origin", "null"),
        ("Origin", ""),
        ("Origin", "http://localhost"),
        ("Origin", "http://localhost:3000"),
        ("Origin", &format!("https://localhost:{port}")),
        ("Origin", &format!("http://localhost:{port}.evil.example")),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
        ("Sec-Fetch-Site", "new"),
    ] {
        let headers = [("Host", host.as_str()), ("Content-Type", "text/plain"), header];
        for path in ["/signals", "/signals/claim", "/signals/x/result", "/", "/nothing"] {
            ask(&server, &format!("POST {path} HTTP/1.1"), &headers, BODY).await.problem(403);
        }
        ask(&server, "OPTIONS /signals HTTP/1.1", &headers, "").await.problem(403);
        assert_eq!(
            ask(&server, "GET /status HTTP/1.1", &headers, "").await.status,
            200,
            "a link is harmless"
        );
    }
    // Our own origin together with a foreign one is refused too.
    let own = format!("http://{host}");
    let both = [("Host", host.as_str()), ("Origin", &own), ("Origin", "https://evil.example")];
    ask(&server, "POST /signals HTTP/1.1", &both, BODY).await.problem(403);
    assert!(ledger.signals.lock().expect("no panic").is_empty());
    assert!(ledger.pulls.lock().expect("no panic").is_empty());
}

#[tokio::test]
async fn our_own_page_and_programs_can() {
    let server = Server::start(Fake::default()).await;
    let port = server.address.port();
    let host = format!("127.0.0.1:{port}");
    let (own, tunnel) = (format!("http://{host}"), "http://localhost:8080");
    for headers in [
        &[("Host", host.as_str())][..],
        &[("Host", &host), ("Origin", &own), ("Sec-Fetch-Site", "same-origin")],
        &[("Host", &host), ("Sec-Fetch-Site", "none")],
        &[("Host", "localhost:8080"), ("Origin", tunnel)],
        &[("Host", "LocalHost:8080"), ("Origin", tunnel)],
        &[("Host", "[::1]:5000"), ("Origin", "http://[::1]:5000")],
    ] {
        let answer = ask(&server, "POST /signals HTTP/1.1", headers, BODY).await;
        assert!(matches!(answer.status, 200 | 201), "{headers:?} {answer:?}");
    }
}

#[tokio::test]
async fn a_name_that_is_not_ours_is_refused_whatever_is_asked() {
    let server = Server::start(Fake::default()).await;
    for headers in [
        &[("Host", "evil.example")][..],
        &[("Host", "evil.example:5000")],
        &[("Host", "10.0.0.1:5000")],
        &[("Host", "0.0.0.0:5000")],
        &[("Host", "localhost.evil.example")],
        &[("Host", "localhost"), ("Host", "evil.example")],
        &[("Host", "")],
    ] {
        for line in ["GET /status HTTP/1.1", "GET /livez HTTP/1.0", "POST /signals HTTP/1.1"] {
            let answer = ask(&server, line, headers, BODY).await;
            // hyper rejects two of them as invalid HTTP.
            if answer.status != 400 {
                let detail = answer.problem(403)["detail"].clone();
                assert!(detail.as_str().is_some_and(|text| text.contains("allowed_hosts")), "{detail}");
            }
        }
    }
    // In absolute form the request line counts.
    let host = [("Host", "localhost")];
    ask(&server, "GET http://evil.example/status HTTP/1.1", &host, "").await.problem(403);
    assert_eq!(ask(&server, "GET http://localhost:5000/status HTTP/1.1", &host, "").await.status, 200);
}

#[tokio::test]
async fn scrapers_without_a_name_are_served() {
    let server = Server::start(Fake::default()).await;
    assert_eq!(ask(&server, "GET /metrics HTTP/1.0", &[], "").await.status, 200);
    assert_eq!(ask(&server, "POST /signals HTTP/1.0", &[], BODY).await.status, 201);
    assert_eq!(server.ask(get("/metrics")).await.status, 200);
}
