//! The end of a handler's call, and what the dispatcher records of it.

use domain::ledger::{Outcome, Signal};
use domain::ports::{Answer, Report};

/// The result of a handler's call.
pub(super) enum Finished {
    /// A signal was sent, or was not because leadership ended before.
    Executed(Signal, Answer),
    /// A signal in doubt was looked up.
    LookedUp(Signal, Answer),
}

/// An outcome that the ledger does not have yet.
pub(super) struct Finding {
    pub(super) signal: Signal,
    pub(super) outcome: Outcome,
    pub(super) note: Option<String>,
}

impl Finding {
    pub(super) fn report(&self) -> Report {
        let Signal { id, attempt, .. } = &self.signal;
        Report { id: id.clone(), attempt: *attempt, outcome: self.outcome, note: self.note.clone() }
    }
}

/// The signals of `reports`, for the log: `a (attempt 1), b (attempt 2)`.
pub(super) fn named(reports: &[Report]) -> String {
    let named = |report: &Report| format!("{} (attempt {})", report.id, report.attempt);
    reports.iter().map(named).collect::<Vec<_>>().join(", ")
}
