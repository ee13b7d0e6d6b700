//! Handlers' calls that continue while the dispatcher waits for a request or for an event.

use crate::leadership::Leadership;
use domain::ledger::Signal;
use domain::ports::{Answer, SignalLedger};
use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::Instrument;

/// Waits for `request` while what is `running` continues, so that a slow store holds up no handler. What
/// ends is kept in `finished`, also when this is dropped.
pub(super) async fn beside<R: Future, T>(
    running: &mut FuturesUnordered<R>,
    finished: &mut Vec<R::Output>,
    request: impl Future<Output = T>,
) -> T {
    let mut request = pin!(request);
    loop {
        let busy = !running.is_empty();
        tokio::select! {
            biased;
            answer = &mut request => return answer,
            Some(done) = running.next(), if busy => finished.push(done),
        }
    }
}

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Woken {
    /// There may be something to claim.
    ByHint,
    /// Something that was running has ended, the time has come, or leadership has changed.
    Otherwise,
}

#[cfg(feature = "crash-points")]
impl crate::crash_point::Cancelled for Woken {
    fn cancelled() -> Self {
        Self::Otherwise
    }
}

/// Waits until something that is `running` ends, which is kept in `finished` then; until leadership changes, `store`
/// (if any) hints, or `until` has come. Dropping it, or its answer, loses nothing.
async fn woken<R: Future>(
    running: &mut FuturesUnordered<R>,
    finished: &mut Vec<R::Output>,
    leadership: &mut watch::Receiver<Leadership>,
    store: Option<&dyn SignalLedger>,
    until: Instant,
) -> Woken {
    let busy = !running.is_empty();
    let hint = async {
        match store {
            Some(store) => store.submitted().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        Some(done) = running.next(), if busy => finished.push(done),
        // The sender outlives the work.
        _ = leadership.changed() => {}
        () = hint => return Woken::ByHint,
        () = sleep_until(until) => {}
    }
    Woken::Otherwise
}

/// Waits as [`woken`] does, and makes `request` afterwards if it is due by then, while what is `running` continues.
pub(super) async fn woken_then<R: Future, T>(
    running: &mut FuturesUnordered<R>,
    finished: &mut Vec<R::Output>,
    leadership: &mut watch::Receiver<Leadership>,
    store: Option<&dyn SignalLedger>,
    until: Instant,
    (due, request): (Option<Instant>, impl Future<Output = T>),
) -> (Woken, Option<T>) {
    let woken = woken(&mut *running, &mut *finished, leadership, store, until).await;
    if due.is_none_or(|at| at > Instant::now()) {
        return (woken, None);
    }
    (woken, Some(beside(running, finished, request).await))
}

/// The handler's answer to a call about `signal`. One that does not come in time, or a panic, is no answer: the outcome is unknown.
pub(super) async fn answered(
    signal: &Signal,
    time_max: Duration,
    call: impl Future<Output = Answer>,
) -> Answer {
    let span = tracing::info_span!("signal", id = %signal.id, attempt = signal.attempt);
    match timeout(time_max, AssertUnwindSafe(call).catch_unwind()).instrument(span).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_panic)) => Answer::unknown("the handler panicked"),
        Err(_) => Answer::unknown(format!("the handler did not answer within {time_max:?}")),
    }
}
