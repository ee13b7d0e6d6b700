//! The requests about the lease: read, claim, renew, release, note, request a step-down. Each is one statement.
//!
//! Every write calls `pg_notify` in its last SELECT, over the row that it has written: the hint is part of
//! the same commit, and nothing is sent if nothing was written (a CTE that no other part reads would not
//! run).

use crate::fence::{bind_token, timeline};
use crate::listen::{Hint, channel};
use crate::pool::Lane;
use crate::row::{self, Columns, bigint, uuid};
use crate::state_store::Process;
use domain::id::{GroupId, InstanceId};
use domain::lease::{Epoch, Observation, Seq, TTL_MAX, TTL_MIN, Timeline, Token, Version};
use domain::ports::{Claim, ClaimRequest, Noted, Release, Renewal, StepDown, StoreError};
use std::time::Duration;

pub(crate) const TABLE: &str = "coordinator_lease";

/// $1 group. Texts are cut at the server, so that a hostile row cannot send megabytes.
const OBSERVE: &str = concat!(
    "SELECT tl, epoch, claim, seq, left(holder, 128) AS holder, released, ttl_ms, left(resign, 256) AS resign,
            left(successor, 128) AS successor, epoch_floor,
            (SELECT version FROM coordinator_schema)::bigint AS version, ",
    timeline!(),
    " AS current
     FROM coordinator_lease WHERE group_id = $1"
);

/// $1 group, $2 to $6 the row as read (tl, epoch, claim, seq, current timeline), $7 the new claim, $8 holder,
/// $9 its host, $10 ttl in ms, $11 hint, $12 the epoch that the new one must exceed (M22), $13 whether the
/// store has forgotten, $14 the reason for the end of the former term. `forgot_ms` never decreases.
const CLAIM: &str = concat!(
    "WITH here AS (SELECT ",
    timeline!(),
    " AS tl),
     taken AS (
        UPDATE coordinator_lease AS lease
        SET tl = here.tl, epoch = greatest(epoch, $12) + 1, claim = $7, seq = 0, holder = $8, released = false,
            ttl_ms = $10, renewed_at = now(), resign = NULL, successor = NULL,
            forgot_ms = CASE WHEN $13 THEN greatest(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint, forgot_ms + 1) ELSE forgot_ms END
        FROM here
        WHERE group_id = $1 AND lease.tl = $2 AND epoch = $3 AND claim = $4 AND seq = $5 AND here.tl = $6
        RETURNING lease.tl, epoch, forgot_ms),
     before AS MATERIALIZED (
        SELECT renewed_at + ttl_ms * interval '1 millisecond' AS ended_at FROM coordinator_lease WHERE group_id = $1),
     ended AS (
        UPDATE coordinator_term
        SET to_at = greatest(from_at, least(now(), before.ended_at)), reason = $14
        FROM taken, before WHERE group_id = $1 AND to_at IS NULL),
     begun AS (
        INSERT INTO coordinator_term (group_id, tl, epoch, claim, holder, host, from_at)
        SELECT $1, tl, epoch, $7, $8, $9, now() FROM taken)
     SELECT tl, epoch, forgot_ms, pg_notify(",
    channel!(),
    ", $11) FROM taken"
);

/// $1 to $4 token, $5 seq, $6 hint, $7 the server's timeline as the sender knows it (M20), $8 the seq that
/// the row has certainly reached (M23). Carries the row to the timeline.
/// What the server has forgotten after a promotion, a restore or a crash is unknown, so the same statement
/// notes the moment. A claim is above the floor that it read, so a floor that is not below the epoch was
/// noted since. It always returns one row: the server's timeline and, if the lease was renewed, the renewal.
const RENEW: &str = concat!(
    "WITH here AS (SELECT ",
    timeline!(),
    " AS tl),
     before AS MATERIALIZED (SELECT tl, seq FROM coordinator_lease WHERE group_id = $1),
     renewed AS (
        UPDATE coordinator_lease AS lease SET tl = here.tl, seq = $5, renewed_at = now(),
            forgot_ms = CASE WHEN lease.tl <> here.tl OR lease.seq < $8 THEN greatest(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint, forgot_ms + 1)
                        ELSE forgot_ms END
        FROM here
        WHERE group_id = $1 AND lease.tl = $2 AND epoch = $3 AND claim = $4 AND NOT released AND seq < $5
          AND here.tl = $7
        RETURNING true AS done, left(resign, 256) AS resign,
            lease.forgot_ms AS forgot_ms,
            (SELECT before.tl <> lease.tl OR before.seq < $8 FROM before) OR lease.epoch_floor >= lease.epoch AS found)
     SELECT here.tl AS current, EXISTS (SELECT FROM before) AS present, coalesce(done, false) AS done, forgot_ms, coalesce(found, false) AS found, resign,
            CASE WHEN done THEN pg_notify(",
    channel!(),
    ", $6) END FROM here LEFT JOIN renewed ON true"
);

/// $1 to $4 token, $5 seq, $6 reason, $7 hint, $8 the seq that the row has certainly reached (M23). Does not
/// carry the row to another timeline: on a promoted standby that had lost a later claim, that would release
/// the lease while the later holder still has a valid lease. In the history, a term does not outlast its lease.
const RELEASE: &str = concat!(
    "WITH before AS MATERIALIZED (
        SELECT renewed_at + ttl_ms * interval '1 millisecond' AS lease_ends_at
        FROM coordinator_lease WHERE group_id = $1),
     released AS (
        UPDATE coordinator_lease SET seq = $5, released = true, renewed_at = now(),
            forgot_ms = CASE WHEN seq < $8 THEN greatest(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint, forgot_ms + 1)
                        ELSE forgot_ms END
        WHERE group_id = $1 AND tl = $2 AND epoch = $3 AND claim = $4 AND NOT released AND seq < $5
        RETURNING claim),
     ended AS (
        UPDATE coordinator_term AS term
        SET to_at = greatest(from_at, least(now(), before.lease_ends_at)), reason = $6
        FROM released, before WHERE group_id = $1 AND term.claim = released.claim AND to_at IS NULL)
     SELECT pg_notify(",
    channel!(),
    ", $7) FROM released"
);

/// $1 to $4 token, $5 reason, $6 hint, $7 the successor or NULL. Changes neither seq nor timeline, because it is not the
/// holder's write.
const REQUEST_HANDOVER: &str = concat!(
    "WITH asked AS (
        UPDATE coordinator_lease SET resign = $5, successor = $7
        WHERE group_id = $1 AND tl = $2 AND epoch = $3 AND claim = $4 AND NOT released
        RETURNING 1)
     SELECT pg_notify(",
    channel!(),
    ", $6) FROM asked"
);

/// $1 to $4 token, $5 the epoch that the sender knows of, $6 hint. Changes neither seq nor timeline.
const NOTE_FORGOTTEN: &str = concat!(
    "WITH noted AS (
        UPDATE coordinator_lease
        SET epoch_floor = greatest(epoch_floor, $5),
            forgot_ms = greatest(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint, forgot_ms + 1)
        WHERE group_id = $1 AND tl = $2 AND epoch = $3 AND claim = $4 AND NOT released
        RETURNING 1)
     SELECT pg_notify(",
    channel!(),
    ", $6) FROM noted"
);

/// The group has no lease: its row was deleted, or the group was never created.
pub(crate) fn no_lease(group: &GroupId) -> StoreError {
    StoreError::Corrupt(format!("{TABLE} has no row for group {group}: run `coordinator migrate`"))
}

pub(crate) async fn observe(lane: &Lane, me: &Process) -> Result<Observation, StoreError> {
    let found = lane.optional(me.names.query(OBSERVE).bind(me.identity.group.as_str())).await?;
    let row = found.ok_or_else(|| no_lease(&me.identity.group))?;
    let columns = Columns::of(TABLE, &row);
    let token = Token {
        timeline: Timeline(columns.number("tl")?),
        epoch: Epoch(columns.number("epoch")?),
        claim: columns.claim("claim")?,
    };
    let ttl = Duration::from_millis(columns.number("ttl_ms")?);
    if !(TTL_MIN..=TTL_MAX).contains(&ttl) {
        return Err(columns.corrupt("ttl_ms", &format!("is {}, out of range", ttl.as_millis())));
    }
    Ok(Observation {
        version: Version {
            current: Timeline(columns.number("current")?),
            token,
            seq: Seq(columns.number("seq")?),
        },
        released: columns.required("released")?,
        ttl,
        holder: columns.optional("holder")?.map(InstanceId::from_stored),
        resign: columns.optional("resign")?,
        successor: columns.optional("successor")?.map(InstanceId::from_stored),
        floor: Epoch(columns.number("epoch_floor")?),
        schema: Columns::of("coordinator_schema", &row).number("version")?,
    })
}

pub(crate) async fn claim(lane: &Lane, me: &Process, request: &ClaimRequest) -> Result<Claim, StoreError> {
    let Version { current, token, seq } = request.observed;
    let statement = bind_token(CLAIM, me, &token)
        .bind(bigint(seq.0))
        .bind(i64::from(current.0))
        .bind(uuid(request.claim))
        .bind(request.holder.as_str())
        .bind(row::text(&me.identity.host))
        .bind(row::milliseconds(request.ttl))
        .bind(me.payload(Hint::Lease))
        .bind(bigint(request.floor.0))
        .bind(request.forgotten)
        .bind(request.former.reason());
    let Some(row) = lane.optional(statement).await? else {
        return Ok(Claim::Lost);
    };
    let columns = Columns::of(TABLE, &row);
    let token = Token {
        timeline: Timeline(columns.number("tl")?),
        epoch: Epoch(columns.number("epoch")?),
        claim: request.claim,
    };
    me.claimed(&token, columns.optional("forgot_ms")?);
    Ok(Claim::Granted(token))
}

pub(crate) async fn renew(
    lane: &Lane,
    me: &Process,
    token: &Token,
    seq: Seq,
    current: Timeline,
) -> Result<Renewal, StoreError> {
    let statement = bind_token(RENEW, me, token)
        .bind(bigint(seq.0))
        .bind(me.payload(Hint::Lease))
        .bind(i64::from(current.0))
        .bind(bigint(me.reached(token).0));
    let row = lane.one(statement).await?;
    let columns = Columns::of(TABLE, &row);
    let timeline = Timeline(columns.number("current")?);
    if columns.required::<bool>("done")? {
        let forgotten = me.renewed(token, seq, columns.optional("forgot_ms")?, columns.required("found")?);
        let resign = columns.optional("resign")?;
        return Ok(Renewal::Renewed { timeline, resign, forgotten });
    }
    if timeline != current {
        return Ok(Renewal::OtherTimeline(timeline));
    }
    if columns.required::<bool>("present")? {
        Ok(Renewal::Superseded)
    } else {
        Err(no_lease(&me.identity.group))
    }
}

pub(crate) async fn release(
    lane: &Lane,
    me: &Process,
    token: &Token,
    seq: Seq,
    reason: &str,
) -> Result<Release, StoreError> {
    let statement = bind_token(RELEASE, me, token)
        .bind(bigint(seq.0))
        .bind(row::text(reason))
        .bind(me.payload(Hint::Lease))
        .bind(bigint(me.reached(token).0));
    Ok(if lane.optional(statement).await?.is_some() { Release::Released } else { Release::Superseded })
}

pub(crate) async fn request_handover(
    lane: &Lane,
    me: &Process,
    token: &Token,
    successor: Option<&InstanceId>,
    reason: &str,
) -> Result<StepDown, StoreError> {
    let statement = bind_token(REQUEST_HANDOVER, me, token)
        .bind(row::text(reason))
        .bind(me.payload(Hint::Resign))
        .bind(successor.map(InstanceId::as_str));
    Ok(if lane.optional(statement).await?.is_some() { StepDown::Requested } else { StepDown::Superseded })
}

pub(crate) async fn note_forgotten(
    lane: &Lane,
    me: &Process,
    found: &Token,
    known: Epoch,
) -> Result<Noted, StoreError> {
    let statement = bind_token(NOTE_FORGOTTEN, me, found).bind(bigint(known.0)).bind(me.payload(Hint::Lease));
    Ok(if lane.optional(statement).await?.is_some() { Noted::Noted } else { Noted::Superseded })
}
