//! A budget for hints, used for the lease and for the ticket. A hint is a rumour: anybody who may notify can send
//! one, and it may be junk. So it causes a bounded number of requests, and it delays nothing: the timers of
//! renewals and polls are not kept here.

use super::config::Config;
use crate::time::Time;

/// Requests that hints may cause at once. A handover takes five: a renewal, the request to hand over, the release,
/// the next claim and its first renewal. After these, one more in each eighth of a heartbeat.
const BURST: u32 = 8;

/// Hints that arrived, and what earlier ones have cost.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Hints {
    pending: bool,
    /// Each request moves this one eighth of a heartbeat on; it may be [`BURST`] of them ahead of the clock.
    spent_until: Time,
}

impl Hints {
    pub(super) fn arrived(&mut self) {
        self.pending = true;
    }

    /// When the hint that is pending may cause a request; `None` when none is.
    pub(super) fn due(&self, config: &Config) -> Option<Time> {
        self.pending.then(|| self.spent_until - config.retry() * (BURST - 1))
    }

    /// A request is sent whose answer is as new as every hint so far. `Cause::Hint` pays for it.
    pub(super) fn answered_by(&mut self, cause: Cause, now: Time, config: &Config) {
        self.pending = false;
        match cause {
            Cause::Hint => self.spent_until = self.spent_until.max(now) + config.retry(),
            Cause::Timer => {}
        }
    }
}

/// Why a request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// A hint, and nothing else.
    Hint,
    /// It was due without one.
    Timer,
}
