//! Cases of `GET /events` over a real socket.

use crate::client::get;
use crate::fake::{self, Fake, Server};
use crate::ledger::{Ledger, claimed};
use adapter_http::Limits;
use domain::member::MemberState;
use domain::overview::LastAnswers;
use domain::ports::StoreError;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};

const NOW_MS: i64 = 1_700_000_011_000;

/// An event of a stream.
#[derive(Debug, Default)]
pub struct Event {
    pub name: String,
    pub id: Option<String>,
    pub data: Value,
}

/// A client that reads a stream.
pub struct Stream(BufReader<TcpStream>);

impl Stream {
    pub async fn open(server: &Server, path: &str, last_id: Option<&str>) -> Self {
        let mut stream = server.connect().await;
        let last_id = last_id.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{last_id}\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut stream = Self(BufReader::new(stream));
        let status = stream.line().await.expect("a status line");
        assert_eq!(status, "HTTP/1.1 200 OK");
        while stream.line().await.is_some_and(|line| !line.is_empty()) {}
        stream
    }

    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.0.read_line(&mut line).await.expect("text");
        (read > 0).then(|| line.trim_end().to_owned())
    }

    /// The next event; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<Event> {
        let mut event = Event::default();
        loop {
            let line = self.line().await?;
            // Other lines are the lengths of chunks, empty lines between them, and the time to retry.
            match line.split_once(": ") {
                Some(("event", name)) => name.clone_into(&mut event.name),
                Some(("id", id)) => event.id = Some(id.to_owned()),
                Some(("data", data)) => event.data = serde_json::from_str(data).expect("JSON"),
                _ if line.is_empty() && !event.name.is_empty() => return Some(event),
                _ => {}
            }
        }
    }

    /// The next event with that name.
    async fn next_named(&mut self, name: &str) -> Event {
        loop {
            let event = self.next().await.expect("the stream goes on");
            if event.name == name {
                return event;
            }
        }
    }

    /// The events up to the first one with an id, which completes the state.
    async fn all(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let event = self.next().await.expect("the stream goes on");
            let is_last = event.id.is_some();
            events.push(event);
            if is_last {
                return events;
            }
        }
    }
}

/// A group whose leader is `b-2`, with one signal.
fn healthy() -> Fake {
    let fake = Fake::default();
    fake.last.send_modify(|last| answer(Arc::make_mut(last), MemberState::Active));
    fake
}

fn answer(last: &mut LastAnswers, state: MemberState) {
    let mut member = fake::member("b-2");
    member.member.state = state;
    last.state_store_answered((fake::lease("b-2"), vec![member], Vec::new()), NOW_MS);
}

fn ids(event: &Event) -> Vec<&str> {
    event.data.as_object().expect("sections").keys().map(String::as_str).collect()
}

#[tokio::test]
async fn a_stream_begins_with_everything_and_goes_on_with_what_changed() {
    let fake = healthy();
    let news = fake.last.clone();
    let server = Server::start(fake).await;
    let mut stream = Stream::open(&server, "/events?page", None).await;
    let hello = stream.next().await.expect("hello");
    assert_eq!(hello.name, "hello");
    let expected = json!({ "instance": "a-1", "version": "1.2.3", "now": "2023-11-14T22:13:31.000+00:00" });
    assert_eq!(hello.data, expected);
    let first = stream.next().await.expect("sections");
    assert_eq!(first.name, "section");
    for id in ["sentence", "instances", "c-latency", "settings", "level", "title"] {
        assert!(ids(&first).contains(&id), "{id} in {:?}", ids(&first));
    }
    assert_eq!(ids(&stream.next().await.expect("the signals")), ["signals"]);
    news.send_modify(|last| answer(Arc::make_mut(last), MemberState::Halted));
    let second = stream.next_named("section").await;
    assert!(ids(&second).contains(&"sentence") && ids(&second).contains(&"instances"), "{:?}", ids(&second));
    for id in ["c-latency", "signals", "settings", "figures"] {
        assert!(!ids(&second).contains(&id), "{id} did not change");
    }
    assert_ne!(first.id, second.id);
}

#[tokio::test]
async fn a_client_that_comes_back_gets_only_what_it_missed() {
    let fake = healthy();
    let news = fake.last.clone();
    let server = Server::start(fake).await;
    let mut stream = Stream::open(&server, "/events", None).await;
    let first = stream.all().await;
    assert!(first.iter().any(|event| event.name == "role" && event.data["state"] == "active"), "{first:?}");
    let id = first.last().and_then(|event| event.id.clone()).expect("an id");
    drop(stream);
    news.send_modify(|last| answer(Arc::make_mut(last), MemberState::Halted));
    let mut again = Stream::open(&server, "/events", Some(&id)).await;
    let missed = again.all().await;
    let named: Vec<(&str, &Value)> = missed
        .iter()
        .filter(|event| event.name != "hello")
        .map(|event| (event.name.as_str(), &event.data))
        .collect();
    assert_eq!(named.len(), 2, "{named:?}");
    assert!(named.iter().any(|(name, data)| *name == "role" && data["state"] == "halted"), "{named:?}");
    assert!(
        named.iter().any(|(name, data)| *name == "alert" && data["name"] == "RecoveryFailed"),
        "{named:?}"
    );
    // The id of another process is unknown here: everything is sent.
    let mut other = Stream::open(&server, "/events", Some("0123456789abcdef-7")).await;
    assert!(other.all().await.iter().any(|event| event.name == "store"));
}

/// A server of a group whose leader is halted, and the answers of its stores.
async fn halted() -> (watch::Sender<Arc<LastAnswers>>, Server) {
    let fake = Fake::default();
    fake.last.send_modify(|last| answer(Arc::make_mut(last), MemberState::Halted));
    (fake.last.clone(), Server::start(fake).await)
}

#[tokio::test]
async fn an_alert_that_ends_is_reported_as_ok() {
    let (news, server) = halted().await;
    let mut stream = Stream::open(&server, "/events", None).await;
    let first = stream.all().await;
    let alert = first.iter().find(|event| event.name == "alert" && event.data["name"] == "RecoveryFailed");
    assert_eq!(alert.expect("it fires").data["status"], "CRITICAL");
    news.send_modify(|last| answer(Arc::make_mut(last), MemberState::Active));
    let ended = stream.next_named("alert").await;
    assert_eq!((&ended.data["name"], &ended.data["status"]), (&json!("RecoveryFailed"), &json!("OK")));
}

#[tokio::test]
async fn a_store_that_is_away_makes_states_unknown() {
    let fake = healthy();
    let news = fake.last.clone();
    let server = Server::start(fake).await;
    let mut stream = Stream::open(&server, "/events", None).await;
    stream.all().await;
    news.send_modify(|last| Arc::make_mut(last).state_store_failed(NOW_MS));
    let changes = stream.all().await;
    let of = |name: &str| changes.iter().find(|event| event.name == name).expect(name);
    assert_eq!((&of("role").data["state"], &of("role").data["epoch"]), (&json!("unknown"), &Value::Null));
    assert_eq!(
        (&of("store").data["up"], &of("store").data["since"]),
        (&json!(false), &json!("2023-11-14T22:13:31.000+00:00"))
    );
}

#[tokio::test]
async fn an_alert_does_not_end_because_the_store_is_away() {
    let (news, server) = halted().await;
    let mut stream = Stream::open(&server, "/events", None).await;
    stream.all().await;
    news.send_modify(|last| Arc::make_mut(last).state_store_failed(NOW_MS));
    let changes = stream.all().await;
    let alerts: Vec<&Value> = changes.iter().filter(|one| one.name == "alert").map(|one| &one.data).collect();
    assert!(alerts.iter().all(|alert| alert["status"] != "OK"), "{alerts:?}");
    let all = Stream::open(&server, "/events", None).await.all().await;
    let halted = all.iter().find(|event| event.name == "alert" && event.data["name"] == "RecoveryFailed");
    assert_eq!(halted.expect("it still fires").data["status"], "CRITICAL");
}

/// The audit of an open signal is always read from the store, which here never answers.
#[tokio::test]
async fn an_outage_is_shown_before_a_store_that_does_not_answer_is_awaited() {
    let (asked, mut was_asked) = mpsc::unbounded_channel();
    let away = fake::away(StoreError::Unknown("timeout".to_owned()), 1, Ledger::of([claimed("n-1")])).await;
    let server = Server::start(Fake { silent: Some(asked), ..away }).await;
    let mut stream = Stream::open(&server, "/events?page&open=n-1", None).await;
    let first = stream.next_named("section").await;
    assert_eq!(first.data["level"], "critical", "{:?}", ids(&first));
    assert!(ids(&first).contains(&"sentence") && first.id.is_some(), "{:?}", ids(&first));
    was_asked.recv().await.expect("then the store is queried");
    let signals = stream.next_named("section").await;
    assert_eq!(ids(&signals), ["signals"]);
    assert!(signals.data.to_string().contains("Unknown: PostgreSQL does not answer."), "{}", signals.data);
}

/// The drain of this server is longer than any test: it ends only because its streams end.
#[tokio::test]
async fn a_shutdown_ends_open_streams_at_once() {
    let limits = Limits { drain: Duration::from_hours(1), ..Limits::default() };
    let mut server = Server::start_within(limits, healthy()).await;
    let mut page = Stream::open(&server, "/events?page", None).await;
    let mut facts = Stream::open(&server, "/events", None).await;
    page.all().await;
    facts.all().await;
    server.stop();
    while page.next().await.is_some() {}
    while facts.next().await.is_some() {}
    server.ended().await;
}

/// A server that nests the pages has its own shutdown, which waits for open streams.
#[tokio::test]
async fn streams_end_with_their_instance() {
    let fake = healthy();
    let stopped = Arc::clone(&fake.stopped);
    let server = Server::start(fake).await;
    let mut stream = Stream::open(&server, "/events?page", None).await;
    stream.all().await;
    stopped.store(true, Ordering::SeqCst);
    while stream.next().await.is_some() {}
}

#[tokio::test]
async fn streams_leave_connections_for_probes() {
    // The limit of file descriptors may allow only few connections.
    for (connections, streams) in [(Limits::default().connections, 64), (8, 4), (3, 1)] {
        let server = Server::start_within(Limits { connections, ..Limits::default() }, healthy()).await;
        let mut open = Vec::new();
        for _ in 0..streams {
            open.push(Stream::open(&server, "/events", None).await);
        }
        let refused = server.ask(&get("/events")).await;
        assert!(refused.header("retry-after").is_some());
        refused.problem(503);
        assert_eq!(server.ask(&get("/livez")).await.status, 200, "{connections}");
        drop(open);
    }
}
