//! Decisions of operators, and the audit log of every change.

use super::{claim, claim_one, client, record, report, signal, submit, take_over};
use crate::{Case, Process, Scene, StateStores, cases};
use domain::ledger::{Actor, Outcome, Signal, SignalState};
use domain::ports::{Recorded, Report, Resolution, SignalClaim};

pub(super) fn cases<A: StateStores>() -> Vec<Case<A>> {
    cases!("signal_ledger", Scene:
        an_operator_resolves_a_signal_in_doubt_without_any_leader,
        a_decision_to_send_again_lets_it_be_claimed,
        only_a_signal_in_doubt_or_sent_is_resolved,
        a_decision_about_another_attempt_is_refused,
        a_decision_that_is_repeated_is_recorded_once,
        a_decision_and_the_leader_s_resolution_exclude_each_other,
        an_operator_acknowledges_an_expired_signal_once,
        only_an_expired_signal_is_acknowledged,
        every_change_has_a_line_in_the_audit,
        texts_of_the_audit_are_cut_and_nothing_in_them_is_special,
    )
}

fn operator() -> Actor {
    Actor { who: "asha".to_owned(), origin: "desk-1".to_owned() }
}

fn decision(of: &Signal, outcome: Outcome) -> Resolution {
    let reason = "according to the broker".to_owned();
    Resolution { id: of.id.clone(), attempt: of.attempt, outcome, actor: operator(), reason }
}

/// A signal in doubt, and the process that leads.
async fn in_doubt(scene: &Scene, id: &str) -> (Process, Signal) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    submit(&*process.ledger, id).await;
    claim(&*process.ledger, &token).await;
    let signal = take_over(&process, &token).await.remove(0);
    (process, signal)
}

async fn state(process: &Process, of: &Signal) -> SignalState {
    process.ledger.find(&of.id).await.expect("find").expect("it is there").state
}

async fn an_operator_resolves_a_signal_in_doubt_without_any_leader(scene: Scene) {
    let (leader, signal) = in_doubt(&scene, "s-1").await;
    let token = leader.read_lease().await.version.token;
    leader.state.release(&token, domain::lease::Seq(1), "stopped").await.expect("release");
    let desk = scene.process("desk").await;
    let answer = desk.ledger.resolve(&decision(&signal, Outcome::Done)).await;
    assert_eq!(answer, Ok(Recorded::Recorded));
    let found = desk.ledger.find(&signal.id).await.expect("find").expect("it is there");
    assert_eq!((found.state, found.note.as_deref()), (SignalState::Done, Some("according to the broker")));
    let line = desk.ledger.audit(Some(&signal.id), 1).await.expect("audit").remove(0);
    assert_eq!((line.actor, line.what.as_str(), line.attempt), (operator(), "done", 1));
    assert_eq!(line.note.as_deref(), Some("according to the broker"));
}

async fn a_decision_to_send_again_lets_it_be_claimed(scene: Scene) {
    let (process, signal) = in_doubt(&scene, "s-1").await;
    let token = process.read_lease().await.version.token;
    let answer = process.ledger.resolve(&decision(&signal, Outcome::Received)).await;
    assert_eq!(answer, Ok(Recorded::Recorded));
    let again = claim(&*process.ledger, &token).await;
    assert_eq!((&again.id, again.attempt), (&signal.id, 2));
}

async fn only_a_signal_in_doubt_or_sent_is_resolved(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    let ways = [Outcome::Done, Outcome::Rejected, Outcome::Received, Outcome::Sent, Outcome::InDoubt];
    let refused = async |of: &Signal, why: &str| {
        let before = state(&process, of).await;
        for outcome in ways.into_iter().filter(|way| way.state() != before.name()) {
            let answer = process.ledger.resolve(&decision(of, outcome)).await;
            assert_eq!(answer, Ok(Recorded::Refused), "{why}: {outcome:?}");
        }
        assert_eq!(state(&process, of).await, before, "{why}");
    };
    let waiting = submit(&*process.ledger, "s-1").await;
    refused(&waiting, "it waits").await;
    let claimed = claim(&*process.ledger, &token).await;
    refused(&claimed, "a leader has claimed it").await;
    record(&*process.ledger, &token, &claimed, Outcome::Sent).await;
    let back = process.ledger.resolve(&decision(&claimed, Outcome::Received)).await;
    assert_eq!(back, Ok(Recorded::Refused), "a sent signal is not sent again");
    let done = process.ledger.resolve(&decision(&claimed, Outcome::Rejected)).await;
    assert_eq!(done, Ok(Recorded::Recorded), "its outcome is recorded");
    refused(&claimed, "it is final").await;
    let unknown = Signal { id: super::signal_id("never-submitted"), ..claimed };
    let answer = process.ledger.resolve(&decision(&unknown, Outcome::Done)).await;
    assert_eq!(answer, Ok(Recorded::Refused));
}

async fn a_decision_about_another_attempt_is_refused(scene: Scene) {
    let (process, first) = in_doubt(&scene, "s-1").await;
    let token = process.read_lease().await.version.token;
    process.ledger.resolve(&decision(&first, Outcome::Received)).await.expect("decide");
    claim(&*process.ledger, &token).await;
    let second = take_over(&process, &token).await.remove(0);
    for outcome in [Outcome::Done, Outcome::Rejected, Outcome::Received] {
        let late = process.ledger.resolve(&decision(&first, outcome)).await;
        assert_eq!(late, Ok(Recorded::Refused), "the operator checked the first attempt");
    }
    let answer = process.ledger.resolve(&decision(&second, Outcome::Done)).await;
    assert_eq!(answer, Ok(Recorded::Recorded));
}

async fn a_decision_that_is_repeated_is_recorded_once(scene: Scene) {
    let (process, signal) = in_doubt(&scene, "s-1").await;
    let done = decision(&signal, Outcome::Done);
    for _ in 0..2 {
        assert_eq!(process.ledger.resolve(&done).await, Ok(Recorded::Recorded));
    }
    let other = process.ledger.resolve(&decision(&signal, Outcome::Rejected)).await;
    assert_eq!(other, Ok(Recorded::Refused));
    let lines = process.ledger.audit(Some(&signal.id), 10).await.expect("audit");
    assert_eq!(lines.iter().filter(|line| line.what == "done").count(), 1, "{lines:?}");
}

/// Number of times that an operator and the leader resolve one signal differently at the same time.
const RACES: usize = 30;

async fn a_decision_and_the_leader_s_resolution_exclude_each_other(scene: Scene) {
    for race in 0..RACES {
        let (process, signal) = in_doubt(&scene, &format!("s-{race}")).await;
        let token = process.read_lease().await.version.token;
        let looked_up = record(&*process.ledger, &token, &signal, Outcome::Done);
        let rejected = decision(&signal, Outcome::Rejected);
        let (looked_up, decided) = tokio::join!(looked_up, process.ledger.resolve(&rejected));
        let state = state(&process, &signal).await;
        match (looked_up, decided) {
            (Some(Recorded::Recorded), Ok(Recorded::Refused)) => assert_eq!(state, SignalState::Done),
            (Some(Recorded::Refused), Ok(Recorded::Recorded)) => assert_eq!(state, SignalState::Rejected),
            other => panic!("race {race}: exactly one: {other:?}"),
        }
    }
}

async fn an_operator_acknowledges_an_expired_signal_once(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    for id in ["late", "other"] {
        let mut late = signal(id);
        late.instruction.expires_ms = Some(1);
        super::accepted(&*process.ledger, &late).await;
    }
    assert_eq!(claim_one(&*process.ledger, &token).await, SignalClaim::Empty);
    let expired = async || process.ledger.totals().await.expect("totals").expired_last_day;
    assert_eq!(expired().await, 2);
    let id = super::signal_id("late");
    let before = process.ledger.find(&id).await.expect("find").expect("it is there");

    let desk = scene.process("desk").await;
    let reason = "the trader knows: no position is open";
    assert_eq!(desk.ledger.acknowledge(&id, &operator(), reason).await, Ok(Recorded::Recorded));
    assert_eq!(expired().await, 1, "the other one is still reported");
    let found = desk.ledger.find(&id).await.expect("find").expect("it is there");
    assert_eq!((found.state, found.note.as_deref()), (SignalState::Rejected, Some(reason)));
    assert_eq!(found.settled_ms, before.settled_ms, "it keeps the time at which it expired");
    let again = desk.ledger.acknowledge(&id, &operator(), "once more").await;
    assert_eq!(again, Ok(Recorded::Refused), "the first reason remains");

    let lines = desk.ledger.audit(Some(&id), 10).await.expect("audit");
    let what: Vec<&str> = lines.iter().map(|line| line.what.as_str()).collect();
    assert_eq!(what, ["rejected", "expired", "received"]);
    assert_eq!((&lines[0].actor, lines[0].note.as_deref()), (&operator(), Some(reason)));
    assert_eq!(claim_one(&*process.ledger, &token).await, SignalClaim::Empty, "it is never sent");
}

async fn only_an_expired_signal_is_acknowledged(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    let refused = async |of: &Signal| {
        let before = state(&process, of).await;
        let answer = process.ledger.acknowledge(&of.id, &operator(), "read").await;
        assert_eq!(answer, Ok(Recorded::Refused), "{before:?}");
        assert_eq!(state(&process, of).await, before);
    };
    let waiting = submit(&*process.ledger, "s-1").await;
    refused(&waiting).await;
    let claimed = claim(&*process.ledger, &token).await;
    refused(&claimed).await;
    take_over(&process, &token).await;
    refused(&claimed).await;
    process.ledger.resolve(&decision(&claimed, Outcome::Done)).await.expect("decide");
    refused(&claimed).await;
    let unknown = super::signal_id("never-submitted");
    let answer = process.ledger.acknowledge(&unknown, &operator(), "read").await;
    assert_eq!(answer, Ok(Recorded::Refused));
}

async fn every_change_has_a_line_in_the_audit(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    let accepted = submit(&*process.ledger, "s-1").await;
    let first = claim(&*process.ledger, &token).await;
    let noted = Report {
        id: first.id.clone(),
        attempt: 1,
        outcome: Outcome::Received,
        note: Some("connection refused".to_owned()),
    };
    process.ledger.record(&token, &[noted]).await.expect("record");
    let second = claim(&*process.ledger, &token).await;
    record(&*process.ledger, &token, &second, Outcome::InDoubt).await;
    // A service that pulled it reports its outcome.
    let sent = [report(&second, Outcome::Sent)];
    process.ledger.record_by(&token, &sent, Some(&client())).await.expect("record");
    process.ledger.resolve(&decision(&second, Outcome::Done)).await.expect("decide");
    // A repetition changes nothing.
    super::offer(&*process.ledger, &signal("s-1")).await;

    let mut lines = process.ledger.audit(Some(&accepted.id), 10).await.expect("audit");
    lines.reverse();
    let own = Actor { who: "a".to_owned(), origin: process.opening.host.clone() };
    let shown: Vec<_> = lines
        .iter()
        .map(|line| (line.what.as_str(), &line.actor, line.attempt, line.note.as_deref()))
        .collect();
    let (client, desk) = (client(), operator());
    assert_eq!(
        shown,
        [
            ("received", &client, 0, None),
            ("claimed", &own, 1, None),
            ("received", &own, 1, Some("connection refused")),
            ("claimed", &own, 2, None),
            ("in_doubt", &own, 2, None),
            ("sent", &client, 2, None),
            ("done", &desk, 2, Some("according to the broker")),
        ]
    );
    assert!(lines.iter().all(|line| line.epoch == Some(token.epoch)), "{lines:?}");
    assert!(lines.windows(2).all(|two| two[0].number < two[1].number && two[0].at_ms <= two[1].at_ms));
    let latest = process.ledger.audit(None, 2).await.expect("audit");
    assert_eq!(latest.iter().map(|line| line.number).collect::<Vec<_>>(), [lines[6].number, lines[5].number]);
    assert_eq!(claim_one(&*process.ledger, &token).await, SignalClaim::Empty);
}

async fn texts_of_the_audit_are_cut_and_nothing_in_them_is_special(scene: Scene) {
    let process = scene.process("a").await;
    let actor = Actor { who: format!("o'neill {}", "₹".repeat(200)), origin: "'; --\u{1b}".to_owned() };
    let new = signal("s-1");
    process.ledger.submit(std::slice::from_ref(&new), &actor).await.expect("submit");
    let line = process.ledger.audit(Some(&new.id()), 1).await.expect("audit").remove(0);
    assert_eq!(line.actor.who, actor.who.chars().take(128).collect::<String>());
    assert_eq!(line.actor.origin, actor.origin);
}
