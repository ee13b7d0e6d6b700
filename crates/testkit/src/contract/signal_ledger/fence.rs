//! The fence: no effect under a token that is not the row's, however the race goes.

use super::{claim, signal_id, submit};
use crate::contract::{Case, Process, Scene, StateStores, cases};
use domain::lease::{Epoch, Seq, Timeline, Token};
use domain::ledger::{Settlement, SignalId, SignalState};
use domain::ports::{Claim, Recorded, SignalClaim};
use std::sync::Arc;

pub(super) fn cases<A: StateStores>() -> Vec<Case<A>> {
    cases!("signal_ledger", Scene:
        a_token_that_was_never_granted_is_fenced,
        a_forged_token_is_fenced,
        a_released_token_is_fenced,
        a_superseded_token_is_fenced,
        a_renewed_token_still_writes,
        a_result_is_recorded_by_the_claimer_only,
        an_effect_races_a_claim_and_is_before_it_or_fenced,
        a_result_races_a_claim_and_is_before_it_or_fenced,
    )
}

/// Every method that takes a token, about a waiting, a claimed and an in-doubt signal.
async fn assert_fenced(process: &Process, token: &Token, ids: &[SignalId], why: &str) {
    let ledger = &process.ledger;
    let before = ledger.counts().await.expect("counts");
    assert_eq!(ledger.claim_next(token).await, Ok(SignalClaim::Fenced), "{why}: {token}");
    assert_eq!(ledger.take_over(token).await, Ok(None), "{why}: {token}");
    for id in ids {
        for as_ in [Settlement::Done, Settlement::Rejected, Settlement::Received] {
            assert_eq!(ledger.resolve(token, id, as_).await, Ok(Recorded::Fenced), "{why}: {token}");
        }
        for as_ in [Settlement::Done, Settlement::Rejected] {
            assert_eq!(ledger.settle(token, id, as_).await, Ok(Recorded::Fenced), "{why}: {token}");
        }
    }
    assert_eq!(ledger.counts().await, Ok(before), "{why}: nothing was written");
}

/// A leader with one signal in doubt, one claimed and one waiting.
async fn busy_leader(process: &Process) -> (Token, Vec<SignalId>) {
    for id in ["doubtful", "claimed", "waiting"] {
        submit(&*process.ledger, id).await;
    }
    let first = process.lead().await;
    claim(&*process.ledger, &first).await;
    let token = process.lead().await;
    let doubtful =
        process.ledger.take_over(&token).await.expect("take over").expect("the token is the row's");
    assert_eq!(doubtful.len(), 1);
    claim(&*process.ledger, &token).await;
    (token, ["doubtful", "claimed", "waiting"].map(signal_id).to_vec())
}

async fn a_token_that_was_never_granted_is_fenced(scene: Scene) {
    let process = scene.process("a").await;
    let id = submit(&*process.ledger, "s-1").await.id;
    let token = process.look().await.version.token;
    assert_fenced(&process, &token, &[id], "the row of a new group is open").await;
}

async fn a_forged_token_is_fenced(scene: Scene) {
    let process = scene.process("a").await;
    let (token, ids) = busy_leader(&process).await;
    let forged = [
        Token { timeline: Timeline(token.timeline.0 + 1), ..token },
        Token { epoch: Epoch(token.epoch.0 - 1), ..token },
        Token { epoch: token.epoch.next(), ..token },
        Token { claim: process.fresh_claim(), ..token },
    ];
    for token in forged {
        assert_fenced(&process, &token, &ids, "one part of the token differs").await;
    }
}

async fn a_released_token_is_fenced(scene: Scene) {
    let process = scene.process("a").await;
    let (token, ids) = busy_leader(&process).await;
    process.state.release(&token, Seq(1), "planned").await.expect("release");
    assert_fenced(&process, &token, &ids, "it was given back").await;
}

async fn a_superseded_token_is_fenced(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let (token, ids) = busy_leader(&a).await;
    b.lead().await;
    assert_fenced(&a, &token, &ids, "somebody else claimed the row").await;
}

async fn a_renewed_token_still_writes(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    submit(&*process.ledger, "s-1").await;
    process.state.renew(&token, Seq(1)).await.expect("renewal");
    let id = claim(&*process.ledger, &token).await.id;
    process.state.renew(&token, Seq(2)).await.expect("renewal");
    assert_eq!(process.ledger.settle(&token, &id, Settlement::Done).await, Ok(Recorded::Recorded));
}

async fn a_result_is_recorded_by_the_claimer_only(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let old = a.lead().await;
    submit(&*a.ledger, "s-1").await;
    let id = claim(&*a.ledger, &old).await.id;
    let new = b.lead().await;
    let answer = b.ledger.settle(&new, &id, Settlement::Done).await;
    assert_eq!(answer, Ok(Recorded::Fenced), "the row's token, but not the one that claimed the signal");
    let doubtful = b.ledger.take_over(&new).await.expect("take over").expect("the token is the row's");
    assert_eq!(doubtful.iter().map(|signal| &signal.id).collect::<Vec<_>>(), [&id]);
}

/// How many races are run; each begins a little later than the one before, and then from the start again.
const RACES: u32 = 50;
/// So many steps of the scheduler one side is late, at most.
const HEAD_START_MAX: u32 = 10;

async fn head_start(steps: u32) {
    for _ in 0..steps {
        tokio::task::yield_now().await;
    }
}

/// The successor's claim and, right after its grant, what it finds in doubt.
async fn supersede(process: Arc<Process>, late: u32) -> (Token, Vec<SignalId>) {
    let request = process.request(&process.look().await);
    head_start(late).await;
    let token = match process.state.claim(&request).await {
        Ok(Claim::Granted(token)) => token,
        other => panic!("an effect does not change the row's version: {other:?}"),
    };
    let doubtful =
        process.ledger.take_over(&token).await.expect("take over").expect("the token is the row's");
    (token, doubtful.into_iter().map(|signal| signal.id).collect())
}

async fn an_effect_races_a_claim_and_is_before_it_or_fenced(scene: Scene) {
    let mut leader = Arc::new(scene.process("a").await);
    let mut other = Arc::new(scene.process("b").await);
    let mut token = leader.lead().await;
    for race in 0..RACES {
        let id = submit(&*leader.ledger, &format!("s-{race}")).await.id;
        let effect = tokio::spawn({
            let leader = leader.clone();
            async move {
                head_start((race / 2) % HEAD_START_MAX).await;
                leader.ledger.claim_next(&token).await
            }
        });
        let successor = tokio::spawn(supersede(other.clone(), race % HEAD_START_MAX));
        let (effect, successor) = (effect.await.expect("no panic"), successor.await.expect("no panic"));
        let (new, doubtful) = successor;
        match effect {
            Ok(SignalClaim::Claimed(signal)) => {
                assert_eq!(signal.id, id);
                assert_eq!(
                    doubtful,
                    std::slice::from_ref(&id),
                    "race {race}: an effect before the claim is seen after it"
                );
                let back = other.ledger.resolve(&new, &id, Settlement::Done).await;
                assert_eq!(back, Ok(Recorded::Recorded));
            }
            Ok(SignalClaim::Fenced) => {
                assert_eq!(doubtful, [], "race {race}: fenced means that nothing was written");
                let claimed = claim(&*other.ledger, &new).await;
                assert_eq!((claimed.id, claimed.state), (id.clone(), SignalState::Claimed(new)));
                assert_eq!(other.ledger.settle(&new, &id, Settlement::Done).await, Ok(Recorded::Recorded));
            }
            answer => panic!("race {race}: {answer:?}"),
        }
        assert_eq!(
            leader.ledger.claim_next(&token).await,
            Ok(SignalClaim::Fenced),
            "race {race}: afterwards"
        );
        std::mem::swap(&mut leader, &mut other);
        token = new;
    }
    assert_eq!(leader.ledger.counts().await.map(|counts| counts.done), Ok(u64::from(RACES)));
}

async fn a_result_races_a_claim_and_is_before_it_or_fenced(scene: Scene) {
    let mut leader = Arc::new(scene.process("a").await);
    let mut other = Arc::new(scene.process("b").await);
    let mut token = leader.lead().await;
    for race in 0..RACES {
        let id = submit(&*leader.ledger, &format!("s-{race}")).await.id;
        claim(&*leader.ledger, &token).await;
        let result = tokio::spawn({
            let (leader, id) = (leader.clone(), id.clone());
            async move {
                head_start((race / 2) % HEAD_START_MAX).await;
                leader.ledger.settle(&token, &id, Settlement::Done).await
            }
        });
        let successor = tokio::spawn(supersede(other.clone(), race % HEAD_START_MAX));
        let (result, successor) = (result.await.expect("no panic"), successor.await.expect("no panic"));
        let (new, doubtful) = successor;
        match result {
            Ok(Recorded::Recorded) => {
                assert_eq!(doubtful, [], "race {race}: a recorded result is not in doubt");
            }
            Ok(Recorded::Fenced) => {
                assert_eq!(
                    doubtful,
                    std::slice::from_ref(&id),
                    "race {race}: a result that was refused leaves a doubt"
                );
                assert_eq!(other.ledger.resolve(&new, &id, Settlement::Done).await, Ok(Recorded::Recorded));
            }
            Err(error) => panic!("race {race}: {error}"),
        }
        std::mem::swap(&mut leader, &mut other);
        token = new;
    }
    assert_eq!(leader.ledger.counts().await.map(|counts| counts.done), Ok(u64::from(RACES)));
}
