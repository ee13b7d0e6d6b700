//! The fence: no effect under a token that does not hold the lease, in any order of concurrent requests.

use super::{claim, claim_one, ids, record, report, submit, take_over};
use crate::{Case, Process, Scene, StateStores, cases};
use domain::lease::{Epoch, Seq, Timeline, Token};
use domain::ledger::{Outcome, Signal, SignalId, SignalState};
use domain::ports::{Claim, InFlight, Recorded, SignalClaim};
use std::sync::Arc;
use std::time::Duration;

pub(super) fn cases<A: StateStores>() -> Vec<Case<A>> {
    cases!("signal_ledger", Scene:
        a_token_that_was_never_granted_is_fenced,
        a_forged_token_is_fenced,
        a_released_token_is_fenced,
        a_superseded_token_is_fenced,
        a_fenced_token_expires_nothing,
        a_renewed_token_still_writes,
        a_result_is_recorded_by_the_claimer_only,
        the_result_of_a_sent_signal_is_recorded_by_any_leader,
        an_effect_races_a_claim_and_is_before_it_or_fenced,
        a_result_races_a_claim_and_is_before_it_or_fenced,
    )
}

/// Asserts that every method with a token is fenced, for a waiting, a claimed and an in-doubt signal.
async fn assert_fenced(process: &Process, token: &Token, signals: &[Signal], why: &str) {
    let ledger = &process.ledger;
    let before = ledger.counts().await.expect("counts");
    assert_eq!(claim_one(&**ledger, token).await, SignalClaim::Fenced, "{why}: {token}");
    for in_flight in [InFlight::Only(&[]), InFlight::All] {
        assert_eq!(ledger.take_over(token, in_flight).await, Ok(None), "{why}: {token}");
    }
    for signal in signals {
        for as_ in [Outcome::Done, Outcome::Sent, Outcome::Rejected, Outcome::Received, Outcome::InDoubt] {
            assert_eq!(record(&**ledger, token, signal, as_).await, None, "{why}: {token}");
        }
    }
    let reports: Vec<_> = signals.iter().map(|signal| report(signal, Outcome::Done)).collect();
    assert_eq!(ledger.record(token, &reports).await, Ok(None), "{why}: {token}");
    assert_eq!(ledger.sweep(token, Duration::ZERO).await, Ok(None), "{why}: {token}");
    assert_eq!(ledger.counts().await, Ok(before), "{why}: nothing was written");
}

/// A leader with one signal in doubt, one claimed and one waiting.
async fn busy_leader(process: &Process) -> (Token, Vec<Signal>) {
    for id in ["in_doubt", "claimed", "waiting"] {
        submit(&*process.ledger, id).await;
    }
    let first = process.lead().await;
    claim(&*process.ledger, &first).await;
    let token = process.lead().await;
    let mut signals = take_over(process, &token).await;
    assert_eq!(ids(&signals), ["in_doubt"]);
    signals.push(claim(&*process.ledger, &token).await);
    signals.extend(process.ledger.find(&super::signal_id("waiting")).await.expect("find"));
    assert_eq!(ids(&signals), ["in_doubt", "claimed", "waiting"]);
    (token, signals)
}

async fn a_token_that_was_never_granted_is_fenced(scene: Scene) {
    let process = scene.process("a").await;
    let signal = submit(&*process.ledger, "s-1").await;
    let token = process.read_lease().await.version.token;
    assert_fenced(&process, &token, &[signal], "no instance has led yet").await;
}

async fn a_forged_token_is_fenced(scene: Scene) {
    let process = scene.process("a").await;
    let (token, signals) = busy_leader(&process).await;
    let forged = [
        Token { timeline: Timeline(token.timeline.0 + 1), ..token },
        Token { epoch: Epoch(token.epoch.0 - 1), ..token },
        Token { epoch: token.epoch.next(), ..token },
        Token { claim: process.fresh_claim(), ..token },
    ];
    for token in forged {
        assert_fenced(&process, &token, &signals, "one part of the token differs").await;
    }
}

async fn a_released_token_is_fenced(scene: Scene) {
    let process = scene.process("a").await;
    let (token, signals) = busy_leader(&process).await;
    process.state.release(&token, Seq(1), "planned").await.expect("release");
    assert_fenced(&process, &token, &signals, "it was released").await;
}

async fn a_superseded_token_is_fenced(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let (token, signals) = busy_leader(&a).await;
    b.lead().await;
    assert_fenced(&a, &token, &signals, "another instance claimed the lease").await;
}

async fn a_fenced_token_expires_nothing(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let mut new = super::signal("s-1");
    new.instruction.expires_ms = Some(1);
    super::accepted(&*a.ledger, &new).await;
    let old = a.lead().await;
    let new = b.lead().await;
    assert_eq!(claim_one(&*a.ledger, &old).await, SignalClaim::Fenced);
    assert_eq!(a.ledger.counts().await.map(|counts| (counts.received, counts.expired)), Ok((1, 0)));
    assert_eq!(claim_one(&*b.ledger, &new).await, SignalClaim::Empty);
    assert_eq!(a.ledger.counts().await.map(|counts| (counts.received, counts.expired)), Ok((0, 1)));
}

async fn a_renewed_token_still_writes(scene: Scene) {
    let process = scene.process("a").await;
    let token = process.lead().await;
    submit(&*process.ledger, "s-1").await;
    process.state.renew(&token, Seq(1), token.timeline).await.expect("renewal");
    let claimed = claim(&*process.ledger, &token).await;
    process.state.renew(&token, Seq(2), token.timeline).await.expect("renewal");
    let answer = record(&*process.ledger, &token, &claimed, Outcome::Done).await;
    assert_eq!(answer, Some(Recorded::Recorded));
}

async fn a_result_is_recorded_by_the_claimer_only(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let old = a.lead().await;
    submit(&*a.ledger, "s-1").await;
    let claimed = claim(&*a.ledger, &old).await;
    let new = b.lead().await;
    for as_ in [Outcome::Done, Outcome::Received, Outcome::InDoubt] {
        let answer = record(&*b.ledger, &new, &claimed, as_).await;
        assert_eq!(
            answer,
            Some(Recorded::Refused),
            "the token holds the lease, but did not claim the signal"
        );
    }
    assert_eq!(ids(&take_over(&b, &new).await), ["s-1"]);
}

/// A signal that is known to be sent: the leader at the time of its result records it.
async fn the_result_of_a_sent_signal_is_recorded_by_any_leader(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let old = a.lead().await;
    submit(&*a.ledger, "s-1").await;
    let claimed = claim(&*a.ledger, &old).await;
    record(&*a.ledger, &old, &claimed, Outcome::Sent).await.expect("the token holds the lease");
    let new = b.lead().await;
    assert_eq!(take_over(&b, &new).await, [], "it is not in doubt");
    let found = b.ledger.find(&claimed.id).await.expect("find").expect("it is there");
    assert_eq!(found.state, SignalState::Sent(old));
    let answer = record(&*b.ledger, &new, &claimed, Outcome::Done).await;
    assert_eq!(answer, Some(Recorded::Recorded));
}

/// Number of races; each begins slightly later than the one before, and then from the start again.
const RACES: u32 = 50;
/// Maximum delay of one side, in steps of the scheduler.
const HEAD_START_MAX: u32 = 10;

async fn head_start(steps: u32) {
    for _ in 0..steps {
        tokio::task::yield_now().await;
    }
}

/// The successor's claim and the signals in doubt right after its grant.
async fn supersede(process: Arc<Process>, late: u32) -> (Token, Vec<Signal>) {
    let request = process.request(&process.read_lease().await);
    head_start(late).await;
    let token = match process.state.claim(&request).await {
        Ok(Claim::Granted(token)) => token,
        other => panic!("an effect does not change the version of the lease: {other:?}"),
    };
    let in_doubt = take_over(&process, &token).await;
    (token, in_doubt)
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
                claim_one(&*leader.ledger, &token).await
            }
        });
        let successor = tokio::spawn(supersede(other.clone(), race % HEAD_START_MAX));
        let (effect, successor) = (effect.await.expect("no panic"), successor.await.expect("no panic"));
        let (new, in_doubt) = successor;
        let last = match effect {
            SignalClaim::Claimed(signals) => {
                assert_eq!(ids(&signals), [id.as_str()]);
                assert_eq!(
                    ids(&in_doubt),
                    [id.as_str()],
                    "race {race}: the claim finds an effect from before it"
                );
                in_doubt[0].clone()
            }
            SignalClaim::Fenced => {
                assert_eq!(in_doubt, [], "race {race}: a fenced request writes nothing");
                let claimed = claim(&*other.ledger, &new).await;
                assert_eq!((&claimed.id, claimed.state), (&id, SignalState::Claimed(new)));
                claimed
            }
            answer => panic!("race {race}: {answer:?}"),
        };
        let done = record(&*other.ledger, &new, &last, Outcome::Done).await;
        assert_eq!(done, Some(Recorded::Recorded), "race {race}");
        let afterwards = claim_one(&*leader.ledger, &token).await;
        assert_eq!(afterwards, SignalClaim::Fenced, "race {race}: afterwards");
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
        let id: SignalId = submit(&*leader.ledger, &format!("s-{race}")).await.id;
        let claimed = claim(&*leader.ledger, &token).await;
        let result = tokio::spawn({
            let leader = leader.clone();
            async move {
                head_start((race / 2) % HEAD_START_MAX).await;
                record(&*leader.ledger, &token, &claimed, Outcome::Done).await
            }
        });
        let successor = tokio::spawn(supersede(other.clone(), race % HEAD_START_MAX));
        let (result, successor) = (result.await.expect("no panic"), successor.await.expect("no panic"));
        let (new, in_doubt) = successor;
        match result {
            Some(Recorded::Recorded) => {
                assert_eq!(in_doubt, [], "race {race}: a recorded result is not in doubt");
            }
            None => {
                assert_eq!(
                    ids(&in_doubt),
                    [id.as_str()],
                    "race {race}: a refused result leaves the signal in doubt"
                );
                let done = record(&*other.ledger, &new, &in_doubt[0], Outcome::Done).await;
                assert_eq!(done, Some(Recorded::Recorded), "race {race}");
            }
            Some(Recorded::Refused) => panic!("race {race}: it was claimed under this token"),
        }
        std::mem::swap(&mut leader, &mut other);
        token = new;
    }
    assert_eq!(leader.ledger.counts().await.map(|counts| counts.done), Ok(u64::from(RACES)));
}
