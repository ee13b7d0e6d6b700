//! Decisions of operators that concern no signal. Rows are only appended.

use crate::session::Session;
use crate::signal_ledger::actor::{cut, kept, note};
use crate::statement::Statement;
use crate::stored::{Stored, bytes, millis_up, now_ms};
use domain::decision::{Decision, Subject};
use domain::id::{GroupId, InstanceId};
use domain::ledger::Actor;
use domain::ports::{DECISIONS_READ_MAX, Removal, StoreError};
use domain::recovery::RecoveryCode;
use std::time::Duration;

const TABLE: &str = "coordinator_decision";

/// The line of the instance ?2 in the group ?1, unless it was removed and has written no heartbeat since.
macro_rules! line {
    () => {
        "FROM coordinator_member AS member WHERE group_id = ?1 AND id = ?2 AND NOT EXISTS ( \
         SELECT 1 FROM coordinator_decision AS removed WHERE removed.group_id = ?1 \
         AND removed.instance = member.id AND removed.beat_ms = member.beat_ms)"
    };
}

/// Whether the instance ?2 holds the lease of the group ?1, and the lease has not ended.
macro_rules! leads {
    () => {
        concat!(
            "EXISTS (SELECT 1 FROM coordinator_lease WHERE group_id = ?1 AND holder = ?2 AND released = 0 ",
            "AND CAST(round(unixepoch(renewed_at, 'subsec') * 1000) AS INTEGER) + ttl_ms > ",
            now_ms!(),
            ")"
        )
    };
}

/// See [`domain::ports::OperatorRequests::remove_instance`].
pub(crate) async fn remove_instance(
    session: &Session,
    group: &GroupId,
    id: &InstanceId,
    recent: Duration,
    actor: &Actor,
    reason: &str,
) -> Result<Removal, StoreError> {
    const REMOVE: &str = concat!(
        "INSERT INTO coordinator_decision (group_id, at_ms, who, origin, what, instance, started_ms, beat_ms, reason) ",
        "SELECT group_id, ",
        now_ms!(),
        ", ?3, ?4, 'instance_removed', id, started_ms, beat_ms, ?5 ",
        line!(),
        " AND NOT ",
        leads!(),
        " AND max(0, ",
        now_ms!(),
        " - beat_ms) >= ?6 RETURNING number"
    );
    const WHY_NOT: &str =
        concat!("SELECT max(0, ", now_ms!(), " - beat_ms) AS age_ms, ", leads!(), " AS leads ", line!());
    let actor = kept(actor);
    let remove = Statement::new(REMOVE)
        .bind(group.as_str().to_owned())
        .bind(id.as_str().to_owned())
        .bind(actor.who)
        .bind(actor.origin)
        .bind(note(reason))
        .bind(millis_up(recent));
    if !session.fetch(remove).await?.is_empty() {
        return Ok(Removal::Removed);
    }
    let why_not = Statement::new(WHY_NOT).bind(group.as_str().to_owned()).bind(id.as_str().to_owned());
    let rows = session.fetch(why_not).await?;
    let Some(row) = rows.first() else { return Ok(Removal::Unknown) };
    let stored = Stored::new("coordinator_member", row);
    let heartbeat_age = Duration::from_millis(stored.number("age_ms")?);
    Ok(if stored.flag("leads")? { Removal::Leads } else { Removal::Alive { heartbeat_age } })
}

/// See [`domain::ports::OperatorRequests::acknowledge_recovery`].
pub(crate) async fn acknowledge_recovery(
    session: &Session,
    group: &GroupId,
    verdict: Option<RecoveryCode>,
    actor: &Actor,
    reason: &str,
) -> Result<(), StoreError> {
    const SQL: &str = concat!(
        "INSERT INTO coordinator_decision (group_id, at_ms, who, origin, what, recovery_code, reason) VALUES (?1, ",
        now_ms!(),
        ", ?2, ?3, 'recovery_acknowledged', ?4, ?5)"
    );
    let actor = kept(actor);
    let statement = Statement::new(SQL)
        .bind(group.as_str().to_owned())
        .bind(actor.who)
        .bind(actor.origin)
        .bind(verdict.map(|code| i64::from(code.as_number())))
        .bind(note(reason));
    session.execute(statement).await.map(|_| ())
}

/// See [`domain::ports::OperatorRequests::decisions`].
pub(crate) async fn decisions(
    session: &Session,
    group: &GroupId,
    limit: u32,
) -> Result<Vec<Decision>, StoreError> {
    const SQL: &str = concat!(
        "SELECT at_ms, ",
        bytes!("who", "512"),
        ", ",
        bytes!("origin", "512"),
        ", ",
        bytes!("what", "32"),
        ", ",
        bytes!("instance", "512"),
        ", started_ms, recovery_code, ",
        bytes!("reason", "1024"),
        " FROM coordinator_decision WHERE group_id = ?1 ORDER BY number DESC LIMIT ?2"
    );
    let statement =
        Statement::new(SQL).bind(group.as_str().to_owned()).bind(i64::from(limit.min(DECISIONS_READ_MAX)));
    session.fetch(statement).await?.iter().map(|row| decision(&Stored::new(TABLE, row))).collect()
}

fn decision(stored: &Stored<'_>) -> Result<Decision, StoreError> {
    let subject = match stored.text("what")?.as_str() {
        "instance_removed" => Subject::InstanceRemoved {
            id: stored.instance("instance")?,
            started_ms: stored.number("started_ms")?,
        },
        "recovery_acknowledged" => {
            let code: Option<i64> = stored.maybe_number("recovery_code")?;
            let unknown = || stored.corrupt("recovery_code", "is not the code of a recovery");
            let known = |code| RecoveryCode::from_number(code).ok_or_else(unknown);
            Subject::RecoveryAcknowledged { verdict: code.map(known).transpose()? }
        }
        _ => return Err(stored.corrupt("what", "is not a decision")),
    };
    Ok(Decision {
        at_ms: stored.number("at_ms")?,
        actor: Actor { who: kept_text(stored, "who")?, origin: kept_text(stored, "origin")? },
        subject,
        reason: note(&stored.text("reason")?),
    })
}

fn kept_text(stored: &Stored<'_>, column: &'static str) -> Result<String, StoreError> {
    Ok(cut(&stored.text(column)?, crate::signal_ledger::actor::ACTOR_LEN_MAX))
}
