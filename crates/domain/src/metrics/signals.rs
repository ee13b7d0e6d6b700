//! What is measured of signals.

use super::Counters;
use crate::ledger::{Limits, Outcome};
use core::fmt;
use core::time::Duration;
use rust_decimal::Decimal;

/// Rupees at risk with one signal unless configured: one lakh, which is the usual 2 % of a capital of 50 lakh. Who
/// has configured nothing is to see money of the right size, not 0.
pub const SIGNAL_VALUE_DEFAULT: Decimal = Decimal::from_parts(100_000, 0, 0, false, 0);

/// What the metrics know of signals beside the facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignalsConfig {
    /// How many may be sent.
    pub limits: Limits,
    /// What one of them is worth, in rupees.
    pub value: Decimal,
}

impl Default for SignalsConfig {
    fn default() -> Self {
        Self { limits: Limits::default(), value: SIGNAL_VALUE_DEFAULT }
    }
}

/// Something that this process did with a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignalFact {
    /// It was submitted here and accepted.
    Received,
    /// It was not executed a second time: it was submitted here and had been accepted before, or it was in doubt and
    /// was found to be executed.
    DuplicatePrevented,
    /// It was claimed.
    Claimed,
    /// It was handed to its handler, or to the service that pulls signals. Once for every attempt, whatever comes
    /// of it.
    Sent {
        /// How long after it was accepted.
        waited: Duration,
    },
    /// What became of it was recorded. That its handler has it ([`Outcome::Sent`]) is counted already, as
    /// [`Sent`](Self::Sent).
    Settled(Outcome),
    /// A write to the ledger was refused because its token is not the lease row's any more. Once for every call.
    FencedWrite,
    /// A submission was refused.
    Refused(Refusal),
}

/// Why a submission was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Its body is not what was announced: not JSON, not an object (400).
    Malformed,
    /// It comes from where no submission may come from (403).
    Forbidden,
    /// Another signal has its id or its fingerprint (409).
    Conflict,
    /// It is too large (413).
    TooLarge,
    /// A field is missing or wrong (422).
    Invalid,
    /// For another reason of the client's making.
    Other,
}

impl Refusal {
    /// Every reason.
    pub const ALL: [Self; 6] =
        [Self::Malformed, Self::Forbidden, Self::Conflict, Self::TooLarge, Self::Invalid, Self::Other];

    /// As the label `reason` carries it.
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

    /// Where its count is.
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
    /// Counts what was done with a signal.
    pub(super) fn signal(&mut self, fact: SignalFact) {
        let counter = match fact {
            SignalFact::Received => &mut self.signals_received,
            SignalFact::DuplicatePrevented => &mut self.duplicates_prevented,
            SignalFact::Claimed => &mut self.signals_claimed,
            SignalFact::Sent { waited: _ } => &mut self.signals_sent,
            SignalFact::Settled(Outcome::Done) => &mut self.signals_done,
            SignalFact::Settled(Outcome::Rejected) => &mut self.signals_rejected,
            SignalFact::Settled(Outcome::InDoubt) => &mut self.signals_doubted,
            SignalFact::Settled(Outcome::Received) => &mut self.signals_not_executed,
            SignalFact::Settled(Outcome::Sent) => return,
            SignalFact::Refused(why) => &mut self.signals_refused[why.index()],
            SignalFact::FencedWrite => &mut self.fenced_writes,
        };
        *counter += 1;
    }
}
