//! A budget for hints, used for the lease and for the ticket. A hint proves nothing: every client that may notify can
//! send one, and it may be false. So hints cause a bounded number of requests and delay nothing. The timers of
//! renewals and polls are not kept here.

use super::config::Config;
use crate::time::Time;

/// Requests that hints may cause at once. A handover takes five: a renewal, the request to hand over, the release,
/// the next claim and its first renewal. After these eight, hints may cause one more request per eighth of a
/// heartbeat.
const BURST: u32 = 8;

/// Hints that arrived, and the budget that earlier hints have used.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Hints {
    pending: bool,
    /// Each request moves this one eighth of a heartbeat on; it may be [`BURST`] eighths ahead of the clock.
    spent_until: Time,
}

impl Hints {
    pub(super) fn arrived(&mut self) {
        self.pending = true;
    }

    /// The time at which the pending hint may cause a request; `None` without a pending hint.
    pub(super) fn due(&self, config: &Config) -> Option<Time> {
        self.pending.then(|| self.spent_until - config.retry() * (BURST - 1))
    }

    /// Notes that a request is sent whose answer is as new as every hint so far. `Cause::Hint` uses budget.
    pub(super) fn answered_by(&mut self, cause: Cause, now: Time, config: &Config) {
        self.pending = false;
        match cause {
            Cause::Hint => self.spent_until = self.spent_until.max(now) + config.retry(),
            Cause::Timer => {}
        }
    }
}

/// Cause of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// Only a hint.
    Hint,
    /// A timer; the request was due without a hint.
    Timer,
}
