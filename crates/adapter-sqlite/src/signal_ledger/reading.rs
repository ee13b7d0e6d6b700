//! Reads of signals, counts and totals.

use super::actor::{ACTOR_LEN_MAX, cut, note};
use super::kill_switch::missing;
use super::row::{read, signal_columns, stored};
use crate::config::SqliteConfig;
use crate::fence::integer;
use crate::session::Session;
use crate::statement::Statement;
use crate::stored::{Stored, bytes, now_ms};
use domain::id::GroupId;
use domain::ledger::{Paused, Signal, SignalCounts, SignalId, Totals};
use domain::ports::{ListQuery, SIGNALS_READ_MAX, StoreError};
use std::time::Duration;

/// See [`domain::ports::SignalLedger::find`].
pub(super) async fn find(
    session: &Session,
    group: &GroupId,
    id: &SignalId,
) -> Result<Option<Signal>, StoreError> {
    const SQL: &str =
        concat!("SELECT ", signal_columns!(), " FROM coordinator_signal WHERE group_id = ?1 AND id = ?2");
    let statement = Statement::new(SQL).bind(group.as_str().to_owned()).bind(id.as_str().to_owned());
    session.fetch(statement).await?.first().map(read).transpose()
}

/// The latest signals to which `$filter` applies.
macro_rules! list {
    ($filter:literal) => {
        concat!(
            "SELECT ",
            signal_columns!(),
            " FROM coordinator_signal WHERE group_id = ?1 AND arrival < ?2",
            $filter,
            " ORDER BY arrival DESC LIMIT ?3"
        )
    };
}

pub(super) const LIST_ALL: &str = list!("");
pub(super) const LIST_STATE: &str = list!(" AND state = ?4");
pub(super) const LIST_INSTRUMENT: &str = list!(" AND instrument = ?4");
pub(super) const LIST_BOTH: &str = list!(" AND state = ?4 AND instrument = ?5");

/// See [`domain::ports::SignalLedger::list`].
pub(super) async fn list(
    session: &Session,
    group: &GroupId,
    query: &ListQuery,
) -> Result<Vec<Signal>, StoreError> {
    let ListQuery { state, instrument, before, limit } = query;
    // Each filter has a separate statement, so that each uses an index.
    let sql = match (state, instrument) {
        (None, None) => LIST_ALL,
        (Some(_), None) => LIST_STATE,
        (None, Some(_)) => LIST_INSTRUMENT,
        (Some(_), Some(_)) => LIST_BOTH,
    };
    let mut statement = Statement::new(sql)
        .bind(group.as_str().to_owned())
        .bind(integer(before.unwrap_or(u64::MAX)))
        .bind(i64::from((*limit).min(SIGNALS_READ_MAX)));
    if let Some(state) = state {
        statement = statement.bind(state.as_str());
    }
    if let Some(instrument) = instrument {
        statement = statement.bind(instrument.as_str().to_owned());
    }
    session.fetch(statement).await?.iter().map(read).collect()
}

/// One value about the group's signals of one kind.
macro_rules! of {
    ($what:literal, $filter:expr) => {
        concat!("(SELECT ", $what, " FROM coordinator_signal WHERE group_id = ?1 AND ", $filter, ")")
    };
}

/// A separate count for each state, which the index answers without reading the signals.
pub(super) const COUNTS: &str = concat!(
    "SELECT ",
    of!("count(*)", "state = 'received'"),
    " AS received, ",
    of!("count(*)", "state = 'claimed'"),
    " AS claimed, ",
    of!("count(*)", "state = 'sent'"),
    " AS sent, ",
    of!("count(*)", "state = 'done'"),
    " AS done, ",
    of!("count(*)", "state = 'rejected'"),
    " AS rejected, ",
    of!("count(*)", "state = 'expired'"),
    " AS expired, ",
    of!("count(*)", "state = 'in_doubt'"),
    " AS in_doubt"
);

/// See [`domain::ports::SignalLedger::counts`].
pub(super) async fn counts(session: &Session, group: &GroupId) -> Result<SignalCounts, StoreError> {
    let rows = session.fetch(Statement::new(COUNTS).bind(group.as_str().to_owned())).await?;
    let row = rows.first().ok_or_else(|| StoreError::Unknown("a count returned no row".to_owned()))?;
    let stored = stored(row);
    Ok(SignalCounts {
        received: stored.number("received")?,
        claimed: stored.number("claimed")?,
        sent: stored.number("sent")?,
        done: stored.number("done")?,
        rejected: stored.number("rejected")?,
        expired: stored.number("expired")?,
        in_doubt: stored.number("in_doubt")?,
    })
}

/// All figures at one moment.
pub(super) const TOTALS: &str = concat!(
    "SELECT coordinator_dispatch.group_id IS NOT NULL AS has_switch, paused_ms, ",
    bytes!("paused_reason", "1024"),
    ", ",
    bytes!("paused_by", "512"),
    ", ",
    of!("count(*)", "state = 'received'"),
    " AS received, ",
    of!("count(*)", "state = 'claimed'"),
    " AS claimed, ",
    of!("count(*)", "state = 'sent'"),
    " AS sent, ",
    of!("count(*)", "state = 'in_doubt'"),
    " AS in_doubt, max(0, ",
    now_ms!(),
    " - ",
    of!("received_ms", "state = 'received' ORDER BY arrival LIMIT 1"),
    ") AS oldest_received, max(0, ",
    now_ms!(),
    " - ",
    of!("min(claimed_ms)", "state = 'in_doubt'"),
    ") AS oldest_in_doubt, ",
    of!("count(*)", concat!("settled_ms > ", now_ms!(), " - 86400000 AND state = 'expired'")),
    " AS expired, ",
    of!("count(*)", concat!("claimed_ms > ", now_ms!(), " - 60000")),
    " AS this_minute, ",
    of!("count(*)", concat!("claimed_ms > ", now_ms!(), " - 86400000")),
    " AS this_day ",
    "FROM (SELECT 1) LEFT JOIN coordinator_dispatch ON coordinator_dispatch.group_id = ?1"
);

/// See [`domain::ports::SignalLedger::totals`].
pub(super) async fn totals(session: &Session, config: &SqliteConfig) -> Result<Totals, StoreError> {
    let rows = session.fetch(Statement::new(TOTALS).bind(config.identity.group.as_str().to_owned())).await?;
    let row = rows.first().ok_or_else(|| StoreError::Unknown("the totals answered no row".to_owned()))?;
    let stored = stored(row);
    let age = |column| Ok::<_, StoreError>(stored.maybe_number(column)?.map(Duration::from_millis));
    let dispatch = Stored::new("coordinator_dispatch", row);
    if !dispatch.flag("has_switch")? {
        return Err(missing(config));
    }
    Ok(Totals {
        received: stored.number("received")?,
        claimed: stored.number("claimed")?,
        sent: stored.number("sent")?,
        in_doubt: stored.number("in_doubt")?,
        oldest_received: age("oldest_received")?,
        oldest_in_doubt: age("oldest_in_doubt")?,
        expired_last_day: stored.number("expired")?,
        sent_last_minute: stored.number("this_minute")?,
        sent_last_day: stored.number("this_day")?,
        paused: paused(&dispatch)?,
    })
}

/// Paused if any column says so.
fn paused(stored: &Stored<'_>) -> Result<Option<Paused>, StoreError> {
    let (since_ms, reason, who) = (
        stored.maybe_number::<i64>("paused_ms")?,
        stored.maybe_text("paused_reason")?,
        stored.maybe_text("paused_by")?,
    );
    if since_ms.is_none() && reason.is_none() && who.is_none() {
        return Ok(None);
    }
    Ok(Some(Paused {
        reason: note(&reason.unwrap_or_default()),
        who: cut(&who.unwrap_or_default(), ACTOR_LEN_MAX),
        since_ms: since_ms.unwrap_or_default(),
    }))
}
