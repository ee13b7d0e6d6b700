//! A signal, as it is submitted and as the ledger has it.

use super::{Fingerprint, SignalState};
use crate::id::{InstanceId, InvalidId};
use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;

/// Longest payload in bytes.
pub const PAYLOAD_LEN_MAX: usize = 64 * 1024;
/// Longest [`Label`] in characters.
pub const INSTRUCTION_LABEL_LEN_MAX: usize = 64;
/// Longest note (a broker's order id, a reason) in characters; a longer one is cut.
pub const NOTE_LEN_MAX: usize = 256;

/// The name of a signal: 1 to 128 characters out of `[A-Za-z0-9._:-]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SignalId(InstanceId);

impl SignalId {
    /// Parses a signal's name.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        InstanceId::parse(text).map(Self)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for SignalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A short text of a signal: 1 to 64 characters, none of them a control character, no space at either end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(String);

/// A text is not a [`Label`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a text of 1 to {INSTRUCTION_LABEL_LEN_MAX} characters on one line is wanted, without spaces around it"
)]
pub struct InvalidLabel;

impl Label {
    /// Parses it as it stands; trimming is for the edge to decide.
    pub fn parse(text: &str) -> Result<Self, InvalidLabel> {
        let long = text.chars().count() > INSTRUCTION_LABEL_LEN_MAX;
        if text.is_empty() || long || text.trim() != text || text.contains(char::is_control) {
            return Err(InvalidLabel);
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is to be done. Two submissions are the same signal when these are equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Instruction {
    /// What it is about. Signals of one instrument are sent in their order of arrival, one after the other.
    pub instrument: Label,
    /// What kind of signal it is.
    pub signal_type: Label,
    /// Which position it is about.
    pub position: Label,
    /// When it arose, by whoever made it: unix seconds.
    pub timestamp_s: i64,
    /// Whatever the handler needs beside: a JSON object of at most [`PAYLOAD_LEN_MAX`] bytes. Opaque here.
    pub payload: String,
    /// From when on it must not be sent any more, unix milliseconds by the state store's clock.
    pub expires_ms: Option<i64>,
}

/// A signal to be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSignal {
    /// The name its sender gave it, if any.
    pub id: Option<SignalId>,
    /// What is to be done.
    pub instruction: Instruction,
}

impl NewSignal {
    /// The name it will have: the given one, else its fingerprint.
    ///
    /// # Panics
    /// Never: a fingerprint is an id.
    pub fn id(&self) -> SignalId {
        self.id.clone().unwrap_or_else(|| {
            let fingerprint = Fingerprint::of(&self.instruction);
            SignalId::parse(&alloc::format!("{fingerprint}")).expect("64 hexadecimal digits are an id")
        })
    }
}

/// A signal as the ledger has it. Times are unix milliseconds by the state store's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    /// Its name.
    pub id: SignalId,
    /// What is to be done.
    pub instruction: Instruction,
    /// Order of arrival in its group.
    pub arrival: u64,
    /// Where it stands.
    pub state: SignalState,
    /// How often it was claimed: the number of the latest claim, 0 before the first.
    pub attempt: u32,
    /// When it was accepted.
    pub received_ms: i64,
    /// When it was last claimed.
    pub claimed_ms: Option<i64>,
    /// When it reached a final state.
    pub settled_ms: Option<i64>,
    /// What was said of it last: a broker's order id, or why it stands where it stands.
    pub note: Option<String>,
}

impl Signal {
    /// What tells it from every other signal, under every name; the idempotency key for its handler.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.instruction)
    }
}

/// What is said of a signal that is in doubt because the store has forgotten: nobody here claimed it, and it may have
/// been executed all the same.
pub const FORGOTTEN: &str = "the store has forgotten: it may have been executed before";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_one_line_without_spaces_around_it() {
        for good in ["NIFTY", "BANK NIFTY", "₹", "x".repeat(64).as_str()] {
            assert_eq!(Label::parse(good).map(|label| label.0), Ok(good.to_owned()));
        }
        for bad in ["", " ", " a", "a ", "a\nb", "a\u{7f}", "x".repeat(65).as_str()] {
            assert_eq!(Label::parse(bad), Err(InvalidLabel), "{bad:?}");
        }
    }
}
