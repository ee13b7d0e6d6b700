//! Hints: another process's write wakes the waiting one soon, and a hint without a waiting task is kept.

use crate::{Case, PATIENCE, Process, Scene, StateStores, cases};
use domain::lease::{Seq, Token};
use std::future::Future;
use std::time::Duration;

pub(super) fn cases<A: StateStores>() -> Vec<Case<A>> {
    cases!("state_store", Scene:
        a_claim_hints,
        a_renewal_hints,
        a_release_hints,
        a_step_down_hints,
        a_dropped_wait_loses_no_hint,
    )
}

/// Without a hint for this long, the earlier ones count as delivered. A later hint makes the case easier than
/// intended, but never fails it.
const QUIET: Duration = Duration::from_millis(300);
/// A store may also hint for other groups' writes, which continue: the case consumes at most this number of hints.
const HINTS_TAKEN_MAX: u32 = 20;
/// Interval between two writes that must wake a listener which may not be connected yet.
const NUDGE: Duration = Duration::from_millis(200);

/// Repeats `write` until `listener` was woken once, which proves that it listens, then consumes the hints in flight.
/// The listener then has no pending hint.
async fn warm_up<F: Future<Output = ()>>(listener: &Process, mut write: impl FnMut() -> F) {
    let woken = async {
        while tokio::time::timeout(NUDGE, listener.state.changed()).await.is_err() {
            write().await;
        }
    };
    tokio::time::timeout(PATIENCE, woken).await.expect("a listener is woken by a write");
    for _ in 0..HINTS_TAKEN_MAX {
        if tokio::time::timeout(QUIET, listener.state.changed()).await.is_err() {
            break;
        }
    }
}

/// Leads as `writer`, with `listener` listening.
async fn listening(writer: &Process, listener: &Process) -> Token {
    let token = writer.lead().await;
    warm_up(listener, || async {
        let seq = token_seq(writer).await;
        writer.state.renew(&token, seq.next(), token.timeline).await.expect("renewal");
    })
    .await;
    token
}

async fn token_seq(process: &Process) -> Seq {
    process.read_lease().await.version.seq
}

/// The write came before the wait: the store must keep the hint.
async fn assert_hinted(listener: &Process, by: &str) {
    let hinted = tokio::time::timeout(PATIENCE, listener.state.changed()).await;
    assert!(hinted.is_ok(), "{by} does not wake a listener");
}

async fn a_claim_hints(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    listening(&a, &b).await;
    a.lead().await;
    assert_hinted(&b, "a claim").await;
}

async fn a_renewal_hints(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let token = listening(&a, &b).await;
    let seq = token_seq(&a).await;
    a.state.renew(&token, seq.next(), token.timeline).await.expect("renewal");
    assert_hinted(&b, "a renewal").await;
}

async fn a_release_hints(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let token = listening(&a, &b).await;
    let seq = token_seq(&a).await;
    a.state.release(&token, seq.next(), "planned").await.expect("release");
    assert_hinted(&b, "a release").await;
}

async fn a_step_down_hints(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let token = b.lead().await;
    warm_up(&b, || async {
        a.state.request_step_down(&token, "warm up").await.expect("step-down");
    })
    .await;
    a.state.request_step_down(&token, "planned").await.expect("step-down");
    assert_hinted(&b, "a request to step down").await;
}

async fn a_dropped_wait_loses_no_hint(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let token = listening(&a, &b).await;
    // A wait that is polled once and dropped, as a `select!` does repeatedly.
    let once = tokio::time::timeout(Duration::ZERO, b.state.changed()).await;
    let seq = token_seq(&a).await;
    a.state.renew(&token, seq.next(), token.timeline).await.expect("renewal");
    if once.is_err() {
        assert_hinted(&b, "a write after a dropped wait").await;
    }
}
