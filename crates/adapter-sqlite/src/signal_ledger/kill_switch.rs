//! The kill switch: its position, and the statements that turn it.

use super::actor;
use crate::config::SqliteConfig;
use crate::session::Session;
use crate::statement::Statement;
use crate::stored::{Stored, now_ms};
use domain::ledger::Actor;
use domain::ports::{StoreError, Switch, Switched};

/// True if any column of the group's row says that the switch is on.
macro_rules! is_on {
    () => {
        "coalesce(paused_ms, paused_reason, paused_by) IS NOT NULL"
    };
}

/// Claims may be granted: the group's row exists, and no column of it says otherwise.
macro_rules! is_open {
    () => {
        concat!(
            "EXISTS (SELECT 1 FROM coordinator_dispatch WHERE group_id = ?1 AND NOT (",
            crate::signal_ledger::kill_switch::is_on!(),
            "))"
        )
    };
}
pub(super) use {is_on, is_open};

/// The error if the group has no row: nothing is claimed.
pub(super) fn missing(config: &SqliteConfig) -> StoreError {
    StoreError::Corrupt(format!(
        "{}: coordinator_dispatch has no row for the group {}, so nothing is claimed: \
         `coordinator migrate` creates it",
        config.path.display(),
        config.identity.group
    ))
}

/// See [`domain::ports::SignalLedger::switch`].
///
/// `confirmed` is 0 if the switch was turned. Otherwise it is counted up, so that the answer waits for the
/// disk.
pub(super) async fn switch(
    session: &Session,
    config: &SqliteConfig,
    to: Switch,
    actor: &Actor,
    reason: &str,
) -> Result<Switched, StoreError> {
    /// Actor, origin and reason of this turn, if it is one.
    macro_rules! turned {
        ($if:expr) => {
            concat!(
                "changed_by = CASE WHEN ",
                $if,
                " THEN ?2 ELSE changed_by END, changed_from = CASE WHEN ",
                $if,
                " THEN ?3 ELSE changed_from END, changed_why = CASE WHEN ",
                $if,
                " THEN ?4 ELSE changed_why END, confirmed = CASE WHEN ",
                $if,
                " THEN 0 ELSE confirmed + 1 END WHERE group_id = ?1 RETURNING confirmed"
            )
        };
    }
    const PAUSE: &str = concat!(
        "UPDATE coordinator_dispatch SET paused_reason = coalesce(paused_reason, ?4), ",
        "paused_by = coalesce(paused_by, ?2), paused_ms = coalesce(paused_ms, ",
        now_ms!(),
        "), ",
        turned!(concat!("NOT (", is_on!(), ")"))
    );
    const RESUME: &str = concat!(
        "UPDATE coordinator_dispatch SET paused_reason = NULL, paused_by = NULL, paused_ms = NULL, ",
        turned!(is_on!())
    );
    let sql = match to {
        Switch::Pause => PAUSE,
        Switch::Resume => RESUME,
    };
    let actor = actor::kept(actor);
    let statement = Statement::new(sql)
        .bind(config.identity.group.as_str().to_owned())
        .bind(actor.who)
        .bind(actor.origin)
        .bind(actor::note(reason));
    let rows = session.fetch(statement).await?;
    let row = rows.first().ok_or_else(|| missing(config))?;
    Ok(match Stored::new("coordinator_dispatch", row).number::<u64>("confirmed")? {
        0 => Switched::Turned,
        _ => Switched::Unchanged,
    })
}
