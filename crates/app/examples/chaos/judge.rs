//! The evidence of a run, and the judgement.

use crate::fault::TTL;
use crate::quiet::Quiet;
use crate::servers::ask;
use contract::event::{EventKind, Record};
use contract::invariants::{self, Violation};
use domain::lease::margin;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Longest handover; the limit of `cargo xtask bench`.
const HANDOVER_MAX: Duration = Duration::from_millis(5);

/// A term in the database's own history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    timeline: u64,
    epoch: u64,
    claim: String,
    holder: String,
}

impl Term {
    /// All terms in the database at `url`, in their order.
    ///
    /// # Panics
    /// If the server does not answer.
    pub fn all(url: &str) -> Vec<Self> {
        let lines =
            "SELECT tl || ' ' || epoch || ' ' || claim, holder FROM coordinator_term ORDER BY ordinal";
        let lines = ask(url, lines).expect("the server answers the harness");
        let term = |(numbers, holder): (String, String)| {
            let parts: Vec<&str> = numbers.split(' ').collect();
            let number = |at: usize| parts[at].parse().unwrap_or_else(|_| panic!("{numbers} is no term"));
            Self { timeline: number(0), epoch: number(1), claim: parts[2].to_owned(), holder }
        };
        lines.into_iter().map(term).collect()
    }
}

/// The evidence of a run.
pub struct Evidence {
    pub began: Instant,
    pub faults: BTreeMap<String, u32>,
    /// Signals that were acknowledged to the client.
    pub acknowledged: Vec<String>,
    /// Valid submissions that were refused.
    pub refused: Vec<String>,
    /// Number of orders of each signal at the broker.
    pub executed: BTreeMap<String, u32>,
    /// Signals whose submission a promoted standby lacked, with asynchronous replication. No protocol can
    /// know of them, so their loss is counted separately. A second execution is never excused, because what
    /// may have been executed is looked up first.
    excusable: BTreeSet<String>,
    /// Signals without an outcome at the end, and their states.
    pub unsettled: Vec<(String, String)>,
    pub records: Vec<Record>,
    /// Time of the first fault.
    pub first_fault: u64,
    /// Every term in the history of any primary, by its claim.
    terms: BTreeMap<String, Term>,
    /// Disorder in the histories.
    disorder: BTreeSet<String>,
    /// Times at which a standby replaced the primary.
    pub promotions: Vec<u64>,
    pub ended_by_themselves: Vec<String>,
    /// The condition that did not become true after all faults were healed.
    pub never: Option<String>,
    /// Times at which a leader was killed or stopped without another fault, and the end of that state.
    alone: Vec<(u64, u64)>,
    /// Results of the quiet phases, in the campaign that has them.
    pub quiet: Option<Quiet>,
}

impl Default for Evidence {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            faults: BTreeMap::new(),
            acknowledged: Vec::new(),
            refused: Vec::new(),
            executed: BTreeMap::new(),
            excusable: BTreeSet::new(),
            unsettled: Vec::new(),
            records: Vec::new(),
            first_fault: u64::MAX,
            terms: BTreeMap::new(),
            disorder: BTreeSet::new(),
            promotions: Vec::new(),
            ended_by_themselves: Vec::new(),
            never: None,
            alone: Vec::new(),
            quiet: None,
        }
    }
}

impl Evidence {
    /// The leader was killed or stopped, and there is no other fault.
    pub fn left_alone(&mut self, now: u64) {
        self.alone.push((now, u64::MAX));
    }

    /// Another fault begins.
    pub fn disturbed(&mut self, now: u64) {
        if let Some((_, until)) = self.alone.last_mut() {
            *until = now.min(*until);
        }
    }

    /// From the end of a leader to the next term, as multiples of LEADER_TTL and margin. Reported and not
    /// judged, because other programs run on this machine too.
    pub fn takeovers(&self) -> Vec<f64> {
        let leads = self.times(EventKind::Lead);
        let next = |after: u64| leads.iter().copied().find(|&t| t > after);
        let took = self.alone.iter().filter_map(|&(from, until)| Some((from, next(from)?, until)));
        took.filter(|(_, lead, until)| lead < until)
            .map(|(from, lead, _)| ratio(lead - from, TTL + margin(TTL)))
            .collect()
    }

    /// From the end of a leader's valid lease to the next term if the lease was released, as multiples of 5
    /// ms: before the first fault, and in healed times, when some connections for hints may still be missing.
    pub fn handovers(&self) -> (Vec<f64>, Vec<f64>) {
        let leads = self.times(EventKind::Lead);
        let next = |after: u64| leads.iter().copied().find(|&t| t > after);
        let (before, after): (Vec<u64>, Vec<u64>) =
            self.times(EventKind::Resign).into_iter().partition(|&t| t < self.first_fault);
        let ratios = |resigned: Vec<u64>| {
            let took = resigned.into_iter().filter_map(|from| Some(next(from)? - from));
            took.map(|took| ratio(took, HANDOVER_MAX)).collect()
        };
        (ratios(before), ratios(after))
    }

    /// Number of terms.
    pub fn elections(&self) -> usize {
        self.times(EventKind::Lead).len()
    }

    fn times(&self, kind: EventKind) -> Vec<u64> {
        let events = self.records.iter().flat_map(|record| &record.events);
        let mut times: Vec<u64> = events.filter(|event| event.kind == kind).map(|event| event.t).collect();
        times.sort_unstable();
        times
    }

    /// A promotion lost the submission of this signal.
    pub fn excuse(&mut self, id: String) {
        self.excusable.insert(id);
    }

    /// The outcomes of the signals.
    pub fn signals(&self) -> Signals {
        let times = |id: &String| self.executed.get(id).copied().unwrap_or(0);
        let unsettled: BTreeSet<&String> = self.unsettled.iter().map(|(id, _)| id).collect();
        let twice: Vec<&String> = self.executed.keys().filter(|id| times(id) > 1).collect();
        let never: Vec<&String> = self.acknowledged.iter().filter(|id| times(id) == 0).collect();
        let (waiting, lost): (Vec<&String>, Vec<&String>) =
            never.into_iter().partition(|id| unsettled.contains(*id));
        let (excused_lost, lost): (Vec<&String>, Vec<&String>) =
            lost.into_iter().partition(|id| self.excusable.contains(*id));
        // A signal that was executed and waits for its record has no outcome either.
        let unsettled = waiting.len() + unsettled.iter().filter(|id| times(id) > 0).count();
        Signals {
            acknowledged: self.acknowledged.len(),
            duplicates: names(&twice),
            losses: names(&lost),
            unsettled,
            excused: excused_lost.len(),
        }
    }

    /// Every violation by the coordinator.
    pub fn violations(&self) -> Vec<Violation> {
        let signals = self.signals();
        let mut found = [
            invariants::at_most_one_valid_lease(&self.records, TTL),
            invariants::no_ended_leadership_is_revived(&self.records, TTL),
            invariants::epochs_only_grow_between(&self.records, &self.promotions),
            self.history_agrees(),
            self.quiet.as_ref().map(Quiet::violations).unwrap_or_default(),
        ]
        .concat();
        let mut report = |invariant, details: String| found.push(Violation { invariant, details });
        for id in &signals.duplicates {
            report("no signal is executed twice", format!("{id}: {} times", self.executed[id]));
        }
        for id in &signals.losses {
            report("no acknowledged signal is lost", id.clone());
        }
        for refusal in &self.refused {
            report("no valid submission is refused", refusal.clone());
        }
        for (id, state) in &self.unsettled {
            report("every signal has an outcome in the end", format!("{id} is {state}"));
        }
        if let Some(what) = &self.never {
            report("the system works again after the faults", what.clone());
        }
        for end in &self.ended_by_themselves {
            report("no instance ends unexpectedly", end.clone());
        }
        found
    }

    /// Adds a primary's history, in its order.
    pub fn learn(&mut self, history: Vec<Term>) {
        for two in history.windows(2).filter(|two| two[0].timeline == two[1].timeline) {
            if two[0].epoch >= two[1].epoch {
                self.disorder.insert(format!("{:?} came after {:?}", two[1], two[0]));
            }
        }
        self.terms.extend(history.into_iter().map(|term| (term.claim.clone(), term)));
    }

    /// Every primary's history has growing epochs on each timeline, and together they contain every term of
    /// the events.
    fn history_agrees(&self) -> Vec<Violation> {
        let violation = |details| Violation { invariant: "the history agrees", details };
        let mut violations: Vec<Violation> = self.disorder.iter().cloned().map(violation).collect();
        let mut open: BTreeMap<(&str, u64), i32> = BTreeMap::new();
        for term in self.terms.values() {
            *open.entry((&term.holder, term.epoch)).or_default() += 1;
        }
        for record in &self.records {
            for lead in record.events.iter().filter(|event| event.kind == EventKind::Lead) {
                let left = open.entry((&record.name, lead.epoch)).or_default();
                *left -= 1;
                if *left < 0 {
                    let fault =
                        format!("{} led under epoch {}, which no history has", record.name, lead.epoch);
                    violations.push(violation(fault));
                }
            }
        }
        violations
    }
}

/// The outcomes of the signals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signals {
    pub acknowledged: usize,
    /// Executed more than once.
    pub duplicates: Vec<String>,
    /// Acknowledged, not executed, and without any process that will execute them.
    pub losses: Vec<String>,
    /// Signals without an outcome.
    pub unsettled: usize,
    /// Lost because a promoted standby lacked the submission.
    pub excused: usize,
}

fn names(ids: &[&String]) -> Vec<String> {
    ids.iter().map(|id| (*id).clone()).collect()
}

/// A time as a multiple of its limit.
fn ratio(nanos: u64, limit: Duration) -> f64 {
    Duration::from_nanos(nanos).as_secs_f64() / limit.as_secs_f64()
}
