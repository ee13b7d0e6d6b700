//! Stores new signals, and answers repetitions.

use super::actor;
use super::claim::unasked;
use super::row::{read, signal_columns, stored};
use crate::config::SqliteConfig;
use crate::session::Session;
use crate::statement::Statement;
use crate::stored::{bytes, now_ms};
use domain::ledger::{Actor, Dated, Fingerprint, NewSignal, PAYLOAD_LEN_MAX, Signal};
use domain::ports::{StoreError, Submit};
use sqlx::sqlite::SqliteRow;
use std::collections::{BTreeMap, HashMap};

/// See [`domain::ports::SignalLedger::submit`].
///
/// A signal that arose after the store last forgot was not executed before: `asked_ms` says so. One that is
/// older by its own timestamp may have been submitted, executed and forgotten. So may another alert of the window of its
/// hook, so the whole window must be after that moment.
///
/// One statement stores all signals or none. If a signal has the id or the fingerprint of a stored one, the
/// stored one is counted up, so that the answer waits for the disk as it does for a new signal.
///
/// A trigger leaves out the row of an alert within the window of its hook. Such alerts are stored one by one, so that one of
/// a request can be folded into another of it.
pub(super) async fn submit(
    session: &Session,
    config: &SqliteConfig,
    signals: &[NewSignal],
    actor: &Actor,
) -> Result<Vec<Submit>, StoreError> {
    if signals.iter().all(|signal| signal.window_s() == 0) {
        return together(session, config, signals, actor).await;
    }
    let mut answers = Vec::with_capacity(signals.len());
    for signal in signals {
        match alone(session, config, signal, actor).await {
            Ok(answer) => answers.push(answer),
            Err(error) if answers.is_empty() => return Err(error),
            Err(error) => {
                let (done, all) = (answers.len(), signals.len());
                return Err(StoreError::Unknown(format!(
                    "{done} of {all} signals were taken in, then: {error}"
                )));
            }
        }
    }
    Ok(answers)
}

/// Stores one signal, or folds it.
async fn alone(
    session: &Session,
    config: &SqliteConfig,
    signal: &NewSignal,
    actor: &Actor,
) -> Result<Submit, StoreError> {
    let offer = Offer::of(signal);
    let offers = std::slice::from_ref(&offer);
    let mut met = write(session, config, offers, actor).await?;
    if met.rows.is_empty() && expired(session, config, signal, actor).await? {
        met = write(session, config, offers, actor).await?;
    }
    if met.rows.is_empty()
        && let Some(folded) = fold(session, config, signal, actor).await?
    {
        return Ok(Submit::Folded(folded));
    }
    met.add(&first_of_unnamed(session, config, &met, offers).await?)?;
    met.answer(&offer).ok_or_else(|| offer.vanished())
}

/// Expires the late signals of the window of an alert, as the leader's claim does: without a leader, they would take in
/// alerts although they are never sent. Returns whether there was one.
async fn expired(
    session: &Session,
    config: &SqliteConfig,
    signal: &NewSignal,
    actor: &Actor,
) -> Result<bool, StoreError> {
    const SQL: &str = concat!(
        "UPDATE coordinator_signal SET state = 'expired', settled_ms = ",
        now_ms!(),
        ", changed_by = ?8, changed_from = ?9 WHERE group_id = ?1 AND hook = ?2 AND instrument = ?3 ",
        "AND signal_type = ?4 AND position = ?5 AND timestamp_s BETWEEN ?6 - ?7 AND ?6 + ?7 ",
        "AND state = 'received' AND expires_ms <= ",
        now_ms!(),
        " AND NOT ",
        unasked!("coordinator_signal"),
        " RETURNING arrival"
    );
    let Some(hook) = signal.hook.as_ref().filter(|hook| hook.window_s > 0) else { return Ok(false) };
    let (instruction, actor) = (&signal.instruction, actor::kept(actor));
    let statement = Statement::new(SQL)
        .bind(config.identity.group.as_str().to_owned())
        .bind(hook.name.as_str().to_owned())
        .bind(instruction.instrument.as_str().to_owned())
        .bind(instruction.signal_type.as_str().to_owned())
        .bind(instruction.position.as_str().to_owned())
        .bind(instruction.timestamp_s)
        .bind(i64::from(signal.window_s()))
        .bind(actor.who)
        .bind(actor.origin);
    Ok(!session.fetch(statement).await?.is_empty())
}

/// Folds an alert into the signal whose window it is in, by the conditions of the trigger `coordinator_signal_window`;
/// `None` if there is none. Another trigger writes the audit.
async fn fold(
    session: &Session,
    config: &SqliteConfig,
    signal: &NewSignal,
    actor: &Actor,
) -> Result<Option<Signal>, StoreError> {
    const SQL: &str = concat!(
        "UPDATE coordinator_signal SET folded = folded + 1, folded_note = ?8, changed_by = ?9, changed_from = ?10 ",
        "WHERE arrival = (SELECT arrival FROM coordinator_signal AS near WHERE group_id = ?1 AND hook = ?2 ",
        "AND instrument = ?3 AND signal_type = ?4 AND position = ?5 AND timestamp_s BETWEEN ?6 - ?7 AND ?6 + ?7 ",
        "AND state <> 'expired' AND NOT (state = 'rejected' AND claimed_ms IS NULL) AND NOT (?11 AND EXISTS ",
        "(SELECT 1 FROM coordinator_signal AS other WHERE other.group_id = ?1 AND other.hook = ?2 ",
        "AND other.instrument = ?3 AND other.signal_type <> ?4 ",
        "AND other.timestamp_s > min(near.timestamp_s, ?6) AND other.timestamp_s < max(near.timestamp_s, ?6))) ",
        "ORDER BY abs(timestamp_s - ?6), arrival LIMIT 1) RETURNING ",
        signal_columns!()
    );
    let Some(hook) = signal.hook.as_ref().filter(|hook| hook.window_s > 0) else { return Ok(None) };
    let (instruction, actor) = (&signal.instruction, actor::kept(actor));
    let statement = Statement::new(SQL)
        .bind(config.identity.group.as_str().to_owned())
        .bind(hook.name.as_str().to_owned())
        .bind(instruction.instrument.as_str().to_owned())
        .bind(instruction.signal_type.as_str().to_owned())
        .bind(instruction.position.as_str().to_owned())
        .bind(instruction.timestamp_s)
        .bind(i64::from(signal.window_s()))
        .bind(signal.fold_note())
        .bind(actor.who)
        .bind(actor.origin)
        .bind(i64::from(hook.dated == Dated::BySender));
    session.fetch(statement).await?.first().map(read).transpose()
}

async fn together(
    session: &Session,
    config: &SqliteConfig,
    signals: &[NewSignal],
    actor: &Actor,
) -> Result<Vec<Submit>, StoreError> {
    if signals.is_empty() {
        return Ok(Vec::new());
    }
    let offers: Vec<Offer<'_>> = signals.iter().map(Offer::of).collect();
    let mut met = write(session, config, &offers, actor).await?;
    met.add(&first_of_unnamed(session, config, &met, &offers).await?)?;
    met.answers(&offers)
}

/// Writes the rows, and returns those that it created or found.
async fn write(
    session: &Session,
    config: &SqliteConfig,
    offers: &[Offer<'_>],
    actor: &Actor,
) -> Result<Met, StoreError> {
    const SQL: &str = concat!(
        "INSERT INTO coordinator_signal (group_id, id, fingerprint, instrument, signal_type, position, ",
        "timestamp_s, expires_ms, hook, hook_window_s, hook_own_time, state, received_ms, changed_by, changed_from, payload, ",
        "asked_ms) ",
        "SELECT ?1, value ->> 'id', value ->> 'fingerprint', value ->> 'instrument', ",
        "value ->> 'signal_type', value ->> 'position', value ->> 'timestamp_s', value ->> 'expires_ms', ",
        "value ->> 'hook', value ->> 'hook_window_s', value ->> 'hook_own_time', 'received', ",
        now_ms!(),
        ", ?3, ?4, value ->> 'payload', (SELECT l.forgot_ms FROM coordinator_lease AS l WHERE l.group_id = ?1 ",
        "AND value ->> 'timestamp_s' - coalesce(value ->> 'hook_window_s', 0) > l.forgot_ms / 1000) FROM json_each(?2) WHERE true ORDER BY key ",
        "ON CONFLICT (group_id, id) DO UPDATE SET confirmed = confirmed + 1 ",
        "ON CONFLICT (group_id, fingerprint) DO UPDATE SET confirmed = confirmed + 1 RETURNING ",
        bytes!("fingerprint", "64"),
        ", confirmed, ",
        signal_columns!()
    );
    for offer in offers {
        offer.refuse_longer_payload()?;
    }
    let actor = actor::kept(actor);
    let statement = Statement::new(SQL)
        .bind(config.identity.group.as_str().to_owned())
        .bind(offers.iter().map(Offer::json).collect::<serde_json::Value>().to_string())
        .bind(actor.who)
        .bind(actor.origin);
    let mut met = Met::default();
    met.add(&session.fetch(statement).await?)?;
    Ok(met)
}

/// Rows with the fingerprint of a signal that has no name, if that name (its fingerprint) belongs to another
/// signal: the statement found only the latter. This hardly ever happens.
async fn first_of_unnamed(
    session: &Session,
    config: &SqliteConfig,
    met: &Met,
    offers: &[Offer<'_>],
) -> Result<Vec<SqliteRow>, StoreError> {
    const SQL: &str = concat!(
        "SELECT ",
        bytes!("fingerprint", "64"),
        ", 1 AS confirmed, ",
        signal_columns!(),
        " FROM coordinator_signal WHERE group_id = ?1 AND fingerprint IN (SELECT value FROM json_each(?2))"
    );
    let unnamed = offers.iter().filter(|offer| offer.new.id.is_none());
    let missing = unnamed.filter(|offer| !met.of_fingerprint.contains_key(&offer.fingerprint));
    let missing: Vec<&str> = missing.map(|offer| offer.fingerprint.as_str()).collect();
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let statement = Statement::new(SQL)
        .bind(config.identity.group.as_str().to_owned())
        .bind(serde_json::Value::from(missing).to_string());
    session.fetch(statement).await
}

/// A new signal, as the statement carries it.
struct Offer<'n> {
    new: &'n NewSignal,
    id: String,
    fingerprint: String,
}

impl<'n> Offer<'n> {
    fn of(new: &'n NewSignal) -> Self {
        let fingerprint = Fingerprint::of(&new.instruction).to_string();
        Self { new, id: new.id().as_str().to_owned(), fingerprint }
    }

    fn refuse_longer_payload(&self) -> Result<(), StoreError> {
        let length = self.new.instruction.payload.len();
        if length <= PAYLOAD_LEN_MAX {
            return Ok(());
        }
        Err(StoreError::Unavailable(format!(
            "the payload of {} has {length} bytes, {PAYLOAD_LEN_MAX} are allowed",
            self.id
        )))
    }

    fn vanished(&self) -> StoreError {
        StoreError::Unknown(format!("{} vanished: submit it again", self.id))
    }

    fn json(&self) -> serde_json::Value {
        let instruction = &self.new.instruction;
        serde_json::json!({
            "id": self.id,
            "fingerprint": self.fingerprint,
            "instrument": instruction.instrument.as_str(),
            "signal_type": instruction.signal_type.as_str(),
            "position": instruction.position.as_str(),
            "timestamp_s": instruction.timestamp_s,
            "expires_ms": instruction.expires_ms,
            "payload": instruction.payload,
            "hook": self.new.hook.as_ref().map(|hook| hook.name.as_str()),
            "hook_window_s": self.new.hook.as_ref().map(|_| self.new.window_s()),
            "hook_own_time": self.new.hook.as_ref().map(|hook| hook.dated == Dated::BySender),
        })
    }
}

/// The rows that the offers found or created, by their arrival.
#[derive(Default)]
struct Met {
    rows: BTreeMap<u64, Row>,
    of_id: HashMap<String, u64>,
    of_fingerprint: HashMap<String, u64>,
}

struct Row {
    fingerprint: String,
    signal: Signal,
    /// The row does not exist before the offer that created it, in the order of the offers.
    comes_later: bool,
}

impl Met {
    /// Adds rows. A row is returned once for each offer that created or found it, in any order.
    fn add(&mut self, rows: &[SqliteRow]) -> Result<(), StoreError> {
        for row in rows {
            let (signal, fingerprint) = (read(row)?, stored(row).text("fingerprint")?);
            let is_new = stored(row).number::<u64>("confirmed")? == 0;
            let arrival = signal.arrival;
            self.of_id.insert(signal.id.as_str().to_owned(), arrival);
            self.of_fingerprint.insert(fingerprint.clone(), arrival);
            let row = self.rows.entry(arrival).or_insert(Row { fingerprint, signal, comes_later: false });
            row.comes_later |= is_new;
        }
        Ok(())
    }

    /// The answer to each offer, by the rules of the port, one offer after the other.
    fn answers(mut self, offers: &[Offer<'_>]) -> Result<Vec<Submit>, StoreError> {
        offers.iter().map(|offer| self.answer(offer).ok_or_else(|| offer.vanished())).collect()
    }

    fn answer(&mut self, offer: &Offer<'_>) -> Option<Submit> {
        let of_id = self.of_id.get(&offer.id).copied();
        let of_fingerprint = self.of_fingerprint.get(&offer.fingerprint).copied();
        if let Some(made) = of_id.filter(|arrival| of_fingerprint == Some(*arrival))
            && let Some(row) = self.rows.get_mut(&made)
            && row.comes_later
        {
            row.comes_later = false;
            return Some(Submit::Accepted(row.signal.clone()));
        }
        // A name that the sender chose belongs to one signal. Without a name, the fingerprint identifies the
        // signal.
        let order = match offer.new.id {
            Some(_) => [of_id, of_fingerprint],
            None => [of_fingerprint, of_id],
        };
        let there = order.into_iter().flatten().filter_map(|arrival| self.rows.get(&arrival));
        let first = there.into_iter().find(|row| !row.comes_later)?;
        let is_same =
            first.fingerprint == offer.fingerprint && first.signal.instruction == offer.new.instruction;
        let signal = first.signal.clone();
        Some(if is_same { Submit::Repeated(signal) } else { Submit::Conflict(signal) })
    }
}
