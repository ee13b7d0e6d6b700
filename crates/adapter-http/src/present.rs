//! The present answer of the state store, or its last one with the time since when the present state is unknown. An
//! operator needs the last known state most while the store is away.

use crate::backend::Backend;
use domain::decision::Decision;
use domain::ledger::Signal;
use domain::member::Term;
use domain::overview::{Facts, Known, LeaderView};
use domain::ports::{ListQuery, StoreError};
use jiff::Timestamp;
use std::time::Duration;
use tokio::time::timeout;

/// Longest wait for the present answer if there is an earlier one.
pub(crate) const PRESENT_TIME_MAX: Duration = Duration::from_secs(2);

/// A list of signals.
pub(crate) struct List {
    pub(crate) signals: Vec<Signal>,
    /// Path of the next page.
    pub(crate) next: Option<String>,
    pub(crate) complete: bool,
    pub(crate) read: Known<()>,
}

/// The lease and the instance table.
///
/// # Errors
/// There was never an answer, or the store is damaged.
pub(crate) async fn facts(backend: &dyn Backend) -> Result<Facts, StoreError> {
    let last = backend.last_answers();
    let request = async { Ok((backend.lease().await?, backend.members().await?)) };
    let answer = ask(&last.facts.members, request).await;
    let now_ms = now_ms(backend);
    let mut facts = last.facts_at(now_ms);
    match answer {
        Ok((lease, members)) => {
            facts.lease.answered(lease, now_ms);
            facts.members.answered(members, now_ms);
        }
        Err(error) => {
            known(&last.facts.members, error)?;
            facts.lease.failed(now_ms);
            facts.members.failed(now_ms);
        }
    }
    Ok(facts)
}

/// The latest terms, newest first, at most `limit`. The last one is closed if its lease has ended.
///
/// # Errors
/// There was never an answer, or the store is damaged.
pub(crate) async fn history(backend: &dyn Backend, limit: u32) -> Result<Known<Vec<Term>>, StoreError> {
    let last = backend.last_answers();
    let request = async { Ok((backend.history(limit).await?, backend.lease().await?)) };
    let answer = ask(&last.terms, request).await;
    let now_ms = now_ms(backend);
    match answer {
        Ok((mut terms, lease)) => {
            LeaderView::of_lease(&lease, now_ms, now_ms).close_ended(&mut terms);
            Ok(Known::read(terms, now_ms))
        }
        Err(error) => {
            let (kept, read_ms) = known(&last.terms, error)?;
            let mut terms = Known::read(kept.iter().take(limit as usize).cloned().collect(), read_ms);
            terms.failed(last.terms.away_since_ms().unwrap_or(now_ms));
            Ok(terms)
        }
    }
}

/// The latest decisions of operators, newest first, at most `limit`; `None` if the state store did not answer the request
/// of the history, or does not answer this one: the tables may be older than this binary.
pub(crate) async fn decisions(
    backend: &dyn Backend,
    limit: u32,
    history: &Known<Vec<Term>>,
) -> Option<Vec<Decision>> {
    history.current()?;
    timeout(PRESENT_TIME_MAX, backend.decisions(limit)).await.ok()?.ok()
}

/// The signals that `query` selects, the latest first. `next` makes the path of the next page.
///
/// A list of one state is never the last known one. A service executes what the list of claimed signals contains, so
/// an old list could cause a second execution.
///
/// # Errors
/// The store does not answer, and there was never an answer or the query names a state; or the store is damaged.
pub(crate) async fn signals(
    backend: &dyn Backend,
    query: &ListQuery,
    next: impl FnOnce(&[Signal]) -> Option<String>,
) -> Result<List, StoreError> {
    let last = backend.last_answers();
    let answer = ask(&last.signals, backend.signals(query)).await;
    let now_ms = now_ms(backend);
    match answer {
        Err(error) if query.state.is_some() => Err(error),
        Ok(signals) => {
            let next = next(&signals);
            Ok(List { signals, next, complete: true, read: Known::read((), now_ms) })
        }
        Err(error) => {
            let (_, read_ms) = known(&last.signals, error)?;
            let (signals, complete) = last.select(query).unwrap_or_default();
            let mut read = Known::read((), read_ms);
            read.failed(last.signals.away_since_ms().unwrap_or(now_ms));
            Ok(List { signals, next: None, complete, read })
        }
    }
}

/// Requests the present answer. It waits for [`PRESENT_TIME_MAX`] if there is an earlier one. A store that is known to be
/// away is queried too: it may be back.
async fn ask<T, L>(
    last: &Known<L>,
    request: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    if last.last().is_none() {
        return request.await;
    }
    let silent = |_| Err(StoreError::Unknown(format!("nothing was read within {PRESENT_TIME_MAX:?}")));
    timeout(PRESENT_TIME_MAX, request).await.unwrap_or_else(silent)
}

/// The last answer and when it was read; the error if there is none, or if the operator must see it.
fn known<T>(last: &Known<T>, error: StoreError) -> Result<(&T, i64), StoreError> {
    match (last.last(), error) {
        (Some(last), StoreError::Unavailable(_) | StoreError::Unknown(_)) => Ok(last),
        (_, error) => Err(error),
    }
}

fn now_ms(backend: &dyn Backend) -> i64 {
    backend.status().map_or_else(|| Timestamp::now().as_millisecond(), |report| report.snapshot.now_ms)
}
