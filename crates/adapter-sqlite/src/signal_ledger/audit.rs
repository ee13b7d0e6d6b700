//! Reads the audit, whose lines the tables' triggers write.

use super::actor::{ACTOR_LEN_MAX, cut, note};
use crate::session::Session;
use crate::statement::Statement;
use crate::stored::{Stored, bytes};
use domain::id::GroupId;
use domain::lease::Epoch;
use domain::ledger::{Actor, AuditEntry, SignalId};
use domain::ports::{AUDIT_READ_MAX, StoreError};

/// The latest lines to which `$filter` applies.
macro_rules! lines {
    ($filter:literal) => {
        concat!(
            "SELECT number, at_ms, ",
            bytes!("who", "512"),
            ", ",
            bytes!("origin", "512"),
            ", epoch, ",
            bytes!("what", "16"),
            ", ",
            bytes!("signal_id", "129"),
            ", attempt, ",
            bytes!("note", "1024"),
            " FROM coordinator_audit WHERE group_id = ?1",
            $filter,
            " ORDER BY number DESC LIMIT ?2"
        )
    };
}

pub(super) const OF_GROUP: &str = lines!("");
pub(super) const OF_SIGNAL: &str = lines!(" AND signal_id = ?3");

/// See [`domain::ports::SignalLedger::audit`].
pub(super) async fn audit(
    session: &Session,
    group: &GroupId,
    of: Option<&SignalId>,
    limit: u32,
) -> Result<Vec<AuditEntry>, StoreError> {
    let sql = match of {
        None => OF_GROUP,
        Some(_) => OF_SIGNAL,
    };
    let mut statement =
        Statement::new(sql).bind(group.as_str().to_owned()).bind(i64::from(limit.min(AUDIT_READ_MAX)));
    if let Some(id) = of {
        statement = statement.bind(id.as_str().to_owned());
    }
    session.fetch(statement).await?.iter().map(|row| line(&Stored::new("coordinator_audit", row))).collect()
}

fn line(stored: &Stored<'_>) -> Result<AuditEntry, StoreError> {
    let signal = match stored.maybe_text("signal_id")? {
        None => None,
        Some(text) => Some(SignalId::parse(&text).map_err(|fault| stored.corrupt("signal_id", fault))?),
    };
    let kept = |column| Ok::<_, StoreError>(cut(&stored.text(column)?, ACTOR_LEN_MAX));
    Ok(AuditEntry {
        number: stored.number("number")?,
        at_ms: stored.number("at_ms")?,
        actor: Actor { who: kept("who")?, origin: kept("origin")? },
        epoch: stored.maybe_number("epoch")?.map(Epoch),
        what: stored.text("what")?,
        signal,
        attempt: stored.number("attempt")?,
        note: stored.maybe_text("note")?.map(|text| note(&text)),
    })
}
