//! Signals as a service sees them: accepted on every instance, sent to the handler once, and none lost when something
//! fails in between. On the in-memory stores that pass the contract suites.

#[path = "../log/mod.rs"]
mod log;
mod rules;
mod store;

use async_trait::async_trait;
use contract::Opening;
use contract::fake::{Call, FakeDatabase, Fault, Faults};
use contract::signal_ledger::{client, signal, signal_about};
use coordinator::{Coordinator, Ledger, LedgerSettings, NotNow};
use domain::id::GroupId;
use domain::lease::Token;
use domain::ledger::{Limits, Outcome, Signal, SignalCounts, SignalState};
use domain::metrics::Snapshot;
use domain::ports::{
    Answer, CLAIM_MAX, InFlight, Recorded, Report, Resolution, SIGNALS_READ_MAX, SignalClaim, SignalHandler,
    Submit, Switch,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Long enough that a busy machine does not cost a healthy leader its lease.
const TTL: Duration = Duration::from_secs(3);
/// A bound for what must happen at all, not for how fast.
const PATIENCE: Duration = Duration::from_secs(30);
/// From one poll to the next.
const POLL_EVERY: Duration = Duration::from_millis(5);

/// Limits are the store's, and its contract suite has them.
fn unlimited() -> LedgerSettings {
    LedgerSettings::default().with_limits(Limits::NONE)
}

async fn eventually<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("it never came to pass: {what}"))
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let polling = async {
        while !is_so().await {
            // Between two polls, until `what` is so.
            tokio::time::sleep(POLL_EVERY).await;
        }
    };
    eventually(what, polling).await;
}

/// What a broker does with the next order of an instrument; it executes unless the test sets another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Executes,
    /// Executes when it is allowed to.
    Waits,
    Says(Outcome),
    /// Executes, and never answers.
    Mute,
    Panics,
}

/// Keeps every order, and never asks whether it came before.
struct Broker {
    orders: Mutex<Vec<(String, u32)>>,
    moods: Mutex<BTreeMap<String, Vec<Mood>>>,
    may_go_on: Semaphore,
    arrived: mpsc::UnboundedSender<String>,
    lookup: Mutex<Outcome>,
    looked_up: Mutex<BTreeSet<String>>,
    /// Lookups get no answer.
    ignores_lookups: AtomicBool,
}

impl Broker {
    fn new() -> (Arc<Self>, mpsc::UnboundedReceiver<String>) {
        let (arrived, arrivals) = mpsc::unbounded_channel();
        let broker = Self {
            orders: Mutex::default(),
            moods: Mutex::default(),
            may_go_on: Semaphore::new(0),
            arrived,
            lookup: Mutex::new(Outcome::InDoubt),
            looked_up: Mutex::default(),
            ignores_lookups: AtomicBool::new(false),
        };
        (Arc::new(broker), arrivals)
    }

    /// The orders of an instrument meet these moods, one after the other.
    fn will(&self, instrument: &str, moods: &[Mood]) {
        let reversed = moods.iter().rev().copied().collect();
        self.moods.lock().expect("no panic").insert(instrument.to_owned(), reversed);
    }

    fn knows(&self, answer: Outcome) {
        *self.lookup.lock().expect("no panic") = answer;
    }

    fn orders(&self) -> Vec<String> {
        self.orders.lock().expect("no panic").iter().map(|(id, _)| id.clone()).collect()
    }

    fn executed(&self, signal: &Signal) {
        self.orders.lock().expect("no panic").push((signal.id.to_string(), signal.attempt));
        self.arrived.send(signal.id.to_string()).expect("the test listens");
    }
}

#[async_trait]
impl SignalHandler for Broker {
    async fn execute(&self, signal: &Signal, _: &Token) -> Answer {
        let mood = {
            let mut moods = self.moods.lock().expect("no panic");
            moods.get_mut(signal.instruction.instrument.as_str()).and_then(Vec::pop)
        };
        let done = Answer { outcome: Outcome::Done, note: format!("order {}", signal.id) };
        match mood.unwrap_or(Mood::Executes) {
            Mood::Executes => self.executed(signal),
            Mood::Waits => {
                self.executed(signal);
                self.may_go_on.acquire().await.expect("never closed").forget();
            }
            Mood::Says(outcome) => return Answer { outcome, note: "as the test set".to_owned() },
            Mood::Mute => {
                self.executed(signal);
                std::future::pending::<()>().await;
            }
            Mood::Panics => panic!("the handler's own fault"),
        }
        done
    }

    async fn lookup(&self, signal: &Signal, _: &Token) -> Answer {
        self.looked_up.lock().expect("no panic").insert(signal.id.to_string());
        if self.ignores_lookups.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        Answer { outcome: *self.lookup.lock().expect("no panic"), note: "looked up".to_owned() }
    }
}

struct Instance {
    ledger: Ledger,
    coordinator: Coordinator,
    faults: Faults,
    running: JoinHandle<()>,
}

impl Instance {
    fn start(database: &FakeDatabase, name: &str, handler: Option<Arc<Broker>>) -> Self {
        Self::with(database, name, handler, unlimited())
    }

    fn with(
        database: &FakeDatabase,
        name: &str,
        handler: Option<Arc<Broker>>,
        settings: LedgerSettings,
    ) -> Self {
        Self::lasting(database, name, handler, settings, TTL)
    }

    fn lasting(
        database: &FakeDatabase,
        name: &str,
        handler: Option<Arc<Broker>>,
        settings: LedgerSettings,
        ttl: Duration,
    ) -> Self {
        let group = GroupId::parse("library").expect("an id");
        let opening = Opening { ttl, ..Opening::new(&group, name) };
        let store = database.process(&opening);
        let faults = store.faults().clone();
        let builder = Coordinator::builder(store.clone());
        let coordinator = builder.start().expect("a valid start");
        let ledger = Ledger::new(coordinator.clone(), store, settings).expect("its own store");
        let run = ledger.clone();
        let running = tokio::spawn(async move {
            run.run(handler.map(|broker| broker as Arc<dyn SignalHandler>)).await;
        });
        Self { ledger, coordinator, faults, running }
    }

    async fn leads(&self) {
        let mut seen = self.coordinator.leadership();
        let leads = seen.wait_for(|now| now.is_active(coordinator::clock::now()));
        eventually("it leads", leads).await.expect("the coordinator lives");
    }

    async fn submit(&self, id: &str, instrument: &str) {
        let answer = self.ledger.submit(&signal_about(id, instrument), &client()).await;
        assert!(matches!(answer, Ok(Submit::Accepted(_))), "{answer:?}");
    }

    async fn state(&self, id: &str) -> SignalState {
        self.find(id).await.state
    }

    async fn find(&self, id: &str) -> Signal {
        self.ledger.store().find(&signal(id).id()).await.expect("find").expect("it is there")
    }

    async fn is(&self, id: &str, state: SignalState) {
        until(&format!("{id} is {state:?}"), async || self.state(id).await == state).await;
    }

    fn snapshot(&self) -> Snapshot {
        self.coordinator.report().expect("it has started").snapshot
    }
}

#[tokio::test]
async fn a_signal_that_reaches_a_follower_is_executed_by_the_leader_once() {
    let (database, (broker, mut arrivals)) = (FakeDatabase::new(), Broker::new());
    let leader = Instance::start(&database, "leader", Some(broker.clone()));
    leader.leads().await;
    let follower = Instance::start(&database, "follower", Some(broker.clone()));
    until("the follower has read the lease", async || follower.coordinator.report().is_some()).await;
    follower.submit("s-1", "NIFTY").await;
    assert_eq!(eventually("it is sent", arrivals.recv()).await.as_deref(), Some("s-1"));
    follower.is("s-1", SignalState::Done).await;
    assert_eq!(follower.find("s-1").await.note.as_deref(), Some("order s-1"));
    let again = leader.ledger.submit(&signal_about("s-1", "NIFTY"), &client()).await;
    assert!(matches!(again, Ok(Submit::Repeated(_))), "{again:?}");
    assert_eq!(broker.orders(), ["s-1"]);
    let (at_leader, at_follower) = (leader.snapshot().counters, follower.snapshot().counters);
    assert_eq!((at_follower.signals_received, at_leader.duplicates_prevented), (1, 1));
    assert_eq!((at_leader.signals_claimed, at_leader.signals_sent, at_leader.signals_done), (1, 1, 1));
}

#[tokio::test]
async fn a_slow_handler_of_one_instrument_holds_up_its_own_signals_only() {
    let (database, (broker, mut arrivals)) = (FakeDatabase::new(), Broker::new());
    broker.will("NIFTY", &[Mood::Waits]);
    let leader = Instance::start(&database, "leader", Some(broker.clone()));
    for (id, instrument) in [("n-1", "NIFTY"), ("n-2", "NIFTY"), ("b-1", "BANK"), ("b-2", "BANK")] {
        leader.submit(id, instrument).await;
    }
    let mut sent = Vec::new();
    while sent.len() < 3 {
        sent.extend(eventually("the others are sent", arrivals.recv()).await);
    }
    leader.is("b-2", SignalState::Done).await;
    assert_eq!(leader.state("n-2").await, SignalState::Received, "its turn has not come");
    sent.sort();
    assert_eq!(sent, ["b-1", "b-2", "n-1"]);
    broker.may_go_on.add_permits(1);
    leader.is("n-2", SignalState::Done).await;
    assert_eq!(broker.orders().iter().filter(|id| id.starts_with('n')).collect::<Vec<_>>(), ["n-1", "n-2"]);
}

#[tokio::test]
async fn no_answer_is_not_a_no() {
    let (database, (broker, _arrivals)) = (FakeDatabase::new(), Broker::new());
    broker.will("MUTE", &[Mood::Mute]);
    broker.will("PANICS", &[Mood::Panics]);
    broker.will("UNKNOWN", &[Mood::Says(Outcome::InDoubt)]);
    let settings = unlimited().with_handler_time_max(Duration::from_millis(50));
    let leader = Instance::with(&database, "leader", Some(broker.clone()), settings);
    for name in ["MUTE", "PANICS", "UNKNOWN"] {
        leader.submit(name, name).await;
        leader.submit(&format!("{name}-2"), name).await;
        leader.is(name, SignalState::InDoubt).await;
        assert_eq!(leader.state(&format!("{name}-2")).await, SignalState::Received, "nothing passes a doubt");
    }
    let totals = async || leader.snapshot().totals().is_some_and(|totals| totals.in_doubt == 3);
    until("the page shows them", totals).await;
    // A person has asked the broker.
    let doubt = leader.find("MUTE").await;
    let decision = Resolution {
        id: doubt.id.clone(),
        attempt: doubt.attempt,
        outcome: Outcome::Done,
        actor: client(),
        reason: "it has it".to_owned(),
    };
    assert_eq!(leader.ledger.store().resolve(&decision).await, Ok(Recorded::Recorded));
    leader.is("MUTE-2", SignalState::Done).await;
    assert_eq!(broker.orders(), ["MUTE", "MUTE-2"]);
}

#[tokio::test]
async fn what_the_handler_did_not_execute_is_handed_over_again() {
    let (database, (broker, _arrivals)) = (FakeDatabase::new(), Broker::new());
    broker.will("NIFTY", &[Mood::Says(Outcome::Received), Mood::Says(Outcome::Received)]);
    broker.will("BANK", &[Mood::Says(Outcome::Rejected)]);
    broker.will("GOLD", &[Mood::Says(Outcome::Sent)]);
    let leader = Instance::start(&database, "leader", Some(broker.clone()));
    for name in ["NIFTY", "BANK", "GOLD"] {
        leader.submit(name, name).await;
    }
    leader.is("NIFTY", SignalState::Done).await;
    assert_eq!(leader.find("NIFTY").await.attempt, 3);
    leader.is("BANK", SignalState::Rejected).await;
    until("it is sent", async || matches!(leader.state("GOLD").await, SignalState::Sent(_))).await;
    let report = Report { id: signal("GOLD").id(), attempt: 1, outcome: Outcome::Done, note: None };
    assert_eq!(leader.ledger.report(report, None).await, Ok(Recorded::Recorded), "its result comes later");
    assert_eq!(leader.state("GOLD").await, SignalState::Done);
    assert_eq!(broker.orders(), ["NIFTY"]);
}

/// Every request of the leader's work once without an answer, done or not: everything is executed once, and nothing
/// is in doubt, because no instance died.
#[tokio::test]
async fn a_lost_answer_of_the_ledger_leaves_no_doubt_and_no_duplicate() {
    for call in [Call::TakeOver, Call::ClaimSignals, Call::Record] {
        for fault in [Fault::LoseReply, Fault::LoseRequest, Fault::Refuse] {
            let (database, (broker, _arrivals)) = (FakeDatabase::new(), Broker::new());
            let leader = Instance::start(&database, "leader", Some(broker.clone()));
            leader.submit("before", "NIFTY").await;
            leader.is("before", SignalState::Done).await;
            leader.faults.next_of(call, fault);
            for id in ["s-1", "s-2"] {
                leader.submit(id, "NIFTY").await;
            }
            leader.is("s-2", SignalState::Done).await;
            assert_eq!(broker.orders(), ["before", "s-1", "s-2"], "{call:?} {fault:?}");
            let counters = leader.snapshot().counters;
            assert_eq!(counters.signals_doubted, 0, "{call:?} {fault:?}");
            leader.coordinator.shutdown().await;
        }
    }
}

/// A claim without an answer is found by taking over, again and again while it cannot be given up.
#[tokio::test]
async fn what_cannot_be_recorded_for_a_while_is_found_out_once() {
    let (database, (broker, _arrivals)) = (FakeDatabase::new(), Broker::new());
    let leader = Instance::start(&database, "leader", Some(broker.clone()));
    leader.leads().await;
    leader.faults.next_of(Call::ClaimSignals, Fault::LoseReply);
    leader.faults.lasting_of(Call::Record, Fault::LoseRequest);
    leader.submit("s-1", "NIFTY").await;
    leader.is("s-1", SignalState::InDoubt).await;
    let taken_over = || leader.faults.calls().iter().filter(|call| **call == Call::TakeOver).count();
    let before = taken_over();
    until("it took over again and again", async || taken_over() >= before + 2).await;
    leader.faults.heal();
    leader.is("s-1", SignalState::Done).await;
    assert_eq!(broker.orders(), ["s-1"]);
}

#[tokio::test]
async fn what_a_dead_leader_may_have_sent_is_looked_up_before_anything_else_of_its_instrument() {
    for (found, becomes) in [
        (Outcome::Done, SignalState::Done),
        (Outcome::Rejected, SignalState::Rejected),
        (Outcome::Received, SignalState::Done),
    ] {
        let (database, (broker, mut arrivals)) = (FakeDatabase::new(), Broker::new());
        broker.will("NIFTY", &[Mood::Mute]);
        let dead = Instance::start(&database, "dead", Some(broker.clone()));
        dead.submit("s-1", "NIFTY").await;
        eventually("it is sent", arrivals.recv()).await;
        // As a process that is killed: nothing of it runs any more, and its lease runs out.
        dead.running.abort();
        dead.faults.lasting(Fault::HangBefore);
        let next = Instance::start(&database, "next", Some(broker.clone()));
        next.submit("s-2", "NIFTY").await;
        next.is("s-1", SignalState::InDoubt).await;
        assert_eq!(next.state("s-2").await, SignalState::Received, "nothing passes a doubt");
        broker.knows(found);
        next.is("s-2", SignalState::Done).await;
        assert_eq!(next.state("s-1").await, becomes);
        let sent = broker.orders().iter().filter(|id| *id == "s-1").count();
        // The broker's word that it never executed it is taken: it says so although it did.
        assert_eq!(sent, if found == Outcome::Received { 2 } else { 1 }, "{found:?}");
        let prevented = next.snapshot().counters.duplicates_prevented;
        assert_eq!(prevented, u64::from(found == Outcome::Done));
    }
}

#[tokio::test]
async fn a_handover_waits_for_what_is_at_the_handler_and_leaves_no_doubt() {
    let (database, (broker, mut arrivals)) = (FakeDatabase::new(), Broker::new());
    broker.will("NIFTY", &[Mood::Waits]);
    let first = Instance::start(&database, "first", Some(broker.clone()));
    first.leads().await;
    let second = Instance::start(&database, "second", Some(broker.clone()));
    first.submit("s-1", "NIFTY").await;
    eventually("it is sent", arrivals.recv()).await;
    first.submit("s-2", "NIFTY").await;
    let handing_over = first.coordinator.clone();
    let handover = tokio::spawn(async move { handing_over.step_down("the test").await });
    let mut seen = first.coordinator.leadership();
    eventually("it drains", seen.wait_for(|now| now.draining)).await.expect("it lives");
    broker.may_go_on.add_permits(1);
    eventually("it hands over", handover).await.expect("no panic").expect("it led");
    second.is("s-2", SignalState::Done).await;
    assert_eq!(second.state("s-1").await, SignalState::Done);
    assert_eq!(broker.orders(), ["s-1", "s-2"]);
    assert_eq!(second.snapshot().counters.signals_doubted, 0);
}

#[tokio::test]
async fn a_paused_ledger_accepts_and_sends_when_it_is_resumed() {
    let (database, (broker, mut arrivals)) = (FakeDatabase::new(), Broker::new());
    let leader = Instance::start(&database, "leader", Some(broker.clone()));
    leader.leads().await;
    leader.ledger.store().switch(Switch::Pause, &client(), "stop").await.expect("pause");
    leader.submit("s-1", "NIFTY").await;
    let paused = async || leader.snapshot().totals().is_some_and(|totals| totals.paused.is_some());
    until("the page shows it", paused).await;
    assert_eq!(leader.state("s-1").await, SignalState::Received);
    leader.ledger.store().switch(Switch::Resume, &client(), "go on").await.expect("resume");
    assert_eq!(eventually("it is sent", arrivals.recv()).await.as_deref(), Some("s-1"));
}

#[tokio::test]
async fn a_service_pulls_from_the_leader_and_reports() {
    let database = FakeDatabase::new();
    let leader = Instance::start(&database, "leader", None);
    leader.leads().await;
    let follower = Instance::start(&database, "follower", None);
    let nothing = leader.ledger.pull(1, Duration::ZERO).await.expect("it leads");
    assert_eq!(nothing.claim, SignalClaim::Empty);
    assert_eq!(follower.ledger.pull(1, Duration::ZERO).await, Err(NotNow::NotLeading));
    let waiting = leader.ledger.clone();
    let pulled = tokio::spawn(async move { waiting.pull(10, PATIENCE).await });
    follower.submit("s-1", "NIFTY").await;
    let pulled = eventually("it is pulled", pulled).await.expect("no panic").expect("it leads");
    let SignalClaim::Claimed(signals) = pulled.claim else { panic!("{pulled:?}") };
    let report = |outcome| Report { id: signals[0].id.clone(), attempt: 1, outcome, note: None };
    let refused = follower.ledger.report(report(Outcome::Done), None).await;
    assert_eq!(refused, Err(NotNow::NotLeading));
    let token = signals[0].state.token().expect("it is claimed");
    let others = leader.ledger.store().take_over(&token, InFlight::All).await;
    assert_eq!(others, Ok(Some(vec![])), "the service works on it");
    assert_eq!(leader.ledger.report(report(Outcome::Done), None).await, Ok(Recorded::Recorded));
    assert_eq!(leader.ledger.report(report(Outcome::Rejected), None).await, Ok(Recorded::Refused));
    let counts = SignalCounts { done: 1, ..SignalCounts::default() };
    assert_eq!(leader.ledger.store().counts().await, Ok(counts));
}

#[tokio::test]
async fn what_expires_is_told_also_when_nobody_pulls() {
    let database = FakeDatabase::new();
    let leader = Instance::start(&database, "leader", None);
    let mut late = signal_about("s-1", "NIFTY");
    late.instruction.expires_ms = Some(1);
    leader.ledger.submit(&late, &client()).await.expect("submit");
    leader.is("s-1", SignalState::Expired).await;
}

#[tokio::test]
async fn a_signal_from_before_what_is_remembered_is_told_apart() {
    let database = FakeDatabase::new();
    let week = Duration::from_hours(7 * 24);
    let settings = unlimited().with_retention(Duration::ZERO);
    let instance = Instance::with(&database, "leader", None, settings);
    let since_s = instance.ledger.remembers_since_s();
    let now_s = coordinator::clock::calendar_ms() / 1_000;
    let remembered = Duration::from_secs(u64::try_from(now_s - since_s).expect("in the past"));
    assert!(
        remembered < week && remembered > week / 2,
        "at least a week is kept, less a margin: {remembered:?}"
    );
}

#[test]
fn without_settings_the_documented_limits_hold() {
    let documented = Limits { per_minute: Some(60), per_day: Some(1_000) };
    assert_eq!(LedgerSettings::default().limits, documented);
    assert_eq!(domain::metrics::SignalsConfig::default().limits, documented, "metrics and ledger agree");
}

/// The store answers a take-over with the oldest doubts. One that arrived later is looked up all the same, however
/// many of the oldest stay in doubt.
#[tokio::test]
async fn a_doubt_beyond_the_first_thousand_is_looked_up_and_counted() {
    const DOUBTS: usize = SIGNALS_READ_MAX as usize + 50;
    let (database, (broker, _arrivals)) = (FakeDatabase::new(), Broker::new());
    // That many claims keep this thread busy for longer than a lease of the other tests.
    let pulling = Instance::lasting(&database, "pulling", None, unlimited(), TTL * 2);
    pulling.leads().await;
    let ids: Vec<String> = (0..DOUBTS).map(|n| format!("s-{n:04}")).collect();
    for id in &ids {
        pulling.submit(id, id).await;
    }
    let mut pulled = 0;
    while pulled < DOUBTS {
        let answer = eventually("it is claimed", pulling.ledger.pull(CLAIM_MAX, PATIENCE)).await;
        let SignalClaim::Claimed(signals) = answer.expect("it leads").claim else { continue };
        pulled += signals.len();
    }
    pulling.running.abort();
    pulling.loses_its_lease().await;
    let leader = Instance::start(&database, "leader", Some(broker.clone()));
    let looked_up = || broker.looked_up.lock().expect("no panic").len();
    until("each is looked up", async || looked_up() == DOUBTS).await;
    assert_eq!(leader.snapshot().counters.signals_doubted, DOUBTS as u64);
    broker.knows(Outcome::Done);
    leader.is(ids.last().expect("a doubt"), SignalState::Done).await;
}
