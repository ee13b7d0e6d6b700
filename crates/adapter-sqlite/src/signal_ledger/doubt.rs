//! Taking over what others claimed.

use super::actor;
use super::claim::unasked;
use super::row::{read, signal_columns};
use crate::fence::{effect, may_act, may_still_act};
use crate::state_store::SqliteStore;
use domain::lease::Token;
use domain::ledger::{FORGOTTEN, Signal, SignalId};
use domain::ports::{InFlight, SIGNALS_READ_MAX, StoreError};

/// ?6 is the own claims that are worked on, NULL for all of them.
pub(super) const MARK: &str = concat!(
    "UPDATE coordinator_signal SET state = 'in_doubt', changed_by = ?7, changed_from = ?8, ",
    "asked_ms = (SELECT forgot_ms FROM coordinator_lease WHERE group_id = ?1) ",
    "WHERE group_id = ?1 AND state = 'claimed' AND (claim IS NOT ?4 OR (?6 IS NOT NULL ",
    "AND id NOT IN (SELECT value FROM json_each(?6)))) AND ",
    may_act!()
);

/// What the store may have forgotten is in doubt, as if it had been claimed when it was received. ?6 who, ?7 from
/// where, ?8 what is said of it. A thousand at a time: nobody claims the others meanwhile.
const ASK: &str = concat!(
    "UPDATE coordinator_signal SET state = 'in_doubt', attempt = attempt + 1, claimed_ms = received_ms, ",
    "asked_ms = (SELECT forgot_ms FROM coordinator_lease WHERE group_id = ?1), note = ?8, ",
    "changed_by = ?6, changed_from = ?7 WHERE arrival IN (SELECT arrival FROM coordinator_signal AS t ",
    "WHERE t.group_id = ?1 AND t.state = 'received' AND ",
    unasked!("t"),
    " ORDER BY arrival LIMIT 1000) AND ",
    may_act!()
);

/// The oldest doubts; none when the token is fenced.
pub(super) const LIST: &str = concat!(
    "SELECT ",
    signal_columns!(),
    " FROM coordinator_signal WHERE group_id = ?1 AND state = 'in_doubt' AND ",
    may_act!(),
    " ORDER BY arrival LIMIT ?6"
);

/// See [`domain::ports::SignalLedger::take_over`].
///
/// Three statements, each fenced: when the last is never run, the signals are in doubt all the same, and whoever
/// asks next is told of them.
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
    let mark = effect(MARK, store, token).bind(these).bind(actor.who).bind(actor.origin);
    store.work.execute(mark).await?;
    let actor = actor::own(&store.config);
    let ask = effect(ASK, store, token).bind(actor.who).bind(actor.origin).bind(FORGOTTEN.to_owned());
    store.work.execute(ask).await?;
    let list = effect(LIST, store, token).bind(i64::from(SIGNALS_READ_MAX));
    let rows = store.work.fetch(list).await?;
    if rows.is_empty() && !may_still_act(store, token).await? {
        return Ok(None);
    }
    rows.iter().map(read).collect::<Result<_, _>>().map(Some)
}
