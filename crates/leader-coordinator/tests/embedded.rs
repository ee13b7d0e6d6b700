//! A service that nests the pages under its own path, over real sockets.

use axum::Router;
use axum::routing::get;
use leader_coordinator::domain::lease::Token;
use leader_coordinator::domain::ledger::{Outcome, Signal};
use leader_coordinator::domain::ports::{Answer, SignalHandler};
use leader_coordinator::http::Delivery;
use leader_coordinator::{Coordinator, LedgerSettings, Sqlite, async_trait, builder, clock};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Longest wait for an event, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn an_embedding_service_serves_the_pages_and_executes_signals() {
    let directory = tempfile::tempdir().expect("a directory");
    let coordinator = started(directory.path());
    let ledger = coordinator.ledger(LedgerSettings::default());
    let (executed, mut executions) = mpsc::unbounded_channel();
    let executing = ledger.clone();
    tokio::spawn(async move { executing.run(Some(Arc::new(Broker(executed)))).await });
    let pages = coordinator.pages().host("desk.internal").signals(ledger, Delivery::Pushed);
    let service = serve(pages.router().expect("the metrics")).await;
    active(&coordinator).await;

    assert!(service.get("/").await.contains("the service's own page"));
    assert!(service.get("/coordinator/leader").await.starts_with("HTTP/1.1 200 "));
    let metrics = service.get("/coordinator/metrics").await;
    assert!(metrics.starts_with("HTTP/1.1 200 "), "{metrics}");
    assert!(metrics.contains("coordinator_"), "{metrics}");
    assert_eq!(coordinator.exposition().map(|text| text.contains("coordinator_")), Ok(true));
    let json = service.get("/coordinator/coordinator/metrics").await;
    assert!(json.contains("alert"), "{json}");
    let index = service.get("/coordinator").await;
    assert!(
        index.contains("href=\"/coordinator/metrics\""),
        "links begin with the path of the nest: {index}"
    );

    let accepted = service.post("/coordinator/signals", &signal()).await;
    assert!(accepted.starts_with("HTTP/1.1 201 "), "{accepted}");
    let location = accepted.lines().find_map(|line| line.strip_prefix("location: ")).expect("a location");
    assert!(location.starts_with("/coordinator/signals/"), "{location}");
    let id = timeout(PATIENCE, executions.recv()).await.expect("it is executed").expect("the broker lives");
    assert!(location.ends_with(&id), "{location} {id}");
    assert!(service.get(location).await.starts_with("HTTP/1.1 200 "));
    coordinator.shutdown().await;
}

#[tokio::test]
async fn a_host_name_that_is_not_the_services_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let coordinator = started(directory.path());
    let service = serve(coordinator.pages().host("desk.internal").router().expect("the metrics")).await;
    let livez = |host| service.send(format!("GET /coordinator/livez HTTP/1.1\r\nhost: {host}\r\n"));
    assert!(livez("desk.internal:80").await.starts_with("HTTP/1.1 200 "));
    assert!(livez("evil.example").await.starts_with("HTTP/1.1 403 "));
    coordinator.shutdown().await;
}

#[tokio::test]
async fn without_signals_their_paths_do_not_exist() {
    let directory = tempfile::tempdir().expect("a directory");
    let coordinator = started(directory.path());
    let service = serve(coordinator.pages().router().expect("the metrics")).await;
    assert!(service.get("/coordinator/livez").await.starts_with("HTTP/1.1 200 "));
    assert!(service.get("/coordinator/signals").await.starts_with("HTTP/1.1 404 "));
    assert!(service.post("/coordinator/signals", &signal()).await.starts_with("HTTP/1.1 404 "));
    assert!(!service.get("/coordinator").await.contains("/signals"));
    coordinator.shutdown().await;
}

fn started(directory: &Path) -> Coordinator {
    builder("desk", Sqlite::new(directory.join("desk.db"))).start().expect("good settings")
}

async fn active(coordinator: &Coordinator) {
    let mut seen = coordinator.leadership();
    let active = seen.wait_for(|now| now.is_active(clock::now()));
    timeout(PATIENCE, active).await.expect("it leads").expect("it lives");
}

fn signal() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    format!(
        r#"{{"instrument":"NIFTY","signal_type":"ENTRY","position":"p-1","timestamp":{now},"payload":{{}}}}"#
    )
}

struct Broker(mpsc::UnboundedSender<String>);

#[async_trait]
impl SignalHandler for Broker {
    async fn execute(&self, signal: &Signal, _token: &Token) -> Answer {
        self.0.send(signal.id.to_string()).expect("the test waits");
        Answer { outcome: Outcome::Done, note: String::new() }
    }
}

struct Service(SocketAddr);

async fn serve(pages: Router) -> Service {
    let router =
        Router::new().route("/", get(async || "the service's own page\n")).nest("/coordinator", pages);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    Service(address)
}

impl Service {
    async fn get(&self, path: &str) -> String {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n")).await
    }

    async fn post(&self, path: &str, body: &str) -> String {
        let head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n", body.len());
        self.exchange(format!("{head}connection: close\r\n\r\n{body}")).await
    }

    async fn send(&self, head: String) -> String {
        self.exchange(format!("{head}connection: close\r\n\r\n")).await
    }

    async fn exchange(&self, request: String) -> String {
        let mut stream = TcpStream::connect(self.0).await.expect("it listens");
        stream.write_all(request.as_bytes()).await.expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("it answers");
        answer
    }
}
