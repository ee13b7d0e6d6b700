//! Records the outcomes of attempts.

use super::stored::held;
use crate::fence::{bind_fence, with_fence};
use crate::listen::{Hint, channel};
use crate::row::{self, Columns};
use crate::state_store::PostgresStore;
use domain::lease::Token;
use domain::ledger::Actor;
use domain::ports::{Recorded, Report, StoreError};

/// Moves each signal to the state in `asked`. A signal that waits again counts against no limit.
macro_rules! move_on {
    () => {
        "state = asked.state, note = coalesce(asked.note, t.note),
         claimed_at = CASE WHEN asked.state <> 'received' THEN t.claimed_at END,
         settled_at = CASE WHEN asked.state IN ('done', 'rejected') THEN now() END"
    };
}
pub(super) use move_on;

/// Which of `asked` have the requested state now: those that moved, and those that had it already.
macro_rules! recorded {
    () => {
        "(SELECT n FROM moved UNION ALL SELECT n FROM asked WHERE was = state AND attempt > 0) AS recorded"
    };
}
pub(super) use recorded;

/// The note [`FORGOTTEN_ALERT`](domain::ledger::FORGOTTEN_ALERT). No service knows whether such a signal was executed, so only
/// the operator may let it be sent.
macro_rules! forgotten_alert {
    () => {
        "'the store has forgotten: an earlier alert of its window may have been executed before'"
    };
}

/// An array each of $6 ids, $7 attempts, $8 states, $9 notes or NULL; $10 actor, $11 origin, $12 hint.
///
/// `asked` has the signals under a lock, as they are and not as the statement's snapshot has them. The lock
/// is also a write, whose commit waits for the synchronous standby: the answer about a state that a signal
/// has already is as durable as the answer about a new one. `Outcome::leads_from` says which states an
/// outcome may follow. The claim is compared and not the whole token, because a leader that carried its lease
/// to a new timeline keeps its claims. The fence has checked that the token holds the lease.
pub(crate) const RECORD: &str = concat!(
    with_fence!(
        "asked AS (
            SELECT t.group_id, t.id, t.attempt, t.state AS was, report.state, report.note, report.n
            FROM fence,
                 unnest($6::text[], $7::bigint[], $8::text[], $9::text[])
                 WITH ORDINALITY AS report (id, attempt, state, note, n)
                 JOIN coordinator_signal AS t
                 ON t.group_id = $1 AND t.id = report.id AND t.attempt = report.attempt
            WHERE report.n BETWEEN 1 AND 1000000
            ORDER BY t.fingerprint FOR UPDATE OF t),
         moved AS (
            UPDATE coordinator_signal AS t
            SET "
    ),
    move_on!(),
    ", tl = CASE WHEN asked.state = 'sent' THEN $2 ELSE t.tl END,
       epoch = CASE WHEN asked.state = 'sent' THEN $3 ELSE t.epoch END,
       claim = CASE WHEN asked.state = 'sent' THEN $4 ELSE t.claim END,
       changed_by = $10, changed_from = $11
            FROM asked
            WHERE t.group_id = asked.group_id AND t.id = asked.id
              AND (asked.was = 'claimed' AND t.claim = $4
                   OR asked.was = 'sent' AND asked.state IN ('done', 'rejected', 'in_doubt')
                   OR asked.was = 'in_doubt' AND asked.state IN ('done', 'sent', 'rejected')
                   OR asked.was = 'in_doubt' AND asked.state = 'received' AND t.note IS DISTINCT FROM ",
    forgotten_alert!(),
    ")
            RETURNING asked.n, asked.state)
     SELECT EXISTS (SELECT FROM fence) AS held, recorded.n,
             (SELECT pg_notify(",
    channel!(),
    ", $12) FROM moved WHERE state = 'received' LIMIT 1)
      FROM (VALUES (1)) AS always LEFT JOIN ",
    recorded!(),
    " ON true"
);

pub(super) async fn record(
    store: &PostgresStore,
    token: &Token,
    reports: &[Report],
    by: Option<&Actor>,
) -> Result<Option<Vec<Recorded>>, StoreError> {
    let answer = together(store, token, reports, by, Notes::AsTheyAre).await;
    if !matches!(answer, Err(StoreError::Corrupt(_))) {
        return answer;
    }
    // One of the notes cannot be stored as it is, so nothing was recorded. It must not delay the others.
    let mut answers = Vec::with_capacity(reports.len());
    let mut fault = None;
    for report in reports {
        let one = std::slice::from_ref(report);
        let mut answer = together(store, token, one, by, Notes::AsTheyAre).await;
        if matches!(answer, Err(StoreError::Corrupt(_))) && report.note.is_some() {
            answer = together(store, token, one, by, Notes::InAscii).await;
        }
        match answer {
            Ok(Some(recorded)) => answers.extend(recorded),
            Ok(None) => return Ok(None),
            Err(error @ StoreError::Corrupt(_)) => fault = Some(error),
            Err(error) => return Err(error),
        }
    }
    fault.map_or(Ok(Some(answers)), Err)
}

/// Form in which a note is stored.
#[derive(Clone, Copy)]
enum Notes {
    AsTheyAre,
    /// With `?` for every other character: a lost result is worse than a changed note.
    InAscii,
}

/// Records all in one statement; records nothing if it fails with [`StoreError::Corrupt`].
async fn together(
    store: &PostgresStore,
    token: &Token,
    reports: &[Report],
    by: Option<&Actor>,
    notes: Notes,
) -> Result<Option<Vec<Recorded>>, StoreError> {
    let by = by.cloned().unwrap_or_else(|| store.me.actor());
    let stored = |note: &str| match notes {
        Notes::AsTheyAre => row::text(note),
        Notes::InAscii => row::text(note).replace(|c: char| !c.is_ascii(), "?"),
    };
    let notes = reports.iter().map(|report| report.note.as_deref().map(stored));
    let statement = bind_fence(RECORD, &store.me, token)
        .bind(reports.iter().map(|report| report.id.as_str().to_owned()).collect::<Vec<_>>())
        .bind(reports.iter().map(|report| i64::from(report.attempt)).collect::<Vec<_>>())
        .bind(reports.iter().map(|report| report.outcome.state().as_str()).collect::<Vec<_>>())
        .bind(notes.collect::<Vec<_>>())
        .bind(row::actor(&by.who))
        .bind(row::actor(&by.origin))
        .bind(store.me.payload(Hint::Signal));
    let rows = store.service.all(statement).await?;
    let mut answers = vec![Recorded::Refused; reports.len()];
    for row in &rows {
        if !held(row)? {
            return Ok(None);
        }
        let ordinal: Option<i64> = Columns::of("report", row).optional("n")?;
        let recorded = ordinal.and_then(|n| answers.get_mut(usize::try_from(n - 1).ok()?));
        if let Some(answer) = recorded {
            *answer = Recorded::Recorded;
        }
    }
    Ok(Some(answers))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_note_in_the_statement_is_the_note_of_the_domain() {
        assert_eq!(forgotten_alert!(), format!("'{}'", domain::ledger::FORGOTTEN_ALERT));
    }
}
