//! Claims signals and expires late ones.

use super::actor;
use super::kill_switch::{is_open, missing};
use super::row::{read, signal_columns, stored};
use crate::fence::{effect, may_act};
use crate::state_store::SqliteStore;
use crate::stored::{Stored, now_ms};
use domain::lease::Token;
use domain::ledger::{LimitReached, Limits, StateName};
use domain::ports::{CLAIM_MAX, SignalClaim, StoreError};

/// A signal that may have been executed before the store forgot, and about which the handler was not queried
/// since. No clock is compared: `asked_ms` is the moment up to which the signal is known not to have been
/// executed (see the submission).
macro_rules! unasked {
    ($signal:literal) => {
        concat!(
            "EXISTS (SELECT 1 FROM coordinator_lease AS l WHERE l.group_id = ?1 AND l.forgot_ms > coalesce(",
            $signal,
            ".asked_ms, 0))"
        )
    };
}
pub(super) use unasked;

/// The oldest waiting signal of each instrument that is not busy; none if the token may not act or the kill
/// switch is on.
///
/// The query goes from one instrument with waiting signals to the next by the index, so thousands of signals
/// that wait for one instrument, or are finished, cost nothing. The statement names the index, because the
/// file's owner may have run ANALYZE, which could change the plan, and the write lock is held during the
/// query.
macro_rules! turns {
    () => {
        concat!(
            "RECURSIVE waiting(instrument) AS (SELECT (SELECT instrument FROM coordinator_signal ",
            "INDEXED BY coordinator_signal_waiting WHERE group_id = ?1 AND state = 'received' ",
            "ORDER BY instrument LIMIT 1) WHERE ",
            may_act!(),
            " AND ",
            is_open!(),
            " UNION ALL SELECT (SELECT instrument FROM coordinator_signal ",
            "INDEXED BY coordinator_signal_waiting WHERE group_id = ?1 AND state = 'received' ",
            "AND instrument > waiting.instrument ORDER BY instrument LIMIT 1) ",
            "FROM waiting WHERE waiting.instrument IS NOT NULL), ",
            "turn(arrival) AS MATERIALIZED (SELECT (SELECT arrival FROM coordinator_signal ",
            "INDEXED BY coordinator_signal_waiting WHERE group_id = ?1 AND state = 'received' ",
            "AND instrument = waiting.instrument AND (expires_ms IS NULL OR expires_ms > ",
            now_ms!(),
            ") ORDER BY arrival LIMIT 1) FROM waiting WHERE waiting.instrument IS NOT NULL ",
            "AND NOT EXISTS (SELECT 1 FROM coordinator_signal INDEXED BY coordinator_signal_busy ",
            "WHERE group_id = ?1 AND state IN ('claimed', 'in_doubt') ",
            "AND coordinator_signal.instrument = waiting.instrument)), ",
            // A signal about which the handler must be queried first keeps its place, and is not claimed.
            "ready(arrival) AS MATERIALIZED (SELECT turn.arrival FROM turn JOIN coordinator_signal AS t ",
            "ON t.arrival = turn.arrival WHERE NOT ",
            unasked!("t"),
            ")"
        )
    };
}

/// The rest of a limit; NULL without a limit. It counts no more claims than the limit has.
macro_rules! left {
    ($limit:literal, $window_ms:literal) => {
        concat!(
            $limit,
            " - (SELECT count(*) FROM (SELECT 1 FROM coordinator_signal WHERE group_id = ?1 ",
            "AND claimed_ms > ",
            now_ms!(),
            " - ",
            $window_ms,
            " LIMIT coalesce(",
            $limit,
            ", 0)))"
        )
    };
}
macro_rules! left_this_minute {
    () => {
        left!("?6", "60000")
    };
}
macro_rules! left_this_day {
    () => {
        left!("?7", "86400000")
    };
}

/// Expires late signals and claims those whose turn it is, in one statement. A negative LIMIT would mean no
/// limit at all.
///
/// It expires at most a thousand at a time, and skips the other late ones, so that the write lock is not held
/// for long.
pub(super) const CLAIM: &str = concat!(
    "WITH ",
    turns!(),
    ", next(arrival, state, claims, tl, epoch, claim, claimed_ms, settled_ms) AS (",
    "SELECT * FROM (SELECT arrival, 'claimed', 1, ?2, ?3, ?4, ",
    now_ms!(),
    ", NULL FROM ready ORDER BY arrival LIMIT max(0, min(?8, coalesce(",
    left_this_minute!(),
    ", ?8), coalesce(",
    left_this_day!(),
    ", ?8)))) UNION ALL SELECT * FROM (SELECT arrival, 'expired', 0, NULL, NULL, NULL, NULL, ",
    now_ms!(),
    " FROM coordinator_signal WHERE group_id = ?1 AND state = 'received' AND expires_ms <= ",
    now_ms!(),
    " AND NOT ",
    unasked!("coordinator_signal"),
    " ORDER BY expires_ms LIMIT 1000)) ",
    "UPDATE coordinator_signal SET state = next.state, attempt = attempt + next.claims, tl = next.tl, ",
    "epoch = next.epoch, claim = next.claim, claimed_ms = next.claimed_ms, settled_ms = next.settled_ms, ",
    "note = CASE next.state WHEN 'expired' THEN note END, changed_by = ?9, changed_from = ?10 ",
    "FROM next WHERE coordinator_signal.arrival = next.arrival AND ",
    may_act!(),
    " RETURNING ",
    signal_columns!(without payload),
    // No caller reads the payload of a signal that expired.
    ", CASE WHEN state <> 'claimed' THEN NULL WHEN octet_length(payload) <= 65537 THEN payload \
     ELSE substr(CAST(payload AS BLOB), 1, 65537) END AS payload"
);

/// The reason why nothing was claimed.
pub(super) const WHY: &str = concat!(
    "WITH ",
    turns!(),
    " SELECT ",
    may_act!(),
    " AS holds, EXISTS (SELECT 1 FROM coordinator_dispatch WHERE group_id = ?1) AS has_switch, ",
    is_open!(),
    " AS is_open, EXISTS (SELECT 1 FROM ready) AS waits, coalesce(",
    left_this_minute!(),
    ", 1) > 0 AS this_minute, coalesce(",
    left_this_day!(),
    ", 1) > 0 AS this_day"
);

/// See [`domain::ports::SignalLedger::claim_signals`].
pub(super) async fn claim(
    store: &SqliteStore,
    token: &Token,
    limits: Limits,
    most: u16,
) -> Result<SignalClaim, StoreError> {
    let actor = actor::own(&store.config);
    let statement = |sql| {
        effect(sql, store, token).bind(limits.per_minute.map(i64::from)).bind(limits.per_day.map(i64::from))
    };
    let claim = statement(CLAIM).bind(i64::from(most.clamp(1, CLAIM_MAX))).bind(actor.who).bind(actor.origin);
    let rows = store.work.fetch(claim).await?;
    let mut claimed = Vec::new();
    for row in &rows {
        if stored(row).text("state")? == StateName::Claimed.as_str() {
            claimed.push(read(row)?);
        }
    }
    if !claimed.is_empty() {
        claimed.sort_by_key(|signal| signal.arrival);
        return Ok(SignalClaim::Claimed(claimed));
    }
    let why = store.work.fetch(statement(WHY)).await?;
    let row = why.first().ok_or_else(|| StoreError::Unknown("a query returned no row".to_owned()))?;
    let stored = Stored::new("coordinator_dispatch", row);
    if !stored.flag("holds")? {
        // A token that is lost now may still have been valid when the statement expired signals under it.
        return Ok(if rows.is_empty() { SignalClaim::Fenced } else { SignalClaim::Empty });
    }
    if !stored.flag("has_switch")? {
        return Err(missing(&store.config));
    }
    Ok(if !stored.flag("is_open")? {
        SignalClaim::Paused
    } else if !stored.flag("waits")? {
        SignalClaim::Empty
    } else if !stored.flag("this_day")? {
        SignalClaim::Limited(LimitReached::PerDay)
    } else if !stored.flag("this_minute")? {
        SignalClaim::Limited(LimitReached::PerMinute)
    } else {
        // The signal came, or was released, after the claim: the next claim finds it.
        SignalClaim::Empty
    })
}
