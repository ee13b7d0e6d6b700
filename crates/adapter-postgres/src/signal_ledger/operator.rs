//! Decisions of the operator, and the kill switch. They need no leader.

use super::record::{move_on, recorded};
use super::{DISPATCH, no_switch};
use crate::listen::{Hint, channel};
use crate::row::{self, Columns};
use crate::state_store::PostgresStore;
use domain::ledger::{Actor, Outcome, SignalId};
use domain::ports::{Recorded, Resolution, StoreError, Switch, Switched};

/// $1 group, $2 id, $3 attempt, $4 state, $5 reason, $6 actor, $7 origin, $8 hint. As a report of the leader,
/// with stricter rules for the state that a signal may leave.
const DECIDE: &str = concat!(
    "WITH asked AS (
        SELECT group_id, id, attempt, state AS was, $4::text AS state, $5::text AS note, 1 AS n
        FROM coordinator_signal WHERE group_id = $1 AND id = $2 AND attempt = $3 FOR UPDATE),
     moved AS (
        UPDATE coordinator_signal AS t
        SET ",
    move_on!(),
    ", changed_by = $6, changed_from = $7
        FROM asked
        WHERE t.group_id = asked.group_id AND t.id = asked.id
          AND (asked.was = 'in_doubt' AND asked.state IN ('done', 'rejected', 'received')
               OR asked.was = 'sent' AND asked.state IN ('done', 'rejected'))
        RETURNING asked.n, asked.state)
     SELECT n, (SELECT pg_notify(",
    channel!(),
    ", $8) FROM moved WHERE state = 'received')
      FROM ",
    recorded!()
);

/// $1 group, $2 id, $3 reason, $4 actor, $5 origin. It keeps the time at which it expired, from which the sweep counts.
const ACKNOWLEDGE: &str = "\
    UPDATE coordinator_signal
    SET state = 'rejected', note = $3, changed_by = $4, changed_from = $5
    WHERE group_id = $1 AND id = $2 AND state = 'expired'
    RETURNING 1";

/// $1 group, $2 whether it must be on, $3 reason, $4 actor, $5 origin, $6 hint. The lock is a write too: if
/// the switch is already in that position, the answer is as durable as that to a new turn.
///
/// It waits for a claim that was granted and is not committed, and every later claim sees it: see `CLAIM`.
const SWITCH: &str = concat!(
    "WITH was AS (
        SELECT group_id, (paused_at IS NOT NULL) <> $2 AS turns FROM coordinator_dispatch
        WHERE group_id = $1 FOR UPDATE),
     turned AS (
        UPDATE coordinator_dispatch AS d
        SET paused_at = CASE WHEN $2 THEN now() END, reason = $3, changed_by = $4, changed_from = $5
        FROM was WHERE d.group_id = was.group_id AND was.turns
        RETURNING 1)
     SELECT turns, CASE WHEN turns AND NOT $2 THEN pg_notify(",
    channel!(),
    ", $6) END FROM was"
);

pub(super) async fn resolve(store: &PostgresStore, decision: &Resolution) -> Result<Recorded, StoreError> {
    let Resolution { id, attempt, outcome, actor, reason } = decision;
    match outcome {
        Outcome::Done | Outcome::Rejected | Outcome::Received => {}
        Outcome::Sent | Outcome::InDoubt => return Ok(Recorded::Refused),
    }
    let statement = store
        .me
        .names
        .query(DECIDE)
        .bind(store.me.identity.group.as_str())
        .bind(id.as_str())
        .bind(i64::from(*attempt))
        .bind(outcome.state().as_str())
        .bind(row::text(reason))
        .bind(row::actor(&actor.who))
        .bind(row::actor(&actor.origin))
        .bind(store.me.payload(Hint::Signal));
    let recorded = store.service.optional(statement).await?.is_some();
    Ok(if recorded { Recorded::Recorded } else { Recorded::Refused })
}

pub(super) async fn acknowledge(
    store: &PostgresStore,
    id: &SignalId,
    actor: &Actor,
    reason: &str,
) -> Result<Recorded, StoreError> {
    let statement = store
        .me
        .names
        .query(ACKNOWLEDGE)
        .bind(store.me.identity.group.as_str())
        .bind(id.as_str())
        .bind(row::text(reason))
        .bind(row::actor(&actor.who))
        .bind(row::actor(&actor.origin));
    let recorded = store.service.optional(statement).await?.is_some();
    Ok(if recorded { Recorded::Recorded } else { Recorded::Refused })
}

pub(super) async fn switch(
    store: &PostgresStore,
    to: Switch,
    actor: &Actor,
    reason: &str,
) -> Result<Switched, StoreError> {
    let statement = store
        .me
        .names
        .query(SWITCH)
        .bind(store.me.identity.group.as_str())
        .bind(to == Switch::Pause)
        .bind(row::text(reason))
        .bind(row::actor(&actor.who))
        .bind(row::actor(&actor.origin))
        .bind(store.me.payload(Hint::Signal));
    let row = store.service.optional(statement).await?.ok_or_else(|| no_switch(&store.me.identity.group))?;
    let turned: bool = Columns::of(DISPATCH, &row).required("turns")?;
    Ok(if turned { Switched::Turned } else { Switched::Unchanged })
}
