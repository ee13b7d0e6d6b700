//! The leader, judged by the lease alone.

use super::Facts;
use super::phrase::{before, since};
use crate::id::InstanceId;
use crate::lease::Epoch;
use crate::member::{LeaseSeen, Term};
use core::time::Duration;

/// A renewal is due every third of LEADER_TTL. If the last one is older than two of these thirds, one was missed.
const OVERDUE: (u32, u32) = (2, 3);

/// The leader according to the lease at the moment of the facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaderView {
    /// An instance holds a valid lease and renews it.
    Leads {
        /// The instance.
        id: InstanceId,
        /// Its epoch.
        epoch: Epoch,
        /// The start of its term, in Unix milliseconds; its last renewal if the history has no such term.
        since_ms: i64,
    },
    /// An instance holds a lease that is still valid and has missed a renewal.
    Overdue {
        /// The instance.
        id: InstanceId,
        /// Its epoch.
        epoch: Epoch,
        /// Its last renewal, unix milliseconds.
        renewed_ms: i64,
        /// When the lease ends, unix milliseconds.
        ends_ms: i64,
    },
    /// No instance holds a valid lease.
    Vacant {
        /// The end of the last lease, in Unix milliseconds; `None` if no instance has ever led.
        since_ms: Option<i64>,
        /// The last leader and its epoch.
        last: Option<(InstanceId, Epoch)>,
        /// True if the last leader released the lease, false if it did not renew it.
        released: bool,
    },
    /// The state store does not answer.
    Unknown {
        /// The first failed request, in Unix milliseconds; `None` before the first request.
        since_ms: Option<i64>,
        /// The last known holder and its epoch.
        last: Option<(InstanceId, Epoch)>,
    },
}

impl LeaderView {
    pub(super) fn of(facts: &Facts) -> Self {
        let Some((seen, read_ms)) = facts.lease.last() else {
            return Self::Unknown { since_ms: facts.lease.away_since_ms(), last: None };
        };
        if facts.lease.current().is_none() {
            let last = seen.holder.clone().map(|id| (id, seen.epoch));
            return Self::Unknown { since_ms: facts.lease.away_since_ms(), last };
        }
        Self::of_lease(seen, read_ms, facts.now_ms)
    }

    /// Judges the lease as it was read at `read_ms`, for the moment `now_ms` (both unix milliseconds).
    ///
    /// A running instance reads the lease once in each heartbeat, and the holder renews it as often. So a missed renewal
    /// and the end of the lease must be in what was read: the time since then proves neither.
    pub fn of_lease(seen: &LeaseSeen, read_ms: i64, now_ms: i64) -> Self {
        let last = seen.holder.clone().map(|id| (id, seen.epoch));
        let age = seen.renewed_age + since(read_ms, now_ms);
        let renewed_ms = before(now_ms, age);
        let ends_ms = after(renewed_ms, seen.ttl);
        let (missed, of) = OVERDUE;
        match last {
            None => Self::Vacant { since_ms: None, last: None, released: false },
            last if seen.released => Self::Vacant { since_ms: Some(renewed_ms), last, released: true },
            last if seen.renewed_age >= seen.ttl => {
                Self::Vacant { since_ms: Some(ends_ms), last, released: false }
            }
            Some((id, epoch)) if seen.renewed_age > seen.ttl * missed / of || age >= seen.ttl => {
                Self::Overdue { id, epoch, renewed_ms, ends_ms }
            }
            Some((id, epoch)) => Self::Leads { id, epoch, since_ms: seen.since_ms.unwrap_or(renewed_ms) },
        }
    }

    /// Ends the latest of `terms` (newest first) if its lease has ended and no claim has closed it yet. The next claim
    /// will record the same end.
    pub fn close_ended(&self, terms: &mut [Term]) {
        if let (Self::Vacant { since_ms: Some(ended_ms), released: false, .. }, Some(term)) =
            (self, terms.first_mut())
            && term.to_ms.is_none()
        {
            term.to_ms = Some((*ended_ms).max(term.from_ms));
            term.reason = Some("expired".into());
        }
    }

    /// The instance that holds a valid lease, and its epoch.
    pub fn holder(&self) -> Option<(&InstanceId, Epoch)> {
        match self {
            Self::Leads { id, epoch, .. } | Self::Overdue { id, epoch, .. } => Some((id, *epoch)),
            Self::Vacant { .. } | Self::Unknown { .. } => None,
        }
    }
}

fn after(at_ms: i64, by: Duration) -> i64 {
    at_ms.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX))
}
