//! The statements on the lease, which decide who leads.

use crate::config::SqliteConfig;
use crate::fence::{TIMELINE, fenced, holds, integer};
use crate::session::Session;
use crate::statement::Statement;
use crate::stored::{Stored, TEXT_LEN_MAX, millis_up, now_ms, now_text};
use domain::id::{ID_LEN_MAX, InstanceId};
use domain::lease::{Epoch, Observation, Seq, TTL_MAX, TTL_MIN, Timeline, Token, Version};
use domain::ports::{ClaimRequest, FormerTerm, Noted, Release, StepDown, StoreError};
use std::time::Duration;

/// The group has no lease: its row was deleted, or the group was never created.
pub(crate) fn no_lease(config: &SqliteConfig) -> StoreError {
    StoreError::Corrupt(format!(
        "{} has no lease row for the group {}: `coordinator migrate` creates it",
        config.path.display(),
        config.identity.group
    ))
}

/// See [`domain::ports::LeaseStore::observe`].
pub(crate) async fn observe(session: &Session, config: &SqliteConfig) -> Result<Observation, StoreError> {
    const SQL: &str = "SELECT tl, epoch, substr(claim, 1, 37) AS claim, seq, released, ttl_ms, \
         substr(CAST(holder AS TEXT), 1, ?2) AS holder, substr(CAST(resign AS TEXT), 1, ?3) AS resign, \
         substr(CAST(successor AS TEXT), 1, ?2) AS successor, \
         epoch_floor, (SELECT max(version) FROM coordinator_schema) AS version \
         FROM coordinator_lease WHERE group_id = ?1";
    let statement = Statement::new(SQL)
        .bind(config.identity.group.as_str().to_owned())
        .bind(i64::try_from(ID_LEN_MAX).expect("a short length"))
        .bind(TEXT_LEN_MAX);
    let rows = session.fetch(statement).await?;
    let row = rows.first().ok_or_else(|| no_lease(config))?;
    let stored = Stored::new("coordinator_lease", row);
    let token = Token {
        timeline: Timeline(stored.number("tl")?),
        epoch: epoch(&stored)?,
        claim: stored.claim("claim")?,
    };
    Ok(Observation {
        version: Version { current: TIMELINE, token, seq: Seq(stored.number("seq")?) },
        released: stored.flag("released")?,
        ttl: ttl(&stored)?,
        holder: stored.maybe_text("holder")?.map(|text| InstanceId::from_stored(&text)),
        resign: stored.maybe_text("resign")?,
        successor: stored.maybe_text("successor")?.map(|text| InstanceId::from_stored(&text)),
        floor: Epoch(stored.number("epoch_floor")?),
        schema: Stored::new("coordinator_schema", row).number("version")?,
    })
}

/// See [`domain::ports::StateStore::claim`]. Returns the token and the row's `forgot_ms`.
pub(crate) async fn claim(
    session: &Session,
    config: &SqliteConfig,
    request: &ClaimRequest,
) -> Result<Option<(Token, Option<i64>)>, StoreError> {
    const SQL: &str = concat!(
        "UPDATE coordinator_lease SET tl = ?6, epoch = ?11, forgot_ms = CASE WHEN ?12 THEN max(",
        now_ms!(),
        ", coalesce(forgot_ms + 1, 0)) ELSE forgot_ms END, claim = ?7, seq = 0, holder = ?8, ",
        "host = ?9, released = 0, release_reason = NULL, ttl_ms = ?10, resign = NULL, successor = NULL, renewed_at = ",
        now_text!(),
        " WHERE group_id = ?1 AND tl = ?2 AND epoch = ?3 AND claim = ?4 AND seq = ?5 RETURNING forgot_ms"
    );
    let seen = &request.observed;
    if seen.current != TIMELINE {
        return Ok(None);
    }
    // The history shows where the leader runs, and only this process's host is known here.
    let host =
        if request.holder == config.identity.id { config.identity.host.clone() } else { String::new() };
    let statement = fenced(SQL, &config.identity.group, &seen.token)
        .bind(integer(seen.seq.0))
        .bind(i64::from(TIMELINE.0))
        .bind(request.claim.to_string())
        .bind(request.holder.as_str().to_owned())
        .bind(host)
        .bind(millis_up(request.ttl))
        .bind(integer(request.epoch().0))
        .bind(i64::from(request.forgotten));
    let token = Token { timeline: TIMELINE, epoch: request.epoch(), claim: request.claim };
    let rows = session.fetch(statement).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    if request.former != FormerTerm::Expired {
        end_former_term(session, config, request).await;
    }
    Ok(Some((token, Stored::new("coordinator_lease", row).maybe_number("forgot_ms")?)))
}

/// Corrects the reason of the former term, which the claim's trigger has ended as expired. Only the history needs it: if it
/// fails, the lease is claimed all the same.
async fn end_former_term(session: &Session, config: &SqliteConfig, request: &ClaimRequest) {
    const SQL: &str = "UPDATE coordinator_term SET reason = ?3 \
         WHERE group_id = ?1 AND claim = ?2 AND reason = 'expired'";
    let statement = Statement::new(SQL)
        .bind(config.identity.group.as_str().to_owned())
        .bind(request.observed.token.claim.to_string())
        .bind(request.former.reason().to_owned());
    let _ = session.execute(statement).await;
}

/// See [`domain::ports::StateStore::renew`]. A row with a seq lower than the acknowledged one is an older
/// copy. A separate statement renews it and also notes the moment. Returns also the row's `forgot_ms`, and
/// whether the row was found to be an older copy.
pub(crate) async fn renew(
    session: &Session,
    config: &SqliteConfig,
    token: &Token,
    seq: Seq,
    reached: Seq,
) -> Result<Option<Renewed>, StoreError> {
    const RENEW: &str = concat!(
        "UPDATE coordinator_lease SET tl = ?6, seq = ?5, renewed_at = ",
        now_text!(),
        " WHERE ",
        holds!(),
        " AND seq < ?5 AND seq >= ?8 RETURNING substr(CAST(resign AS TEXT), 1, ?7) AS resign, forgot_ms, epoch_floor >= epoch AS noted"
    );
    const RENEW_OLDER: &str = concat!(
        "UPDATE coordinator_lease SET tl = ?6, seq = ?5, forgot_ms = max(",
        now_ms!(),
        ", coalesce(forgot_ms + 1, 0)), renewed_at = ",
        now_text!(),
        " WHERE ",
        holds!(),
        " AND seq < ?5 AND seq < ?8 RETURNING substr(CAST(resign AS TEXT), 1, ?7) AS resign, forgot_ms, epoch_floor >= epoch AS noted"
    );
    const ROW: &str = "SELECT 1 FROM coordinator_lease WHERE group_id = ?1";
    for (sql, found) in [(RENEW, false), (RENEW_OLDER, true)] {
        let statement = fenced(sql, &config.identity.group, token)
            .bind(integer(seq.0))
            .bind(i64::from(TIMELINE.0))
            .bind(TEXT_LEN_MAX)
            .bind(integer(reached.0));
        if let Some(row) = session.fetch(statement).await?.first() {
            let stored = Stored::new("coordinator_lease", row);
            let (resign, forgot_ms) = (stored.maybe_text("resign")?, stored.maybe_number("forgot_ms")?);
            // A claim is above the floor that it read, so a floor that is not below the epoch was noted
            // since.
            let found = found || stored.maybe_number("noted")? == Some(1);
            return Ok(Some(Renewed { resign, forgot_ms, found }));
        }
    }
    let row = session.fetch(Statement::new(ROW).bind(config.identity.group.as_str().to_owned())).await?;
    if row.is_empty() { Err(no_lease(config)) } else { Ok(None) }
}

/// The lease after a renewal.
pub(crate) struct Renewed {
    pub(crate) resign: Option<String>,
    pub(crate) forgot_ms: Option<i64>,
    /// The row was an older copy, or another instance has noted that it is one.
    pub(crate) found: bool,
}

/// See [`domain::ports::LeaseStore::release`].
pub(crate) async fn release(
    session: &Session,
    config: &SqliteConfig,
    token: &Token,
    seq: Seq,
    reached: Seq,
    reason: &str,
) -> Result<Release, StoreError> {
    const SQL: &str = concat!(
        "UPDATE coordinator_lease SET seq = ?5, released = 1, release_reason = substr(?6, 1, ?7), ",
        "forgot_ms = CASE WHEN seq < ?8 THEN max(",
        now_ms!(),
        ", coalesce(forgot_ms + 1, 0)) ELSE forgot_ms END, renewed_at = ",
        now_text!(),
        " WHERE ",
        holds!(),
        " AND seq < ?5"
    );
    let statement = fenced(SQL, &config.identity.group, token)
        .bind(integer(seq.0))
        .bind(reason.to_owned())
        .bind(TEXT_LEN_MAX)
        .bind(integer(reached.0));
    Ok(if session.execute(statement).await? == 1 { Release::Released } else { Release::Superseded })
}

/// See [`domain::ports::OperatorRequests::request_handover`].
pub(crate) async fn request_handover(
    session: &Session,
    config: &SqliteConfig,
    token: &Token,
    successor: Option<&InstanceId>,
    reason: &str,
) -> Result<StepDown, StoreError> {
    const SQL: &str =
        concat!("UPDATE coordinator_lease SET resign = substr(?5, 1, ?6), successor = ?7 WHERE ", holds!());
    let statement = fenced(SQL, &config.identity.group, token)
        .bind(reason.to_owned())
        .bind(TEXT_LEN_MAX)
        .bind(successor.map(|id| id.as_str().to_owned()));
    Ok(if session.execute(statement).await? == 1 { StepDown::Requested } else { StepDown::Superseded })
}

/// See [`domain::ports::LeaseStore::note_forgotten`].
pub(crate) async fn note_forgotten(
    session: &Session,
    config: &SqliteConfig,
    found: &Token,
    known: Epoch,
) -> Result<Noted, StoreError> {
    const SQL: &str = concat!(
        "UPDATE coordinator_lease SET epoch_floor = max(epoch_floor, ?5), forgot_ms = max(",
        now_ms!(),
        ", coalesce(forgot_ms + 1, 0)) WHERE ",
        holds!()
    );
    let statement = fenced(SQL, &config.identity.group, found).bind(integer(known.0));
    Ok(if session.execute(statement).await? == 1 { Noted::Noted } else { Noted::Superseded })
}

/// The epoch of the row, which must have a successor.
fn epoch(stored: &Stored<'_>) -> Result<Epoch, StoreError> {
    match stored.number::<u64>("epoch")? {
        epoch if integer(epoch) == i64::MAX => {
            Err(stored.corrupt("epoch", "is the largest number, so no epoch can follow"))
        }
        epoch => Ok(Epoch(epoch)),
    }
}

fn ttl(stored: &Stored<'_>) -> Result<Duration, StoreError> {
    let ttl = Duration::from_millis(stored.number("ttl_ms")?);
    if (TTL_MIN..=TTL_MAX).contains(&ttl) {
        return Ok(ttl);
    }
    Err(stored.corrupt("ttl_ms", format_args!("is {} ms, not from 1 s to 300 s", ttl.as_millis())))
}
