//! Limits that apply to every strategy, and the kill switch.

use super::{accepted, claim, client, ids, record, signal, signal_about, submit, take_over};
use crate::{Case, PATIENCE, Process, Scene, StateStores, cases};
use domain::lease::Token;
use domain::ledger::{Actor, LimitReached, Limits, NewSignal, Outcome};
use domain::ports::{SignalClaim, Switch, Switched};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

pub(super) fn cases<A: StateStores>() -> Vec<Case<A>> {
    cases!("signal_ledger", Scene:
        a_limit_allows_its_number_of_claims_and_no_more,
        a_limit_holds_over_a_change_of_leader,
        an_attempt_that_was_not_executed_counts_against_no_limit,
        a_limit_of_zero_allows_no_claim,
        an_empty_ledger_is_empty_and_not_limited,
        concurrent_claims_together_keep_a_limit,
        the_kill_switch_stops_only_claims,
        the_kill_switch_outlives_the_leader_and_the_process,
        the_kill_switch_is_switched_once,
        once_a_pause_is_acknowledged_no_claim_is_granted,
        a_resumption_hints,
        groups_have_their_own_kill_switch,
    )
}

const THREE_A_MINUTE: Limits = Limits { per_minute: Some(3), per_day: None };

async fn waiting(process: &Process, count: usize) {
    let new: Vec<NewSignal> = (0..count).map(|n| signal(&format!("s-{n}"))).collect();
    process.ledger.submit(&new, &client()).await.expect("submit");
}

async fn claim_within(process: &Process, token: &Token, limits: Limits, most: u16) -> SignalClaim {
    process.ledger.claim_signals(token, limits, most).await.expect("the store answers")
}

fn operator() -> Actor {
    Actor { who: "operator".to_owned(), origin: "desk-1".to_owned() }
}

async fn a_limit_allows_its_number_of_claims_and_no_more(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    waiting(&process, 6).await;
    let limits = [
        (THREE_A_MINUTE, LimitReached::PerMinute),
        (Limits { per_minute: Some(10), per_day: Some(4) }, LimitReached::PerDay),
        (Limits { per_minute: Some(5), per_day: Some(5) }, LimitReached::PerDay),
    ];
    let mut claimed = 0;
    for (limits, reached) in limits {
        let SignalClaim::Claimed(some) = claim_within(&process, &token, limits, 10).await else {
            panic!("{limits:?} is not reached")
        };
        claimed += some.len();
        assert_eq!(Some(claimed), limits.per_day.or(limits.per_minute).map(|limit| limit as usize));
        assert_eq!(claim_within(&process, &token, limits, 1).await, SignalClaim::Limited(reached));
    }
    let totals = process.ledger.totals().await.expect("totals");
    assert_eq!((totals.sent_last_minute, totals.sent_last_day), (5, 5));
    assert_eq!(claim(&*process.ledger, &token).await.id.as_str(), "s-5", "without a limit");
}

async fn a_limit_holds_over_a_change_of_leader(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let old = a.lead().await;
    waiting(&a, 4).await;
    assert!(
        matches!(claim_within(&a, &old, THREE_A_MINUTE, 2).await, SignalClaim::Claimed(some) if some.len() == 2)
    );
    let new = b.lead().await;
    assert!(
        matches!(claim_within(&b, &new, THREE_A_MINUTE, 2).await, SignalClaim::Claimed(some) if some.len() == 1)
    );
    let more = claim_within(&b, &new, THREE_A_MINUTE, 2).await;
    assert_eq!(more, SignalClaim::Limited(LimitReached::PerMinute));
}

async fn an_attempt_that_was_not_executed_counts_against_no_limit(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    submit(&*process.ledger, "s-1").await;
    for attempt in 1..=5 {
        let answer = claim_within(&process, &token, THREE_A_MINUTE, 1).await;
        let SignalClaim::Claimed(claimed) = answer else { panic!("attempt {attempt}: {answer:?}") };
        assert_eq!(claimed[0].attempt, attempt);
        record(&*process.ledger, &token, &claimed[0], Outcome::Received).await;
    }
    assert_eq!(process.ledger.totals().await.map(|totals| totals.sent_last_day), Ok(0));
}

async fn a_limit_of_zero_allows_no_claim(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    waiting(&process, 1).await;
    let minute = Limits { per_minute: Some(0), per_day: None };
    let day = Limits { per_minute: None, per_day: Some(0) };
    for (limits, reached) in [(minute, LimitReached::PerMinute), (day, LimitReached::PerDay)] {
        assert_eq!(claim_within(&process, &token, limits, 1).await, SignalClaim::Limited(reached));
    }
}

async fn an_empty_ledger_is_empty_and_not_limited(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    let none = Limits { per_minute: Some(0), per_day: Some(0) };
    assert_eq!(claim_within(&process, &token, none, 1).await, SignalClaim::Empty);
}

/// For any claimers and any number of signals per claim.
async fn concurrent_claims_together_keep_a_limit(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    waiting(&process, 40).await;
    let limits = Limits { per_minute: Some(13), per_day: None };
    let mut claimers = JoinSet::new();
    for _ in 0..6 {
        let ledger = process.ledger.clone();
        claimers.spawn(async move {
            let mut claimed = 0;
            loop {
                match ledger.claim_signals(&token, limits, 3).await.expect("the store answers") {
                    SignalClaim::Claimed(some) => claimed += some.len(),
                    // It met another claim.
                    SignalClaim::Empty => tokio::task::yield_now().await,
                    SignalClaim::Limited(_) => return claimed,
                    other => panic!("{other:?}"),
                }
            }
        });
    }
    assert_eq!(claimers.join_all().await.into_iter().sum::<usize>(), 13);
}

async fn the_kill_switch_stops_only_claims(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    waiting(&process, 2).await;
    let out = claim(&*process.ledger, &token).await;
    let answer = process.ledger.switch(Switch::Pause, &operator(), "broker has an outage").await;
    assert_eq!(answer, Ok(Switched::Turned));
    let nothing = claim_within(&process, &token, Limits::NONE, 1).await;
    assert_eq!(nothing, SignalClaim::Paused);
    submit(&*process.ledger, "accepted").await;
    record(&*process.ledger, &token, &out, Outcome::Done).await.expect("results are recorded");
    assert_eq!(take_over(&process, &token).await, []);
    let mut late = signal_about("late", "NIFTY");
    late.instruction.expires_ms = Some(1);
    accepted(&*process.ledger, &late).await;
    assert_eq!(claim_within(&process, &token, Limits::NONE, 1).await, SignalClaim::Paused);
    assert_eq!(process.ledger.counts().await.map(|counts| counts.expired), Ok(1), "time goes on");
    let paused = process.ledger.totals().await.expect("totals").paused.expect("it is on");
    assert_eq!((paused.reason.as_str(), paused.who.as_str()), ("broker has an outage", "operator"));
    assert!(paused.since_ms >= out.received_ms);
    process.ledger.switch(Switch::Resume, &operator(), "well again").await.expect("resume");
    assert_eq!(process.ledger.totals().await.expect("totals").paused, None);
    assert_eq!(claim(&*process.ledger, &token).await.id.as_str(), "s-1");
}

async fn the_kill_switch_outlives_the_leader_and_the_process(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    a.lead().await;
    b.ledger.switch(Switch::Pause, &operator(), "why").await.expect("pause");
    waiting(&a, 1).await;
    let again = scene.process("a").await;
    let token = again.lead().await;
    let nothing = claim_within(&again, &token, Limits::NONE, 1).await;
    assert_eq!(nothing, SignalClaim::Paused);
}

async fn the_kill_switch_is_switched_once(scene: Scene) {
    let process = scene.process("a").await;
    let turn = async |to, why| process.ledger.switch(to, &operator(), why).await;
    assert_eq!(turn(Switch::Resume, "nothing to resume").await, Ok(Switched::Unchanged));
    assert_eq!(turn(Switch::Pause, "first").await, Ok(Switched::Turned));
    assert_eq!(turn(Switch::Pause, "second").await, Ok(Switched::Unchanged));
    let paused = process.ledger.totals().await.expect("totals").paused.expect("it is on");
    assert_eq!(paused.reason, "first");
    assert_eq!(turn(Switch::Resume, "x".repeat(300).as_str()).await, Ok(Switched::Turned));
    let lines = process.ledger.audit(None, 10).await.expect("audit");
    let shown: Vec<_> = lines.iter().map(|line| (line.what.as_str(), line.note.as_deref())).collect();
    let cut = "x".repeat(256);
    assert_eq!(shown, [("resumed", Some(cut.as_str())), ("paused", Some("first"))]);
    assert!(lines.iter().all(|line| line.actor == operator() && line.signal.is_none()), "{lines:?}");
}

/// Number of races between pauses and claims.
const RACES: usize = 30;

async fn once_a_pause_is_acknowledged_no_claim_is_granted(scene: Scene) {
    let (leader, desk) = (Arc::new(scene.process("a").await), scene.process("b").await);
    let token = leader.lead().await;
    for race in 0..RACES {
        for n in 0..8 {
            submit(&*leader.ledger, &format!("s-{race}-{n}")).await;
        }
        let racing = tokio::spawn({
            let leader = leader.clone();
            async move {
                loop {
                    match claim_within(&leader, &token, Limits::NONE, 1).await {
                        SignalClaim::Claimed(_) => tokio::task::yield_now().await,
                        SignalClaim::Paused | SignalClaim::Empty => return,
                        other => panic!("{other:?}"),
                    }
                }
            }
        });
        for _ in 0..race % 10 {
            tokio::task::yield_now().await;
        }
        desk.ledger.switch(Switch::Pause, &operator(), "stop").await.expect("pause");
        let acknowledged = desk.ledger.counts().await.expect("counts").claimed;
        racing.await.expect("no panic");
        let afterwards = desk.ledger.counts().await.expect("counts").claimed;
        assert_eq!(afterwards, acknowledged, "race {race}: claimed after the pause was acknowledged");
        desk.ledger.switch(Switch::Resume, &operator(), "go on").await.expect("resume");
    }
}

/// Interval between two resumptions that must wake a listener which may not be connected yet.
const NUDGE: Duration = Duration::from_millis(200);

async fn a_resumption_hints(scene: Scene) {
    let (leader, desk) = (scene.process("a").await, scene.process("b").await);
    let woken = async {
        loop {
            desk.ledger.switch(Switch::Pause, &operator(), "stop").await.expect("pause");
            // A hint of the pause itself.
            while tokio::time::timeout(Duration::ZERO, leader.ledger.submitted()).await.is_ok() {}
            desk.ledger.switch(Switch::Resume, &operator(), "go on").await.expect("resume");
            if tokio::time::timeout(NUDGE, leader.ledger.submitted()).await.is_ok() {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, woken).await.expect("a resumption wakes the leader");
}

async fn groups_have_their_own_kill_switch(scene: Scene) {
    let here = scene.process("a").await;
    let elsewhere = scene.neighbour().process("a").await;
    elsewhere.ledger.switch(Switch::Pause, &operator(), "there").await.expect("pause");
    let token = here.lead().await;
    submit(&*here.ledger, "s-1").await;
    let claimed = claim_within(&here, &token, Limits::NONE, 1).await;
    assert!(matches!(claimed, SignalClaim::Claimed(some) if ids(&some) == ["s-1"]));
    assert_eq!(here.ledger.audit(None, 10).await.expect("audit").len(), 2, "only its own lines");
}
