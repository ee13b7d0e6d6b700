//! Measurements of signals.

use super::Counters;
use crate::ledger::{Limits, Outcome};
use core::fmt;
use core::time::Duration;
use rust_decimal::Decimal;

/// Default for the rupees at risk with one signal: one lakh (100,000 rupees), which is the usual 2 % of a capital of
/// 50 lakh. Without configuration, operators see an amount of the right order of magnitude instead of 0.
pub const SIGNAL_VALUE_DEFAULT: Decimal = Decimal::from_parts(100_000, 0, 0, false, 0);

/// Settings of the signal metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignalsConfig {
    /// The limits on sending.
    pub limits: Limits,
    /// The value of one signal, in rupees.
    pub value: Decimal,
}

impl Default for SignalsConfig {
    fn default() -> Self {
        Self { limits: Limits::default(), value: SIGNAL_VALUE_DEFAULT }
    }
}

/// An action of this process on a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignalFact {
    /// A client submitted it here and it was accepted.
    Received,
    /// A second execution was prevented: the signal was submitted here again, or it was in doubt and a lookup found
    /// that it was executed.
    DuplicatePrevented,
    /// An alert was folded into an earlier signal of its hook.
    Folded,
    /// It was claimed.
    Claimed,
    /// It was sent to its handler, or to the service that pulls signals. Counted once for every attempt, whatever its
    /// outcome.
    Sent {
        /// The time since it was accepted.
        waited: Duration,
    },
    /// Its outcome was recorded. [`Outcome::Sent`] is not counted here, because [`Sent`](Self::Sent) has counted it.
    Recorded(Outcome),
    /// The store refused a write to the ledger because its token was superseded. Counted once for every call.
    FencedWrite,
    /// A submission was refused.
    Refused(Refusal),
}

/// Reason for the refusal of a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The body is malformed: not JSON, or not an object (400).
    Malformed,
    /// Its origin or its credential may not submit (401, 403, 429).
    Forbidden,
    /// Another signal has the same id or fingerprint (409).
    Conflict,
    /// The body is too large (413).
    TooLarge,
    /// A field is missing or wrong (422).
    Invalid,
    /// Another error of the client.
    Other,
}

impl Refusal {
    /// Every reason.
    pub const ALL: [Self; 6] =
        [Self::Malformed, Self::Forbidden, Self::Conflict, Self::TooLarge, Self::Invalid, Self::Other];

    /// The value of the label `reason`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Forbidden => "forbidden",
            Self::Conflict => "conflict",
            Self::TooLarge => "too_large",
            Self::Invalid => "invalid",
            Self::Other => "other",
        }
    }

    /// The position of its count.
    const fn index(self) -> usize {
        match self {
            Self::Malformed => 0,
            Self::Forbidden => 1,
            Self::Conflict => 2,
            Self::TooLarge => 3,
            Self::Invalid => 4,
            Self::Other => 5,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Counters {
    /// Counts an action on a signal.
    pub(super) fn signal(&mut self, fact: SignalFact) {
        let counter = match fact {
            SignalFact::Received => &mut self.signals_received,
            SignalFact::DuplicatePrevented => &mut self.duplicates_prevented,
            SignalFact::Folded => &mut self.signals_folded,
            SignalFact::Claimed => &mut self.signals_claimed,
            SignalFact::Sent { waited: _ } => &mut self.signals_sent,
            SignalFact::Recorded(Outcome::Done) => &mut self.signals_done,
            SignalFact::Recorded(Outcome::Rejected) => &mut self.signals_rejected,
            SignalFact::Recorded(Outcome::InDoubt) => &mut self.signals_doubted,
            SignalFact::Recorded(Outcome::Received) => &mut self.signals_not_executed,
            SignalFact::Recorded(Outcome::Sent) => return,
            SignalFact::Refused(why) => &mut self.signals_refused[why.index()],
            SignalFact::FencedWrite => &mut self.fenced_writes,
        };
        *counter += 1;
    }
}
