//! Reads a row of `coordinator_signal`.

use crate::stored::Stored;
use domain::lease::{Epoch, Timeline, Token};
use domain::ledger::{
    Instruction, Label, NOTE_LEN_MAX, PAYLOAD_LEN_MAX, Signal, SignalId, SignalState, StateName,
};
use domain::ports::StoreError;
use sqlx::sqlite::SqliteRow;

/// Columns that [`read`] needs. A text is cut one byte beyond its limit, so that a longer one is detected
/// without being read.
macro_rules! signal_columns {
    () => {
        concat!(
            crate::signal_ledger::row::signal_columns!(without payload),
            ", ",
            crate::stored::bytes!("payload", "65537")
        )
    };
    (without payload) => {
        concat!(
            "arrival, ",
            crate::stored::bytes!("id", "129"),
            ", ",
            crate::stored::bytes!("instrument", "257"),
            ", ",
            crate::stored::bytes!("signal_type", "257"),
            ", ",
            crate::stored::bytes!("position", "257"),
            ", timestamp_s, expires_ms, ",
            crate::stored::bytes!("state", "16"),
            ", attempt, tl, epoch, ",
            crate::stored::bytes!("claim", "37"),
            ", received_ms, claimed_ms, settled_ms, ",
            crate::stored::bytes!("note", "1024")
        )
    };
}
pub(super) use signal_columns;

// The numbers above: one byte more than the longest id, label (of 4 bytes a character) and payload.
const _: () = assert!(domain::id::ID_LEN_MAX == 128);
const _: () = assert!(domain::ledger::INSTRUCTION_LABEL_LEN_MAX * 4 == 256);
const _: () = assert!(PAYLOAD_LEN_MAX == 65_536);
// The longest note has this many bytes.
const _: () = assert!(NOTE_LEN_MAX * 4 == 1_024);

/// Names the table in errors about its values.
pub(super) fn stored(row: &SqliteRow) -> Stored<'_> {
    Stored::new("coordinator_signal", row)
}

/// The signal of a row with [`signal_columns`].
pub(super) fn read(row: &SqliteRow) -> Result<Signal, StoreError> {
    let stored = stored(row);
    let id = SignalId::parse(&stored.exact("id")?).map_err(|fault| stored.corrupt("id", fault))?;
    let label = |column| {
        Label::parse(&stored.exact(column)?)
            .map_err(|fault| stored.corrupt(column, format_args!("of {id}: {fault}")))
    };
    let payload = stored.exact("payload")?;
    if payload.len() > PAYLOAD_LEN_MAX {
        return Err(stored.corrupt("payload", format_args!("of {id} is longer than {PAYLOAD_LEN_MAX} bytes")));
    }
    let instruction = Instruction {
        instrument: label("instrument")?,
        signal_type: label("signal_type")?,
        position: label("position")?,
        timestamp_s: stored.number("timestamp_s")?,
        payload,
        expires_ms: stored.maybe_number("expires_ms")?,
    };
    Ok(Signal {
        instruction,
        arrival: stored.number("arrival")?,
        state: state(&stored, &id)?,
        attempt: stored.number("attempt")?,
        received_ms: stored.number("received_ms")?,
        claimed_ms: stored.maybe_number("claimed_ms")?,
        settled_ms: stored.maybe_number("settled_ms")?,
        note: stored.maybe_text("note")?.map(|note| super::actor::note(&note)),
        id,
    })
}

fn state(stored: &Stored<'_>, id: &SignalId) -> Result<SignalState, StoreError> {
    let token = || {
        let (timeline, epoch) = (Timeline(stored.number("tl")?), Epoch(stored.number("epoch")?));
        Ok(Token { timeline, epoch, claim: stored.claim("claim")? })
    };
    let Some(name) = StateName::parse(&stored.text("state")?) else {
        return Err(stored.corrupt("state", format_args!("of {id} is unknown")));
    };
    Ok(match name {
        StateName::Received => SignalState::Received,
        StateName::Claimed => SignalState::Claimed(token()?),
        StateName::Sent => SignalState::Sent(token()?),
        StateName::Done => SignalState::Done,
        StateName::Rejected => SignalState::Rejected,
        StateName::Expired => SignalState::Expired,
        StateName::InDoubt => SignalState::InDoubt,
    })
}
