//! Dropped futures: a caller that is cancelled in the middle of a write must not affect the next write.
//!
//! The fault that these cases find: a future dropped at the wrong `await` returns a connection with an open
//! transaction to the pool, and later writes on it are acknowledged and never committed.

use crate::raw_portfolio::RawPortfolio;
use crate::signal_ledger::{client, signal};
use crate::{Case, Scene, StateStores, cases};
use domain::lease::Seq;
use domain::ports::{Renewal, Submit};
use std::future::Future;
use std::pin::pin;
use std::task::Poll;

pub(super) fn cases<A: StateStores>() -> Vec<Case<A>> {
    cases!("state_store", Scene:
        dropped_renewals_lose_no_acknowledged_one,
        dropped_claims_block_no_instance,
        dropped_portfolio_reads_leave_no_transaction_behind,
        dropped_submissions_lose_no_acknowledged_signal,
    )
}

/// Number of dropped futures, each at a later poll than the one before, and then from the first again.
const DROPS: u32 = 60;
/// More polls than any of the writes needs.
const POLLS_MAX: u32 = 12;

/// Polls `future` to its `polls`th suspension and drops it there; `Some` if it was ready before.
async fn dropped_after<F: Future>(polls: u32, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

async fn dropped_renewals_lose_no_acknowledged_one(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let token = a.lead().await;
    let mut seq = Seq(0);
    for round in 0..DROPS {
        seq = seq.next();
        let _ = dropped_after(round % POLLS_MAX, a.state.renew(&token, seq, token.timeline)).await;
        seq = seq.next();
        match a.state.renew(&token, seq, token.timeline).await {
            Ok(Renewal::Renewed { .. }) => {
                assert_eq!(b.read_lease().await.version.seq, seq, "an acknowledged write is stored");
            }
            Ok(refused @ (Renewal::Superseded | Renewal::OtherTimeline(_))) => {
                panic!("no other process writes, and {seq:?} is the highest: {refused:?}")
            }
            // A refusal is allowed; the next round requests again.
            Err(_) => {}
        }
    }
    b.lead().await;
}

async fn dropped_claims_block_no_instance(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    for round in 0..DROPS {
        let request = a.request(&b.read_lease().await);
        let _ = dropped_after(round % POLLS_MAX, a.state.claim(&request)).await;
        // The dropped claim may still arrive between the read and the claim: then read again.
        let mut tries = 0;
        loop {
            let request = b.request(&b.read_lease().await);
            if matches!(b.state.claim(&request).await, Ok(domain::ports::Claim::Granted(_))) {
                break;
            }
            tries += 1;
            assert!(tries < 10, "a dropped claim interferes at most once");
        }
        let lease = a.read_lease().await;
        assert_eq!(lease.holder.as_ref(), Some(&b.opening.id), "a granted claim is stored");
    }
}

async fn dropped_portfolio_reads_leave_no_transaction_behind(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    for round in 0..DROPS {
        let _ = dropped_after(round % POLLS_MAX, RawPortfolio::read(&*a.portfolio)).await;
        let signal = signal(&format!("s-{round}"));
        if let Ok(Submit::Accepted(_)) = a.ledger.submit_one(&signal, &client()).await {
            let again = b.ledger.submit_one(&signal, &client()).await;
            assert!(matches!(again, Ok(Submit::Repeated(_))), "an acknowledged signal is stored: {again:?}");
        }
    }
    assert!(a.ledger.counts().await.expect("counts").received > 0, "not every submission may fail");
}

async fn dropped_submissions_lose_no_acknowledged_signal(scene: Scene) {
    let (a, b) = (scene.process("a").await, scene.process("b").await);
    let mut acknowledged = 0;
    for round in 0..DROPS {
        let dropped = signal(&format!("dropped-{round}"));
        let _ = dropped_after(round % POLLS_MAX, a.ledger.submit_one(&dropped, &client())).await;
        let signal = signal(&format!("s-{round}"));
        if let Ok(Submit::Accepted(_)) = a.ledger.submit_one(&signal, &client()).await {
            acknowledged += 1;
            let again = b.ledger.submit_one(&signal, &client()).await;
            assert!(matches!(again, Ok(Submit::Repeated(_))), "an acknowledged signal is stored: {again:?}");
        }
    }
    assert!(acknowledged > 0, "not every submission may fail");
}
