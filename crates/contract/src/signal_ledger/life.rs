//! The life of a signal under one leader.

use super::{accepted, claim, claim_one, client, offer, record, report, signal, signal_id, submit};
use crate::{Case, PATIENCE, Scene, StateStores, cases};
use domain::ledger::{
    Fingerprint, Instruction, Label, Limits, NewSignal, Outcome, PAYLOAD_LEN_MAX, Signal, SignalCounts,
    SignalState, StateName,
};
use domain::ports::{CLAIM_MAX, InFlight, Recorded, SignalClaim, Submit};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::task::JoinSet;

pub(super) fn cases<A: StateStores>() -> Vec<Case<A>> {
    cases!("signal_ledger", Scene:
        a_new_signal_is_accepted_without_a_leader,
        a_signal_without_an_id_has_its_fingerprint_as_id,
        a_payload_is_kept_to_the_byte,
        every_part_of_an_instruction_is_kept,
        the_same_signal_is_answered_with_its_state,
        the_same_signal_under_another_id_is_a_repetition,
        the_same_id_with_another_instruction_is_a_conflict,
        the_same_fingerprint_with_another_payload_is_a_conflict,
        many_are_submitted_at_once_each_with_its_answer,
        of_8_concurrent_submissions_one_is_accepted,
        of_8_concurrent_names_of_one_signal_one_is_accepted,
        a_repetition_blocks_no_effect,
        groups_have_their_own_signals,
        concurrent_claims_never_claim_one_signal_twice,
        a_signal_gets_one_final_outcome,
        a_signal_changes_its_state_as_its_outcome_allows,
        a_report_that_is_repeated_is_recorded_and_changes_nothing,
        a_report_about_another_attempt_is_refused,
        many_reports_are_recorded_at_once_each_with_its_answer,
        counts_follow_every_step,
        a_submission_hints,
    )
}

async fn a_new_signal_is_accepted_without_a_leader(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let new = signal("s-1");
    let accepted = submit(&*a.ledger, "s-1").await;
    let expected = Signal {
        id: new.id(),
        instruction: new.instruction.clone(),
        arrival: accepted.arrival,
        state: SignalState::Received,
        attempt: 0,
        received_ms: accepted.received_ms,
        claimed_ms: None,
        settled_ms: None,
        note: None,
    };
    assert_eq!(accepted, expected);
    assert!(accepted.received_ms > 1_600_000_000_000, "the store's clock: {accepted:?}");
    assert_eq!(
        offer(&*b.ledger, &new).await,
        Submit::Repeated(expected.clone()),
        "durable for every process"
    );
    assert_eq!(b.ledger.find(&new.id()).await, Ok(Some(expected)));
}

async fn a_signal_without_an_id_has_its_fingerprint_as_id(scene: Scene) {
    let process = scene.process("a").await;
    let new = NewSignal { id: None, ..signal("s-1") };
    let accepted = accepted(&*process.ledger, &new).await;
    assert_eq!(accepted.id.as_str(), Fingerprint::of(&new.instruction).to_string());
    assert_eq!(offer(&*process.ledger, &new).await, Submit::Repeated(accepted));
}

async fn a_payload_is_kept_to_the_byte(scene: Scene) {
    let process = scene.process("a").await;
    let payloads = [
        r#"{ "z":1,   "a" : 1.10, "a": "twice", "u": "₹ \u20b9 'quoted' \\ \n" }"#.to_owned(),
        "{}".to_owned(),
        format!("{{\"x\":\"{}\"}}", "x".repeat(PAYLOAD_LEN_MAX - 8)),
    ];
    let token = process.lead().await;
    for (n, payload) in payloads.into_iter().enumerate() {
        let mut new = signal(&format!("s-{n}"));
        new.instruction.payload = payload;
        let same = |signal: &Signal| signal.instruction == new.instruction;
        assert!(matches!(offer(&*process.ledger, &new).await, Submit::Accepted(signal) if same(&signal)));
        assert!(matches!(offer(&*process.ledger, &new).await, Submit::Repeated(signal) if same(&signal)));
        assert!(same(&claim(&*process.ledger, &token).await), "the claimed payload equals the submitted one");
    }
}

async fn every_part_of_an_instruction_is_kept(scene: Scene) {
    let process = scene.process("a").await;
    let label = |text: &str| Label::parse(text).expect("a label");
    let instruction = Instruction {
        instrument: label("₹ 'BANK NIFTY' \\ \"x\""),
        signal_type: label("EXIT"),
        position: label(&"p".repeat(64)),
        timestamp_s: -1,
        payload: "{}".to_owned(),
        expires_ms: Some(32_503_680_000_123),
    };
    let new = NewSignal { id: Some(signal_id(&"i".repeat(128))), instruction, hook: None };
    let accepted = accepted(&*process.ledger, &new).await;
    assert_eq!((accepted.id.clone(), accepted.instruction.clone()), (new.id(), new.instruction.clone()));
    let token = process.lead().await;
    let claimed = claim(&*process.ledger, &token).await;
    assert_eq!((claimed.id, claimed.instruction), (accepted.id, accepted.instruction));
}

async fn the_same_signal_is_answered_with_its_state(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    let accepted = submit(&*process.ledger, "s-1").await;
    let answered = async || match offer(&*process.ledger, &signal("s-1")).await {
        Submit::Repeated(signal) => signal,
        other => panic!("it was accepted before: {other:?}"),
    };
    assert_eq!(answered().await, accepted);
    let claimed = claim(&*process.ledger, &token).await;
    assert_eq!(answered().await, claimed);
    assert_eq!((claimed.state, claimed.attempt), (SignalState::Claimed(token), 1));
    let recorded = record(&*process.ledger, &token, &claimed, Outcome::Done).await;
    assert_eq!(recorded, Some(Recorded::Recorded));
    assert_eq!(answered().await.state, SignalState::Done, "also afterwards");
    assert_eq!(claim_one(&*process.ledger, &token).await, SignalClaim::Empty, "it is not sent again");
}

async fn the_same_signal_under_another_id_is_a_repetition(scene: Scene) {
    let process = scene.process("a").await;
    let accepted = submit(&*process.ledger, "s-1").await;
    for id in [Some(signal_id("another")), None] {
        let again = NewSignal { id, ..signal("s-1") };
        assert_eq!(offer(&*process.ledger, &again).await, Submit::Repeated(accepted.clone()));
    }
    let taken = submit(&*process.ledger, "taken").await;
    let again = NewSignal { id: Some(taken.id.clone()), ..signal("s-1") };
    assert_eq!(offer(&*process.ledger, &again).await, Submit::Conflict(taken), "another signal's id");
    assert_eq!(process.ledger.counts().await.map(|counts| counts.received), Ok(2));
}

async fn the_same_id_with_another_instruction_is_a_conflict(scene: Scene) {
    let process = scene.process("a").await;
    let accepted = submit(&*process.ledger, "s-1").await;
    let other = NewSignal { id: Some(signal_id("s-1")), ..signal("s-2") };
    assert_eq!(offer(&*process.ledger, &other).await, Submit::Conflict(accepted.clone()));
    assert_eq!(offer(&*process.ledger, &signal("s-1")).await, Submit::Repeated(accepted), "the first stays");
    assert_eq!(process.ledger.counts().await.map(|counts| counts.received), Ok(1));
}

async fn the_same_fingerprint_with_another_payload_is_a_conflict(scene: Scene) {
    let process = scene.process("a").await;
    let accepted = submit(&*process.ledger, "s-1").await;
    let [mut payload, mut expiry] = [signal("s-1"), signal("s-1")];
    payload.instruction.payload.push(' ');
    expiry.instruction.expires_ms = Some(32_503_680_000_000);
    for other in [payload, expiry] {
        for id in [other.id.clone(), Some(signal_id("another")), None] {
            let other = NewSignal { id, ..other.clone() };
            assert_eq!(offer(&*process.ledger, &other).await, Submit::Conflict(accepted.clone()));
        }
    }
}

/// Includes repetitions of and conflicts with each other and with stored signals.
async fn many_are_submitted_at_once_each_with_its_answer(scene: Scene) {
    let process = scene.process("a").await;
    let before = submit(&*process.ledger, "s-0").await;
    let conflicting = NewSignal { id: Some(signal_id("s-1")), ..signal("other") };
    let batch = [signal("s-1"), signal("s-0"), signal("s-2"), signal("s-1"), conflicting, signal("s-3")];
    let answers = process.ledger.submit(&batch, &client()).await.expect("submit");
    let [
        Submit::Accepted(one),
        Submit::Repeated(zero),
        Submit::Accepted(two),
        Submit::Repeated(again),
        Submit::Conflict(with),
        Submit::Accepted(three),
    ] = &answers[..]
    else {
        panic!("{answers:?}")
    };
    assert_eq!((zero, again, with), (&before, one, one));
    assert!(before.arrival < one.arrival && one.arrival < two.arrival && two.arrival < three.arrival);
    let all: Vec<NewSignal> = (0..500).map(|n| signal(&format!("many-{n}"))).collect();
    let answers = process.ledger.submit(&all, &client()).await.expect("submit");
    let mut last = three.arrival;
    for (new, answer) in all.iter().zip(&answers) {
        let Submit::Accepted(signal) = answer else { panic!("{answer:?}") };
        assert!(signal.id == new.id() && signal.arrival > last, "in order of arrival: {signal:?}");
        last = signal.arrival;
    }
    assert_eq!(process.ledger.counts().await.map(|counts| counts.received), Ok(504));
    assert_eq!(process.ledger.submit(&[], &client()).await, Ok(vec![]));
}

async fn of_8_concurrent_submissions_one_is_accepted(scene: Scene) {
    concurrently(&scene, |_| signal("s-1")).await;
}

async fn of_8_concurrent_names_of_one_signal_one_is_accepted(scene: Scene) {
    concurrently(&scene, |n| NewSignal { id: Some(signal_id(&format!("s-{n}"))), ..signal("s-1") }).await;
}

async fn concurrently(scene: &Scene, new: impl Fn(usize) -> NewSignal) {
    let mut submissions = JoinSet::new();
    for n in 0..8 {
        let (process, new) = (scene.process(&format!("p{n}")).await, new(n));
        submissions.spawn(async move { offer(&*process.ledger, &new).await });
    }
    let answers = submissions.join_all().await;
    let accepted = answers.iter().filter(|answer| matches!(answer, Submit::Accepted(_))).count();
    let repeated = answers.iter().filter(|answer| matches!(answer, Submit::Repeated(_))).count();
    assert_eq!((accepted, repeated), (1, 7), "{answers:?}");
    let counts = scene.process("a").await.ledger.counts().await;
    assert_eq!(counts, Ok(SignalCounts { received: 1, ..SignalCounts::default() }));
}

/// A repetition may write to the store; a concurrent claim and result must succeed nevertheless.
async fn a_repetition_blocks_no_effect(scene: Scene) {
    let (leader, client) = (scene.process("a").await, scene.process("b").await);
    let token = leader.lead().await;
    for n in 0..50 {
        let new = signal(&format!("s-{n}"));
        submit(&*leader.ledger, new.id().as_str()).await;
        let (claimed, repeated) = tokio::join!(claim(&*leader.ledger, &token), offer(&*client.ledger, &new));
        assert_eq!(claimed.id, new.id(), "{n}");
        assert!(matches!(repeated, Submit::Repeated(_)), "{n}: {repeated:?}");
        let recorded = record(&*leader.ledger, &token, &claimed, Outcome::Done);
        let (recorded, repeated) = tokio::join!(recorded, offer(&*client.ledger, &new));
        assert_eq!(recorded, Some(Recorded::Recorded), "{n}");
        assert!(matches!(repeated, Submit::Repeated(_)), "{n}: {repeated:?}");
    }
}

async fn groups_have_their_own_signals(scene: Scene) {
    let here = scene.process("a").await;
    let elsewhere = scene.neighbour().process("a").await;
    let first = submit(&*here.ledger, "s-1").await;
    let token = elsewhere.lead().await;
    assert_eq!(claim_one(&*elsewhere.ledger, &token).await, SignalClaim::Empty);
    assert_eq!(elsewhere.ledger.counts().await, Ok(SignalCounts::default()));
    assert_eq!(elsewhere.ledger.find(&first.id).await, Ok(None));
    submit(&*elsewhere.ledger, "s-1").await;
    assert_eq!(claim_one(&*here.ledger, &token).await, SignalClaim::Fenced, "a token is of one group");
}

async fn concurrent_claims_never_claim_one_signal_twice(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    for n in 0..8 {
        submit(&*process.ledger, &format!("s-{n}")).await;
    }
    let mut claims = JoinSet::new();
    for _ in 0..8 {
        let ledger = process.ledger.clone();
        claims.spawn(async move { claim_one(&*ledger, &token).await });
    }
    let mut handed_out = BTreeSet::new();
    let mut answers = claims.join_all().await;
    while let SignalClaim::Claimed(signals) = claim_one(&*process.ledger, &token).await {
        answers.push(SignalClaim::Claimed(signals));
    }
    for answer in answers {
        match answer {
            SignalClaim::Claimed(signals) => {
                for signal in signals {
                    assert!(handed_out.insert(signal.id.clone()), "{} twice", signal.id);
                }
            }
            // A claim that met another one may find nothing; the signal is still available to the next.
            SignalClaim::Empty => {}
            other => panic!("the token holds the lease: {other:?}"),
        }
    }
    assert_eq!(handed_out.len(), 8, "none is lost");
}

async fn a_signal_gets_one_final_outcome(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    for (id, first, second) in
        [("s-1", Outcome::Done, Outcome::Rejected), ("s-2", Outcome::Rejected, Outcome::Done)]
    {
        let waiting = submit(&*process.ledger, id).await;
        let record_one = async |of: &Signal, as_| record(&*process.ledger, &token, of, as_).await;
        assert_eq!(record_one(&waiting, first).await, Some(Recorded::Refused), "it was not claimed yet");
        let claimed = claim(&*process.ledger, &token).await;
        assert_eq!(record_one(&claimed, first).await, Some(Recorded::Recorded));
        assert_eq!(record_one(&claimed, second).await, Some(Recorded::Refused), "a result is final");
        let found = process.ledger.find(&claimed.id).await.expect("find").expect("it is there");
        assert_eq!(found.state.name(), first.state());
        assert!(found.settled_ms >= Some(claimed.received_ms), "{found:?}");
    }
    let unknown = Signal { id: signal_id("never-submitted"), ..submit(&*process.ledger, "s-3").await };
    let answer = record(&*process.ledger, &token, &unknown, Outcome::Done).await;
    assert_eq!(answer, Some(Recorded::Refused));
    let counts = SignalCounts { done: 1, rejected: 1, received: 1, ..SignalCounts::default() };
    assert_eq!(process.ledger.counts().await, Ok(counts));
}

const OUTCOMES: [Outcome; 5] =
    [Outcome::Done, Outcome::Sent, Outcome::Rejected, Outcome::Received, Outcome::InDoubt];

/// Every outcome from every state that a claim leads to: the store allows the same as [`Outcome::leads_from`].
async fn a_signal_changes_its_state_as_its_outcome_allows(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    for first in [None].into_iter().chain(OUTCOMES.map(Some)) {
        for second in OUTCOMES {
            let id = format!("{first:?}-{second:?}").replace(['(', ')'], ".");
            submit(&*process.ledger, &id).await;
            let claimed = claim(&*process.ledger, &token).await;
            if let Some(first) = first {
                let moved = record(&*process.ledger, &token, &claimed, first).await;
                assert_eq!(moved, Some(Recorded::Recorded), "{id}");
            }
            let from = first.map_or(StateName::Claimed, Outcome::state);
            let allowed = second.leads_from(from) || second.state() == from;
            let expected = if allowed { Recorded::Recorded } else { Recorded::Refused };
            assert_eq!(record(&*process.ledger, &token, &claimed, second).await, Some(expected), "{id}");
            let found = process.ledger.find(&claimed.id).await.expect("find").expect("it is there");
            assert_eq!(found.state.name(), if allowed { second.state() } else { from }, "{id}");
            assert_eq!(found.settled_ms.is_some(), found.state.name().is_final(), "{id}");
            // So that it does not block the next one: an expired or final signal is not claimed.
            clear(&*process.ledger, &token).await;
        }
    }
}

/// Brings every waiting or in-doubt signal to a final state.
async fn clear(ledger: &dyn domain::ports::SignalLedger, token: &domain::lease::Token) {
    while let SignalClaim::Claimed(signals) = claim_one(ledger, token).await {
        for signal in signals {
            record(ledger, token, &signal, Outcome::Done).await;
        }
    }
    let in_doubt = ledger.take_over(token, InFlight::Only(&[])).await.expect("take over");
    for signal in in_doubt.expect("the token holds the lease") {
        assert_eq!(record(ledger, token, &signal, Outcome::Done).await, Some(Recorded::Recorded));
    }
}

async fn a_report_that_is_repeated_is_recorded_and_changes_nothing(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    submit(&*process.ledger, "s-1").await;
    let claimed = claim(&*process.ledger, &token).await;
    let noted = domain::ports::Report { note: Some("order 7".to_owned()), ..report(&claimed, Outcome::Done) };
    let once = process.ledger.record(&token, std::slice::from_ref(&noted)).await;
    assert_eq!(once, Ok(Some(vec![Recorded::Recorded])));
    let found = process.ledger.find(&claimed.id).await;
    assert_eq!(process.ledger.record(&token, &[noted]).await, once);
    assert_eq!(process.ledger.find(&claimed.id).await, found);
    assert_eq!(found.expect("find").expect("it is there").note.as_deref(), Some("order 7"));
    let lines = process.ledger.audit(Some(&claimed.id), 10).await.expect("audit");
    assert_eq!(lines.iter().filter(|line| line.what == "done").count(), 1, "{lines:?}");
}

/// A report of a former attempt must not affect a later one: the signal would be sent twice, or lost.
async fn a_report_about_another_attempt_is_refused(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    submit(&*process.ledger, "s-1").await;
    let first = claim(&*process.ledger, &token).await;
    let back = record(&*process.ledger, &token, &first, Outcome::Received).await;
    assert_eq!(back, Some(Recorded::Recorded));
    let late = record(&*process.ledger, &token, &first, Outcome::Done).await;
    assert_eq!(late, Some(Recorded::Refused), "it waits again");
    let second = claim(&*process.ledger, &token).await;
    assert_eq!((second.id.clone(), second.attempt), (first.id.clone(), 2));
    for outcome in OUTCOMES {
        let late = record(&*process.ledger, &token, &first, outcome).await;
        assert_eq!(late, Some(Recorded::Refused), "{outcome:?} of the first attempt");
    }
    assert_eq!(record(&*process.ledger, &token, &second, Outcome::InDoubt).await, Some(Recorded::Recorded));
    let late = record(&*process.ledger, &token, &first, Outcome::Received).await;
    assert_eq!(late, Some(Recorded::Refused), "the second attempt may have been executed");
}

async fn many_reports_are_recorded_at_once_each_with_its_answer(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    let new: Vec<NewSignal> = (0..CLAIM_MAX).map(|n| signal(&format!("s-{n}"))).collect();
    process.ledger.submit(&new, &client()).await.expect("submit");
    let claim = process.ledger.claim_signals(&token, Limits::NONE, CLAIM_MAX).await;
    let Ok(SignalClaim::Claimed(claimed)) = claim else { panic!("{claim:?}") };
    assert_eq!(claimed.len(), usize::from(CLAIM_MAX));
    let outcome = |n: usize| OUTCOMES[n % OUTCOMES.len()];
    let mut reports: Vec<_> =
        claimed.iter().enumerate().map(|(n, signal)| report(signal, outcome(n))).collect();
    reports[3].attempt = 9;
    let answers = process.ledger.record(&token, &reports).await.expect("record").expect("not fenced");
    for (n, answer) in answers.iter().enumerate() {
        let expected = if n == 3 { Recorded::Refused } else { Recorded::Recorded };
        assert_eq!(*answer, expected, "{n}");
    }
    let each = u64::from(CLAIM_MAX) / OUTCOMES.len() as u64;
    let counts = SignalCounts {
        done: each,
        sent: each,
        rejected: each,
        received: each - 1,
        claimed: 1,
        in_doubt: each,
        expired: 0,
    };
    assert_eq!(process.ledger.counts().await, Ok(counts));
    assert_eq!(process.ledger.record(&token, &[]).await, Ok(Some(vec![])));
}

async fn counts_follow_every_step(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let token = a.lead().await;
    let none = SignalCounts::default();
    assert_eq!(a.ledger.counts().await, Ok(none));
    for n in 0..4 {
        submit(&*a.ledger, &format!("s-{n}")).await;
    }
    assert_eq!(b.ledger.counts().await, Ok(SignalCounts { received: 4, ..none }));
    let first = claim(&*a.ledger, &token).await;
    let second = claim(&*a.ledger, &token).await;
    claim(&*a.ledger, &token).await;
    record(&*a.ledger, &token, &first, Outcome::Done).await;
    record(&*a.ledger, &token, &second, Outcome::Rejected).await;
    let before = SignalCounts { received: 1, claimed: 1, done: 1, rejected: 1, ..none };
    assert_eq!(b.ledger.counts().await, Ok(before));
    let successor = b.lead().await;
    super::take_over(&b, &successor).await;
    assert_eq!(b.ledger.counts().await, Ok(SignalCounts { claimed: 0, in_doubt: 1, ..before }));
}

/// Interval between two submissions that must wake a listener which may not be connected yet.
const NUDGE: Duration = Duration::from_millis(200);

/// The leader gets a hint about a submission to another process, and about one to its own.
async fn a_submission_hints(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    for (from, name) in [(&a, "other"), (&b, "own")] {
        let woken = async {
            let mut n = 0;
            while tokio::time::timeout(NUDGE, b.ledger.submitted()).await.is_err() {
                n += 1;
                submit(&*from.ledger, &format!("{name}-{n}")).await;
            }
        };
        tokio::time::timeout(PATIENCE, woken).await.expect("a submission wakes the leader");
        submit(&*from.ledger, &format!("{name}-kept")).await;
        let kept = tokio::time::timeout(PATIENCE, b.ledger.submitted()).await;
        kept.expect("a hint without a waiting task is kept");
    }
}
