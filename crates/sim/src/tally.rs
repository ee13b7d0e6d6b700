//! The totals of many runs, as a table and as JSON.

use crate::fault::Kind;
use crate::judge::{Excuse, Excused};
use crate::outcome::Outcome;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

const SECONDS_PER_DAY: u64 = 86_400;

/// The totals; see the [module](self).
#[derive(Debug, Default)]
pub struct Tally {
    /// Number of runs.
    pub seeds: u64,
    /// Number of failed runs.
    pub failed: u64,
    /// A hash over all runs, so that two campaigns can be compared at a glance.
    traces: u64,
    faults: BTreeMap<Kind, u64>,
    simulated_ms: u64,
    elections: u64,
    signals: u64,
    duplicates: u64,
    losses: u64,
    without_result: u64,
    excused: Excused,
}

impl Tally {
    /// Adds a run. The result does not depend on the order.
    pub fn add(&mut self, outcome: &Outcome) {
        self.seeds += 1;
        self.failed += u64::from(!outcome.violations.is_empty());
        self.traces = self.traces.wrapping_add(outcome.trace);
        for (kind, times) in &outcome.faults {
            *self.faults.entry(*kind).or_default() += times;
        }
        self.simulated_ms += outcome.simulated_ms;
        self.elections += outcome.elections;
        self.signals += outcome.signals;
        self.duplicates += outcome.duplicates;
        self.losses += outcome.losses;
        self.without_result += outcome.without_result;
        for (excuse, times) in &outcome.excused {
            *self.excused.entry(*excuse).or_default() += times;
        }
    }

    /// Kinds of fault that never took effect.
    pub fn never(&self) -> Vec<Kind> {
        Kind::ALL.iter().copied().filter(|kind| !self.faults.contains_key(kind)).collect()
    }

    /// Number of faults that took effect.
    pub fn faults_total(&self) -> u64 {
        self.faults.values().sum()
    }

    /// Virtual time, in whole seconds.
    pub fn simulated_seconds(&self) -> u64 {
        self.simulated_ms / 1_000
    }

    fn excused_by(&self, why: Excuse) -> BTreeMap<&'static str, u64> {
        let these = self.excused.iter().filter(|((excuse, _), _)| *excuse == why);
        these.map(|((_, invariant), times)| (*invariant, *times)).collect()
    }

    /// The record for `--record`.
    pub fn json(&self, wall: Duration) -> serde_json::Value {
        let faults: serde_json::Map<String, serde_json::Value> =
            self.faults.iter().map(|(kind, times)| (kind.name().to_owned(), (*times).into())).collect();
        serde_json::json!({
            "seeds": self.seeds,
            "failed": self.failed,
            "faults": faults,
            "faults_total": self.faults_total(),
            "simulated_seconds": self.simulated_seconds(),
            "elections": self.elections,
            "signals": self.signals,
            "duplicates": self.duplicates,
            "losses": self.losses,
            "unsettled": self.without_result,
            "excused": self.excused_by(Excuse::Failover),
            "excused_by_restores": self.excused_by(Excuse::Restore),
            "excused_unnoticeable": self.excused_by(Excuse::Unnoticeable),
            "wall_seconds": wall.as_secs(),
        })
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "faults that took effect")?;
        for kind in Kind::ALL {
            writeln!(f, "  {kind:<20} {:>12}", self.faults.get(kind).copied().unwrap_or(0))?;
        }
        writeln!(f, "  {:<20} {:>12}", "total", self.faults_total())?;
        let days = self.simulated_seconds() / SECONDS_PER_DAY;
        writeln!(f, "seeds      {:>12}   failed {}", self.seeds, self.failed)?;
        writeln!(f, "traces     {:>16x}", self.traces)?;
        writeln!(f, "simulated  {:>12} s ({days} days)", self.simulated_seconds())?;
        writeln!(f, "elections  {:>12}", self.elections)?;
        writeln!(f, "signals    {:>12}", self.signals)?;
        let (duplicates, losses, without_result) = (self.duplicates, self.losses, self.without_result);
        write!(f, "duplicates {duplicates}, losses {losses}, without a result {without_result}")?;
        for ((why, invariant), times) in &self.excused {
            write!(f, "\nexcused    {times:>12}   {invariant}: {}", why.reason())?;
        }
        Ok(())
    }
}
