//! The snapshot: all values to report about this process at one moment.

use super::access::AccessRefusal;
use super::histogram::Histogram;
use super::signals::Refusal;
use super::window::WindowStats;
use crate::decision::{Decision, Subject};
use crate::id::InstanceId;
use crate::lease::Epoch;
use crate::ledger::{Limits, Totals};
use crate::member::MemberState;
use crate::overview::Known;
use crate::recovery::RecoveryCode;
use crate::settings::Differing;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use rust_decimal::Decimal;

/// The driver's present state, in contrast to the counts since the start.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a separate fact: none excludes another")]
pub struct View {
    /// The state of this instance.
    pub state: MemberState,
    /// True while this instance holds a valid lease.
    pub is_leader: bool,
    /// The leader according to the lease; `None` when the lease is open or unknown.
    pub leader_db: Option<InstanceId>,
    /// True if the state store answered the last request. Without an answer and without a leader, the leader is unknown.
    pub state_store_answers: bool,
    /// The holder of the ticket; `None` if there is none, if Redis is unreachable, and without Redis.
    pub leader_redis: Option<InstanceId>,
    /// True if Redis is configured.
    pub uses_redis: bool,
    /// Redis is configured and unreachable for this instance.
    pub fallback: bool,
    /// The last known disagreement of the two stores about the leader, while it cannot be measured.
    pub disagreement: Option<Disagreement>,
    /// True while the heartbeat task is alive.
    pub heartbeat_running: bool,
    /// The time until the lease of this instance ends; `None` if it does not lead.
    pub lease_left: Option<Duration>,
    /// LEADER_TTL of this instance.
    pub ttl: Duration,
    /// The latest epoch read; `None` before the lease was read.
    pub epoch: Option<Epoch>,
}

/// Both stores named a leader, and not the same one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disagreement {
    /// The leader that Redis named.
    pub redis: InstanceId,
    /// The leader that the state store named.
    pub db: InstanceId,
    /// The time when both were last known, in unix milliseconds.
    pub at_ms: i64,
}

impl View {
    /// The disagreement of the two stores: at `now_ms` (unix milliseconds), or the last known one, `before`, if one
    /// of them does not answer and the other one does not contradict it.
    pub fn disagreement(&self, before: Option<Disagreement>, now_ms: i64) -> Option<Disagreement> {
        let db_unknown = self.leader_db.is_none() && !self.state_store_answers;
        match (&self.leader_redis, &self.leader_db) {
            (Some(redis), Some(db)) => {
                (redis != db).then(|| Disagreement { redis: redis.clone(), db: db.clone(), at_ms: now_ms })
            }
            (None, Some(db)) if self.fallback => before.filter(|before| before.db == *db),
            (Some(redis), None) if db_unknown => before.filter(|before| before.redis == *redis),
            (None, None) if self.fallback && db_unknown => before,
            (Some(_), None) | (None, Some(_) | None) => None,
        }
    }
}

/// Counts since the start of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Syncs that were answered.
    pub syncs_succeeded: u64,
    /// Syncs that failed or were not answered in time.
    pub syncs_failed: u64,
    /// Changes of leader in the group that this process saw.
    pub leadership_changes: u64,
    /// Number of times that this process found its lease superseded.
    pub split_brains: u64,
    /// Tickets that this system cannot have written.
    pub ticket_faults: u64,
    /// Recoveries that passed.
    pub recoveries_succeeded: u64,
    /// Recoveries that failed.
    pub recoveries_failed: u64,
    /// Signals that this process accepted.
    pub signals_received: u64,
    /// Signals whose second execution was prevented: submitted again, or in doubt and found to be executed.
    pub duplicates_prevented: u64,
    /// Alerts of hooks that were folded into an earlier signal.
    pub signals_folded: u64,
    /// Signals that this process claimed.
    pub signals_claimed: u64,
    /// Signals that this process sent to their handlers.
    pub signals_sent: u64,
    /// Signals that it recorded as executed.
    pub signals_done: u64,
    /// Signals that it recorded as not executed; final.
    pub signals_rejected: u64,
    /// Signals that it recorded as in doubt.
    pub signals_doubted: u64,
    /// Signals that it recorded as not executed and that wait for their next claim.
    pub signals_not_executed: u64,
    /// Submissions that it refused, in the order of [`Refusal::ALL`].
    pub signals_refused: [u64; Refusal::ALL.len()],
    /// Requests that it refused for their credential, in the order of [`AccessRefusal::ALL`].
    pub access_refused: [u64; AccessRefusal::ALL.len()],
    /// Writes to the ledger that were refused because their token was superseded.
    pub fenced_writes: u64,
}

impl Counters {
    /// Syncs attempted.
    pub fn syncs(&self) -> u64 {
        self.syncs_succeeded.saturating_add(self.syncs_failed)
    }
}

/// Result of the last recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastRecovery {
    /// The number of recovered positions, or the reason for the failure.
    pub outcome: Result<u32, RecoveryCode>,
    /// The duration.
    pub took: Duration,
    /// The end, in unix milliseconds.
    pub at_ms: i64,
}

/// One consistent value that the JSON page, the Prometheus text and the alerts all read. Unknown values are `None`,
/// never 0 or NaN.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The time of the snapshot, in unix milliseconds.
    pub now_ms: i64,
    /// The start of the process, in unix milliseconds.
    pub started_ms: i64,
    /// This instance.
    pub instance: InstanceId,
    /// Its version.
    pub version: String,
    /// The driver's state at the time of the snapshot.
    pub view: View,
    /// Counts since the start.
    pub counters: Counters,
    /// The window of the last syncs.
    pub window: WindowStats,
    /// Durations of the syncs since the start.
    pub sync_duration: Histogram,
    /// Changes of leader in the last 60 minutes, from the history table; `None` before it was read.
    pub changes_last_hour: Option<u32>,
    /// The last heartbeat, unix milliseconds.
    pub last_heartbeat_ms: Option<i64>,
    /// The last recovery, passed or failed.
    pub last_recovery: Option<LastRecovery>,
    /// The end of the last recovery that failed, in unix milliseconds.
    pub last_recovery_failure_ms: Option<i64>,
    /// What the last recovery found to be wrong, one sentence each; empty if it passed.
    pub recovery_findings: Vec<String>,
    /// Positions of the last recovery that passed; this process holds them.
    pub positions_recovered: Option<u32>,
    /// The last counts of the ledger, and since when it cannot be counted.
    pub totals: Known<Totals>,
    /// The last refused submission and its time in unix milliseconds.
    pub last_refused: Option<(Refusal, i64)>,
    /// The time (unix milliseconds) since when the handler has answered for the same signal that it did not execute
    /// it.
    pub not_executing_since_ms: Option<i64>,
    /// Settings that differ between instances of the group.
    pub settings_differ: Vec<Differing>,
    /// The time when the state store was last found to have forgotten, in unix milliseconds by its clock; `None` if
    /// it never did and before the first heartbeat.
    pub store_forgot_ms: Option<i64>,
    /// The latest decisions of operators, newest first, without the removals of instances that are back.
    pub decisions: Vec<Decision>,
    /// The limits on sending.
    pub signal_limits: Limits,
    /// The value of a signal, in rupees.
    pub signal_value: Decimal,
    /// The time that signals waited from their acceptance until they were sent, since the start.
    pub sent_after: Histogram,
}

impl Snapshot {
    /// The reason why the last recovery failed; `None` if it passed or there was none.
    pub fn recovery_error(&self) -> Option<RecoveryCode> {
        self.last_recovery.and_then(|last| last.outcome.err())
    }

    /// The last acknowledgement of failed recoveries.
    pub fn recovery_acknowledged(&self) -> Option<&Decision> {
        self.decisions.iter().find(|one| matches!(one.subject, Subject::RecoveryAcknowledged { .. }))
    }

    /// The last counts of the ledger, however old; `None` before the first.
    pub fn totals(&self) -> Option<&Totals> {
        self.totals.last().map(|(totals, _)| totals)
    }

    /// The exposure in rupees: the value of every signal that was or may have been sent and has no result. `None`
    /// before the ledger was counted.
    pub fn signals_exposure(&self) -> Option<Decimal> {
        let totals = self.totals()?;
        let open = totals.claimed.saturating_add(totals.sent).saturating_add(totals.in_doubt);
        Some(self.signal_value.saturating_mul(open.into()))
    }

    /// The time in milliseconds for which the handler has answered for the same signal that it did not execute it.
    pub fn not_executing_ms(&self) -> Option<i64> {
        self.not_executing_since_ms.map(|since_ms| self.now_ms.saturating_sub(since_ms).max(0))
    }

    /// The age of the last heartbeat in milliseconds; 0 if the system clock was set back since.
    pub fn heartbeat_age_ms(&self) -> Option<i64> {
        self.last_heartbeat_ms.map(|at_ms| self.now_ms.saturating_sub(at_ms).max(0))
    }
}
