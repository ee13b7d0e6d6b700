//! Shrinks a failing schedule: it removes entries that the failure does not need, then shortens the rest.

use crate::judge::Recording;
use crate::plan::Plan;
use crate::world::play;

/// Maximum number of runs for one shrink. At about ten milliseconds each, it ends within half a minute.
const RUNS_MAX: usize = 600;

/// A plan that breaks the same invariant as `plan`, and in which every single fault and signal is necessary. Returns
/// `plan` itself if it breaks no invariant.
pub fn shrink(plan: &Plan) -> Plan {
    let Some(invariant) = broken(plan) else { return plan.clone() };
    let mut search = Search { best: plan.clone(), invariant, runs: 0 };
    search.drop_some(|plan| &mut plan.faults);
    search.drop_some(|plan| &mut plan.signals);
    search.shorten();
    search.drop_some(|plan| &mut plan.faults);
    search.best
}

fn broken(plan: &Plan) -> Option<&'static str> {
    play(plan, Recording::Nothing).violations.first().map(|violation| violation.invariant)
}

struct Search {
    best: Plan,
    invariant: &'static str,
    runs: usize,
}

impl Search {
    /// Keeps `plan` if it breaks the same invariant.
    fn try_out(&mut self, plan: Plan) -> bool {
        self.runs += 1;
        let fails = broken(&plan) == Some(self.invariant);
        if fails {
            self.best = plan;
        }
        fails
    }

    /// Delta debugging: removes halves, then quarters, and so on down to single entries.
    fn drop_some<T>(&mut self, list: impl Fn(&mut Plan) -> &mut Vec<T>) {
        let mut chunk = list(&mut self.best).len().div_ceil(2);
        while chunk > 0 {
            let mut at = 0;
            while at < list(&mut self.best).len() && self.runs < RUNS_MAX {
                let mut plan = self.best.clone();
                let entries = list(&mut plan);
                let end = (at + chunk).min(entries.len());
                entries.drain(at..end);
                if !self.try_out(plan) {
                    at += chunk;
                }
            }
            chunk /= 2;
        }
    }

    fn shorten(&mut self) {
        for at in 0..self.best.faults.len() {
            while self.best.faults[at].for_ms > 1 && self.runs < RUNS_MAX {
                let mut plan = self.best.clone();
                plan.faults[at].for_ms /= 2;
                if !self.try_out(plan) {
                    break;
                }
            }
        }
    }
}
