//! The instance table and the history.

use crate::lease::{self, no_lease};
use crate::pool::Lane;
use crate::row::{self, Columns, bigint};
use crate::state_store::Process;
use domain::id::{InstanceId, Nonce};
use domain::lease::{Epoch, Timeline};
use domain::member::{Health, Heartbeat, LeaseSeen, Member, MemberSeen, MemberState, Term};
use domain::ports::{DECISIONS_READ_MAX, MEMBERS_READ_MAX, StoreError};
use domain::settings::SharedSettings;
use sqlx::postgres::PgRow;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// Most terms that one request reads; more than a page shows.
const TERMS_READ_MAX: u32 = 10_000;

/// $1 group, $2 id, $3 nonce, $4 host, $5 address, $6 status, $7 epoch, $8 fallback, $9 alerts, $10 version,
/// $11 started, $12 settings, $13 the reason why it cannot lead, $14 p95 of its syncs in µs. `written` reads from `before`, so that it runs after
/// it: `before` is the line as the last writer left it, under a lock.
const HEARTBEAT: &str = "\
    WITH before AS (
        SELECT nonce, started_ms FROM coordinator_member WHERE group_id = $1 AND id = $2 FOR UPDATE),
    written AS (
        INSERT INTO coordinator_member (group_id, id, nonce, host, address, status, epoch, fallback, alerts,
                                        version, started_ms, settings, cannot_lead, sync_p95_us, beat_at)
        SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, now()
        FROM (VALUES (1)) AS always LEFT JOIN before ON true
        ON CONFLICT (group_id, id) DO UPDATE
        SET nonce = excluded.nonce, host = excluded.host, address = excluded.address,
            status = excluded.status, epoch = excluded.epoch, fallback = excluded.fallback,
            alerts = excluded.alerts, version = excluded.version, started_ms = excluded.started_ms,
            settings = excluded.settings, cannot_lead = excluded.cannot_lead,
            sync_p95_us = excluded.sync_p95_us, beat_at = excluded.beat_at)
    SELECT (SELECT count(*) FROM coordinator_term
            WHERE group_id = $1 AND from_at > now() - interval '60 minutes') AS changes,
           (SELECT forgot_ms FROM coordinator_lease WHERE group_id = $1) AS forgot_ms,
           left(before.nonce, 32) AS nonce, before.started_ms
    FROM (VALUES (1)) AS always LEFT JOIN before ON true";

const LEAVE: &str = "DELETE FROM coordinator_member WHERE group_id = $1 AND id = $2 AND nonce = $3";

/// $1 group, $2 limit, which leaves out the oldest heartbeats. The age is the difference of two readings of
/// the same clock. Lines older than a day are left to the sweep.
const MEMBERS: &str = "\
    SELECT left(id, 128) AS id, left(nonce, 32) AS nonce, left(host, 256) AS host,
           left(address, 256) AS address, left(status, 32) AS status, epoch, fallback, alerts::bigint,
           left(version, 256) AS version, started_ms,
            left(settings, 1024) AS settings, left(cannot_lead, 256) AS cannot_lead, sync_p95_us,
            greatest(0, (extract(epoch FROM now() - beat_at) * 1000)::bigint) AS age_ms,
            (extract(epoch FROM beat_at) * 1000000)::bigint AS beat_us
     FROM (SELECT * FROM coordinator_member
           WHERE group_id = $1 AND beat_at > now() - interval '1 day'
          ORDER BY beat_at DESC LIMIT $2) AS latest
    ORDER BY latest.id COLLATE \"C\"";

/// $1 group, $2 limit. The instances that were removed on purpose, and the last heartbeat of each at that time. An instance
/// is left out until it writes another one.
const REMOVED: &str = "\
    SELECT left(instance, 128) AS id, (extract(epoch FROM beat_at) * 1000000)::bigint AS beat_us
    FROM coordinator_decision
    WHERE group_id = $1 AND instance IS NOT NULL AND beat_at > now() - interval '1 day'
    ORDER BY number DESC LIMIT $2";

/// $1 group, $2 limit. In the order in which the terms were written, because times may jump.
const HISTORY: &str = "\
    SELECT tl, epoch, left(holder, 128) AS holder, left(host, 256) AS host,
           (extract(epoch FROM from_at) * 1000)::bigint AS from_ms,
           (extract(epoch FROM to_at) * 1000)::bigint AS to_ms, left(reason, 256) AS reason
    FROM coordinator_term WHERE group_id = $1 ORDER BY ordinal DESC LIMIT $2";

/// $1 group. The age is the difference of two times of the same clock.
const LEASE: &str = "\
    SELECT left(holder, 128) AS holder, epoch, released, ttl_ms, forgot_ms,
           greatest(0, (extract(epoch FROM now() - renewed_at) * 1000)::bigint) AS age_ms,
           (SELECT (extract(epoch FROM term.from_at) * 1000)::bigint FROM coordinator_term AS term
            WHERE term.group_id = $1 AND term.claim = lease.claim ORDER BY term.ordinal DESC LIMIT 1) AS since_ms
    FROM coordinator_lease AS lease WHERE group_id = $1";

/// Writes this process's heartbeat. `written_before`: whether this process has written its line before.
pub(crate) async fn heartbeat(
    lane: &Lane,
    me: &Process,
    written_before: &AtomicBool,
    member: &Member,
) -> Result<Heartbeat, StoreError> {
    let statement = me
        .names
        .query(HEARTBEAT)
        .bind(me.identity.group.as_str())
        .bind(member.id.as_str())
        .bind(member.nonce.to_string())
        .bind(row::text(&member.host))
        .bind(row::text(&member.address))
        .bind(member.state.as_str())
        .bind(bigint(member.epoch.0))
        .bind(member.fallback)
        .bind(i16::from(member.alerts.as_number()))
        .bind(row::text(&member.version))
        .bind(member.started_ms)
        .bind(member.settings.written())
        .bind(member.cannot_lead.as_deref().map(row::text))
        .bind(member.sync_p95.map(row::microseconds));
    let row = lane.one(statement).await?;
    let columns = Columns::of("coordinator_member", &row);
    let before = match columns.optional::<&str>("nonce")? {
        Some(text) => Some((nonce(columns, text)?, columns.required("started_ms")?)),
        None => None,
    };
    let ours = written_before.swap(true, Relaxed);
    Ok(Heartbeat {
        changes_last_hour: Columns::of("coordinator_term", &row).number("changes")?,
        displaced: before.filter(|(nonce, _)| ours && *nonce != member.nonce),
        forgot_ms: Columns::of("coordinator_lease", &row).optional("forgot_ms")?,
    })
}

pub(crate) async fn leave(
    lane: &Lane,
    me: &Process,
    id: &InstanceId,
    nonce: Nonce,
) -> Result<(), StoreError> {
    let statement =
        me.names.query(LEAVE).bind(me.identity.group.as_str()).bind(id.as_str()).bind(nonce.to_string());
    lane.optional(statement).await.map(|_| ())
}

pub(crate) async fn members(lane: &Lane, me: &Process) -> Result<Vec<MemberSeen>, StoreError> {
    let rows = lane
        .all(me.names.query(MEMBERS).bind(me.identity.group.as_str()).bind(i64::from(MEMBERS_READ_MAX)))
        .await?;
    let removed = removed(lane, me).await.unwrap_or_else(|error| {
        tracing::debug!("removed instances are shown, because the decisions cannot be read: {error}");
        BTreeSet::new()
    });
    let is_removed = |row: &PgRow| heartbeat_of(row).map(|heartbeat| removed.contains(&heartbeat));
    let mut members = Vec::with_capacity(rows.len());
    for row in &rows {
        if !is_removed(row)? {
            members.push(member_seen(row)?);
        }
    }
    Ok(members)
}

/// Nothing but what operators read depends on the removals, so a fault of their table hides no instance.
async fn removed(lane: &Lane, me: &Process) -> Result<BTreeSet<(String, i64)>, StoreError> {
    let limit = i64::from(DECISIONS_READ_MAX);
    let rows = lane.all(me.names.query(REMOVED).bind(me.identity.group.as_str()).bind(limit)).await?;
    rows.iter().map(heartbeat_of).collect()
}

/// The id, and the time of the last heartbeat in unix microseconds.
fn heartbeat_of(row: &PgRow) -> Result<(String, i64), StoreError> {
    let columns = Columns::of("coordinator_member", row);
    Ok((columns.required("id")?, columns.required("beat_us")?))
}

pub(crate) async fn history(lane: &Lane, me: &Process, limit: u32) -> Result<Vec<Term>, StoreError> {
    let limit = i64::from(limit.min(TERMS_READ_MAX));
    let rows = lane.all(me.names.query(HISTORY).bind(me.identity.group.as_str()).bind(limit)).await?;
    rows.iter().map(term).collect()
}

pub(crate) async fn lease(lane: &Lane, me: &Process) -> Result<LeaseSeen, StoreError> {
    let row = lane.optional(me.names.query(LEASE).bind(me.identity.group.as_str())).await?;
    let row = row.ok_or_else(|| no_lease(&me.identity.group))?;
    let columns = Columns::of(lease::TABLE, &row);
    Ok(LeaseSeen {
        holder: columns.optional::<&str>("holder")?.map(InstanceId::from_stored),
        epoch: Epoch(columns.number("epoch")?),
        released: columns.required("released")?,
        ttl: Duration::from_millis(columns.number("ttl_ms")?),
        renewed_age: Duration::from_millis(columns.number("age_ms")?),
        since_ms: columns.optional("since_ms")?,
        forgot_ms: columns.optional("forgot_ms")?,
    })
}

fn member_seen(row: &PgRow) -> Result<MemberSeen, StoreError> {
    let columns = Columns::of("coordinator_member", row);
    let state: &str = columns.required("status")?;
    let member = Member {
        id: columns.shown_id("id")?,
        nonce: nonce(columns, columns.required("nonce")?)?,
        host: columns.required("host")?,
        address: columns.required("address")?,
        state: MemberState::parse(state)
            .ok_or_else(|| columns.corrupt("status", &format!("is {state:?}")))?,
        epoch: Epoch(columns.number("epoch")?),
        fallback: columns.required("fallback")?,
        alerts: Health::from_number(columns.number("alerts")?),
        version: columns.required("version")?,
        started_ms: columns.required("started_ms")?,
        settings: SharedSettings::parse(columns.required("settings")?),
        cannot_lead: columns.optional("cannot_lead")?,
        sync_p95: columns
            .optional("sync_p95_us")?
            .and_then(|us: i64| u64::try_from(us).ok())
            .map(Duration::from_micros),
    };
    Ok(MemberSeen { member, heartbeat_age: Duration::from_millis(columns.number("age_ms")?) })
}

fn term(row: &PgRow) -> Result<Term, StoreError> {
    let columns = Columns::of("coordinator_term", row);
    Ok(Term {
        timeline: Timeline(columns.number("tl")?),
        epoch: Epoch(columns.number("epoch")?),
        holder: columns.shown_id("holder")?,
        host: columns.required("host")?,
        from_ms: columns.required("from_ms")?,
        to_ms: columns.optional("to_ms")?,
        reason: columns.optional("reason")?,
    })
}

fn nonce(columns: Columns<'_>, text: &str) -> Result<Nonce, StoreError> {
    u128::from_str_radix(text, 16)
        .map(Nonce::new)
        .map_err(|_| columns.corrupt("nonce", &format!("is {text:?}, not a hexadecimal number")))
}
