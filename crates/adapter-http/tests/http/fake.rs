//! [`Fake`]: a backend made of plain values, and a server on a free port.

use crate::client::Answer;
use crate::ledger::Ledger;
use adapter_http::{
    Access, Backend, Held, Hooks, LeaderView, Limits, Pull, Reported, StepDownRequest, SteppedDown,
    serve_within,
};
use async_trait::async_trait;
use domain::alert;
use domain::decision::Decision;
use domain::id::{ClaimId, InstanceId, Nonce};
use domain::lease::{Epoch, Timeline, Token};
use domain::ledger::{Actor, AuditEntry, NewSignal, Paused, Signal, SignalId, Totals};
use domain::member::{Health, LeaseSeen, Member, MemberSeen, MemberState, Term};
use domain::metrics::{
    AccessRefusal, Fact, Metrics, MetricsConfig, Refusal, SignalsConfig, Snapshot, SyncResult, View,
};
use domain::overview::{Facts, Known, LastAnswers, Samples};
use domain::ports::{ListQuery, Recorded, Report, Resolution, StoreError, Submit, Switch, Switched};
use domain::recovery::{Recovered, RecoveryFault};
use domain::time::Time;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;

pub const EXPOSITION: &str = "# TYPE portfolio_manager_is_leader gauge\nportfolio_manager_is_leader 0\n";
const STARTED_MS: i64 = 1_700_000_000_000;

/// Answers of the backend.
pub struct Fake {
    pub snapshot: Option<Snapshot>,
    pub exposition: Result<String, String>,
    pub ready: Result<(), String>,
    pub leader: LeaderView,
    pub lease: LeaseSeen,
    pub members: Vec<MemberSeen>,
    pub store: Result<(), StoreError>,
    /// The last answers of the stores. A test may send others.
    pub last: watch::Sender<Arc<LastAnswers>>,
    pub ledger: Arc<Ledger>,
    /// The credentials that requests need.
    pub access: Option<Arc<Access>>,
    /// Requests that were refused for their credential.
    pub access_refused: Arc<Mutex<Vec<AccessRefusal>>>,
    pub hooks: Arc<Hooks>,
    /// Decisions of operators, newest first.
    pub decisions: Result<Vec<Decision>, StoreError>,
    /// The instance has stopped.
    pub stopped: Arc<AtomicBool>,
    /// Panic instead of returning the exposition.
    pub panics: bool,
    /// Never answers from the store, and notifies the test of each request.
    pub silent: Option<mpsc::UnboundedSender<()>>,
    /// Number of concurrent requests to the store.
    pub load: Arc<Load>,
}

/// Counts the concurrent requests.
#[derive(Default)]
pub struct Load {
    now: AtomicUsize,
    pub most: AtomicUsize,
}

impl Default for Fake {
    /// A healthy standby; `b-2` leads.
    fn default() -> Self {
        Self {
            snapshot: Some(snapshot()),
            exposition: Ok(EXPOSITION.to_owned()),
            ready: Ok(()),
            leader: LeaderView::default(),
            lease: lease("b-2"),
            members: vec![member("b-2")],
            store: Ok(()),
            last: watch::Sender::new(Arc::new(no_answers())),
            ledger: Arc::default(),
            access: None,
            access_refused: Arc::default(),
            hooks: Arc::default(),
            decisions: Ok(Vec::new()),
            stopped: Arc::default(),
            panics: false,
            silent: None,
            load: Arc::default(),
        }
    }
}

impl Fake {
    async fn silence(&self) {
        if let Some(asked) = &self.silent {
            let _ = asked.send(());
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl Backend for Fake {
    fn status(&self) -> Option<alert::Report> {
        self.snapshot.clone().map(alert::Report::of)
    }

    fn exposition(&self) -> Result<String, String> {
        assert!(!self.panics, "a callback panicked, as the test requires");
        self.exposition.clone()
    }

    fn ready(&self) -> Result<(), String> {
        self.ready.clone()
    }

    fn leader(&self) -> LeaderView {
        self.leader.clone()
    }

    fn last_answers(&self) -> Arc<LastAnswers> {
        self.last.borrow().clone()
    }

    fn follow(&self) -> watch::Receiver<Arc<LastAnswers>> {
        self.last.subscribe()
    }

    fn has_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    fn samples(&self) -> Arc<Samples> {
        Arc::default()
    }

    async fn lease(&self) -> Result<LeaseSeen, StoreError> {
        Ok(self.lease.clone())
    }

    async fn members(&self) -> Result<Vec<MemberSeen>, StoreError> {
        self.silence().await;
        let now = self.load.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.load.most.fetch_max(now, Ordering::SeqCst);
        // Other requests arrive during this pause, if they may.
        sleep(Duration::from_millis(5)).await;
        self.load.now.fetch_sub(1, Ordering::SeqCst);
        self.store.clone().map(|()| self.members.clone())
    }

    /// Returns as many terms as requested.
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

    async fn submit(&self, signal: &NewSignal, actor: &Actor) -> Result<Submit, StoreError> {
        self.silence().await;
        self.store.clone().map(|()| self.ledger.submit(signal, actor))
    }

    fn remembers_since_s(&self) -> i64 {
        self.ledger.remembers_since_s
    }

    fn accepts_until_s(&self) -> i64 {
        self.ledger.accepts_until_s
    }

    fn access(&self) -> Option<Arc<Access>> {
        self.access.clone()
    }

    fn access_refused(&self, why: AccessRefusal) {
        self.access_refused.lock().expect("no panic").push(why);
    }

    fn hooks(&self) -> Arc<Hooks> {
        Arc::clone(&self.hooks)
    }

    fn refused(&self, why: Refusal) {
        self.ledger.refused.lock().expect("no panic").push(why);
    }

    async fn signal(&self, id: &SignalId) -> Result<Option<(Signal, Vec<AuditEntry>)>, StoreError> {
        self.silence().await;
        self.store.clone().map(|()| self.ledger.find(id))
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        self.ledger.totals.clone().ok_or_else(|| StoreError::Unavailable("not counted".to_owned()))
    }

    async fn signals(&self, query: &ListQuery) -> Result<Vec<Signal>, StoreError> {
        self.silence().await;
        self.store.clone().map(|()| self.ledger.list(query))
    }

    async fn pull(&self, most: u16, wait: Duration) -> Result<Pull, StoreError> {
        self.ledger.pulls.lock().expect("no panic").push((most, wait));
        self.store.clone().map(|()| self.ledger.pull.clone())
    }

    async fn report(&self, report: Report, actor: &Actor) -> Result<Reported, StoreError> {
        self.ledger.reports.lock().expect("no panic").push((report, actor.clone()));
        self.store.clone().map(|()| self.ledger.reported)
    }

    async fn step_down(&self, request: &StepDownRequest) -> Result<SteppedDown, StoreError> {
        self.ledger.requests.lock().expect("no panic").push(match &request.to {
            Some(to) => format!("step-down {} to {to} {}", request.epoch, request.reason),
            None => format!("step-down {} {}", request.epoch, request.reason),
        });
        self.store.clone().map(|()| SteppedDown::Requested)
    }

    async fn resolve(&self, decision: &Resolution) -> Result<Recorded, StoreError> {
        let Resolution { id, attempt, outcome, actor, reason } = decision;
        let request = format!("resolve {id} {attempt} {outcome:?} {} {reason}", actor.who);
        self.ledger.requests.lock().expect("no panic").push(request);
        self.store.clone().map(|()| self.ledger.decided)
    }

    async fn acknowledge(&self, id: &SignalId, actor: &Actor, reason: &str) -> Result<Recorded, StoreError> {
        let request = format!("acknowledge {id} {} {reason}", actor.who);
        self.ledger.requests.lock().expect("no panic").push(request);
        self.store.clone().map(|()| self.ledger.decided)
    }

    async fn switch(&self, to: Switch, actor: &Actor, reason: &str) -> Result<Switched, StoreError> {
        self.ledger.requests.lock().expect("no panic").push(format!("{to:?} {} {reason}", actor.who));
        self.store.clone().map(|()| Switched::Turned)
    }

    async fn check_recovery(&self) -> Result<Result<Recovered, RecoveryFault>, StoreError> {
        self.store.clone().map(|()| Ok(Recovered::Nothing))
    }

    async fn acknowledge_recovery(
        &self,
        actor: &Actor,
        reason: &str,
    ) -> Result<Result<Recovered, RecoveryFault>, StoreError> {
        let request = format!("acknowledge recovery {} {reason}", actor.who);
        self.ledger.requests.lock().expect("no panic").push(request);
        self.store.clone().map(|()| Ok(Recovered::Nothing))
    }

    async fn decisions(&self, limit: u32) -> Result<Vec<Decision>, StoreError> {
        self.store.clone()?;
        self.decisions.clone().map(|all| all.into_iter().take(limit as usize).collect())
    }
}

pub fn no_answers() -> LastAnswers {
    LastAnswers::none(Facts {
        now_ms: STARTED_MS,
        state_store: "PostgreSQL".to_owned(),
        state_store_fault: None,
        heartbeat: Duration::from_secs(10),
        lease: Known::default(),
        members: Known::default(),
        ticket: None,
        totals: Known::default(),
        signal_value: domain::metrics::SIGNAL_VALUE_DEFAULT,
    })
}

/// A backend whose state store answered once, two seconds after the start, and failed a second later. It had the
/// lease and the instance of [`Fake::default`], `terms` terms and the signals of `ledger`.
pub async fn away(error: StoreError, terms: u32, ledger: Ledger) -> Fake {
    let mut last = no_answers();
    let was = Fake::default();
    let history = was.history(terms).await.expect("the fake answers");
    last.state_store_answered((was.lease, was.members, history), STARTED_MS + 2_000);
    last.facts.totals.answered(Totals::default(), STARTED_MS + 2_000);
    let query = ListQuery { state: None, instrument: None, before: None, limit: 100 };
    last.signals.answered(ledger.list(&query).into(), STARTED_MS + 2_000);
    last.state_store_failed(STARTED_MS + 3_000);
    Fake { store: Err(error), last: watch::Sender::new(Arc::new(last)), ..Fake::default() }
}

pub fn id(text: &str) -> InstanceId {
    InstanceId::parse(text).expect("an id")
}

pub fn leading(name: &str) -> LeaderView {
    let address = Some("http://127.0.0.1:5001".to_owned());
    let token = Token { timeline: Timeline(1), epoch: Epoch(7), claim: ClaimId::from_u128(5) };
    let held = Some(Held { token, valid_for: Duration::from_micros(6_400_900) });
    LeaderView { active: true, id: Some(id(name)), address, epoch: Some(Epoch(7)), held }
}

pub fn member(name: &str) -> MemberSeen {
    let member = Member {
        id: id(name),
        nonce: Nonce::new(11),
        host: "host".to_owned(),
        address: "http://127.0.0.1:5001".to_owned(),
        state: MemberState::Active,
        epoch: Epoch(7),
        fallback: false,
        alerts: Health::Warning,
        version: "1.2.3".to_owned(),
        started_ms: STARTED_MS,
        settings: domain::settings::SharedSettings::default(),
        cannot_lead: None,
        sync_p95: None,
    };
    MemberSeen { member, heartbeat_age: Duration::from_micros(1_250_700) }
}

fn metrics() -> Metrics {
    let config = MetricsConfig {
        heartbeat: Duration::ZERO,
        window: 100,
        started_ms: STARTED_MS,
        instance: id("a-1"),
        version: "1.2.3".to_owned(),
        signals: SignalsConfig::default(),
    };
    Metrics::new(config)
}

fn view() -> View {
    View {
        state: MemberState::Standby,
        is_leader: false,
        leader_db: Some(id("b-2")),
        state_store_answers: true,
        leader_redis: None,
        uses_redis: true,
        disagreement: None,
        fallback: true,
        heartbeat_running: true,
        lease_left: None,
        ttl: Duration::from_secs(10),
        epoch: Some(Epoch(7)),
    }
}

/// A ledger with signals in every state, and limits.
pub fn counted_snapshot() -> Snapshot {
    let mut snapshot = snapshot();
    let paused =
        Paused { reason: "<b>fat finger</b>".to_owned(), who: "asha".to_owned(), since_ms: STARTED_MS };
    let totals = Totals {
        received: 4,
        claimed: 1,
        sent: 2,
        in_doubt: 3,
        oldest_received: Some(Duration::from_millis(1_500)),
        oldest_in_doubt: Some(Duration::from_secs(90)),
        expired_last_day: 5,
        sent_last_minute: 6,
        sent_last_day: 7,
        paused: Some(paused),
    };
    snapshot.totals = Known::read(totals, snapshot.now_ms);
    snapshot.signal_limits = domain::ledger::Limits { per_minute: Some(10), per_day: None };
    snapshot
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
        metrics.record(Fact::Sync { result, took: Duration::from_millis(ms), at: Time::ZERO });
    }
    let took = Duration::from_micros(12_500);
    metrics.record(Fact::Recovery { outcome: Ok(3), took, at_ms: STARTED_MS + 5_000 });
    metrics.record(Fact::Heartbeat { at_ms: STARTED_MS + 10_250 });
    metrics.snapshot(view(), STARTED_MS + 11_000)
}

/// A server on a free port; it ends when this value is dropped.
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

    /// Serves the router of a service that nests the pages.
    pub async fn of(router: axum::Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let task = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("it serves until the test ends");
        });
        Self { address, stop: None, task }
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("the server listens")
    }

    /// Sends a request that closes its connection, and reads the answer.
    pub async fn ask(&self, request: impl AsRef<[u8]>) -> Answer {
        let mut stream = self.connect().await;
        stream.write_all(request.as_ref()).await.expect("sent");
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

/// A lease that `holder` renewed a second ago, in the epoch of [`member`].
pub fn lease(holder: &str) -> LeaseSeen {
    LeaseSeen {
        holder: Some(InstanceId::parse(holder).expect("an id")),
        epoch: Epoch(7),
        released: false,
        ttl: Duration::from_secs(10),
        renewed_age: Duration::from_secs(1),
        since_ms: Some(1_700_000_000_000),
        forgot_ms: None,
    }
}
