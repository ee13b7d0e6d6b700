//! The life of a signal while one leader stays.

use super::{claim, signal, signal_id, submit};
use crate::contract::{Case, PATIENCE, Scene, StateStores, cases};
use domain::ledger::{BODY_LEN_MAX, NewSignal, Settlement, Signal, SignalCounts, SignalState};
use domain::ports::{Recorded, SignalClaim, Submit};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::task::JoinSet;

pub(super) fn cases<A: StateStores>() -> Vec<Case<A>> {
    cases!("signal_ledger", Scene:
        a_new_signal_is_accepted_without_a_leader,
        a_body_is_kept_to_the_byte,
        the_same_signal_is_told_where_it_stands,
        the_same_id_with_another_body_is_a_conflict,
        of_8_concurrent_submissions_one_is_accepted,
        a_repetition_is_in_the_way_of_no_effect,
        groups_have_their_own_signals,
        signals_are_claimed_in_order_of_arrival,
        concurrent_claims_never_hand_out_one_signal_twice,
        a_signal_is_settled_once,
        a_claimed_signal_is_not_put_back_by_settling,
        counts_follow_every_step,
        a_submission_hints,
    )
}

async fn a_new_signal_is_accepted_without_a_leader(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let new = signal("s-1");
    let accepted = submit(&*a.ledger, "s-1").await;
    let expected = Signal {
        id: new.id.clone(),
        body: new.body.clone(),
        order: accepted.order,
        state: SignalState::Received,
    };
    assert_eq!(accepted, expected);
    assert_eq!(b.ledger.submit(&new).await, Ok(Submit::Repeated(expected)), "durable for everybody");
}

async fn a_body_is_kept_to_the_byte(scene: Scene) {
    let process = scene.process("a").await;
    let bodies = [
        r#"{ "z":1,   "a" : 1.10, "a": "twice", "u": "₹ \u20b9 'quoted' \\ \n" }"#.to_owned(),
        "not even JSON: 'x'; --".to_owned(),
        format!("\"{}\"", "x".repeat(BODY_LEN_MAX - 2)),
    ];
    let token = process.lead().await;
    for (n, body) in bodies.into_iter().enumerate() {
        let new = NewSignal { id: signal_id(&format!("s-{n}")), body };
        assert!(
            matches!(process.ledger.submit(&new).await, Ok(Submit::Accepted(signal)) if signal.body == new.body)
        );
        assert!(
            matches!(process.ledger.submit(&new).await, Ok(Submit::Repeated(signal)) if signal.body == new.body)
        );
        assert!(claim(&*process.ledger, &token).await.body == new.body, "what is sent is what was submitted");
    }
}

async fn the_same_signal_is_told_where_it_stands(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    let accepted = submit(&*process.ledger, "s-1").await;
    let told = async || process.ledger.submit(&signal("s-1")).await;
    assert_eq!(told().await, Ok(Submit::Repeated(accepted.clone())));
    claim(&*process.ledger, &token).await;
    let claimed = Signal { state: SignalState::Claimed(token), ..accepted.clone() };
    assert_eq!(told().await, Ok(Submit::Repeated(claimed)));
    assert_eq!(process.ledger.settle(&token, &accepted.id, Settlement::Done).await, Ok(Recorded::Recorded));
    let done = Signal { state: SignalState::Done, ..accepted };
    assert_eq!(told().await, Ok(Submit::Repeated(done)), "the first answer, also afterwards");
    assert_eq!(process.ledger.claim_next(&token).await, Ok(SignalClaim::Empty), "and it is not sent again");
}

async fn the_same_id_with_another_body_is_a_conflict(scene: Scene) {
    let process = scene.process("a").await;
    let accepted = submit(&*process.ledger, "s-1").await;
    let other = NewSignal { body: format!("{} ", accepted.body), ..signal("s-1") };
    assert_eq!(process.ledger.submit(&other).await, Ok(Submit::Conflict(accepted.clone())));
    assert_eq!(
        process.ledger.submit(&signal("s-1")).await,
        Ok(Submit::Repeated(accepted)),
        "the first stays"
    );
}

async fn of_8_concurrent_submissions_one_is_accepted(scene: Scene) {
    let mut submissions = JoinSet::new();
    for n in 0..8 {
        let process = scene.process(&format!("p{n}")).await;
        submissions.spawn(async move { process.ledger.submit(&signal("s-1")).await });
    }
    let answers = submissions.join_all().await;
    let accepted = answers.iter().filter(|answer| matches!(answer, Ok(Submit::Accepted(_)))).count();
    let repeated = answers.iter().filter(|answer| matches!(answer, Ok(Submit::Repeated(_)))).count();
    assert_eq!((accepted, repeated), (1, 7), "{answers:?}");
    let counts = scene.process("a").await.ledger.counts().await;
    assert_eq!(counts, Ok(SignalCounts { received: 1, ..SignalCounts::default() }));
}

/// A repetition may write at the store; a claim and a result that meet it there go on all the same.
async fn a_repetition_is_in_the_way_of_no_effect(scene: Scene) {
    let (leader, client) = (scene.process("a").await, scene.process("b").await);
    let token = leader.lead().await;
    for n in 0..50 {
        let new = signal(&format!("s-{n}"));
        submit(&*leader.ledger, new.id.as_str()).await;
        let (claimed, repeated) = tokio::join!(leader.ledger.claim_next(&token), client.ledger.submit(&new));
        assert!(
            matches!(&claimed, Ok(SignalClaim::Claimed(signal)) if signal.id == new.id),
            "{n}: {claimed:?}"
        );
        assert!(matches!(repeated, Ok(Submit::Repeated(_))), "{n}: {repeated:?}");
        let (settled, repeated) =
            tokio::join!(leader.ledger.settle(&token, &new.id, Settlement::Done), client.ledger.submit(&new));
        assert_eq!(settled, Ok(Recorded::Recorded), "{n}");
        assert!(matches!(repeated, Ok(Submit::Repeated(_))), "{n}: {repeated:?}");
    }
}

async fn groups_have_their_own_signals(scene: Scene) {
    let here = scene.process("a").await;
    let elsewhere = scene.neighbour().process("a").await;
    submit(&*here.ledger, "s-1").await;
    let token = elsewhere.lead().await;
    assert_eq!(elsewhere.ledger.claim_next(&token).await, Ok(SignalClaim::Empty));
    assert_eq!(elsewhere.ledger.counts().await, Ok(SignalCounts::default()));
    submit(&*elsewhere.ledger, "s-1").await;
    assert_eq!(here.ledger.claim_next(&token).await, Ok(SignalClaim::Fenced), "a token is of one group");
}

async fn signals_are_claimed_in_order_of_arrival(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let token = a.lead().await;
    assert_eq!(a.ledger.claim_next(&token).await, Ok(SignalClaim::Empty));
    let mut submitted = Vec::new();
    for (ledger, id) in [(&a.ledger, "z"), (&b.ledger, "y"), (&b.ledger, "a"), (&a.ledger, "b")] {
        submitted.push(submit(&**ledger, id).await);
    }
    assert!(submitted.windows(2).all(|two| two[0].order < two[1].order), "{submitted:?}");
    for expected in submitted {
        let claimed = claim(&*a.ledger, &token).await;
        assert_eq!(claimed, Signal { state: SignalState::Claimed(token), ..expected });
    }
    assert_eq!(a.ledger.claim_next(&token).await, Ok(SignalClaim::Empty));
}

async fn concurrent_claims_never_hand_out_one_signal_twice(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    for n in 0..8 {
        submit(&*process.ledger, &format!("s-{n}")).await;
    }
    let mut claims = JoinSet::new();
    for _ in 0..8 {
        let ledger = process.ledger.clone();
        claims.spawn(async move { ledger.claim_next(&token).await });
    }
    let mut handed_out = BTreeSet::new();
    for answer in claims.join_all().await {
        match answer {
            Ok(SignalClaim::Claimed(signal)) => {
                assert!(handed_out.insert(signal.id.clone()), "{} twice", signal.id);
            }
            // A claim that met another one may find nothing; the signal is still there for the next.
            Ok(SignalClaim::Empty) => {}
            other => panic!("the token holds the row: {other:?}"),
        }
    }
    while let Ok(SignalClaim::Claimed(signal)) = process.ledger.claim_next(&token).await {
        assert!(handed_out.insert(signal.id.clone()), "{} twice", signal.id);
    }
    assert_eq!(handed_out.len(), 8, "none is lost");
}

async fn a_signal_is_settled_once(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    for (id, first, second) in
        [("s-1", Settlement::Done, Settlement::Rejected), ("s-2", Settlement::Rejected, Settlement::Done)]
    {
        let id = submit(&*process.ledger, id).await.id;
        let settle = async |as_| process.ledger.settle(&token, &id, as_).await;
        assert_eq!(settle(first).await, Ok(Recorded::Fenced), "it was not claimed yet");
        claim(&*process.ledger, &token).await;
        assert_eq!(settle(first).await, Ok(Recorded::Recorded));
        assert_eq!(settle(second).await, Ok(Recorded::Fenced), "a result is final");
    }
    let unknown = signal_id("nobody-submitted-this");
    assert_eq!(process.ledger.settle(&token, &unknown, Settlement::Done).await, Ok(Recorded::Fenced));
    let counts = SignalCounts { done: 1, rejected: 1, ..SignalCounts::default() };
    assert_eq!(process.ledger.counts().await, Ok(counts));
}

async fn a_claimed_signal_is_not_put_back_by_settling(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    submit(&*process.ledger, "s-1").await;
    let id = claim(&*process.ledger, &token).await.id;
    let answer = process.ledger.settle(&token, &id, Settlement::Received).await;
    assert_ne!(answer, Ok(Recorded::Recorded), "only a signal in doubt goes back to wait");
    assert_eq!(process.ledger.claim_next(&token).await, Ok(SignalClaim::Empty));
    assert_eq!(process.ledger.settle(&token, &id, Settlement::Done).await, Ok(Recorded::Recorded));
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
    a.ledger.settle(&token, &first.id, Settlement::Done).await.expect("settle");
    a.ledger.settle(&token, &second.id, Settlement::Rejected).await.expect("settle");
    let before = SignalCounts { received: 1, claimed: 1, done: 1, rejected: 1, in_doubt: 0 };
    assert_eq!(b.ledger.counts().await, Ok(before));
    let successor = b.lead().await;
    b.ledger.take_over(&successor).await.expect("take over");
    assert_eq!(b.ledger.counts().await, Ok(SignalCounts { claimed: 0, in_doubt: 1, ..before }));
}

/// Between two submissions that are to wake a listener which may not be connected yet.
const NUDGE: Duration = Duration::from_millis(200);

async fn a_submission_hints(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let woken = async {
        let mut n = 0;
        while tokio::time::timeout(NUDGE, b.ledger.submitted()).await.is_err() {
            n += 1;
            submit(&*a.ledger, &format!("s-{n}")).await;
        }
    };
    tokio::time::timeout(PATIENCE, woken).await.expect("a submission wakes the leader");
    submit(&*a.ledger, "kept").await;
    tokio::time::timeout(PATIENCE, b.ledger.submitted()).await.expect("a hint nobody waited for is kept");
}
