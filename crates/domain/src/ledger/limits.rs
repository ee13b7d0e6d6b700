//! Limits on sending that hold below any strategy, and what the ledger counts.

use alloc::string::String;
use core::time::Duration;

/// How many signals may be sent at most. By the state store's clock, over every leader: the claim that would be
/// one too many is not granted, and the signal waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// In any 60 seconds; `None`: any number.
    pub per_minute: Option<u32>,
    /// In any 24 hours; `None`: any number.
    pub per_day: Option<u32>,
}

impl Limits {
    /// Unless configured: far more than any strategy of a dozen trades a year means, and few enough that an operator
    /// can stop one that has gone mad.
    pub const DEFAULT: Self = Self { per_minute: Some(60), per_day: Some(1_000) };
    /// Any number.
    pub const NONE: Self = Self { per_minute: None, per_day: None };
}

impl Default for Limits {
    /// [`Limits::DEFAULT`].
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Which limit lets nothing through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LimitReached {
    /// [`Limits::per_minute`].
    PerMinute,
    /// [`Limits::per_day`].
    PerDay,
}

/// The kill switch is on: nothing is claimed, whoever leads, until somebody turns it off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paused {
    /// Why.
    pub reason: String,
    /// By whom.
    pub who: String,
    /// Since when, unix milliseconds by the state store's clock.
    pub since_ms: i64,
}

/// How many signals of the group are in each state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SignalCounts {
    /// Durable and waiting.
    pub received: u64,
    /// Taken by a leader.
    pub claimed: u64,
    /// At their handlers, results still to come.
    pub sent: u64,
    /// Executed.
    pub done: u64,
    /// Not executed.
    pub rejected: u64,
    /// Not sent in time.
    pub expired: u64,
    /// Outcome unknown.
    pub in_doubt: u64,
}

/// What an operator has to know of the ledger at one moment. Cheap to ask for: finished signals are not counted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Totals {
    /// Signals that wait.
    pub received: u64,
    /// Signals that a leader has taken.
    pub claimed: u64,
    /// Signals at their handlers, results still to come.
    pub sent: u64,
    /// Signals of which nobody knows whether they were executed.
    pub in_doubt: u64,
    /// Age of the oldest signal that waits, since it was accepted.
    pub oldest_received: Option<Duration>,
    /// Age of the oldest doubt, since the signal was claimed.
    pub oldest_in_doubt: Option<Duration>,
    /// Signals that expired in the last 24 hours: trades that were missed.
    pub expired_last_day: u32,
    /// Claims of the last 60 seconds, without those known not to have been executed.
    pub sent_last_minute: u32,
    /// Claims of the last 24 hours, likewise.
    pub sent_last_day: u32,
    /// The kill switch, when it is on.
    pub paused: Option<Paused>,
}
