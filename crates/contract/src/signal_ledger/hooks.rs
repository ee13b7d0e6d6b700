//! Alerts that come through a hook: those within its window are one signal, and none is lost.

use super::{Process, accepted, claim_one, client, offer, record, signal_about};
use crate::{Case, Scene, StateStores, cases};
use domain::ledger::{AuditEntry, FromHook, HookName, Label, NewSignal, Outcome, Signal, SignalCounts};
use domain::ports::{SignalClaim, SignalLedger, Submit};
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
    alert.hook = Some(FromHook { name: HookName::parse(hook).expect("a name"), window_s: WINDOW_S });
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
