//! Reads of signals, audit and totals.

use super::stored::{id, signal, signal_columns, state_name};
use super::{AUDIT, DISPATCH, SIGNALS, no_switch};
use crate::row::Columns;
use crate::state_store::PostgresStore;
use domain::lease::Epoch;
use domain::ledger::{Actor, AuditEntry, Paused, Signal, SignalCounts, SignalId, StateName, Totals};
use domain::ports::{AUDIT_READ_MAX, ListQuery, SIGNALS_READ_MAX, StoreError};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgRow;
use std::time::Duration;

/// $1 group, $2 id.
pub(super) const FIND: &str = concat!(
    "SELECT ",
    signal_columns!(),
    " FROM coordinator_signal AS s WHERE s.group_id = $1 AND s.id = $2"
);

/// $1 group, $2 arrival before which, $3 limit; filters follow.
const LIST: &str = concat!(
    "SELECT ",
    signal_columns!(),
    " FROM coordinator_signal AS s WHERE s.group_id = $1 AND s.arrival < $2"
);
const LATEST_FIRST: &str = " ORDER BY s.arrival DESC LIMIT $3";

macro_rules! audit {
    ($filter:literal) => {
        concat!(
            "SELECT number, (extract(epoch FROM at) * 1000)::bigint AS at_ms, left(who, 128) AS who,
                    left(origin, 128) AS origin, epoch, left(what, 32) AS what, left(signal_id, 129) AS signal_id,
                    attempt::bigint AS attempt, left(note, 256) AS note
             FROM coordinator_audit WHERE group_id = $1 ",
            $filter,
            " ORDER BY number DESC LIMIT $2"
        )
    };
}
/// $1 group, $2 limit.
const AUDIT_OF_GROUP: &str = audit!("");
/// $1 group, $2 limit, $3 id.
const AUDIT_OF_SIGNAL: &str = audit!("AND signal_id = $3");

const COUNTS: &str = "\
    SELECT left(state, 32) AS state, count(*) AS signals FROM coordinator_signal
    WHERE group_id = $1 GROUP BY coordinator_signal.state";

/// $1 group. A subquery for each figure, so that each uses an index: no finished signal is read that was
/// claimed or expired more than a day ago. The oldest that waits is the first that arrived; `+ 0`, because
/// the server would otherwise search for it in the order of arrival, past everything that is finished.
const TOTALS: &str = "\
    SELECT (SELECT count(*) FROM coordinator_signal WHERE group_id = $1 AND state = 'received') AS received,
           (SELECT count(*) FROM coordinator_signal WHERE group_id = $1 AND state = 'claimed') AS claimed,
           (SELECT count(*) FROM coordinator_signal WHERE group_id = $1 AND state = 'sent') AS sent,
           (SELECT count(*) FROM coordinator_signal WHERE group_id = $1 AND state = 'in_doubt') AS in_doubt,
           (SELECT greatest(0, extract(epoch FROM now() - received_at) * 1000)::bigint FROM coordinator_signal
            WHERE group_id = $1 AND arrival = (
                SELECT min(arrival + 0) FROM coordinator_signal
                WHERE group_id = $1 AND state = 'received')) AS oldest_received_ms,
           (SELECT max(greatest(0, extract(epoch FROM now() - claimed_at) * 1000)::bigint) FROM coordinator_signal
            WHERE group_id = $1 AND state = 'in_doubt') AS oldest_in_doubt_ms,
           (SELECT count(*) FROM coordinator_signal
            WHERE group_id = $1 AND state = 'expired' AND settled_at > now() - interval '24 hours') AS expired,
           (SELECT count(*) FROM coordinator_signal
            WHERE group_id = $1 AND claimed_at > now() - interval '60 seconds') AS minute,
           (SELECT count(*) FROM coordinator_signal
            WHERE group_id = $1 AND claimed_at > now() - interval '24 hours') AS day,
           d.group_id IS NOT NULL AS there, (extract(epoch FROM d.paused_at) * 1000)::bigint AS paused_ms,
           left(d.reason, 256) AS reason, left(d.changed_by, 128) AS changed_by
    FROM (VALUES (1)) AS always LEFT JOIN coordinator_dispatch AS d ON d.group_id = $1";

pub(super) async fn find(store: &PostgresStore, id: &SignalId) -> Result<Option<Signal>, StoreError> {
    let statement = store.me.names.query(FIND).bind(store.me.identity.group.as_str()).bind(id.as_str());
    store.service.optional(statement).await?.as_ref().map(signal).transpose()
}

pub(super) async fn list(store: &PostgresStore, query: &ListQuery) -> Result<Vec<Signal>, StoreError> {
    let ListQuery { state, instrument, before, limit } = query;
    let mut sql = LIST.to_owned();
    if let Some(state) = state {
        // One of our own words. It is part of the text so that the planner can use a partial index.
        sql.push_str(" AND s.state = '");
        sql.push_str(state.as_str());
        sql.push('\'');
    }
    if instrument.is_some() {
        sql.push_str(" AND s.instrument = $4");
    }
    sql.push_str(LATEST_FIRST);
    let sql = store.me.names.qualified(&sql);
    let mut statement = sqlx::query(AssertSqlSafe(sql))
        .bind(store.me.identity.group.as_str())
        .bind(before.map_or(i64::MAX, |before| i64::try_from(before).unwrap_or(i64::MAX)))
        .bind(i64::from((*limit).min(SIGNALS_READ_MAX)));
    if let Some(instrument) = instrument {
        statement = statement.bind(instrument.as_str());
    }
    store.service.all(statement).await?.iter().map(signal).collect()
}

pub(super) async fn audit(
    store: &PostgresStore,
    of: Option<&SignalId>,
    limit: u32,
) -> Result<Vec<AuditEntry>, StoreError> {
    let sql = if of.is_some() { AUDIT_OF_SIGNAL } else { AUDIT_OF_GROUP };
    let limit = i64::from(limit.min(AUDIT_READ_MAX));
    let mut statement = store.me.names.query(sql).bind(store.me.identity.group.as_str()).bind(limit);
    if let Some(of) = of {
        statement = statement.bind(of.as_str());
    }
    store.service.all(statement).await?.iter().map(entry).collect()
}

fn entry(row: &PgRow) -> Result<AuditEntry, StoreError> {
    let columns = Columns::of(AUDIT, row);
    let of_signal = columns.optional::<&str>("signal_id")?.is_some();
    let epoch: Option<i64> = columns.optional("epoch")?;
    Ok(AuditEntry {
        number: columns.number("number")?,
        at_ms: columns.required("at_ms")?,
        actor: Actor { who: columns.required("who")?, origin: columns.required("origin")? },
        epoch: epoch.map(|_| columns.number("epoch")).transpose()?.map(Epoch),
        what: columns.required("what")?,
        signal: of_signal.then(|| id(columns, "signal_id")).transpose()?,
        attempt: columns.number("attempt")?,
        note: columns.optional("note")?,
    })
}

pub(super) async fn counts(store: &PostgresStore) -> Result<SignalCounts, StoreError> {
    let rows = store.service.all(store.me.names.query(COUNTS).bind(store.me.identity.group.as_str())).await?;
    let mut counts = SignalCounts::default();
    for row in &rows {
        let columns = Columns::of(SIGNALS, row);
        *match state_name(columns)? {
            StateName::Received => &mut counts.received,
            StateName::Claimed => &mut counts.claimed,
            StateName::Sent => &mut counts.sent,
            StateName::Done => &mut counts.done,
            StateName::Rejected => &mut counts.rejected,
            StateName::Expired => &mut counts.expired,
            StateName::InDoubt => &mut counts.in_doubt,
        } = columns.number("signals")?;
    }
    Ok(counts)
}

pub(super) async fn totals(store: &PostgresStore) -> Result<Totals, StoreError> {
    let row = store.service.one(store.me.names.query(TOTALS).bind(store.me.identity.group.as_str())).await?;
    let (signals, dispatch) = (Columns::of(SIGNALS, &row), Columns::of(DISPATCH, &row));
    if !dispatch.required::<bool>("there")? {
        return Err(no_switch(&store.me.identity.group));
    }
    let age = |column| -> Result<Option<Duration>, StoreError> {
        let is_there = signals.optional::<i64>(column)?.is_some();
        is_there.then(|| signals.number(column).map(Duration::from_millis)).transpose()
    };
    let paused = match dispatch.optional("paused_ms")? {
        None => None,
        Some(since_ms) => Some(Paused {
            // Turned directly in the database, without a reason.
            reason: dispatch.optional("reason")?.unwrap_or_default(),
            who: dispatch.optional("changed_by")?.unwrap_or_default(),
            since_ms,
        }),
    };
    Ok(Totals {
        received: signals.number("received")?,
        claimed: signals.number("claimed")?,
        sent: signals.number("sent")?,
        in_doubt: signals.number("in_doubt")?,
        oldest_received: age("oldest_received_ms")?,
        oldest_in_doubt: age("oldest_in_doubt_ms")?,
        expired_last_day: signals.number("expired")?,
        sent_last_minute: signals.number("minute")?,
        sent_last_day: signals.number("day")?,
        paused,
    })
}
