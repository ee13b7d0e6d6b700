//! Everything there is to tell about this process at one moment.

use super::histogram::Histogram;
use super::signals::Refusal;
use super::window::WindowStats;
use crate::id::InstanceId;
use crate::lease::Epoch;
use crate::ledger::{Limits, Totals};
use crate::member::MemberState;
use crate::recovery::RecoveryCode;
use crate::settings::Differing;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use rust_decimal::Decimal;

/// What the driver knows at this moment, as opposed to what has happened since the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// What this instance is doing.
    pub state: MemberState,
    /// This instance believes that it leads.
    pub is_leader: bool,
    /// Who leads by the lease row; `None` when it is open or unknown.
    pub leader_db: Option<InstanceId>,
    /// Who holds the ticket; `None` when nobody does, when Redis is away, and without Redis.
    pub leader_redis: Option<InstanceId>,
    /// Redis is configured and unreachable for this instance.
    pub fallback: bool,
    /// The task that beats is alive.
    pub heartbeat_running: bool,
    /// Time until this instance stops believing that it leads; `None` when it does not.
    pub lease_left: Option<Duration>,
    /// LEADER_TTL of this instance.
    pub ttl: Duration,
    /// The latest epoch seen; `None` before the row was read.
    pub epoch: Option<Epoch>,
}

/// What has been counted since the process started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Syncs that were answered.
    pub syncs_succeeded: u64,
    /// Syncs that failed or were not answered in time.
    pub syncs_failed: u64,
    /// Changes of leader in the group that this process saw.
    pub leadership_changes: u64,
    /// Times this process found its lease superseded.
    pub split_brains: u64,
    /// Tickets that this system cannot have written.
    pub ticket_faults: u64,
    /// Recoveries that passed.
    pub recoveries_succeeded: u64,
    /// Recoveries that did not.
    pub recoveries_failed: u64,
    /// Signals that this process accepted.
    pub signals_received: u64,
    /// Signals that were not executed a second time: submitted again, or in doubt and found to be executed.
    pub duplicates_prevented: u64,
    /// Signals that this process claimed.
    pub signals_claimed: u64,
    /// Signals that this process handed to their handlers.
    pub signals_sent: u64,
    /// Signals that it recorded as executed.
    pub signals_done: u64,
    /// Signals that it recorded as not executed, for good.
    pub signals_rejected: u64,
    /// Signals that it recorded as in doubt.
    pub signals_doubted: u64,
    /// Signals that it recorded as not executed, to wait for their next claim.
    pub signals_not_executed: u64,
    /// Submissions that it refused, in the order of [`Refusal::ALL`].
    pub signals_refused: [u64; Refusal::ALL.len()],
    /// Writes to the ledger that were refused because their token was not the lease row's any more.
    pub fenced_writes: u64,
}

impl Counters {
    /// Syncs attempted.
    pub fn syncs(&self) -> u64 {
        self.syncs_succeeded.saturating_add(self.syncs_failed)
    }
}

/// How the last recovery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastRecovery {
    /// How many positions came back, or why none did.
    pub outcome: Result<u32, RecoveryCode>,
    /// How long it took.
    pub took: Duration,
    /// When it ended, unix milliseconds.
    pub at_ms: i64,
}

/// One consistent value that the JSON page, the Prometheus text and the alerts all read.
/// What is unknown is `None`, never 0 and never NaN.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// When it was taken, unix milliseconds.
    pub now_ms: i64,
    /// When the process started, unix milliseconds.
    pub started_ms: i64,
    /// This instance.
    pub instance: InstanceId,
    /// Its version.
    pub version: String,
    /// What the driver knew when it was taken.
    pub view: View,
    /// Counted since the start.
    pub counters: Counters,
    /// The last syncs.
    pub window: WindowStats,
    /// How long syncs took, since the start.
    pub sync_duration: Histogram,
    /// Changes of leader in the last 60 minutes by the history table; `None` until it was read.
    pub changes_last_hour: Option<u32>,
    /// The last heartbeat, unix milliseconds.
    pub last_heartbeat_ms: Option<i64>,
    /// The last recovery, passed or not.
    pub last_recovery: Option<LastRecovery>,
    /// Positions of the last recovery that passed: those this process has in hand.
    pub positions_recovered: Option<u32>,
    /// The ledger, once it was counted.
    pub totals: Option<Totals>,
    /// The last submission that was refused, and when, unix milliseconds.
    pub last_refused: Option<(Refusal, i64)>,
    /// Since when the handler has answered for one and the same signal that it did not execute it, unix milliseconds.
    pub not_executing_since_ms: Option<i64>,
    /// Settings that instances of the group have different values of.
    pub settings_differ: Vec<Differing>,
    /// When the state store was last known to have forgotten, unix milliseconds by its clock; `None` while it never did
    /// and before the first heartbeat.
    pub store_forgot_ms: Option<i64>,
    /// How many signals may be sent.
    pub signal_limits: Limits,
    /// What a signal is worth, in rupees.
    pub signal_value: Decimal,
    /// How long signals waited from their acceptance until they were sent, since the start.
    pub sent_after: Histogram,
}

impl Snapshot {
    /// Why the last recovery failed; `None` when it passed or there was none.
    pub fn recovery_error(&self) -> Option<RecoveryCode> {
        self.last_recovery.and_then(|last| last.outcome.err())
    }

    /// What stands in the market and is not settled, in rupees: every signal that was, or may have been, sent and
    /// has no result. `None` before the ledger was counted.
    pub fn signals_exposure(&self) -> Option<Decimal> {
        let totals = self.totals.as_ref()?;
        let open = totals.claimed.saturating_add(totals.sent).saturating_add(totals.in_doubt);
        Some(self.signal_value.saturating_mul(open.into()))
    }

    /// For how long the handler has answered for one and the same signal that it did not execute it, in milliseconds.
    pub fn not_executing_ms(&self) -> Option<i64> {
        self.not_executing_since_ms.map(|since_ms| self.now_ms.saturating_sub(since_ms).max(0))
    }

    /// Age of the last heartbeat in milliseconds; 0 when the calendar was set back since.
    pub fn heartbeat_age_ms(&self) -> Option<i64> {
        self.last_heartbeat_ms.map(|at_ms| self.now_ms.saturating_sub(at_ms).max(0))
    }
}
