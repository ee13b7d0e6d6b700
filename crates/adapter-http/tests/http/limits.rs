//! Cases of the limits: one client must not block others.

use crate::client::{Answer, get, request};
use crate::fake::{Fake, Server};
use adapter_http::Limits;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Longer than any test.
const NEVER: Duration = Duration::from_hours(1);
const SOON: Duration = Duration::from_millis(50);
/// A bound for what must happen at all, not for how fast.
const PATIENCE: Duration = Duration::from_secs(30);

/// Limits that no test reaches.
const WIDE: Limits = Limits {
    head: NEVER,
    answer: NEVER,
    stalled_write: NEVER,
    drain: NEVER,
    connections: 16,
    reserved: 0,
    per_address: 16,
};

#[tokio::test]
async fn a_head_that_never_ends_is_cut() {
    let server = Server::start_within(Limits { head: SOON, ..WIDE }, Fake::default()).await;
    for begun in ["", "G", "GET /livez HTTP/1.1\r\nHost: local", "GET /livez HTTP/1.1\r\nHost: localhost\r\n"]
    {
        let mut stream = server.connect().await;
        stream.write_all(begun.as_bytes()).await.expect("sent");
        let mut rest = Vec::new();
        // It ends only because the server closes; with a reset if the server had unread bytes.
        let _ = stream.read_to_end(&mut rest).await;
        assert!(!rest.starts_with(b"HTTP/1.1 200"), "{begun:?}");
    }
    assert_eq!(in_time(&server, &get("/livez")).await.status, 200);
}

#[tokio::test]
async fn an_idle_connection_is_cut() {
    let server = Server::start_within(Limits { head: SOON, ..WIDE }, Fake::default()).await;
    // The client does not request a close. The answer is complete, and then the server ends the connection.
    let answer = in_time(&server, "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(answer.status, 200);
}

/// The answer to a request whose head came within [`SOON`]. On a busy machine it may come later, and then there is none.
async fn in_time(server: &Server, request: &str) -> Answer {
    let asked = async {
        loop {
            let mut stream = server.connect().await;
            let _ = stream.write_all(request.as_bytes()).await;
            let mut bytes = Vec::new();
            let read = stream.read_to_end(&mut bytes).await;
            if read.is_ok() && !bytes.is_empty() {
                return Answer::parse(&String::from_utf8(bytes).expect("text"));
            }
        }
    };
    timeout(PATIENCE, asked).await.expect("a head comes in time once")
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let server = Server::start_within(WIDE, Fake::default()).await;
    let padding = "x".repeat(64 * 1024);
    let mut stream = server.connect().await;
    // The server may close before all of it is sent.
    let _ = stream.write_all(format!("GET /livez HTTP/1.1\r\nHost: {padding}\r\n\r\n").as_bytes()).await;
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(!rest.starts_with(b"HTTP/1.1 200"));
    assert_eq!(server.ask(&get("/livez")).await.status, 200);
}

#[tokio::test]
async fn a_large_body_is_refused_unread() {
    let server = Server::start_within(WIDE, Fake::default()).await;
    for method in ["GET", "POST"] {
        let head = request(method, "/status", &[("Content-Length", "65537")]);
        // The client sends no byte of the body: the server answers and closes without it.
        let answer = server.ask(&head).await;
        assert_eq!((answer.status, answer.header("content-type")), (413, Some("application/problem+json")));
    }
    let body = "x".repeat(65_536);
    let allowed = request("GET", "/livez", &[("Content-Length", "65536")]) + &body;
    assert_eq!(server.ask(&allowed).await.status, 200);
}

#[tokio::test]
async fn an_endless_body_does_not_keep_the_connection() {
    let server = Server::start_within(WIDE, Fake::default()).await;
    let mut stream = server.connect().await;
    let head = "GET /livez HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("sent");
    // Until the server has closed; the limits above never cause that.
    while stream.write_all(b"400\r\n").await.is_ok() && stream.write_all(&[b'x'; 0x400]).await.is_ok() {
        if stream.write_all(b"\r\n").await.is_err() {
            break;
        }
    }
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_503() {
    let (asked, mut was_asked) = mpsc::unbounded_channel();
    let backend = Fake { silent: Some(asked), ..Fake::default() };
    let server = Server::start_within(Limits { answer: SOON, ..WIDE }, backend).await;
    let answer = server.ask(&get("/status")).await;
    assert_eq!((answer.status, answer.header("content-type")), (503, Some("application/problem+json")));
    was_asked.recv().await.expect("the store was asked");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut() {
    let limits = Limits { stalled_write: SOON, ..WIDE };
    let exposition = Ok("x".repeat(32 * 1024 * 1024));
    let mut server = Server::start_within(limits, Fake { exposition, ..Fake::default() }).await;
    let mut deaf = server.connect().await;
    deaf.write_all(get("/metrics").as_bytes()).await.expect("sent");
    deaf.readable().await.expect("its answer begins");
    server.stop();
    // It waits for open requests, and this one was never read: it ends because the connection was cut.
    server.ended().await;
    drop(deaf);
}

#[tokio::test]
async fn connections_beyond_the_cap_wait_and_are_all_served() {
    let backend = Fake::default();
    let load = Arc::clone(&backend.load);
    let server = Arc::new(Server::start_within(Limits { connections: 2, ..WIDE }, backend).await);
    let mut clients = JoinSet::new();
    for _ in 0..20 {
        let server = Arc::clone(&server);
        clients.spawn(async move { server.ask(&get("/status")).await.status });
    }
    assert_eq!(clients.join_all().await, [200; 20]);
    assert_eq!(load.most.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_client_that_goes_away_makes_room_at_once() {
    let (asked, mut was_asked) = mpsc::unbounded_channel();
    let backend = Fake { silent: Some(asked), ..Fake::default() };
    let server = Server::start_within(Limits { connections: 1, ..WIDE }, backend).await;
    let mut first = server.connect().await;
    first.write_all(get("/status").as_bytes()).await.expect("sent");
    was_asked.recv().await.expect("served");
    let mut second = server.connect().await;
    second.write_all(get("/status").as_bytes()).await.expect("queued by the kernel");
    // The store would never have answered the first request.
    drop(first);
    was_asked.recv().await.expect("served in the place that became free");
}

#[tokio::test]
async fn at_shutdown_idle_connections_end_and_a_request_is_answered() {
    let (asked, mut was_asked) = mpsc::unbounded_channel();
    let backend = Fake { silent: Some(asked), ..Fake::default() };
    let mut server = Server::start_within(Limits { answer: Duration::from_secs(1), ..WIDE }, backend).await;
    let mut idle = server.connect().await;
    let mut busy = server.connect().await;
    busy.write_all(get("/status").as_bytes()).await.expect("sent");
    was_asked.recv().await.expect("served");
    server.stop();
    let mut rest = Vec::new();
    let _ = idle.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
    assert_eq!(Answer::read(&mut busy).await.status, 503, "its own answer, after shutdown began");
    server.ended().await;
}

#[tokio::test]
async fn a_request_that_outlasts_the_drain_is_cut() {
    let (asked, mut was_asked) = mpsc::unbounded_channel();
    let backend = Fake { silent: Some(asked), ..Fake::default() };
    let mut server = Server::start_within(Limits { drain: SOON, ..WIDE }, backend).await;
    let mut busy = server.connect().await;
    busy.write_all(get("/status").as_bytes()).await.expect("sent");
    was_asked.recv().await.expect("served");
    server.stop();
    server.ended().await;
    let mut rest = Vec::new();
    let _ = busy.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
}
