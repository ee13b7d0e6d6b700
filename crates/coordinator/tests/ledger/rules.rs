//! The rules of the dispatcher and of the driver that no test of ordinary use would miss. Each test fails when its
//! rule is taken away.

use super::{Broker, Instance, Mood, PATIENCE, eventually, log, until};
use contract::fake::{Call, FakeDatabase, Fault};
use contract::signal_ledger::client;
use contract::signal_ledger::signal;
use coordinator::{Coordinator, NotNow};
use domain::lease::Timeline;
use domain::ledger::{Dated, FromHook, HookName, Outcome, SignalState};
use domain::ports::{Recorded, Report, Resolution, Switch};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

impl Instance {
    /// Its lease runs out, and it does not lead again: no renewal and no claim reaches the store any more.
    pub(super) async fn loses_its_lease(&self) {
        self.faults.lasting_of(Call::Renew, Fault::HangBefore);
        self.faults.lasting_of(Call::Claim, Fault::LoseRequest);
        let mut seen = self.coordinator.leadership();
        let over = seen.wait_for(|now| !now.is_active(coordinator::clock::now()));
        eventually("its lease runs out", over).await.expect("the coordinator lives");
    }

    fn count(&self, call: Call) -> usize {
        self.faults.calls().iter().filter(|made| **made == call).count()
    }
}

#[tokio::test]
async fn a_claim_that_is_answered_after_the_lease_ended_hands_out_nothing() {
    let database = FakeDatabase::new();
    let leader = Instance::start(&database, "leader", None);
    leader.leads().await;
    // The leader's own work claims as well, to expire what is late: let it not take the fault.
    leader.running.abort();
    leader.submit("s-1", "NIFTY").await;
    leader.faults.next_of(Call::ClaimSignals, Fault::HoldReply);
    let pulling = leader.ledger.clone();
    let pulled = tokio::spawn(async move { pulling.pull(10, PATIENCE).await });
    eventually("the claim is carried out", leader.faults.holds()).await;
    assert!(matches!(leader.state("s-1").await, SignalState::Claimed(_)));
    leader.loses_its_lease().await;
    let successor = Instance::start(&database, "successor", None);
    successor.leads().await;
    successor.is("s-1", SignalState::InDoubt).await;
    leader.faults.deliver();
    let pulled = eventually("it is answered", pulled).await.expect("no panic");
    assert_eq!(pulled, Err(NotNow::NotLeading));
    let counters = leader.snapshot().counters;
    assert_eq!((counters.signals_claimed, counters.signals_sent), (0, 0));
    assert_eq!(
        successor.state("s-1").await,
        SignalState::InDoubt,
        "its leadership is over: it changes nothing"
    );
}

#[tokio::test]
async fn what_a_leader_claimed_and_did_not_hand_out_waits_again() {
    let database = FakeDatabase::new();
    let leader = Instance::start(&database, "leader", None);
    leader.leads().await;
    leader.running.abort();
    leader.submit("s-1", "NIFTY").await;
    leader.faults.next_of(Call::ClaimSignals, Fault::HoldReply);
    let pulling = leader.ledger.clone();
    let pulled = tokio::spawn(async move { pulling.pull(10, PATIENCE).await });
    eventually("the claim is carried out", leader.faults.holds()).await;
    // A released row would refuse the report.
    leader.faults.lasting_of(Call::Release, Fault::LoseRequest);
    leader.loses_its_lease().await;
    leader.faults.deliver();
    let pulled = eventually("it is answered", pulled).await.expect("no panic");
    assert_eq!(pulled, Err(NotNow::NotLeading));
    // The row still has its token, so that the ledger can say for certain that it was not sent.
    assert_eq!(leader.state("s-1").await, SignalState::Received);
}

/// Rule: the fence is checked before the handler is called.
#[tokio::test]
async fn a_claim_that_is_answered_during_a_handover_calls_no_handler() {
    let (database, (broker, mut arrivals)) = (FakeDatabase::new(), Broker::new());
    let first = Instance::start(&database, "first", Some(broker.clone()));
    first.submit("before", "NIFTY").await;
    first.is("before", SignalState::Done).await;
    let second = Instance::start(&database, "second", Some(broker.clone()));
    first.faults.next_of(Call::ClaimSignals, Fault::HoldReply);
    first.submit("s-1", "NIFTY").await;
    until("it is claimed", async || matches!(first.state("s-1").await, SignalState::Claimed(_))).await;
    let handing_over = first.coordinator.clone();
    let handover = tokio::spawn(async move { handing_over.step_down("the test").await });
    let mut seen = first.coordinator.leadership();
    eventually("it drains", seen.wait_for(|now| now.draining)).await.expect("it lives");
    first.faults.deliver();
    eventually("it hands over", handover).await.expect("no panic").expect("it led");
    second.is("s-1", SignalState::Done).await;
    assert_eq!(broker.orders(), ["before", "s-1"]);
    assert_eq!(first.snapshot().counters.signals_sent, 1, "the first leader sent what was before");
    assert_eq!(second.find("s-1").await.attempt, 2, "its first claim was given back");
    assert_eq!(second.snapshot().counters.signals_doubted, 0);
    drop(eventually("it arrives", arrivals.recv()).await);
}

/// Rule: the fence compares the whole token. After a failover, which may have lost the claim, another leadership of the
/// same instance may follow.
#[tokio::test]
async fn a_claim_that_a_failover_lost_calls_no_handler() {
    let (database, (broker, _arrivals)) = (FakeDatabase::new(), Broker::new());
    let leader = Instance::start(&database, "leader", Some(broker.clone()));
    leader.submit("before", "NIFTY").await;
    leader.is("before", SignalState::Done).await;
    leader.submit("s-0", "OTHER").await;
    leader.is("s-0", SignalState::Done).await;
    *broker.lookup.lock().expect("no panic") = Outcome::Received;
    leader.faults.next_of(Call::ClaimSignals, Fault::HoldReply);
    let token = leader.coordinator.leadership().borrow().epoch;
    leader.submit("s-1", "NIFTY").await;
    until("it is claimed", async || matches!(leader.state("s-1").await, SignalState::Claimed(_))).await;
    database.promote_to(Timeline(2));
    until("it leads under another number", async || {
        let now = leader.coordinator.leadership().borrow().clone();
        now.is_active(coordinator::clock::now()) && now.epoch != token
    })
    .await;
    leader.faults.deliver();
    leader.is("s-1", SignalState::Done).await;
    let sent: Vec<String> = broker.orders().into_iter().filter(|id| id == "s-1").collect();
    assert_eq!(sent, ["s-1"]);
    let attempt = leader.find("s-1").await.attempt;
    assert_eq!(attempt, 2, "the next leadership had the first attempt in doubt, and it was looked up");
}

/// Rule: nothing is claimed before everything that former leaders left was taken over.
#[tokio::test]
async fn nothing_is_claimed_before_the_take_over() {
    let (database, (broker, _arrivals)) = (FakeDatabase::new(), Broker::new());
    let leader = Instance::start(&database, "leader", Some(broker.clone()));
    leader.faults.lasting_of(Call::TakeOver, Fault::LoseRequest);
    leader.submit("s-1", "NIFTY").await;
    until("it tries to take over", async || leader.count(Call::TakeOver) >= 3).await;
    assert_eq!(leader.count(Call::ClaimSignals), 0);
    assert_eq!(leader.state("s-1").await, SignalState::Received);
    leader.faults.heal();
    leader.is("s-1", SignalState::Done).await;
    let calls = leader.faults.calls();
    let first = |call| calls.iter().position(|made| *made == call);
    assert!(first(Call::TakeOver) < first(Call::ClaimSignals));
}

/// Rule: what was handed to the handler is never said to have had a lost claim, whatever became of it.
#[tokio::test]
async fn what_the_handler_had_is_looked_up_and_not_sent_again() {
    let (database, (broker, _arrivals)) = (FakeDatabase::new(), Broker::new());
    broker.will("GOLD", &[Mood::Says(Outcome::Sent)]);
    broker.knows(Outcome::Done);
    let leader = Instance::start(&database, "leader", Some(broker.clone()));
    leader.submit("s-1", "GOLD").await;
    until("it is sent", async || matches!(leader.state("s-1").await, SignalState::Sent(_))).await;
    // The service does not know what became of it, and says so.
    let report = Report { id: signal("s-1").id(), attempt: 1, outcome: Outcome::InDoubt, note: None };
    assert_eq!(leader.ledger.report(report, None).await, Ok(Recorded::Recorded));
    // A claim without an answer lets the leader take over again at once.
    leader.faults.next_of(Call::ClaimSignals, Fault::LoseRequest);
    leader.submit("s-2", "NIFTY").await;
    leader.is("s-1", SignalState::Done).await;
    assert_eq!(leader.find("s-1").await.attempt, 1, "it was looked up");
    leader.is("s-2", SignalState::Done).await;
    assert_eq!(broker.orders(), ["s-2"], "the order of s-1 was the handler's own affair");
}

/// Rule: a lookup cannot find the alert of which a later one is the repetition, so it cannot show that nothing was executed.
#[tokio::test]
async fn an_alert_of_a_window_from_before_the_store_forgot_waits_for_the_operator() {
    let (database, (broker, _arrivals)) = (FakeDatabase::new(), Broker::new());
    broker.knows(Outcome::Received);
    let leader = Instance::start(&database, "leader", Some(broker.clone()));
    leader.leads().await;
    database.promote_to(Timeline(2));
    until("the leader finds it", async || leader.snapshot().store_forgot_ms.is_some()).await;
    let mut alert = signal("alert");
    let name = HookName::parse("tv").expect("a name");
    alert.hook = Some(FromHook { name, window_s: 60, dated: Dated::ByArrival });
    leader.ledger.submit(&alert, &client()).await.expect("submit");
    leader.submit("plain", "GOLD").await;
    leader.is("plain", SignalState::Done).await;
    leader.is("alert", SignalState::InDoubt).await;
    let looked_up = broker.looked_up.lock().expect("no panic").clone();
    assert!(!looked_up.is_empty() && !looked_up.iter().any(|id| id.contains("alert")), "{looked_up:?}");
    assert_eq!(broker.orders(), ["plain"]);
    let again = Resolution {
        id: signal("alert").id(),
        attempt: 1,
        outcome: Outcome::Received,
        actor: client(),
        reason: "no order at the broker".to_owned(),
    };
    assert_eq!(leader.ledger.store().resolve(&again).await, Ok(Recorded::Recorded));
    leader.is("alert", SignalState::Done).await;
}

/// Folding is the one decision that may drop a real alert.
#[tokio::test]
async fn a_folded_alert_is_counted_and_logged_and_warned_of_if_its_payload_differs() {
    let lines: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = Arc::clone(&lines);
    let _subscribed =
        log::subscribe("coordinator::ledger", move |message| noted.lock().expect("no panic").push(message));
    let database = FakeDatabase::new();
    let instance = Instance::start(&database, "leader", None);
    instance.leads().await;
    let alert = |id: &str, after_s: i64, payload: &str| {
        let mut alert = signal("alert");
        alert.id = Some(signal(id).id());
        alert.instruction.timestamp_s += after_s;
        alert.instruction.payload = payload.to_owned();
        let name = HookName::parse("tv").expect("a name");
        alert.hook = Some(FromHook { name, window_s: 60, dated: Dated::ByArrival });
        alert
    };
    for new in [alert("a", 0, "{}"), alert("b", 1, "{}"), alert("c", 2, r#"{"price":1}"#)] {
        instance.ledger.submit(&new, &client()).await.expect("submit");
    }
    let counters = instance.snapshot().counters;
    assert_eq!((counters.signals_folded, counters.duplicates_prevented), (2, 0));
    let lines = lines.lock().expect("no panic").clone();
    let folded: Vec<&String> =
        lines.iter().filter(|line| line.contains("was folded into the signal a")).collect();
    assert_eq!(folded.len(), 2, "{lines:?}");
    assert!(folded[0].starts_with("hook tv: ") && !folded[0].contains("another payload"), "{lines:?}");
    assert!(folded[1].contains("another payload") && folded[1].contains("duplicate_window"), "{lines:?}");
}

/// A handler that refuses one signal again and again delays neither a new signal of another instrument nor is it
/// forgotten.
#[tokio::test]
async fn a_signal_that_is_refused_again_and_again_delays_no_other_one_and_is_told() {
    let (database, (broker, _arrivals)) = (FakeDatabase::new(), Broker::new());
    broker.will("NIFTY", &[Mood::Says(Outcome::Received); 1_000]);
    let leader = Instance::start(&database, "leader", Some(broker.clone()));
    leader.submit("refused", "NIFTY").await;
    // The pause is longer than a second after the sixth answer.
    until("it is refused", async || leader.find("refused").await.attempt >= 6).await;
    assert!(leader.snapshot().not_executing_since_ms.is_some());
    for id in ["s-1", "s-2"] {
        leader.submit(id, "GOLD").await;
    }
    leader.is("s-2", SignalState::Done).await;
    assert_eq!(broker.orders(), ["s-1", "s-2"]);
    assert!(leader.snapshot().not_executing_since_ms.is_some(), "another signal was executed");
    broker.will("NIFTY", &[Mood::Says(Outcome::Rejected)]);
    leader.submit("s-3", "GOLD").await;
    leader.is("refused", SignalState::Rejected).await;
    until("it is over", async || leader.snapshot().not_executing_since_ms.is_none()).await;
}

/// Rule: leadership is published before the commands of a step are carried out, so that no reader believes in a
/// leadership whose release is on its way.
#[tokio::test]
async fn readers_stop_believing_before_anything_is_done_about_it() {
    // What the published leadership says at the moment of each line.
    let seen: Arc<Mutex<Vec<(String, bool)>>> = Arc::default();
    let leadership: Arc<Mutex<Option<Coordinator>>> = Arc::default();
    let (watched, noted) = (Arc::clone(&leadership), Arc::clone(&seen));
    let _subscribed = log::subscribe("coordinator::driver", move |message| {
        if let Some(coordinator) = &*watched.lock().expect("no panic") {
            let active = coordinator.leadership().borrow().is_active(coordinator::clock::now());
            noted.lock().expect("no panic").push((message, active));
        }
    });
    let database = FakeDatabase::new();
    let leader = Instance::start(&database, "leader", None);
    *leadership.lock().expect("no panic") = Some(leader.coordinator.clone());
    leader.leads().await;
    leader.coordinator.step_down("the test").await.expect("it leads");
    leader.coordinator.shutdown().await;
    let active_at = |text: &str| {
        let seen = seen.lock().expect("no panic");
        let found = seen.iter().find(|(message, _)| message.contains(text)).map(|(_, active)| *active);
        found.unwrap_or_else(|| panic!("no line says {text:?}: {seen:?}"))
    };
    assert!(active_at("active: leading"), "a reader of the line can act");
    assert!(!active_at("handing over"), "nothing is begun any more when the work is stopped");
    assert!(!active_at("released"));
    // The fixture is shared with the driver's subscriber: let go of the coordinator.
    *leadership.lock().expect("no panic") = None;
}

/// A leader whose claim of the lease a failover has lost, while an order is at the broker.
#[tokio::test]
async fn the_log_names_the_signal_whose_outcome_could_not_be_recorded() {
    let lines: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = Arc::clone(&lines);
    let _subscribed =
        log::subscribe("coordinator::ledger", move |message| noted.lock().expect("no panic").push(message));
    let logged = async |line: &str| {
        let lines = Arc::clone(&lines);
        until(line, async || lines.lock().expect("no panic").iter().any(|said| said == line)).await;
    };
    let (database, (broker, mut arrivals)) = (FakeDatabase::new(), Broker::new());
    broker.will("NIFTY", &[Mood::Waits]);
    let leader = Instance::start(&database, "leader", Some(broker.clone()));
    leader.leads().await;
    leader.submit("s-1", "NIFTY").await;
    drop(eventually("it arrives", arrivals.recv()).await);
    leader.faults.lasting_of(Call::Renew, Fault::LoseRequest);
    leader.faults.lasting_of(Call::Claim, Fault::LoseRequest);
    database.promote_to(Timeline(2));
    broker.may_go_on.add_permits(1);
    logged("the ledger refused a write of this leadership: the outcome of s-1 (attempt 1)").await;
    logged("signal s-1: leadership ended before the outcome of attempt 1 was recorded").await;
}

const HALF: usize = 16;

/// A new leader with more signals in doubt than lookups have room, and more new signals than there is room. The handler
/// answers none of them.
async fn busy(is_paused: bool) -> (Instance, Arc<Broker>, mpsc::UnboundedReceiver<String>) {
    let (database, (broker, arrivals)) = (FakeDatabase::new(), Broker::new());
    let first = Instance::start(&database, "first", Some(broker.clone()));
    for n in 0..HALF + 2 {
        broker.will(&format!("doubt-{n}"), &[Mood::Says(Outcome::InDoubt)]);
        first.submit(&format!("d-{n}"), &format!("doubt-{n}")).await;
        first.is(&format!("d-{n}"), SignalState::InDoubt).await;
    }
    first.ledger.store().switch(Switch::Pause, &client(), "the test").await.expect("pause");
    for n in 0..2 * HALF + 2 {
        broker.will(&format!("new-{n}"), &[Mood::Waits]);
        first.submit(&format!("n-{n}"), &format!("new-{n}")).await;
    }
    first.coordinator.shutdown().await;
    broker.looked_up.lock().expect("no panic").clear();
    broker.ignores_lookups.store(true, Ordering::SeqCst);
    if !is_paused {
        first.ledger.store().switch(Switch::Resume, &client(), "the test").await.expect("resume");
    }
    let second = Instance::start(&database, "second", Some(broker.clone()));
    second.leads().await;
    (second, broker, arrivals)
}

/// Rule: a claim keeps room for the lookups that are due.
#[tokio::test]
async fn a_backlog_of_new_signals_leaves_lookups_their_half() {
    let (_second, broker, mut arrivals) = busy(false).await;
    let looked_up = || broker.looked_up.lock().expect("no panic").len();
    for _ in 0..HALF {
        drop(eventually("a new signal is sent in its half", arrivals.recv()).await);
    }
    until("lookups have the other half", async || looked_up() == HALF).await;
    assert!(arrivals.try_recv().is_err(), "no new signal is sent in the half of the lookups");
    broker.may_go_on.add_permits(1);
    drop(eventually("the next one takes the place that is free", arrivals.recv()).await);
    assert_eq!(looked_up(), HALF);
}

/// Rule: lookups that get no answer leave new signals the other half.
#[tokio::test]
async fn lookups_without_an_answer_leave_new_signals_their_half() {
    let (second, broker, mut arrivals) = busy(true).await;
    let looked_up = || broker.looked_up.lock().expect("no panic").len();
    until("lookups have their half", async || looked_up() >= HALF).await;
    second.ledger.store().switch(Switch::Resume, &client(), "the test").await.expect("resume");
    for _ in 0..HALF {
        drop(eventually("a new signal is sent in the other half", arrivals.recv()).await);
    }
    assert_eq!(looked_up(), HALF);
}
