//! Reads a row of the signal table as a signal.

use super::SIGNALS;
use crate::row::Columns;
use domain::lease::{Epoch, Timeline, Token};
use domain::ledger::{
    INSTRUCTION_LABEL_LEN_MAX, Instruction, Label, PAYLOAD_LEN_MAX, Signal, SignalId, SignalState, StateName,
};
use domain::ports::StoreError;
use sqlx::postgres::PgRow;

const _: () = assert!(PAYLOAD_LEN_MAX == 65_536 && INSTRUCTION_LABEL_LEN_MAX == 64, "as SQL has it below");

/// A signal's columns without the payload, with alias `s`. Texts are cut at the server, one character beyond
/// the longest valid length. Times are unix milliseconds, under the names of their columns.
///
/// A statement that locks a row returns no more than these: while the server sends, it keeps the locks, and a
/// client that was stopped receives nothing (see `hosts`).
macro_rules! small_columns {
    () => {
        "left(s.id, 129) AS id, left(s.instrument, 65) AS instrument, left(s.signal_type, 65) AS signal_type,
         left(s.position, 65) AS position, s.timestamp_s, s.expires_ms, s.arrival,
         left(s.state, 32) AS state, s.tl, s.epoch, s.claim, s.attempt::bigint AS attempt,
         (extract(epoch FROM s.received_at) * 1000)::bigint AS received_at,
         (extract(epoch FROM s.claimed_at) * 1000)::bigint AS claimed_at,
         (extract(epoch FROM s.settled_at) * 1000)::bigint AS settled_at, left(s.note, 256) AS note"
    };
}
pub(super) use small_columns;

/// [`small_columns`] and the payload, which is not fetched if it is longer than allowed.
macro_rules! signal_columns {
    () => {
        concat!(
            $crate::signal_ledger::stored::small_columns!(),
            ", CASE WHEN octet_length(s.payload) <= 65536 THEN s.payload END AS payload"
        )
    };
}
pub(super) use signal_columns;

/// The signal of a row with [`signal_columns`].
pub(super) fn signal(row: &PgRow) -> Result<Signal, StoreError> {
    signal_with(row, Columns::of(SIGNALS, row).required("payload")?)
}

/// The signal of a row with [`small_columns`], and its payload.
pub(super) fn signal_with(row: &PgRow, payload: String) -> Result<Signal, StoreError> {
    let columns = Columns::of(SIGNALS, row);
    Ok(Signal {
        id: id(columns, "id")?,
        instruction: Instruction {
            instrument: label(columns, "instrument")?,
            signal_type: label(columns, "signal_type")?,
            position: label(columns, "position")?,
            timestamp_s: columns.required("timestamp_s")?,
            payload,
            expires_ms: columns.optional("expires_ms")?,
        },
        arrival: columns.number("arrival")?,
        state: state(columns)?,
        attempt: columns.number("attempt")?,
        received_ms: columns.required("received_at")?,
        claimed_ms: columns.optional("claimed_at")?,
        settled_ms: columns.optional("settled_at")?,
        note: columns.optional("note")?,
    })
}

/// Whether the fence accepted the token.
pub(super) fn held(row: &PgRow) -> Result<bool, StoreError> {
    Columns::of("coordinator_lease", row).required("held")
}

pub(super) fn id(columns: Columns<'_>, column: &'static str) -> Result<SignalId, StoreError> {
    SignalId::parse(columns.required(column)?).map_err(|fault| columns.corrupt(column, &fault.to_string()))
}

fn label(columns: Columns<'_>, column: &'static str) -> Result<Label, StoreError> {
    Label::parse(columns.required(column)?).map_err(|fault| columns.corrupt(column, &fault.to_string()))
}

/// The `state` column.
pub(super) fn state_name(columns: Columns<'_>) -> Result<StateName, StoreError> {
    let stored: &str = columns.required("state")?;
    StateName::parse(stored).ok_or_else(|| columns.corrupt("state", &format!("is {stored:?}")))
}

fn state(columns: Columns<'_>) -> Result<SignalState, StoreError> {
    let token = || -> Result<Token, StoreError> {
        Ok(Token {
            timeline: Timeline(columns.number("tl")?),
            epoch: Epoch(columns.number("epoch")?),
            claim: columns.claim("claim")?,
        })
    };
    Ok(match state_name(columns)? {
        StateName::Received => SignalState::Received,
        StateName::Claimed => SignalState::Claimed(token()?),
        StateName::Sent => SignalState::Sent(token()?),
        StateName::Done => SignalState::Done,
        StateName::Rejected => SignalState::Rejected,
        StateName::Expired => SignalState::Expired,
        StateName::InDoubt => SignalState::InDoubt,
    })
}
