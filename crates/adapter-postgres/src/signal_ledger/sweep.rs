//! Removes old signals and instances.

use super::SIGNALS;
use super::stored::held;
use crate::fence::{bind_fence, with_fence};
use crate::row::{self, Columns};
use crate::state_store::PostgresStore;
use domain::lease::Token;
use domain::ports::{StoreError, Swept};
use std::time::Duration;

/// Signals that one sweep removes: a fraction of a statement's timeout, so that no other statement waits
/// long.
const SWEEP_MAX: i64 = 1_000;
/// Longer than the age of any signal, and short enough for the server's calendar.
const KEEP_MAX: Duration = Duration::from_hours(1_000 * 365 * 24);

/// $6 how long to keep, in ms, $7 limit, $8 actor, $9 origin, which the audit's trigger reads from the
/// transaction's settings, because a deleted row cannot contain them. Rows that another session has locked
/// are left for the next sweep, so that this one never waits. A signal whose own timestamp is recent is kept:
/// if it were forgotten, it could be submitted, and sent, once more.
const SWEEP: &str = with_fence!(
    "actor AS MATERIALIZED (
        SELECT set_config('coordinator.changed_by', $8, true), set_config('coordinator.changed_from', $9, true)),
     old AS (
        SELECT t.id FROM fence, actor, coordinator_signal AS t
        WHERE t.group_id = $1 AND t.settled_at < now() - $6::bigint * interval '1 millisecond'
          AND t.timestamp_s < extract(epoch FROM now() - $6::bigint * interval '1 millisecond')
        ORDER BY t.settled_at LIMIT $7 FOR UPDATE OF t SKIP LOCKED),
     removed AS (
        DELETE FROM coordinator_signal
        WHERE group_id = $1 AND id = ANY (ARRAY(SELECT id FROM old)) AND settled_at IS NOT NULL
        RETURNING 1),
     quiet AS (
        SELECT m.id FROM fence, coordinator_member AS m
        WHERE m.group_id = $1 AND m.beat_at <= now() - interval '1 day'
        LIMIT $7 FOR UPDATE OF m SKIP LOCKED),
     forgotten AS (
        DELETE FROM coordinator_member
        WHERE group_id = $1 AND id = ANY (ARRAY(SELECT id FROM quiet)) AND beat_at <= now() - interval '1 day'
        RETURNING 1)
     SELECT EXISTS (SELECT FROM fence) AS held, (SELECT count(*) FROM removed) AS signals,
            (SELECT count(*) FROM forgotten) AS members"
);

pub(super) async fn sweep(
    store: &PostgresStore,
    token: &Token,
    keep: Duration,
) -> Result<Option<Swept>, StoreError> {
    let own = store.me.actor();
    let statement = bind_fence(SWEEP, &store.me, token)
        .bind(row::milliseconds(keep.min(KEEP_MAX)))
        .bind(SWEEP_MAX)
        .bind(row::actor(&own.who))
        .bind(row::actor(&own.origin));
    let row = store.service.one(statement).await?;
    if !held(&row)? {
        return Ok(None);
    }
    Ok(Some(Swept {
        signals: Columns::of(SIGNALS, &row).number("signals")?,
        members: Columns::of("coordinator_member", &row).number("members")?,
    }))
}
