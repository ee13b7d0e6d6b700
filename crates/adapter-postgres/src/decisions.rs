//! Decisions of operators that concern no signal. Rows are only appended.

use crate::pool::Lane;
use crate::row::{self, Columns};
use crate::state_store::Process;
use domain::decision::{Decision, Subject};
use domain::id::InstanceId;
use domain::ledger::Actor;
use domain::ports::{DECISIONS_READ_MAX, Removal, StoreError};
use domain::recovery::RecoveryCode;
use sqlx::postgres::PgRow;
use std::time::Duration;

const TABLE: &str = "coordinator_decision";

/// $1 group, $2 id, $3 actor, $4 origin, $5 reason, $6 the least age of the last heartbeat in ms. No row if the
/// instance table does not have the instance.
const REMOVE: &str = "\
    WITH line AS (
        SELECT id, started_ms, beat_at,
               greatest(0, (extract(epoch FROM now() - beat_at) * 1000)::bigint) AS age_ms,
               EXISTS (SELECT FROM coordinator_lease
                       WHERE group_id = $1 AND holder = $2 AND NOT released
                         AND renewed_at + ttl_ms * interval '1 millisecond' > now()) AS leads
        FROM coordinator_member AS member
        WHERE group_id = $1 AND id = $2 AND NOT EXISTS (
            SELECT FROM coordinator_decision AS removed
            WHERE removed.group_id = $1 AND removed.instance = member.id AND removed.beat_at = member.beat_at)),
    written AS (
        INSERT INTO coordinator_decision (group_id, who, origin, what, instance, started_ms, beat_at, reason)
        SELECT $1, $3, $4, 'instance_removed', id, started_ms, beat_at, $5
        FROM line WHERE NOT leads AND age_ms >= $6
        RETURNING 1)
    SELECT age_ms, leads, EXISTS (SELECT FROM written) AS written FROM line";

/// $1 group, $2 actor, $3 origin, $4 code, $5 reason.
const ACKNOWLEDGE: &str = "\
    INSERT INTO coordinator_decision (group_id, who, origin, what, recovery_code, reason)
    VALUES ($1, $2, $3, 'recovery_acknowledged', $4, $5)";

/// $1 group, $2 limit.
const DECISIONS: &str = "\
    SELECT (extract(epoch FROM at) * 1000)::bigint AS at_ms, left(who, 128) AS who, left(origin, 128) AS origin,
           left(what, 32) AS what, left(instance, 128) AS instance, started_ms, recovery_code::bigint,
           left(reason, 256) AS reason
    FROM coordinator_decision WHERE group_id = $1 ORDER BY number DESC LIMIT $2";

/// See [`domain::ports::OperatorRequests::remove_instance`].
pub(crate) async fn remove_instance(
    lane: &Lane,
    me: &Process,
    id: &InstanceId,
    recent: Duration,
    actor: &Actor,
    reason: &str,
) -> Result<Removal, StoreError> {
    let statement = me
        .names
        .query(REMOVE)
        .bind(me.identity.group.as_str())
        .bind(id.as_str())
        .bind(row::actor(&actor.who))
        .bind(row::actor(&actor.origin))
        .bind(row::text(reason))
        .bind(row::milliseconds(recent));
    let Some(row) = lane.optional(statement).await? else { return Ok(Removal::Unknown) };
    let columns = Columns::of(TABLE, &row);
    let heartbeat_age = Duration::from_millis(columns.number("age_ms")?);
    Ok(match (columns.required("written")?, columns.required("leads")?) {
        (true, _) => Removal::Removed,
        (false, true) => Removal::Leads,
        (false, false) => Removal::Alive { heartbeat_age },
    })
}

/// See [`domain::ports::OperatorRequests::acknowledge_recovery`].
pub(crate) async fn acknowledge_recovery(
    lane: &Lane,
    me: &Process,
    verdict: Option<RecoveryCode>,
    actor: &Actor,
    reason: &str,
) -> Result<(), StoreError> {
    let statement = me
        .names
        .query(ACKNOWLEDGE)
        .bind(me.identity.group.as_str())
        .bind(row::actor(&actor.who))
        .bind(row::actor(&actor.origin))
        .bind(verdict.map(|code| i16::from(code.as_number())))
        .bind(row::text(reason));
    lane.optional(statement).await.map(|_| ())
}

/// See [`domain::ports::OperatorRequests::decisions`].
pub(crate) async fn decisions(lane: &Lane, me: &Process, limit: u32) -> Result<Vec<Decision>, StoreError> {
    let limit = i64::from(limit.min(DECISIONS_READ_MAX));
    let rows = lane.all(me.names.query(DECISIONS).bind(me.identity.group.as_str()).bind(limit)).await?;
    rows.iter().map(decision).collect()
}

fn decision(row: &PgRow) -> Result<Decision, StoreError> {
    let columns = Columns::of(TABLE, row);
    let subject = match columns.required::<&str>("what")? {
        "instance_removed" => Subject::InstanceRemoved {
            id: columns.shown_id("instance")?,
            started_ms: columns.required("started_ms")?,
        },
        "recovery_acknowledged" => {
            let code: Option<i64> = columns.optional("recovery_code")?;
            let unknown = |code| columns.corrupt("recovery_code", &format!("is {code}"));
            let known = |code| RecoveryCode::from_number(code).ok_or_else(|| unknown(code));
            Subject::RecoveryAcknowledged { verdict: code.map(known).transpose()? }
        }
        other => return Err(columns.corrupt("what", &format!("is {other:?}"))),
    };
    Ok(Decision {
        at_ms: columns.required("at_ms")?,
        actor: Actor { who: columns.required("who")?, origin: columns.required("origin")? },
        subject,
        reason: columns.required("reason")?,
    })
}
