//! Records the outcomes of attempts that a leader reports, and the decisions of the operator.

use super::actor;
use super::row::stored;
use crate::config::SqliteConfig;
use crate::fence::{effect, may_act, may_still_act};
use crate::session::Session;
use crate::state_store::SqliteStore;
use crate::statement::Statement;
use crate::stored::{bytes, now_ms};
use domain::lease::Token;
use domain::ledger::{Actor, Outcome, SignalId};
use domain::ports::{Recorded, Report, Resolution, StoreError};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Moves signals to the states in the reports ?6 if these may follow the signals' states and `$fence` holds,
/// and returns the ids of the signals that have the reported state now. A signal that had it before is only
/// counted up, so that the answer waits for the disk. ?1 is the group, ?2 to ?4 the token of the sender, ?7
/// and ?8 the reporter.
macro_rules! move_on {
    ($leads:literal, $fence:expr) => {
        concat!(
            "WITH report AS (SELECT value ->> 'id' AS id, value ->> 'attempt' AS attempt, ",
            "value ->> 'state' AS state, value ->> 'note' AS note FROM json_each(?6)), ",
            "move AS MATERIALIZED (SELECT s.arrival, report.state, report.note, s.state = report.state AS stands ",
            "FROM report CROSS JOIN coordinator_signal AS s ON s.group_id = ?1 AND s.id = report.id ",
            "AND s.attempt = report.attempt AND s.attempt > 0 AND (s.state = report.state OR ",
            $leads,
            ") AND ",
            $fence,
            ") UPDATE coordinator_signal AS s SET ",
            "state = move.state, confirmed = confirmed + stands, ",
            "note = CASE WHEN stands THEN s.note ELSE coalesce(move.note, s.note) END, ",
            "tl = CASE WHEN stands THEN tl WHEN move.state = 'sent' THEN ?2 ",
            "WHEN move.state <> 'received' THEN tl END, ",
            "epoch = CASE WHEN stands THEN epoch WHEN move.state = 'sent' THEN ?3 ",
            "WHEN move.state <> 'received' THEN epoch END, ",
            "claim = CASE WHEN stands THEN claim WHEN move.state = 'sent' THEN ?4 ",
            "WHEN move.state <> 'received' THEN claim END, ",
            "claimed_ms = CASE WHEN move.state <> 'received' THEN claimed_ms END, ",
            "settled_ms = CASE WHEN stands THEN settled_ms WHEN move.state IN ('done', 'rejected') THEN ",
            now_ms!(),
            " END, ",
            "changed_by = CASE WHEN stands THEN changed_by ELSE ?7 END, ",
            "changed_from = CASE WHEN stands THEN changed_from ELSE ?8 END ",
            "FROM move WHERE s.arrival = move.arrival RETURNING ",
            bytes!("id", "129")
        )
    };
}

/// The same rules as `Outcome::leads_from`. Only the operator may let a forgotten alert of a window be sent: no service knows
/// whether it was executed.
pub(super) const RECORD: &str = move_on!(
    "(s.state = 'claimed' AND s.claim = ?4) \
     OR (s.state = 'sent' AND report.state IN ('done', 'rejected', 'in_doubt')) \
     OR (s.state = 'in_doubt' AND report.state IN ('done', 'sent', 'rejected')) \
     OR (s.state = 'in_doubt' AND report.state = 'received' AND s.note IS NOT \
         'the store has forgotten: an earlier alert of its window may have been executed before')",
    may_act!()
);

/// See [`domain::ports::SignalLedger::record`].
pub(super) async fn record(
    store: &SqliteStore,
    token: &Token,
    reports: &[Report],
    by: Option<&Actor>,
) -> Result<Option<Vec<Recorded>>, StoreError> {
    let ids: BTreeSet<&str> = reports.iter().map(|report| report.id.as_str()).collect();
    assert_eq!(ids.len(), reports.len(), "a signal is in the reports twice");
    let all = reports
        .iter()
        .map(|report| json_of(report.id.as_str(), report.attempt, report.outcome, report.note.as_deref()));
    let statement = effect(RECORD, store, token);
    let by = by.map_or_else(|| actor::own(&store.config), actor::kept);
    let recorded = write(&store.work, statement, all.collect(), by).await?;
    if recorded.is_empty() && !may_still_act(store, token).await? {
        return Ok(None);
    }
    let answer = |report: &Report| {
        if recorded.contains(report.id.as_str()) { Recorded::Recorded } else { Recorded::Refused }
    };
    Ok(Some(reports.iter().map(answer).collect()))
}

/// See [`domain::ports::SignalLedger::resolve`].
pub(super) async fn resolve(
    session: &Session,
    config: &SqliteConfig,
    decision: &Resolution,
) -> Result<Recorded, StoreError> {
    const SQL: &str = move_on!(
        "(s.state = 'in_doubt' AND report.state IN ('done', 'rejected', 'received')) \
         OR (s.state = 'sent' AND report.state IN ('done', 'rejected'))",
        "true"
    );
    let Resolution { id, attempt, outcome, actor, reason } = decision;
    match outcome {
        Outcome::Done | Outcome::Rejected | Outcome::Received => {}
        Outcome::Sent | Outcome::InDoubt => return Ok(Recorded::Refused),
    }
    // A decision sends nothing, so it has no token.
    let statement = Statement::new(SQL)
        .bind(config.identity.group.as_str().to_owned())
        .bind(None::<i64>)
        .bind(None::<i64>)
        .bind(None::<String>)
        .bind(None::<i64>);
    let report = json!([json_of(id.as_str(), *attempt, *outcome, Some(reason))]);
    let recorded = write(session, statement, report, actor::kept(actor)).await?;
    Ok(if recorded.is_empty() { Recorded::Refused } else { Recorded::Recorded })
}

/// ?1 group, ?2 id, ?3 reason, ?4 and ?5 the operator. It keeps the time at which it expired, from which the sweep
/// counts.
pub(super) const ACKNOWLEDGE: &str = concat!(
    "UPDATE coordinator_signal SET state = 'rejected', note = ?3, changed_by = ?4, changed_from = ?5 ",
    "WHERE group_id = ?1 AND id = ?2 AND state = 'expired' RETURNING ",
    bytes!("id", "129")
);

/// See [`domain::ports::SignalLedger::acknowledge`].
pub(super) async fn acknowledge(
    session: &Session,
    config: &SqliteConfig,
    id: &SignalId,
    by: &Actor,
    reason: &str,
) -> Result<Recorded, StoreError> {
    let by = actor::kept(by);
    let statement = Statement::new(ACKNOWLEDGE)
        .bind(config.identity.group.as_str().to_owned())
        .bind(id.as_str().to_owned())
        .bind(actor::note(reason))
        .bind(by.who)
        .bind(by.origin);
    let recorded = !session.fetch(statement).await?.is_empty();
    Ok(if recorded { Recorded::Recorded } else { Recorded::Refused })
}

fn json_of(id: &str, attempt: u32, outcome: Outcome, note: Option<&str>) -> Value {
    let note = note.map(actor::note);
    json!({"id": id, "attempt": attempt, "state": outcome.state().as_str(), "note": note})
}

/// The ids of the signals that have the reported state.
async fn write(
    session: &Session,
    statement: Statement,
    reports: Value,
    actor: Actor,
) -> Result<BTreeSet<String>, StoreError> {
    let statement = statement.bind(reports.to_string()).bind(actor.who).bind(actor.origin);
    session.fetch(statement).await?.iter().map(|row| stored(row).text("id")).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_forgotten_alert_is_known_by_the_note_of_the_domain() {
        assert!(super::RECORD.contains(&format!("'{}'", domain::ledger::FORGOTTEN_ALERT)));
    }
}
