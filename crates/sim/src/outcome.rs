//! What a run comes to.

use crate::broker::Accepted;
use crate::database::Lost;
use crate::fault::Kind;
use crate::judge::{Findings, Violation};
use crate::plan::Cluster;
use crate::world::World;
use domain::ledger::{Label, SignalId, SignalState};
use std::collections::{BTreeMap, BTreeSet};

const DUPLICATE: &str = "each signal once at the broker";
const LOSS: &str = "no acknowledged signal is lost";
const UNSETTLED: &str = "every acknowledged signal is settled";
const OVERLAP: &str = "one signal of an instrument at the broker at a time";
const ORDER: &str = "signals of an instrument arrive at the broker in their order";

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
    /// How often one of these happened because an asynchronous failover lost the very record.
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
            let times = accepted.get(id).map_or(0, |accepted| accepted.times);
            let lost = excuse(world, id);
            let unsettled = acknowledged.contains(id) && !done.contains(id);
            // Each with what excuses it.
            let wrongs = [
                // What may have been executed before the store forgot it is looked up first. No protocol can know a
                // signal again whose submission was lost, and that is submitted once more with a timestamp after the
                // failover, by a database's clock that was set back.
                (
                    times > 1,
                    DUPLICATE,
                    lost == Some(Lost::Submission) && clock_was_set(world),
                    &mut outcome.duplicates,
                ),
                (times == 0, LOSS, lost == Some(Lost::Submission), &mut outcome.losses),
                (unsettled, UNSETTLED, lost == Some(Lost::Submission), &mut outcome.unsettled),
            ];
            for (wrong, invariant, excuse, count) in wrongs {
                if wrong && excuse {
                    world.judge.excuse(invariant);
                } else if wrong {
                    *count += 1;
                    let state = stored.iter().find(|signal| signal.id == *id).map(|signal| signal.state);
                    world
                        .judge
                        .violation(invariant, format!("{id}: accepted {times} times, ledger {state:?}"));
                }
            }
        }
        judge_order(world);
        outcome.simulated_ms = world.judge.elapsed_ms();
        let Findings { story, trace, violations, excused, faults, elections } = world.judge.findings();
        Self { trace, story, violations, faults, elections, excused, ..outcome }
    }
}

fn clock_was_set(world: &World) -> bool {
    world.plan.faults.iter().any(|fault| fault.kind == Kind::DbClockJump)
}

/// What a failover has lost of that signal, where failovers may lose anything.
fn excuse(world: &World, id: &SignalId) -> Option<Lost> {
    world.database.lost(id).filter(|_| world.plan.cluster == Cluster::Asynchronous)
}

/// Judges the order in which the broker got signals of one instrument: one after the other, as they arrived.
fn judge_order(world: &World) {
    let judge = |invariant, first: &SignalId, second: &SignalId, told| {
        if excuse(world, first).or_else(|| excuse(world, second)).is_some() {
            world.judge.excuse(invariant);
        } else {
            world.judge.violation(invariant, told);
        }
    };
    for (first, second) in world.broker.overlaps() {
        judge(OVERLAP, &first, &second, format!("{second} was sent while {first} was under way"));
    }
    let accepted = world.broker.accepted();
    // Of each instrument, among those that arrived before, the one that the broker accepted last.
    let mut latest: BTreeMap<Label, (SignalId, u64)> = BTreeMap::new();
    for signal in world.database.signals() {
        let Some(Accepted { first: place, .. }) = accepted.get(&signal.id).copied() else { continue };
        let id = signal.id;
        let (before, before_place) =
            latest.entry(signal.instruction.instrument).or_insert_with(|| (id.clone(), place));
        if *before_place > place {
            judge(
                ORDER,
                before,
                &id,
                format!("{id} was accepted before {before}, which had arrived earlier"),
            );
        } else if excuse(world, &id).is_none() {
            (*before, *before_place) = (id, place);
        }
    }
}
