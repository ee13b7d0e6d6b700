//! A signal: as a client submits it, and as the ledger keeps it.

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

/// The id of a signal: 1 to 128 characters out of `[A-Za-z0-9._:-]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SignalId(InstanceId);

impl SignalId {
    /// Parses a signal's id.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        InstanceId::parse(text).map(Self)
    }

    /// The id as text.
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

/// The text is not a [`Label`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the text must have 1 to {INSTRUCTION_LABEL_LEN_MAX} characters on one line, without spaces at either end"
)]
pub struct InvalidLabel;

impl Label {
    /// Parses the text unchanged; the caller decides about trimming.
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

/// An instruction to execute. Two submissions are the same signal if their fingerprints are equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Instruction {
    /// The instrument. Signals of one instrument are sent one after the other, in their order of arrival.
    pub instrument: Label,
    /// The kind of signal.
    pub signal_type: Label,
    /// The position that it concerns.
    pub position: Label,
    /// The time of its origin according to its client, in unix seconds.
    pub timestamp_s: i64,
    /// Further data for the handler: a JSON object of at most [`PAYLOAD_LEN_MAX`] bytes. Opaque to this system.
    pub payload: String,
    /// The time after which it must not be sent, in unix milliseconds by the state store's clock.
    pub expires_ms: Option<i64>,
}

/// A submitted signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSignal {
    /// The id that its client gave it, if any.
    pub id: Option<SignalId>,
    /// The instruction to execute.
    pub instruction: Instruction,
    /// The hook that it came through; `None` if its client submitted it as a signal.
    pub hook: Option<FromHook>,
}

impl NewSignal {
    /// The seconds within which an alert of the same hook, instrument, type and position is this one, at most
    /// [`WINDOW_S_MAX`]; 0: only an equal instruction is.
    pub fn window_s(&self) -> u32 {
        self.hook.as_ref().map_or(0, |hook| hook.window_s.min(WINDOW_S_MAX))
    }

    /// The audit's note if it is folded into an earlier signal: its own time (unix seconds) and the start of its payload,
    /// on one line of at most [`NOTE_LEN_MAX`] characters.
    pub fn fold_note(&self) -> String {
        let Instruction { timestamp_s, payload, .. } = &self.instruction;
        let text = alloc::format!("an alert with the timestamp {timestamp_s}: {payload}");
        text.chars().take(NOTE_LEN_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
    }

    /// The id that it will have: the given one, else its fingerprint.
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

/// Longest window of a hook, in seconds: one hour. A longer one would take the next real alert for a repetition.
pub const WINDOW_S_MAX: u32 = 3_600;

/// Longest [`HookName`] in characters.
pub const HOOK_NAME_LEN_MAX: usize = 64;

/// The name of a hook: 1 to 64 characters out of `[A-Za-z0-9._-]`, not only dots, because it is a part of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HookName(String);

/// The text is not a [`HookName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("1 to {HOOK_NAME_LEN_MAX} of the characters A-Z a-z 0-9 . _ - are required, not dots alone")]
pub struct InvalidHookName;

impl HookName {
    /// Parses the name of a hook.
    pub fn parse(text: &str) -> Result<Self, InvalidHookName> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let only_dots = text.bytes().all(|byte| byte == b'.');
        if text.len() > HOOK_NAME_LEN_MAX || only_dots || !text.bytes().all(allowed) {
            return Err(InvalidHookName);
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HookName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The way of a signal that came as an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FromHook {
    /// The hook.
    pub name: HookName,
    /// An alert of the same hook, instrument, type and position whose timestamp differs by at most this number of seconds
    /// is the same signal, whatever its payload, id and expiry. 0: only an equal instruction is. At most [`WINDOW_S_MAX`].
    pub window_s: u32,
    /// The origin of its timestamp.
    pub dated: Dated,
}

/// The origin of the timestamp of an alert. It decides what another alert between two alerts means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dated {
    /// The alert has it. A sender that repeats an alert repeats its timestamp, so after a signal of another type of the
    /// instrument a later timestamp is a new decision: that signal ends the window.
    BySender,
    /// The time of its arrival. A sender may repeat an alert after it has sent others, so nothing ends the window.
    ByArrival,
}

/// A signal in the ledger. Times are unix milliseconds by the state store's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    /// Its id.
    pub id: SignalId,
    /// The instruction to execute.
    pub instruction: Instruction,
    /// Its order of arrival in the group.
    pub arrival: u64,
    /// Its state.
    pub state: SignalState,
    /// The number of the latest claim; 0 before the first.
    pub attempt: u32,
    /// The time when it was accepted.
    pub received_ms: i64,
    /// The time of its last claim.
    pub claimed_ms: Option<i64>,
    /// The time when it reached a final state.
    pub settled_ms: Option<i64>,
    /// The last note: a broker's order id, or the reason for its state.
    pub note: Option<String>,
}

impl Signal {
    /// The fingerprint: identifies the signal under every id, and is the idempotency key for its handler.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.instruction)
    }

    /// True if its note is [`FORGOTTEN`] or [`FORGOTTEN_ALERT`].
    pub fn may_be_forgotten(&self) -> bool {
        matches!(self.note.as_deref(), Some(FORGOTTEN | FORGOTTEN_ALERT))
    }

    /// False if its handler cannot know whether it was executed: it may be the repetition of a signal with another
    /// fingerprint.
    pub fn can_be_looked_up(&self) -> bool {
        self.note.as_deref() != Some(FORGOTTEN_ALERT)
    }
}

/// The note of a signal that is in doubt because the store has forgotten: this store has no claim of it, but it may
/// have been executed.
pub const FORGOTTEN: &str = "the store has forgotten: it may have been executed before";

/// As [`FORGOTTEN`], of a hook with a window. The signal that was executed may be another alert of that window, with another
/// fingerprint, so that a lookup of this one would not find it.
pub const FORGOTTEN_ALERT: &str =
    "the store has forgotten: an earlier alert of its window may have been executed before";

/// The note of a signal that is in doubt because it was claimed and has no outcome.
pub const ORPHANED: &str =
    "no outcome was recorded: its leader was gone, or the answer to its claim was lost";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_hook_is_one_part_of_a_path() {
        for good in ["tv", "desk-1.nifty_50", "a..b", "x".repeat(64).as_str()] {
            assert_eq!(HookName::parse(good).map(|name| name.0), Ok(good.to_owned()));
        }
        for bad in ["", ".", "..", "a/b", "a b", "a:b", "\u{20b9}", "x".repeat(65).as_str()] {
            assert_eq!(HookName::parse(bad), Err(InvalidHookName), "{bad:?}");
        }
    }

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
