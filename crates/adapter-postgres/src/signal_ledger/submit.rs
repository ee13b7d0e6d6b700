//! Stores new signals, and answers repetitions.

use super::SIGNALS;
use super::claim::unasked;
use super::read::FIND;
use super::stored::{signal, signal_with, small_columns};
use crate::fence::timeline;
use crate::listen::{Hint, channel};
use crate::pool::Statement;
use crate::row::{self, Columns};
use crate::state_store::PostgresStore;
use domain::ledger::{Actor, Dated, Fingerprint, FromHook, NewSignal, Signal};
use domain::ports::{StoreError, Submit};
use sqlx::postgres::PgRow;
use std::collections::BTreeSet;

/// $1 group; an array each of $2 ids, $3 whether the sender chose them, $4 fingerprints, $5 instruments, $6
/// signal types, $7 positions, $8 timestamps, $9 payloads, $10 expiries; $11 actor, $12 origin, $13 hint; an array each
/// of $14 hooks, $15 windows, $16 whether the timestamp is the sender's own.
///
/// The update of a repeated signal changes nothing. It exists because it writes: its commit waits for the
/// synchronous standby as the first one did, and PostgreSQL's log is in order, so when the standby has it, it
/// has the first commit too. A statement that only reads would acknowledge a signal whose commit was
/// cancelled while it waited, which is visible on the primary and not yet on the standby.
///
/// Signals are numbered in the order of the request and written in the order of fingerprints: two requests
/// with the same signals in another order do not wait for each other. A row with another number than this
/// statement assigned was there before.
///
/// If one of the ids belongs to another signal, nothing is written and no row is returned. A trigger leaves out the row of
/// an alert within the window of its hook: then no row is returned either, and [`FOLD`] finds the signal. The trigger waits
/// for others of the same window, so such an alert is stored alone: two statements that wait for several would wait for
/// each other.
///
/// A signal that arose after the store last forgot was not executed before: `asked_ms` says so. One that is
/// older by its own timestamp may have been submitted, executed and forgotten. So may another alert of the window of its
/// hook, so the whole window must be after that moment.
///
/// `n` is always in that range. The condition exists because the planner does not know the arrays' lengths:
/// it assumes ten, for which it reads a whole table of a thousand signals. With a range it estimates fewer,
/// and finds each by the index. The statement in `record` has the same condition.
pub(crate) const SUBMIT: &str = concat!(
    "WITH numbered AS MATERIALIZED (
        SELECT new.*, nextval('coordinator_signal_arrival_seq') AS arrival
        FROM (SELECT * FROM unnest($2::text[], $3::boolean[], $4::text[], $5::text[], $6::text[], $7::text[],
                                   $8::bigint[], $9::text[], $10::bigint[], $14::text[], $15::integer[],
                                   $16::boolean[])
              WITH ORDINALITY AS new (id, chosen, fingerprint, instrument, signal_type, position, timestamp_s,
                                      payload, expires_ms, hook, hook_window_s, hook_own_time, n)
              ORDER BY n) AS new),
     s AS (
        INSERT INTO coordinator_signal AS known
            (group_id, id, arrival, fingerprint, instrument, signal_type, position, timestamp_s, payload,
             expires_ms, hook, hook_window_s, hook_own_time, changed_by, changed_from, asked_ms)
        OVERRIDING SYSTEM VALUE
        SELECT $1, id, arrival, fingerprint, instrument, signal_type, position, timestamp_s, payload,
               expires_ms, hook, hook_window_s, hook_own_time, $11, $12,
               (SELECT l.forgot_ms FROM coordinator_lease AS l
                WHERE l.group_id = $1
                  AND numbered.timestamp_s - coalesce(numbered.hook_window_s, 0) > l.forgot_ms / 1000)
        FROM numbered
        WHERE NOT EXISTS (
            SELECT FROM numbered AS new JOIN coordinator_signal AS other
                ON other.group_id = $1 AND other.id = new.id AND other.fingerprint <> new.fingerprint
            WHERE new.n BETWEEN 1 AND 1000000 AND (new.chosen OR NOT EXISTS (
                SELECT FROM coordinator_signal AS same
                WHERE same.group_id = $1 AND same.fingerprint = new.fingerprint)))
        ORDER BY fingerprint
        ON CONFLICT (group_id, fingerprint) DO UPDATE SET note = known.note
        RETURNING *)
     SELECT ",
    small_columns!(),
    ", s.payload = numbered.payload AS same_payload, s.arrival = numbered.arrival AS fresh,
       CASE WHEN s.arrival = numbered.arrival THEN pg_notify(",
    channel!(),
    ", $13) END
     FROM numbered JOIN s ON s.fingerprint = numbered.fingerprint ORDER BY numbered.n"
);

/// $1 group, $2 id, $3 fingerprint: whether the id belongs to another signal. Writes for the reason in
/// [`SUBMIT`].
const NAMESAKE: &str = "UPDATE coordinator_signal SET note = note WHERE group_id = $1 AND id = $2 AND fingerprint <> $3 RETURNING 1";

/// $1 group, $2 hook, $3 instrument, $4 signal type, $5 position, $6 timestamp, $7 window in seconds, $8 actor, $9 origin,
/// $10 note, $11 whether the timestamp is the sender's own, $12 fingerprint, $13 payload, $14 expiry. Folds an alert into the
/// signal whose window it is in, by the conditions of the trigger `coordinator_signal_window`; another trigger writes the
/// audit. It writes, as [`SUBMIT`] does for a repetition, so that its commit is as durable as the first one. The state is tested
/// again on the row itself, because it may have changed while the statement waited for the lock.
const FOLD: &str = concat!(
    "UPDATE coordinator_signal AS s
     SET folded = s.folded + 1, folded_note = $10, changed_by = $8, changed_from = $9
     WHERE s.group_id = $1 AND s.state <> 'expired' AND NOT (s.state = 'rejected' AND s.claimed_at IS NULL) AND s.id = (
        SELECT near.id FROM coordinator_signal AS near
        WHERE near.group_id = $1 AND near.hook = $2 AND near.instrument = $3 AND near.signal_type = $4
          AND near.position = $5 AND near.timestamp_s BETWEEN $6 - $7 AND $6 + $7
          AND near.state <> 'expired' AND NOT (near.state = 'rejected' AND near.claimed_at IS NULL)
          AND NOT ($11 AND EXISTS (
            SELECT FROM coordinator_signal AS other
            WHERE other.group_id = $1 AND other.hook = $2 AND other.instrument = $3 AND other.signal_type <> $4
              AND other.timestamp_s > least(near.timestamp_s, $6)
              AND other.timestamp_s < greatest(near.timestamp_s, $6)))
          AND NOT EXISTS (
            SELECT FROM coordinator_signal AS same
            WHERE same.group_id = $1 AND same.fingerprint = $12 AND same.payload = $13
              AND same.expires_ms IS NOT DISTINCT FROM $14)
        ORDER BY abs(near.timestamp_s - $6), near.arrival LIMIT 1)
     RETURNING ",
    small_columns!()
);

/// $1 group, $2 hook, $3 instrument, $4 signal type, $5 position, $6 timestamp, $7 window in seconds, $8 actor, $9 origin.
/// Expires the late signals of a window, as the leader's claim does: without a leader, they would take in alerts although
/// they are never sent. The lock of the row decides between this and a claim, and each of them tests the state under it. After
/// a promotion that no leader has recorded yet, nothing expires: such a signal may have been sent and forgotten.
const EXPIRE: &str = concat!(
    "UPDATE coordinator_signal AS t
     SET state = 'expired', settled_at = now(), changed_by = $8, changed_from = $9
     WHERE t.group_id = $1 AND t.hook = $2 AND t.instrument = $3 AND t.signal_type = $4 AND t.position = $5
       AND t.timestamp_s BETWEEN $6 - $7 AND $6 + $7 AND t.state = 'received'
       AND t.expires_ms <= floor(extract(epoch FROM now()) * 1000)::bigint
       AND EXISTS (SELECT FROM coordinator_lease AS l WHERE l.group_id = $1 AND l.tl = ",
    timeline!(),
    ") AND NOT ",
    unasked!(),
    " RETURNING 1"
);

/// Attempts to store a signal whose id first belongs to another signal and then to none. One is enough unless
/// another submission, or the sweep, interferes.
const OFFERS_MAX: u32 = 3;

/// A new signal with its fingerprint and expiry.
struct New<'s> {
    signal: &'s NewSignal,
    id: String,
    fingerprint: String,
}

/// Stores the signals in one statement if possible. If two of them are the same, or one has another's id, the
/// slice is halved until that signal is alone, so that one in a thousand costs some ten statements.
pub(super) async fn submit(
    store: &PostgresStore,
    signals: &[NewSignal],
    actor: &Actor,
) -> Result<Vec<Submit>, StoreError> {
    let new: Vec<New<'_>> = signals.iter().map(New::of).collect();
    let mut answers = Vec::with_capacity(new.len());
    let mut width = new.len();
    while answers.len() < new.len() {
        let rest = &new[answers.len()..];
        let slice = &rest[..width.min(rest.len())];
        let answer = match slice {
            [one] => alone(store, one, actor).await.map(|answer| Some(vec![answer])),
            _ if are_distinct(slice) && slice.iter().all(|new| new.signal.window_s() == 0) => {
                together(store, slice, actor).await
            }
            _ => Ok(None),
        };
        match answer {
            Ok(Some(more)) => {
                answers.extend(more);
                width = width.saturating_mul(2);
            }
            Ok(None) => width = slice.len() / 2,
            Err(error) if answers.is_empty() => return Err(error),
            Err(error) => {
                let (done, all) = (answers.len(), new.len());
                return Err(StoreError::Unknown(format!(
                    "{done} of {all} signals were taken in, then: {error}"
                )));
            }
        }
    }
    Ok(answers)
}

impl<'s> New<'s> {
    fn of(signal: &'s NewSignal) -> Self {
        let fingerprint = Fingerprint::of(&signal.instruction).to_string();
        let id = signal.id.as_ref().map_or_else(|| fingerprint.clone(), |id| id.as_str().to_owned());
        Self { signal, id, fingerprint }
    }
}

fn are_distinct(new: &[New<'_>]) -> bool {
    let ids: BTreeSet<&str> = new.iter().map(|new| new.id.as_str()).collect();
    let fingerprints: BTreeSet<&str> = new.iter().map(|new| new.fingerprint.as_str()).collect();
    ids.len() == new.len() && fingerprints.len() == new.len()
}

/// [`SUBMIT`] for distinct signals; `None` if nothing was written because an id belongs to another signal.
async fn together(
    store: &PostgresStore,
    new: &[New<'_>],
    actor: &Actor,
) -> Result<Option<Vec<Submit>>, StoreError> {
    let instructions = || new.iter().map(|new| &new.signal.instruction);
    let statement = store
        .me
        .names
        .query(SUBMIT)
        .bind(store.me.identity.group.as_str())
        .bind(new.iter().map(|new| new.id.as_str()).collect::<Vec<_>>())
        .bind(new.iter().map(|new| new.signal.id.is_some()).collect::<Vec<_>>())
        .bind(new.iter().map(|new| new.fingerprint.as_str()).collect::<Vec<_>>())
        .bind(instructions().map(|of| of.instrument.as_str()).collect::<Vec<_>>())
        .bind(instructions().map(|of| of.signal_type.as_str()).collect::<Vec<_>>())
        .bind(instructions().map(|of| of.position.as_str()).collect::<Vec<_>>())
        .bind(instructions().map(|of| of.timestamp_s).collect::<Vec<_>>())
        .bind(instructions().map(|of| of.payload.as_str()).collect::<Vec<_>>())
        .bind(instructions().map(|of| of.expires_ms).collect::<Vec<_>>())
        .bind(row::actor(&actor.who))
        .bind(row::actor(&actor.origin))
        .bind(store.me.payload(Hint::Signal))
        .bind(
            new.iter().map(|new| new.signal.hook.as_ref().map(|hook| hook.name.as_str())).collect::<Vec<_>>(),
        )
        .bind(
            new.iter().map(|new| new.signal.hook.as_ref().map(|_| window_s(new.signal))).collect::<Vec<_>>(),
        )
        .bind(new.iter().map(|new| new.signal.hook.as_ref().map(has_own_time)).collect::<Vec<_>>());
    // Another statement may take an id while this one runs; only the index detects that.
    let Some(rows) = store.service.all_unless_taken(statement).await? else { return Ok(None) };
    if rows.is_empty() {
        return Ok(None);
    }
    let mut answers = Vec::with_capacity(rows.len());
    for (row, new) in rows.iter().zip(new) {
        answers.push(answer(store, row, new).await?);
    }
    if answers.len() != new.len() {
        let message = format!("{SIGNALS} answered for {} of {} signals", answers.len(), new.len());
        return Err(StoreError::Corrupt(message));
    }
    Ok(Some(answers))
}

async fn alone(store: &PostgresStore, new: &New<'_>, actor: &Actor) -> Result<Submit, StoreError> {
    for _ in 0..OFFERS_MAX {
        if let Some(answers) = together(store, std::slice::from_ref(new), actor).await? {
            return Ok(answers.into_iter().next().expect("one answer for one signal"));
        }
        if expired(store, new, actor).await? {
            continue;
        }
        if let Some(folded) = fold(store, new, actor).await? {
            return Ok(Submit::Folded(folded));
        }
        let namesake = store
            .me
            .names
            .query(NAMESAKE)
            .bind(store.me.identity.group.as_str())
            .bind(new.id.as_str())
            .bind(new.fingerprint.as_str());
        if store.service.optional(namesake).await?.is_some()
            && let Some(other) = stored(store, &new.id).await?
        {
            return Ok(Submit::Conflict(other));
        }
    }
    Err(StoreError::Unknown(format!(
        "signal {} had its id taken and released by others, repeatedly: submit it again",
        new.id
    )))
}

/// Whether a signal of its window expired just now.
async fn expired(store: &PostgresStore, new: &New<'_>, actor: &Actor) -> Result<bool, StoreError> {
    let Some(hook) = new.signal.hook.as_ref().filter(|hook| hook.window_s > 0) else { return Ok(false) };
    let statement = of_window(store, EXPIRE, new.signal, hook, actor);
    Ok(!store.service.all(statement).await?.is_empty())
}

/// A statement whose first nine parameters are those of [`FOLD`].
fn of_window<'q>(
    store: &PostgresStore,
    sql: &'static str,
    new: &NewSignal,
    hook: &FromHook,
    actor: &Actor,
) -> Statement<'q> {
    let instruction = &new.instruction;
    store
        .me
        .names
        .query(sql)
        .bind(store.me.identity.group.as_str().to_owned())
        .bind(hook.name.as_str().to_owned())
        .bind(instruction.instrument.as_str().to_owned())
        .bind(instruction.signal_type.as_str().to_owned())
        .bind(instruction.position.as_str().to_owned())
        .bind(instruction.timestamp_s)
        .bind(i64::from(window_s(new)))
        .bind(row::actor(&actor.who))
        .bind(row::actor(&actor.origin))
}

/// Folds an alert into the signal whose window it is in; `None` if there is none.
async fn fold(store: &PostgresStore, new: &New<'_>, actor: &Actor) -> Result<Option<Signal>, StoreError> {
    let Some(hook) = new.signal.hook.as_ref().filter(|hook| hook.window_s > 0) else { return Ok(None) };
    let instruction = &new.signal.instruction;
    let statement = of_window(store, FOLD, new.signal, hook, actor)
        .bind(new.signal.fold_note())
        .bind(has_own_time(hook))
        .bind(new.fingerprint.as_str())
        .bind(instruction.payload.as_str())
        .bind(instruction.expires_ms);
    let Some(row) = store.service.optional(statement).await? else { return Ok(None) };
    // The payload is read afterwards: a statement that locks a row returns no long column.
    let id: &str = Columns::of(SIGNALS, &row).required("id")?;
    stored(store, id).await
}

/// The window, for a column of the type integer.
fn window_s(signal: &NewSignal) -> i32 {
    i32::try_from(signal.window_s()).expect("an hour is a small number of seconds")
}

fn has_own_time(hook: &FromHook) -> bool {
    hook.dated == Dated::BySender
}

/// Reads a row of [`SUBMIT`]. The payload is the request's, or is read afterwards.
async fn answer(store: &PostgresStore, row: &PgRow, new: &New<'_>) -> Result<Submit, StoreError> {
    let columns = Columns::of(SIGNALS, row);
    let offered = &new.signal.instruction;
    if columns.optional("same_payload")? != Some(true) {
        let id: &str = columns.required("id")?;
        let other = stored(store, id).await?;
        let gone = || StoreError::Unknown(format!("signal {id} was removed while it was submitted again"));
        return other.map(Submit::Conflict).ok_or_else(gone);
    }
    let stored = signal_with(row, offered.payload.clone())?;
    Ok(if columns.required("fresh")? {
        Submit::Accepted(stored)
    } else if stored.instruction == *offered {
        Submit::Repeated(stored)
    } else {
        Submit::Conflict(stored)
    })
}

/// The signal as it is stored, read without a lock.
async fn stored(store: &PostgresStore, id: &str) -> Result<Option<Signal>, StoreError> {
    let statement = store.me.names.query(FIND).bind(store.me.identity.group.as_str()).bind(id);
    store.service.optional(statement).await?.as_ref().map(signal).transpose()
}
