//! What a run comes to.

use crate::database::Lost;
use crate::fault::Kind;
use crate::judge::{Findings, Violation};
use crate::plan::Cluster;
use crate::world::World;
use domain::ledger::{SignalId, SignalState};
use std::collections::{BTreeMap, BTreeSet};

const DUPLICATE: &str = "each signal once at the broker";
const LOSS: &str = "no acknowledged signal is lost";
const UNSETTLED: &str = "every acknowledged signal is settled";

/// See the [module](self).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Equal for equal plans.
    pub trace: u64,
    /// What happened, if it was to be told.
    pub story: Vec<String>,
    /// What did not hold.
    pub violations: Vec<Violation>,
    /// How many faults of each kind took effect.
    pub faults: BTreeMap<Kind, u64>,
    /// Virtual time.
    pub simulated_ms: u64,
    /// Claims that were granted.
    pub elections: u64,
    /// Signals whose submission was acknowledged.
    pub signals: u64,
    /// Signals that the broker accepted more than once, and nothing excuses that.
    pub duplicates: u64,
    /// Acknowledged signals that the broker never accepted.
    pub losses: u64,
    /// Acknowledged signals that are not done in the ledger.
    pub unsettled: u64,
    /// How often one of these happened because an asynchronous failover lost the signal's very record.
    pub excused: BTreeMap<&'static str, u64>,
}

impl Outcome {
    /// Judges what became of every signal.
    pub fn of(world: &World) -> Self {
        let acknowledged = world.acknowledged().clone();
        let mut outcome = Self { signals: acknowledged.len() as u64, ..Self::default() };
        let accepted = world.broker.accepted();
        let stored = world.database.signals();
        let done: BTreeSet<&SignalId> = stored
            .iter()
            .filter(|signal| signal.state == SignalState::Done)
            .map(|signal| &signal.id)
            .collect();
        for id in accepted.keys().chain(&acknowledged).collect::<BTreeSet<_>>() {
            let times = accepted.get(id).copied().unwrap_or(0);
            let lost = world.database.lost(id).filter(|_| world.plan.cluster == Cluster::Asynchronous);
            let unsettled = acknowledged.contains(id) && !done.contains(id);
            // Each with what excuses it.
            let wrongs = [
                (times > 1, DUPLICATE, lost.is_some(), &mut outcome.duplicates),
                (times == 0, LOSS, lost == Some(Lost::Submission), &mut outcome.losses),
                (unsettled, UNSETTLED, lost == Some(Lost::Submission), &mut outcome.unsettled),
            ];
            for (wrong, invariant, excuse, count) in wrongs {
                if wrong && excuse {
                    *outcome.excused.entry(invariant).or_default() += 1;
                } else if wrong {
                    *count += 1;
                    let state = stored.iter().find(|signal| signal.id == *id).map(|signal| signal.state);
                    world
                        .judge
                        .violation(invariant, format!("{id}: accepted {times} times, ledger {state:?}"));
                }
            }
        }
        outcome.simulated_ms = world.judge.elapsed_ms();
        let Findings { story, trace, violations, faults, elections } = world.judge.findings();
        Self { trace, story, violations, faults, elections, ..outcome }
    }
}
