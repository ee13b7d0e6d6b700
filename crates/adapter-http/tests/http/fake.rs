//! A backend made of plain values, a server on a free port, and the smallest HTTP client.

use adapter_http::{Backend, LeaderView, Limits, serve_within};
use async_trait::async_trait;
use domain::alert::Status;
use domain::id::{InstanceId, Nonce};
use domain::lease::{Epoch, Timeline};
use domain::member::{Member, MemberSeen, Standing, Term};
use domain::metrics::{Fact, Metrics, MetricsConfig, Snapshot, SyncResult, View};
use domain::ports::StoreError;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::sleep;

pub const EXPOSITION: &str = "# TYPE portfolio_manager_is_leader gauge\nportfolio_manager_is_leader 0\n";
const STARTED_MS: i64 = 1_700_000_000_000;

/// What the backend answers.
pub struct Fake {
    pub snapshot: Option<Snapshot>,
    pub exposition: Result<String, String>,
    pub ready: Result<(), String>,
    pub leader: LeaderView,
    pub members: Vec<MemberSeen>,
    pub store: Result<(), StoreError>,
    /// Instead of the exposition.
    pub panics: bool,
    /// Never answers from the store, and tells that it was asked.
    pub silent: Option<mpsc::UnboundedSender<()>>,
    /// How many ask the store at a time.
    pub load: Arc<Load>,
}

/// Counts who is inside.
#[derive(Default)]
pub struct Load {
    now: AtomicUsize,
    pub most: AtomicUsize,
}

impl Default for Fake {
    /// A healthy follower of `b-2`.
    fn default() -> Self {
        Self {
            snapshot: Some(snapshot()),
            exposition: Ok(EXPOSITION.to_owned()),
            ready: Ok(()),
            leader: LeaderView::default(),
            members: vec![member("b-2")],
            store: Ok(()),
            panics: false,
            silent: None,
            load: Arc::default(),
        }
    }
}

#[async_trait]
impl Backend for Fake {
    fn snapshot(&self) -> Option<Snapshot> {
        self.snapshot.clone()
    }

    fn exposition(&self) -> Result<String, String> {
        assert!(!self.panics, "a callback panicked, as the test wants");
        self.exposition.clone()
    }

    fn ready(&self) -> Result<(), String> {
        self.ready.clone()
    }

    fn leader(&self) -> LeaderView {
        self.leader.clone()
    }

    async fn members(&self) -> Result<Vec<MemberSeen>, StoreError> {
        if let Some(asked) = &self.silent {
            let _ = asked.send(());
            std::future::pending::<()>().await;
        }
        let now = self.load.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.load.most.fetch_max(now, Ordering::SeqCst);
        // Work, during which others come in if they may.
        sleep(Duration::from_millis(5)).await;
        self.load.now.fetch_sub(1, Ordering::SeqCst);
        self.store.clone().map(|()| self.members.clone())
    }

    /// As many terms as asked for.
    async fn history(&self, limit: u32) -> Result<Vec<Term>, StoreError> {
        self.store.clone()?;
        let term = |back: u32| Term {
            timeline: Timeline(1),
            epoch: Epoch(u64::from(limit - back)),
            holder: id(if back.is_multiple_of(2) { "a-1" } else { "b-2" }),
            host: "host".to_owned(),
            from_ms: STARTED_MS - 10_000 * i64::from(back),
            to_ms: (back > 0).then_some(STARTED_MS - 10_000 * (i64::from(back) - 1)),
            reason: (back > 0).then(|| "expired".to_owned()),
        };
        Ok((0..limit).map(term).collect())
    }
}

pub fn id(text: &str) -> InstanceId {
    InstanceId::parse(text).expect("an id")
}

pub fn leading(name: &str) -> LeaderView {
    let address = Some("http://127.0.0.1:5001".to_owned());
    LeaderView { active: true, id: Some(id(name)), address, epoch: Some(Epoch(7)) }
}

pub fn member(name: &str) -> MemberSeen {
    let member = Member {
        id: id(name),
        nonce: Nonce::new(11),
        host: "host".to_owned(),
        address: "http://127.0.0.1:5001".to_owned(),
        standing: Standing::Active,
        epoch: Epoch(7),
        fallback: false,
        alerts: Status::Warning,
        version: "1.2.3".to_owned(),
        started_ms: STARTED_MS,
    };
    MemberSeen { member, heartbeat_age: Duration::from_micros(1_250_700) }
}

fn metrics() -> Metrics {
    let config = MetricsConfig {
        window: 100,
        started_ms: STARTED_MS,
        instance: id("a-1"),
        version: "1.2.3".to_owned(),
    };
    Metrics::new(config)
}

fn view() -> View {
    View {
        standing: Standing::Standby,
        is_leader: false,
        leader_db: Some(id("b-2")),
        leader_redis: None,
        fallback: true,
        heartbeat_running: true,
        lease_left: None,
        ttl: Duration::from_secs(10),
        epoch: Some(Epoch(7)),
    }
}

pub fn empty_snapshot() -> Snapshot {
    metrics().snapshot(view(), STARTED_MS)
}

fn snapshot() -> Snapshot {
    let mut metrics = metrics();
    for (result, ms) in [
        (SyncResult::Succeeded, 10),
        (SyncResult::Succeeded, 20),
        (SyncResult::Succeeded, 30),
        (SyncResult::Failed, 40),
    ] {
        metrics.record(Fact::Sync { result, took: Duration::from_millis(ms) });
    }
    let took = Duration::from_micros(12_500);
    metrics.record(Fact::Recovery { outcome: Ok(3), took, at_ms: STARTED_MS + 5_000 });
    metrics.record(Fact::Heartbeat { at_ms: STARTED_MS + 10_250 });
    metrics.snapshot(view(), STARTED_MS + 11_000)
}

/// A server on a free port; it ends with this value.
pub struct Server {
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Server {
    pub async fn start(backend: Fake) -> Self {
        Self::start_within(Limits::default(), backend).await
    }

    pub async fn start_within(limits: Limits, backend: Fake) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(serve_within(limits, listener, Arc::new(backend), stopped));
        Self { address, stop: Some(stop), task }
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("the server listens")
    }

    /// Sends a request that closes its connection, and reads the answer.
    pub async fn ask(&self, request: &str) -> Answer {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.expect("sent");
        Answer::read(&mut stream).await
    }

    /// Begins the shutdown.
    pub fn stop(&mut self) {
        let _ = self.stop.take().expect("stopped once").send(());
    }

    /// Waits until the server has ended.
    pub async fn ended(mut self) {
        (&mut self.task).await.expect("no panic");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub fn get(path: &str) -> String {
    request("GET", path, &[])
}

pub fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> String {
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    for (name, value) in headers {
        for part in [*name, ": ", *value, "\r\n"] {
            request.push_str(part);
        }
    }
    request + "\r\n"
}

/// An answer, as it was read until the server closed the connection.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub async fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.expect("the server closes after the answer");
        Self::parse(&String::from_utf8(bytes).expect("text"))
    }

    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status line");
        let headers = lines.map(|line| line.split_once(": ").expect("a header"));
        Self {
            status: status.parse().expect("a status"),
            headers: headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect(),
            body: body.to_owned(),
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }
}
