//! The instance table and the history, which the operator reads.

use crate::config::SqliteConfig;
use crate::fence::integer;
use crate::lease::no_lease;
use crate::session::Session;
use crate::statement::Statement;
use crate::stored::{Stored, TEXT_LEN_MAX, now_ms};
use domain::id::{GroupId, ID_LEN_MAX, InstanceId, Nonce};
use domain::lease::{Epoch, Timeline};
use domain::member::{Health, Heartbeat, LeaseSeen, Member, MemberSeen, MemberState, Term};
use domain::ports::{DECISIONS_READ_MAX, MEMBERS_READ_MAX, StoreError};
use domain::settings::SharedSettings;
use sqlx::sqlite::SqliteRow;
use std::collections::BTreeSet;
use std::time::Duration;

/// Result of a heartbeat: the columns of [`Heartbeat`], not yet judged.
pub(crate) struct Written {
    /// Terms begun in the last 60 minutes.
    pub(crate) changes_last_hour: u32,
    /// Nonce and start of the process whose line it overwrote, if there was one.
    pub(crate) before: Option<(Nonce, i64)>,
    /// Time at which the store was last found to have forgotten.
    pub(crate) forgot_ms: Option<i64>,
}

impl Written {
    /// The conclusion of the process with `nonce`. `written_before`: whether it had written its line before.
    pub(crate) fn judged(self, nonce: Nonce, written_before: bool) -> Heartbeat {
        let displaced = self.before.filter(|(other, _)| written_before && *other != nonce);
        Heartbeat { changes_last_hour: self.changes_last_hour, displaced, forgot_ms: self.forgot_ms }
    }
}

/// Writes a member's line.
pub(crate) async fn heartbeat(
    session: &Session,
    group: &GroupId,
    member: &Member,
) -> Result<Written, StoreError> {
    const SQL: &str = concat!(
        "INSERT INTO coordinator_member (group_id, id, nonce, host, address, status, epoch, fallback, ",
        "alerts, version, started_ms, settings, cannot_lead, sync_p95_us, beat_ms) VALUES (?1, ?2, ?3, substr(?4, 1, ?12), substr(?5, 1, ?12), ",
        "?6, ?7, ?8, ?9, substr(?10, 1, ?12), ?11, ?13, substr(?14, 1, ?12), ?15, ",
        now_ms!(),
        ") ON CONFLICT (group_id, id) DO UPDATE SET ",
        "previous_nonce = nonce, previous_started_ms = started_ms, nonce = excluded.nonce, ",
        "host = excluded.host, address = excluded.address, status = excluded.status, ",
        "epoch = excluded.epoch, fallback = excluded.fallback, alerts = excluded.alerts, ",
        "version = excluded.version, started_ms = excluded.started_ms, settings = excluded.settings, ",
        "cannot_lead = excluded.cannot_lead, sync_p95_us = excluded.sync_p95_us, beat_ms = excluded.beat_ms ",
        "RETURNING previous_nonce, previous_started_ms, (SELECT count(*) FROM coordinator_term ",
        "WHERE coordinator_term.group_id = ?1 AND from_ms > ",
        now_ms!(),
        " - 3600000) AS changes, ",
        "(SELECT forgot_ms FROM coordinator_lease WHERE coordinator_lease.group_id = ?1) AS forgot_ms"
    );
    let statement = Statement::new(SQL)
        .bind(group.as_str().to_owned())
        .bind(member.id.as_str().to_owned())
        .bind(member.nonce.to_string())
        .bind(member.host.clone())
        .bind(member.address.clone())
        .bind(member.state.as_str())
        .bind(integer(member.epoch.0))
        .bind(i64::from(member.fallback))
        .bind(i64::from(member.alerts.as_number()))
        .bind(member.version.clone())
        .bind(member.started_ms)
        .bind(TEXT_LEN_MAX)
        .bind(member.settings.written())
        .bind(member.cannot_lead.clone())
        .bind(member.sync_p95.map(|p95| i64::try_from(p95.as_micros()).unwrap_or(i64::MAX)));
    let rows = session.fetch(statement).await?;
    let row = rows.first().ok_or_else(|| StoreError::Unknown("the heartbeat answered no row".to_owned()))?;
    let stored = Stored::new("coordinator_member", row);
    let before = match stored.maybe_number("previous_started_ms")? {
        None => None,
        Some(started_ms) => Some((stored.nonce("previous_nonce")?, started_ms)),
    };
    Ok(Written {
        changes_last_hour: Stored::new("coordinator_term", row).number("changes")?,
        before,
        forgot_ms: Stored::new("coordinator_lease", row).maybe_number("forgot_ms")?,
    })
}

/// See [`domain::ports::MemberStore::leave`].
pub(crate) async fn leave(
    session: &Session,
    group: &GroupId,
    id: &InstanceId,
    nonce: Nonce,
) -> Result<(), StoreError> {
    const SQL: &str = "DELETE FROM coordinator_member WHERE group_id = ?1 AND id = ?2 AND nonce = ?3";
    let statement = Statement::new(SQL)
        .bind(group.as_str().to_owned())
        .bind(id.as_str().to_owned())
        .bind(nonce.to_string());
    session.execute(statement).await.map(|_| ())
}

/// See [`domain::ports::MemberStore::members`].
pub(crate) async fn members(session: &Session, group: &GroupId) -> Result<Vec<MemberSeen>, StoreError> {
    const SQL: &str = concat!(
        "SELECT substr(id, 1, ?2) AS id, substr(nonce, 1, 25) AS nonce, substr(host, 1, ?2) AS host, ",
        "substr(address, 1, ?2) AS address, substr(status, 1, ?2) AS status, epoch, fallback, alerts, ",
        "substr(version, 1, ?2) AS version, started_ms, substr(settings, 1, 1024) AS settings, ",
        "substr(CAST(cannot_lead AS TEXT), 1, ?2) AS cannot_lead, sync_p95_us, max(0, ",
        now_ms!(),
        " - beat_ms) AS age_ms, beat_ms FROM (SELECT * FROM coordinator_member WHERE group_id = ?1 AND beat_ms > ",
        now_ms!(),
        " - 86400000 ORDER BY beat_ms DESC LIMIT ?3) AS latest ORDER BY latest.id"
    );
    let statement = Statement::new(SQL)
        .bind(group.as_str().to_owned())
        .bind(TEXT_LEN_MAX)
        .bind(i64::from(MEMBERS_READ_MAX));
    let rows = session.fetch(statement).await?;
    let removed = removed(session, group).await.unwrap_or_else(|error| {
        tracing::debug!("removed instances are shown, because the decisions cannot be read: {error}");
        BTreeSet::new()
    });
    let mut members = Vec::with_capacity(rows.len());
    for row in &rows {
        if !removed.contains(&heartbeat_of(row)?) {
            members.push(seen(&Stored::new("coordinator_member", row))?);
        }
    }
    Ok(members)
}

/// The instances that were removed on purpose, and the last heartbeat of each at that time. An instance is left out until it
/// writes another one. Nothing but what operators read depends on this, so a fault of the table hides no instance.
async fn removed(session: &Session, group: &GroupId) -> Result<BTreeSet<(String, i64)>, StoreError> {
    const SQL: &str = "SELECT substr(instance, 1, ?2) AS id, beat_ms FROM coordinator_decision \
         WHERE group_id = ?1 AND instance IS NOT NULL ORDER BY number DESC LIMIT ?3";
    let statement = Statement::new(SQL)
        .bind(group.as_str().to_owned())
        .bind(TEXT_LEN_MAX)
        .bind(i64::from(DECISIONS_READ_MAX));
    session.fetch(statement).await?.iter().map(heartbeat_of).collect()
}

/// The id, and the time of the last heartbeat in unix milliseconds.
fn heartbeat_of(row: &SqliteRow) -> Result<(String, i64), StoreError> {
    let stored = Stored::new("coordinator_member", row);
    Ok((stored.text("id")?, stored.number("beat_ms")?))
}

/// See [`domain::ports::MemberStore::history`].
pub(crate) async fn history(session: &Session, group: &GroupId, limit: u32) -> Result<Vec<Term>, StoreError> {
    const SQL: &str = "SELECT tl, epoch, substr(coalesce(holder, ''), 1, ?2) AS holder, \
         substr(host, 1, ?2) AS host, from_ms, to_ms, substr(reason, 1, ?2) AS reason \
         FROM coordinator_term WHERE group_id = ?1 ORDER BY id DESC LIMIT ?3";
    let statement =
        Statement::new(SQL).bind(group.as_str().to_owned()).bind(TEXT_LEN_MAX).bind(i64::from(limit));
    session.fetch(statement).await?.iter().map(|row| term(&Stored::new("coordinator_term", row))).collect()
}

/// See [`domain::ports::MemberStore::lease`].
pub(crate) async fn lease(session: &Session, config: &SqliteConfig) -> Result<LeaseSeen, StoreError> {
    const SQL: &str = concat!(
        "SELECT substr(CAST(holder AS TEXT), 1, ?2) AS holder, epoch, released, ttl_ms, forgot_ms, ",
        // NULL before the first claim.
        "coalesce(max(0, ",
        now_ms!(),
        " - CAST(round(unixepoch(renewed_at, 'subsec') * 1000) AS INTEGER)), 0) AS age_ms, ",
        "(SELECT from_ms FROM coordinator_term AS term WHERE term.group_id = ?1 AND term.claim = lease.claim ",
        "ORDER BY term.id DESC LIMIT 1) AS since_ms FROM coordinator_lease AS lease WHERE group_id = ?1"
    );
    let statement = Statement::new(SQL)
        .bind(config.identity.group.as_str().to_owned())
        .bind(i64::try_from(ID_LEN_MAX).expect("a short length"));
    let rows = session.fetch(statement).await?;
    let row = rows.first().ok_or_else(|| no_lease(config))?;
    let stored = Stored::new("coordinator_lease", row);
    Ok(LeaseSeen {
        holder: stored.maybe_text("holder")?.map(|text| InstanceId::from_stored(&text)),
        epoch: Epoch(stored.number("epoch")?),
        released: stored.flag("released")?,
        ttl: Duration::from_millis(stored.number("ttl_ms")?),
        renewed_age: Duration::from_millis(stored.number("age_ms")?),
        since_ms: stored.maybe_number("since_ms")?,
        forgot_ms: stored.maybe_number("forgot_ms")?,
    })
}

fn seen(stored: &Stored<'_>) -> Result<MemberSeen, StoreError> {
    let status = stored.text("status")?;
    let member = Member {
        id: stored.instance("id")?,
        nonce: stored.nonce("nonce")?,
        host: stored.text("host")?,
        address: stored.text("address")?,
        state: MemberState::parse(&status).ok_or_else(|| stored.corrupt("status", "is not a state"))?,
        epoch: Epoch(stored.number("epoch")?),
        fallback: stored.flag("fallback")?,
        alerts: Health::from_number(stored.number("alerts")?),
        version: stored.text("version")?,
        started_ms: stored.number("started_ms")?,
        settings: SharedSettings::parse(&stored.text("settings")?),
        cannot_lead: stored.maybe_text("cannot_lead")?,
        sync_p95: stored.maybe_number("sync_p95_us")?.map(Duration::from_micros),
    };
    Ok(MemberSeen { member, heartbeat_age: Duration::from_millis(stored.number("age_ms")?) })
}

fn term(stored: &Stored<'_>) -> Result<Term, StoreError> {
    Ok(Term {
        timeline: Timeline(stored.number("tl")?),
        epoch: Epoch(stored.number("epoch")?),
        holder: stored.instance("holder")?,
        host: stored.text("host")?,
        from_ms: stored.number("from_ms")?,
        to_ms: stored.maybe_number("to_ms")?,
        reason: stored.maybe_text("reason")?,
    })
}
