//! Takes over what other claims left, and lists what is in doubt.

use super::actor;
use super::claim::unasked;
use super::row::{read, signal_columns};
use crate::fence::{effect, may_act, may_still_act};
use crate::state_store::SqliteStore;
use domain::lease::Token;
use domain::ledger::{FORGOTTEN, FORGOTTEN_ALERT, ORPHANED, Signal, SignalId};
use domain::ports::{InFlight, SIGNALS_READ_MAX, StoreError};

/// ?6: ids of the token's own claims that are being worked on; NULL for all of them. ?7 actor, ?8 origin, ?9 note.
pub(super) const MARK: &str = concat!(
    "UPDATE coordinator_signal SET state = 'in_doubt', changed_by = ?7, changed_from = ?8, note = ?9, ",
    "asked_ms = (SELECT forgot_ms FROM coordinator_lease WHERE group_id = ?1) ",
    "WHERE group_id = ?1 AND state = 'claimed' AND (claim IS NOT ?4 OR (?6 IS NOT NULL ",
    "AND id NOT IN (SELECT value FROM json_each(?6)))) AND ",
    may_act!()
);

/// Signals that the store may have forgotten are in doubt, as if they had been claimed when they were
/// received. ?6 actor, ?7 origin, ?8 note, ?9 the note of those of a hook with a window. A thousand at a time; the others are not claimed until their turn.
const ASK: &str = concat!(
    "UPDATE coordinator_signal SET state = 'in_doubt', attempt = attempt + 1, claimed_ms = received_ms, ",
    "asked_ms = (SELECT forgot_ms FROM coordinator_lease WHERE group_id = ?1), ",
    "note = CASE WHEN hook_window_s > 0 THEN ?9 ELSE ?8 END, changed_by = ?6, changed_from = ?7 WHERE arrival IN (SELECT arrival FROM coordinator_signal AS t ",
    "WHERE t.group_id = ?1 AND t.state = 'received' AND ",
    unasked!("t"),
    " ORDER BY arrival LIMIT 1000) AND ",
    may_act!()
);

/// The oldest signals in doubt; none if the token is fenced.
pub(super) const LIST: &str = concat!(
    "SELECT ",
    signal_columns!(),
    " FROM coordinator_signal WHERE group_id = ?1 AND state = 'in_doubt' AND ",
    may_act!(),
    " ORDER BY arrival LIMIT ?6"
);

/// See [`domain::ports::SignalLedger::take_over`].
///
/// Three statements, each fenced. If the last one never runs, the signals are in doubt anyway, and the next
/// call returns them.
pub(super) async fn take_over(
    store: &SqliteStore,
    token: &Token,
    in_flight: InFlight<'_>,
) -> Result<Option<Vec<Signal>>, StoreError> {
    let these = match in_flight {
        InFlight::All => None,
        InFlight::Only(ids) => {
            Some(ids.iter().map(SignalId::as_str).collect::<serde_json::Value>().to_string())
        }
    };
    let actor = actor::own(&store.config);
    let mark =
        effect(MARK, store, token).bind(these).bind(actor.who).bind(actor.origin).bind(ORPHANED.to_owned());
    store.work.execute(mark).await?;
    let actor = actor::own(&store.config);
    let ask = effect(ASK, store, token).bind(actor.who).bind(actor.origin).bind(FORGOTTEN.to_owned());
    let ask = ask.bind(FORGOTTEN_ALERT.to_owned());
    store.work.execute(ask).await?;
    let list = effect(LIST, store, token).bind(i64::from(SIGNALS_READ_MAX));
    let rows = store.work.fetch(list).await?;
    if rows.is_empty() && !may_still_act(store, token).await? {
        return Ok(None);
    }
    rows.iter().map(read).collect::<Result<_, _>>().map(Some)
}
