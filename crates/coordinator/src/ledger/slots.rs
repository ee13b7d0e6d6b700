//! What a leader may have under way at the same time, and what a claim of it may take.

use domain::ledger::Limits;
use domain::ports::CLAIM_MAX;
use std::time::Duration;

/// Signals that are worked on at the same time, each of another instrument.
const IN_FLIGHT_MAX: usize = 32;
const _: () = assert!(IN_FLIGHT_MAX <= CLAIM_MAX as usize);
/// Lookups among them. They go first, so that a backlog of new signals does not starve them; and a broker that answers no
/// lookup leaves new signals the other half.
pub(super) const LOOKUPS_MAX: usize = IN_FLIGHT_MAX / 2;
/// A claim that had no answer may arrive for this long: the kernel abandons a closed connection's last bytes after about
/// this time (tcp_retries2).
pub(super) const CLAIM_LATE_MAX: Duration = Duration::from_mins(16);
/// Limits of a claim that expires what is due and claims nothing.
pub(super) const NOTHING: Limits = Limits { per_minute: Some(0), per_day: Some(0) };

/// How many more signals may be worked on.
pub(super) fn room(running: usize) -> u16 {
    u16::try_from(IN_FLIGHT_MAX.saturating_sub(running)).unwrap_or(CLAIM_MAX)
}
