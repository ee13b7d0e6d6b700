//! Removes old signals and instances.

use super::actor;
use crate::fence::{effect, may_act, may_still_act};
use crate::state_store::SqliteStore;
use crate::stored::now_ms;
use domain::lease::Token;
use domain::ports::{StoreError, Swept};
use std::time::Duration;

/// Most signals, and most lines of the instance table, that one call removes. No other process can write for
/// these few dozen milliseconds.
const SWEEP_MAX: i64 = 1_000;

/// A trigger deletes the rows, because a DELETE could not pass the actor to the audit.
pub(super) const SIGNALS: &str = concat!(
    "UPDATE coordinator_signal SET swept = 1, changed_by = ?8, changed_from = ?9 WHERE arrival IN (",
    "SELECT arrival FROM coordinator_signal WHERE group_id = ?1 AND settled_ms < ",
    now_ms!(),
    " - ?6 AND timestamp_s * 1000 < ",
    now_ms!(),
    " - ?6 ORDER BY settled_ms LIMIT ?7) AND ",
    may_act!()
);

/// Lines of instances that are no longer shown.
pub(super) const MEMBERS: &str = concat!(
    "DELETE FROM coordinator_member WHERE group_id = ?1 AND id IN (",
    "SELECT id FROM coordinator_member WHERE group_id = ?1 AND beat_ms < ",
    now_ms!(),
    " - 86400000 LIMIT ?6) AND ",
    may_act!()
);

/// See [`domain::ports::SignalLedger::sweep`].
///
/// Two statements, each fenced: if the second fails, what the first removed stays removed, and the next call
/// continues.
pub(super) async fn sweep(
    store: &SqliteStore,
    token: &Token,
    keep: Duration,
) -> Result<Option<Swept>, StoreError> {
    let keep_ms = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
    let actor = actor::own(&store.config);
    let signals =
        effect(SIGNALS, store, token).bind(keep_ms).bind(SWEEP_MAX).bind(actor.who).bind(actor.origin);
    let signals = store.work.execute(signals).await?;
    let members = store.work.execute(effect(MEMBERS, store, token).bind(SWEEP_MAX)).await?;
    if signals + members == 0 && !may_still_act(store, token).await? {
        return Ok(None);
    }
    Ok(Some(Swept { signals, members }))
}
