//! Limits of the leader's work: signals in progress at the same time, signals of one claim, and intervals.

use domain::ledger::Limits;
use domain::ports::CLAIM_MAX;
use std::time::Duration;

/// The most signals in progress at the same time, each of another instrument.
const IN_FLIGHT_MAX: usize = 32;
const _: () = assert!(IN_FLIGHT_MAX <= CLAIM_MAX as usize);
/// The most lookups among them. A claim keeps room for the lookups that are due, so that a backlog of new signals does not
/// starve them. If the broker answers no lookup, the other half remains for new signals.
pub(super) const LOOKUPS_MAX: usize = IN_FLIGHT_MAX / 2;
/// The time within which a claim without an answer may still arrive at the store: the kernel abandons the last bytes of
/// a closed connection after about this time (tcp_retries2).
pub(super) const CLAIM_LATE_MAX: Duration = Duration::from_mins(16);
/// The interval at which old signals and old lines of the instance table are removed.
pub(super) const SWEEP_EVERY: Duration = Duration::from_mins(10);
/// The interval at which a leader reads the signals that are still in doubt: operators resolve them.
pub(super) const DOUBTS_EVERY: Duration = Duration::from_secs(10);
/// Pause after a failure, so that a leader that has work does not overload a store in trouble.
pub(super) const RETRY: Duration = Duration::from_millis(200);
/// Limits of a claim that expires what is due and claims nothing.
pub(super) const NOTHING: Limits = Limits { per_minute: Some(0), per_day: Some(0) };

/// The number of further signals that the leader may take up.
pub(super) fn room(running: usize) -> u16 {
    u16::try_from(IN_FLIGHT_MAX.saturating_sub(running)).unwrap_or(CLAIM_MAX)
}

/// The number of new signals that the leader may claim, so that `due` lookups have room in addition to those under way.
pub(super) fn room_for_new(running: usize, due: usize, under_way: usize) -> u16 {
    room(running + due.min(LOOKUPS_MAX.saturating_sub(under_way)))
}
