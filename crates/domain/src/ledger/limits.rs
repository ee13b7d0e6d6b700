//! Limits on sending that apply to every strategy, and the counts of the ledger.

use alloc::string::String;
use core::time::Duration;

/// Maximum number of signals sent, by the state store's clock and over all leaders. The store refuses a claim beyond
/// the limit, and the signal waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// In any 60 seconds; `None`: unlimited.
    pub per_minute: Option<u32>,
    /// In any 24 hours; `None`: unlimited.
    pub per_day: Option<u32>,
}

impl Limits {
    /// The default: far more than a strategy with a dozen trades a year needs, and low enough for an operator to stop
    /// a strategy that malfunctions.
    pub const DEFAULT: Self = Self { per_minute: Some(60), per_day: Some(1_000) };
    /// Unlimited.
    pub const NONE: Self = Self { per_minute: None, per_day: None };
}

impl Default for Limits {
    /// [`Limits::DEFAULT`].
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The limit that is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LimitReached {
    /// [`Limits::per_minute`].
    PerMinute,
    /// [`Limits::per_day`].
    PerDay,
}

/// The kill switch is on: no instance claims a signal until an operator turns it off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paused {
    /// The reason.
    pub reason: String,
    /// The operator who turned it on.
    pub who: String,
    /// The time since it is on, in unix milliseconds by the state store's clock.
    pub since_ms: i64,
}

/// Number of the group's signals in each state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SignalCounts {
    /// Durable and waiting.
    pub received: u64,
    /// Claimed by a leader.
    pub claimed: u64,
    /// At their handlers; the results are pending.
    pub sent: u64,
    /// Executed.
    pub done: u64,
    /// Rejected without execution.
    pub rejected: u64,
    /// Not sent before they expired.
    pub expired: u64,
    /// In doubt: the outcome is unknown.
    pub in_doubt: u64,
}

/// Counts of the ledger at one moment, for operators. The query is cheap: finished signals are not counted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Totals {
    /// Signals that wait.
    pub received: u64,
    /// Signals that a leader has claimed.
    pub claimed: u64,
    /// Signals at their handlers; the results are pending.
    pub sent: u64,
    /// Signals in doubt: they may have been executed.
    pub in_doubt: u64,
    /// Age of the oldest signal that waits, since it was accepted.
    pub oldest_received: Option<Duration>,
    /// Age of the oldest signal in doubt, since it was claimed.
    pub oldest_in_doubt: Option<Duration>,
    /// Signals that expired in the last 24 hours and that no operator has acknowledged: trades that were missed.
    pub expired_last_day: u32,
    /// Claims of the last 60 seconds, without those known not to have been executed.
    pub sent_last_minute: u32,
    /// Claims of the last 24 hours, without those known not to have been executed.
    pub sent_last_day: u32,
    /// The kill switch, if it is on.
    pub paused: Option<Paused>,
}
