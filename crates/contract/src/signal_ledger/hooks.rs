//! Alerts that come through a hook: those within its window are one signal, and none is lost.

use super::{
    Process, accepted, claim, claim_one, client, ids, lead_after_forgetting, offer, record, signal_about,
    signal_id,
};
use crate::{Case, Scene, StateStores, cases};
use domain::ledger::{
    AuditEntry, Dated, FORGOTTEN, FORGOTTEN_ALERT, FromHook, HookName, Label, NewSignal, Outcome, Signal,
    SignalCounts, SignalState, WINDOW_S_MAX,
};
use domain::ports::{Recorded, Report, SignalClaim, SignalLedger, Submit};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

/// The window of the cases, in seconds.
const WINDOW_S: u32 = 60;

pub(super) fn cases<A: StateStores>() -> Vec<Case<A>> {
    cases!("signal_ledger", Scene:
        an_alert_within_the_window_is_folded,
        an_alert_that_arrives_again_is_the_same_signal,
        an_alert_at_the_edge_of_the_window_is_folded_and_one_beyond_is_new,
        folded_alerts_do_not_extend_the_window,
        an_alert_between_two_signals_is_folded_into_the_nearest,
        an_alert_of_another_hook_or_about_something_else_is_new,
        without_a_window_every_alert_is_a_signal,
        of_8_concurrent_alerts_of_a_window_one_is_accepted,
        concurrent_alerts_of_two_windows_are_two_signals,
        many_alerts_at_once_are_folded_into_each_other,
        a_folded_alert_is_in_the_audit,
        a_signal_that_was_submitted_without_a_hook_folds_nothing,
        an_alert_is_not_folded_into_a_signal_that_was_never_sent,
        an_alert_is_folded_into_a_signal_that_was_rejected_or_may_have_been_sent,
        a_signal_of_another_type_between_two_alerts_ends_the_window,
        nothing_ends_the_window_of_alerts_that_are_dated_by_their_arrival,
        an_alert_whose_id_belongs_to_another_signal_is_a_conflict_also_within_the_window,
        a_window_is_never_longer_than_an_hour,
        an_alert_whose_window_reaches_back_to_before_the_store_forgot_is_in_doubt,
    )
}

/// An alert of the hook `tv` about NIFTY, `at` seconds after the first.
fn alert(at: i64) -> NewSignal {
    alert_of("tv", at)
}

fn alert_of(hook: &str, at: i64) -> NewSignal {
    let mut alert = NewSignal { id: None, ..signal_about("s", "NIFTY") };
    alert.instruction.timestamp_s += at;
    alert.instruction.payload = format!(r#"{{"at": {at}}}"#);
    alert.hook = Some(FromHook {
        name: HookName::parse(hook).expect("a name"),
        window_s: WINDOW_S,
        dated: Dated::BySender,
    });
    alert
}

async fn folded(ledger: &dyn SignalLedger, new: &NewSignal) -> Signal {
    match offer(ledger, new).await {
        Submit::Folded(signal) => signal,
        other => panic!("{new:?} is within a window: {other:?}"),
    }
}

async fn lines(ledger: &dyn SignalLedger, of: &Signal) -> Vec<AuditEntry> {
    ledger.audit(Some(&of.id), 100).await.expect("audit")
}

async fn an_alert_within_the_window_is_folded(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let first = accepted(&*a.ledger, &alert(0)).await;
    assert_eq!(folded(&*b.ledger, &alert(1)).await, first, "another instance, one second later");
    assert_eq!(folded(&*a.ledger, &alert(-1)).await, first, "its own time is earlier, and it arrived later");
    let same_second = NewSignal { id: None, ..alert(0) };
    let other_price =
        domain::ledger::Instruction { payload: "{}".to_owned(), ..same_second.instruction.clone() };
    let other_price = NewSignal { instruction: other_price, ..same_second };
    assert_eq!(folded(&*a.ledger, &other_price).await, first, "the same second with another payload");
    let counts = a.ledger.counts().await;
    assert_eq!(counts, Ok(SignalCounts { received: 1, ..SignalCounts::default() }));
}

async fn an_alert_that_arrives_again_is_the_same_signal(scene: Scene) {
    let process = scene.process("a").await;
    let first = accepted(&*process.ledger, &alert(0)).await;
    assert_eq!(offer(&*process.ledger, &alert(0)).await, Submit::Repeated(first.clone()));
    folded(&*process.ledger, &alert(5)).await;
    assert_eq!(folded(&*process.ledger, &alert(5)).await.id, first.id, "a folded one too");
    assert_eq!(offer(&*process.ledger, &alert(0)).await, Submit::Repeated(first));
}

async fn an_alert_at_the_edge_of_the_window_is_folded_and_one_beyond_is_new(scene: Scene) {
    let process = scene.process("a").await;
    let edge = i64::from(WINDOW_S);
    let first = accepted(&*process.ledger, &alert(0)).await;
    assert_eq!(folded(&*process.ledger, &alert(edge)).await, first);
    assert_eq!(folded(&*process.ledger, &alert(-edge)).await, first);
    accepted(&*process.ledger, &alert(edge + 1)).await;
    accepted(&*process.ledger, &alert(-edge - 1)).await;
}

async fn folded_alerts_do_not_extend_the_window(scene: Scene) {
    let process = scene.process("a").await;
    accepted(&*process.ledger, &alert(0)).await;
    folded(&*process.ledger, &alert(40)).await;
    let next = accepted(&*process.ledger, &alert(80)).await;
    assert_eq!(folded(&*process.ledger, &alert(120)).await, next);
}

async fn an_alert_between_two_signals_is_folded_into_the_nearest(scene: Scene) {
    let process = scene.process("a").await;
    let later = accepted(&*process.ledger, &alert(100)).await;
    let earlier = accepted(&*process.ledger, &alert(0)).await;
    assert_eq!(folded(&*process.ledger, &alert(49)).await, earlier);
    assert_eq!(folded(&*process.ledger, &alert(51)).await, later);
    assert_eq!(folded(&*process.ledger, &alert(50)).await, later, "it arrived first");
}

async fn an_alert_of_another_hook_or_about_something_else_is_new(scene: Scene) {
    let process = scene.process("a").await;
    accepted(&*process.ledger, &alert(0)).await;
    accepted(&*process.ledger, &alert_of("desk", 1)).await;
    let label = |text: &str| Label::parse(text).expect("a label");
    let mut others = [alert(2), alert(3), alert(4)];
    others[0].instruction.instrument = label("BANKNIFTY");
    others[1].instruction.signal_type = label("EXIT");
    others[2].instruction.position = label("Short_1");
    for other in others {
        accepted(&*process.ledger, &other).await;
    }
}

async fn without_a_window_every_alert_is_a_signal(scene: Scene) {
    let process = scene.process("a").await;
    for at in 0..3 {
        let mut new = alert(at);
        new.hook.as_mut().expect("it has a hook").window_s = 0;
        accepted(&*process.ledger, &new).await;
    }
    // They count nevertheless when the hook has a window later.
    folded(&*process.ledger, &alert(3)).await;
}

async fn of_8_concurrent_alerts_of_a_window_one_is_accepted(scene: Scene) {
    let racers = Racers::connected(&scene).await;
    for round in 0..ROUNDS {
        let answers = racers.race(|n| alert(round * 1_000 + n)).await;
        let accepted = answers.iter().filter(|answer| matches!(answer, Submit::Accepted(_))).count();
        let folded = answers.iter().filter(|answer| matches!(answer, Submit::Folded(_))).count();
        assert_eq!((accepted, folded), (1, 7), "{answers:?}");
        let ids: BTreeSet<_> = answers.iter().map(id).collect();
        assert_eq!(ids.len(), 1, "{answers:?}");
    }
    let counts = scene.process("a").await.ledger.counts().await;
    let received = u64::try_from(ROUNDS).expect("a few");
    assert_eq!(counts, Ok(SignalCounts { received, done: 8, ..SignalCounts::default() }));
}

async fn concurrent_alerts_of_two_windows_are_two_signals(scene: Scene) {
    let racers = Racers::connected(&scene).await;
    for round in 0..ROUNDS {
        let far = i64::from(WINDOW_S) * 10;
        let answers = racers.race(|n| alert(round * 10_000 + n / 4 * far + n % 4)).await;
        let accepted = answers.iter().filter(|answer| matches!(answer, Submit::Accepted(_))).count();
        assert_eq!(accepted, 2, "no signal is lost: {answers:?}");
    }
}

/// Races of a case: in one of them, the submissions meet inside the store.
const ROUNDS: i64 = 20;

/// Eight processes whose connections are open, so that their submissions arrive at the same time.
struct Racers(Vec<Arc<Process>>);

impl Racers {
    async fn connected(scene: &Scene) -> Self {
        let mut processes = Vec::new();
        for n in 0..8 {
            let process = scene.process(&format!("p{n}")).await;
            // Opens the connection, and plans the statement.
            accepted(&*process.ledger, &alert_of(&format!("warm-{n}"), -1_000_000 - n * 1_000)).await;
            processes.push(Arc::new(process));
        }
        let token = processes[0].lead().await;
        while let SignalClaim::Claimed(signals) = claim_one(&*processes[0].ledger, &token).await {
            for signal in signals {
                record(&*processes[0].ledger, &token, &signal, Outcome::Done).await;
            }
        }
        Self(processes)
    }

    async fn race(&self, new: impl Fn(i64) -> NewSignal) -> Vec<Submit> {
        let start = Arc::new(Barrier::new(self.0.len()));
        let mut submissions = JoinSet::new();
        for (n, process) in (0..).zip(&self.0) {
            let (process, new, start) = (Arc::clone(process), new(n), Arc::clone(&start));
            submissions.spawn(async move {
                start.wait().await;
                offer(&*process.ledger, &new).await
            });
        }
        submissions.join_all().await
    }
}

fn id(answer: &Submit) -> String {
    let (Submit::Accepted(signal)
    | Submit::Repeated(signal)
    | Submit::Folded(signal)
    | Submit::Conflict(signal)) = answer;
    signal.id.as_str().to_owned()
}

async fn many_alerts_at_once_are_folded_into_each_other(scene: Scene) {
    let process = scene.process("a").await;
    let plain = signal_about("plain", "NIFTY");
    let new = [alert(0), plain.clone(), alert(1), alert(1_000), alert(0)];
    let answers = process.ledger.submit(&new, &client()).await.expect("submit");
    let [
        Submit::Accepted(first),
        Submit::Accepted(second),
        Submit::Folded(into),
        Submit::Accepted(_),
        Submit::Repeated(again),
    ] = &answers[..]
    else {
        panic!("{answers:?}")
    };
    assert_eq!(
        (second.id.clone(), into.id.clone(), again.id.clone()),
        (plain.id(), first.id.clone(), first.id.clone())
    );
}

async fn a_folded_alert_is_in_the_audit(scene: Scene) {
    let process = scene.process("a").await;
    let first = accepted(&*process.ledger, &alert(0)).await;
    offer(&*process.ledger, &alert(0)).await;
    folded(&*process.ledger, &alert(1)).await;
    let lines = lines(&*process.ledger, &first).await;
    let [line, received] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!((line.what.as_str(), received.what.as_str()), ("folded", "received"));
    assert_eq!((&line.actor, line.note.clone()), (&client(), Some(alert(1).fold_note())));
    let stored = process.ledger.find(&first.id).await.expect("find").expect("it is there");
    assert_eq!(stored, first, "nothing else of the signal changes");
}

/// The hook of an alert decides, and such a signal has none.
async fn a_signal_that_was_submitted_without_a_hook_folds_nothing(scene: Scene) {
    let process = scene.process("a").await;
    let plain = accepted(&*process.ledger, &NewSignal { hook: None, ..alert(0) }).await;
    accepted(&*process.ledger, &alert(1)).await;
    assert_eq!(
        offer(&*process.ledger, &alert(0)).await,
        Submit::Repeated(plain),
        "an equal instruction is one signal"
    );
}

/// An alert `at` seconds after the first, which is late by the store's clock before it arrives.
fn late_alert(at: i64) -> NewSignal {
    let mut late = alert(at);
    late.instruction.expires_ms = Some(1);
    late
}

async fn an_alert_is_not_folded_into_a_signal_that_was_never_sent(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    let late = accepted(&*process.ledger, &late_alert(0)).await;
    assert_eq!(claim_one(&*process.ledger, &token).await, SignalClaim::Empty, "it expires");
    let again = accepted(&*process.ledger, &late_alert(1)).await;
    // No leader expires it. It must not take in an alert all the same.
    let third = accepted(&*process.ledger, &alert(2)).await;
    let expired = process.ledger.find(&again.id).await.expect("find").expect("it is there");
    assert_eq!((expired.state, expired.settled_ms.is_some()), (SignalState::Expired, true));
    assert_eq!(lines(&*process.ledger, &again).await[0].what, "expired");
    let claimed = claim(&*process.ledger, &token).await;
    assert_eq!(claimed.id, third.id);
    record(&*process.ledger, &token, &claimed, Outcome::Done).await;
    for id in [&late.id, &again.id] {
        let acknowledged = process.ledger.acknowledge(id, &client(), "seen").await;
        assert_eq!(acknowledged, Ok(Recorded::Recorded));
    }
    assert_eq!(folded(&*process.ledger, &alert(3)).await.id, third.id);
    // Only the acknowledged ones are within this window.
    accepted(&*process.ledger, &alert(1 - i64::from(WINDOW_S))).await;
}

async fn an_alert_is_folded_into_a_signal_that_was_rejected_or_may_have_been_sent(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    for (at, outcome) in [(0, Outcome::Rejected), (1_000, Outcome::Done), (2_000, Outcome::InDoubt)] {
        let mut first = alert(at);
        first.instruction.instrument = Label::parse(&format!("i-{at}")).expect("a label");
        let mut again = first.clone();
        again.instruction.timestamp_s += 1;
        accepted(&*process.ledger, &first).await;
        let claimed = claim(&*process.ledger, &token).await;
        assert_eq!(folded(&*process.ledger, &again).await.id, claimed.id, "claimed");
        record(&*process.ledger, &token, &claimed, outcome).await;
        assert_eq!(folded(&*process.ledger, &again).await.id, claimed.id, "{outcome:?}");
    }
}

/// An alert of another type of the same instrument.
fn exit(at: i64, position: &str) -> NewSignal {
    let mut exit = alert(at);
    exit.instruction.signal_type = Label::parse("EXIT").expect("a label");
    exit.instruction.position = Label::parse(position).expect("a label");
    exit
}

async fn a_signal_of_another_type_between_two_alerts_ends_the_window(scene: Scene) {
    let process = scene.process("a").await;
    let first = accepted(&*process.ledger, &alert(0)).await;
    accepted(&*process.ledger, &exit(2, "ALL")).await;
    let second = accepted(&*process.ledger, &alert(5)).await;
    assert_eq!(folded(&*process.ledger, &alert(1)).await, first, "before the exit");
    assert_eq!(
        folded(&*process.ledger, &alert(2)).await,
        first,
        "at its time: two are as near, the first counts"
    );
    assert_eq!(folded(&*process.ledger, &alert(3)).await, second, "after it");
    let mut other = exit(7, "ALL");
    other.instruction.instrument = Label::parse("BANKNIFTY").expect("a label");
    accepted(&*process.ledger, &other).await;
    let mut of_hook = alert_of("desk", 7);
    of_hook.instruction.signal_type = Label::parse("EXIT").expect("a label");
    accepted(&*process.ledger, &of_hook).await;
    let mut of_position = alert(7);
    of_position.instruction.position = Label::parse("Long_2").expect("a label");
    accepted(&*process.ledger, &of_position).await;
    assert_eq!(
        folded(&*process.ledger, &alert(9)).await,
        second,
        "neither another instrument, nor another hook, nor the same type of another position ends it"
    );
}

/// A sender repeats an alert without an answer after others, and the repetition has a new time of arrival.
async fn nothing_ends_the_window_of_alerts_that_are_dated_by_their_arrival(scene: Scene) {
    let process = scene.process("a").await;
    let arrived = |mut alert: NewSignal| {
        alert.hook.as_mut().expect("it has a hook").dated = Dated::ByArrival;
        alert
    };
    let first = accepted(&*process.ledger, &arrived(alert(0))).await;
    accepted(&*process.ledger, &arrived(exit(2, "ALL"))).await;
    assert_eq!(folded(&*process.ledger, &arrived(alert(5))).await, first);
}

async fn an_alert_whose_id_belongs_to_another_signal_is_a_conflict_also_within_the_window(scene: Scene) {
    let process = scene.process("a").await;
    let of = |id: &str, at: i64| NewSignal { id: Some(signal_id(id)), ..alert(at) };
    let first = accepted(&*process.ledger, &of("u-1", 0)).await;
    let second = accepted(&*process.ledger, &of("u-2", 1_000)).await;
    assert_eq!(
        offer(&*process.ledger, &of("u-2", 0)).await,
        Submit::Conflict(second),
        "the first under its id"
    );
    assert_eq!(lines(&*process.ledger, &first).await.len(), 1, "no line says that it was folded");
}

async fn a_window_is_never_longer_than_an_hour(scene: Scene) {
    let process = scene.process("a").await;
    let wide = |at: i64| {
        let mut alert = alert(at);
        alert.hook.as_mut().expect("it has a hook").window_s = 10 * WINDOW_S_MAX;
        alert
    };
    let first = accepted(&*process.ledger, &wide(0)).await;
    assert_eq!(folded(&*process.ledger, &wide(i64::from(WINDOW_S_MAX))).await, first);
    accepted(&*process.ledger, &wide(i64::from(WINDOW_S_MAX) + 1)).await;
}

/// The executed alert is forgotten. Its repetition has another timestamp, and so another fingerprint.
async fn an_alert_whose_window_reaches_back_to_before_the_store_forgot_is_in_doubt(scene: Scene) {
    let process = scene.process("a").await;
    let token = lead_after_forgetting(&process).await;
    let forgot_ms = process.state.lease().await.expect("the lease").forgot_ms.expect("it has forgotten");
    let of = |instrument: &str, from_s: i64| {
        let mut new = alert(0);
        new.instruction.instrument = Label::parse(instrument).expect("a label");
        new.instruction.timestamp_s = forgot_ms / 1_000 + from_s;
        new
    };
    let window_s = i64::from(WINDOW_S);
    let mut unwindowed = of("no window", 1);
    unwindowed.hook.as_mut().expect("it has a hook").window_s = 0;
    let mut old = of("old, no window", 0);
    old.hook.as_mut().expect("it has a hook").window_s = 0;
    let near = accepted(&*process.ledger, &of("near", window_s)).await;
    let old = accepted(&*process.ledger, &old).await;
    let far = accepted(&*process.ledger, &of("far", window_s + 1)).await;
    let unwindowed = accepted(&*process.ledger, &unwindowed).await;
    assert_eq!(claim(&*process.ledger, &token).await.id, far.id);
    assert_eq!(claim(&*process.ledger, &token).await.id, unwindowed.id);
    assert_eq!(claim_one(&*process.ledger, &token).await, SignalClaim::Empty);
    let in_doubt = process.ledger.take_over(&token, domain::ports::InFlight::All).await.expect("take over");
    let in_doubt = in_doubt.expect("the token holds the lease");
    assert_eq!(ids(&in_doubt), [near.id.as_str(), old.id.as_str()]);
    let notes: Vec<_> = in_doubt.iter().map(|signal| signal.note.as_deref()).collect();
    assert_eq!(notes, [Some(FORGOTTEN_ALERT), Some(FORGOTTEN)], "only the second can be looked up");
    // A service that looks up the first finds nothing, which says nothing about the earlier alert.
    let not_executed = in_doubt.iter().map(|signal| Report {
        id: signal.id.clone(),
        attempt: signal.attempt,
        outcome: Outcome::Received,
        note: None,
    });
    let answers = process.ledger.record(&token, &not_executed.collect::<Vec<_>>()).await.expect("record");
    assert_eq!(
        answers,
        Some(vec![Recorded::Refused, Recorded::Recorded]),
        "only the operator lets the first be sent"
    );
}
