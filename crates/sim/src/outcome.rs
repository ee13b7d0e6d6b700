//! The result of a run.

use crate::broker::Accepted;
use crate::database::Lost;
use crate::fault::Kind;
use crate::judge::{Excuse, Excused, Findings, Violation};
use crate::plan::Cluster;
use crate::world::World;
use domain::ledger::{Label, SignalId, SignalState};
use std::collections::{BTreeMap, BTreeSet};

const DUPLICATE: &str = "each signal once at the broker";
const LOSS: &str = "no acknowledged signal is lost";
const WITHOUT_RESULT: &str = "every acknowledged signal has a result";
const OVERLAP: &str = "one signal of an instrument at the broker at a time";
const ORDER: &str = "signals of an instrument arrive at the broker in order of arrival";

/// The result; see the [module](self).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The hash of the trace: equal for equal plans.
    pub trace: u64,
    /// The events as text, if they were kept.
    pub events: Vec<String>,
    /// The broken invariants.
    pub violations: Vec<Violation>,
    /// Number of faults that took effect, by kind.
    pub faults: BTreeMap<Kind, u64>,
    /// Virtual time, in milliseconds.
    pub simulated_ms: u64,
    /// Number of granted claims.
    pub elections: u64,
    /// Signals whose submission was acknowledged.
    pub signals: u64,
    /// Signals that the broker accepted more than once without an excuse.
    pub duplicates: u64,
    /// Acknowledged signals that the broker never accepted.
    pub losses: u64,
    /// Acknowledged signals that are not done in the ledger.
    pub without_result: u64,
    /// Number of times that an invariant did not hold with an excuse.
    pub excused: Excused,
}

impl Outcome {
    /// Judges the outcome of every signal.
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
        let excuses = Excuses { world, unnoticed: world.judge.unnoticed_restores() };
        for id in accepted.keys().chain(&acknowledged).collect::<BTreeSet<_>>() {
            let times = accepted.get(id).map_or(0, |accepted| accepted.times);
            let without_result = acknowledged.contains(id) && !done.contains(id);
            // Each with its excuse.
            let wrongs = [
                (times > 1, DUPLICATE, excuses.duplicate(id), &mut outcome.duplicates),
                (times == 0, LOSS, excuses.submission(id), &mut outcome.losses),
                (without_result, WITHOUT_RESULT, excuses.submission(id), &mut outcome.without_result),
            ];
            for (wrong, invariant, excuse, count) in wrongs {
                if let Some(why) = excuse.filter(|_| wrong) {
                    world.judge.excuse(invariant, why);
                } else if wrong {
                    *count += 1;
                    let state = stored.iter().find(|signal| signal.id == *id).map(|signal| signal.state);
                    world
                        .judge
                        .violation(invariant, format!("{id}: accepted {times} times, ledger {state:?}"));
                }
            }
        }
        judge_order(world, &excuses);
        outcome.simulated_ms = world.judge.elapsed_ms();
        let Findings { events, trace, violations, excused, faults, elections } = world.judge.findings();
        Self { trace, events, violations, faults, elections, excused, ..outcome }
    }
}

/// The possible excuses for one signal.
struct Excuses<'a> {
    world: &'a World,
    /// Restores that no protocol could notice.
    unnoticed: BTreeSet<usize>,
}

impl Excuses<'_> {
    /// The loss of that signal in failovers, if the cluster may lose data.
    fn lost_by_failover(&self, id: &SignalId) -> Option<Lost> {
        self.world.database.lost(id).filter(|_| self.world.plan.cluster == Cluster::Asynchronous)
    }

    fn lost_by_restore(&self, id: &SignalId) -> Option<Lost> {
        self.world.database.lost_by_restores(id, |_| true)
    }

    /// The store has forgotten the signal itself.
    fn submission(&self, id: &SignalId) -> Option<Excuse> {
        let forgotten = Some(Lost::Submission);
        if self.lost_by_failover(id) == forgotten {
            return Some(Excuse::Failover);
        }
        (self.lost_by_restore(id) == forgotten).then_some(Excuse::Restore)
    }

    /// A signal that may have been executed before the store forgot it is looked up first. There are two excuses: no
    /// protocol can recognise a signal whose submission was lost and that is submitted again with a timestamp after
    /// the loss, by a database's clock that was set back; and none can look up a signal without knowing that it was
    /// forgotten.
    fn duplicate(&self, id: &SignalId) -> Option<Excuse> {
        self.submission(id).filter(|_| self.clock_was_set()).or_else(|| self.unnoticed(id))
    }

    /// A forgotten submission is accepted again after later arrivals.
    fn order(&self, id: &SignalId) -> Option<Excuse> {
        let by_failover = self.lost_by_failover(id).map(|_| Excuse::Failover);
        by_failover.or_else(|| self.submission(id)).or_else(|| self.unnoticed(id))
    }

    fn unnoticed(&self, id: &SignalId) -> Option<Excuse> {
        let lost = self.world.database.lost_by_restores(id, |number| self.unnoticed.contains(&number));
        lost.map(|_| Excuse::Unnoticeable)
    }

    fn clock_was_set(&self) -> bool {
        self.world.plan.faults.iter().any(|fault| fault.kind == Kind::DbClockJump)
    }
}

/// Judges the order in which the broker received signals of one instrument: one after the other, in order of arrival.
fn judge_order(world: &World, excuses: &Excuses<'_>) {
    let judge = |invariant, first: &SignalId, second: &SignalId, details| match excuses
        .order(first)
        .or_else(|| excuses.order(second))
    {
        Some(why) => world.judge.excuse(invariant, why),
        None => world.judge.violation(invariant, details),
    };
    for (first, second) in world.broker.overlaps() {
        judge(OVERLAP, &first, &second, format!("{second} was sent while {first} was under way"));
    }
    let accepted = world.broker.accepted();
    // For each instrument, the earlier arrival that the broker accepted last.
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
        } else if excuses.order(&id).is_none() {
            (*before, *before_place) = (id, place);
        }
    }
}
