//! Judges the ledger, the service's orders, and the acknowledged signals.

use super::clients::Acknowledged;
use super::ledger::Ledger;
use contract::invariants::Violation;
use std::collections::HashMap;

const AGREE: &str = "ledger and broker agree";
const ORDER: &str = "signals of one instrument are executed in order of arrival";
const AUDIT: &str = "the audit has every step";
const LISTED: &str = "what is in doubt is listed, and nothing else";

/// Result of the judgement.
#[derive(Debug, Clone, Default)]
pub struct Judgement {
    /// Executed more than once.
    pub duplicates: usize,
    /// Acknowledged, not executed, and without any process that will execute them.
    pub lost: usize,
    /// Executed before a signal that arrived earlier.
    pub out_of_order: usize,
    /// Steps that are missing in the audit.
    pub gaps: usize,
    pub violations: Vec<Violation>,
}

/// States that the ledger may contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Signals in doubt, and those that wait behind them.
    BeforeDecisions,
    /// Only signals that are done.
    AtTheEnd,
}

impl Judgement {
    /// Judges when only signals in doubt, and those that wait behind them, are open. `executed` are the ids
    /// of the signals that the service has executed, in that order.
    pub fn before_decisions(
        ledger: &Ledger,
        acknowledged: &[Vec<Acknowledged>],
        executed: &[String],
    ) -> Self {
        Self::of(Stage::BeforeDecisions, ledger, acknowledged, executed)
    }

    /// Judges when nothing is open.
    pub fn at_the_end(ledger: &Ledger, acknowledged: &[Vec<Acknowledged>], executed: &[String]) -> Self {
        Self::of(Stage::AtTheEnd, ledger, acknowledged, executed)
    }

    /// Adds an earlier judgement; a violation that is in both is reported once.
    pub fn add(&mut self, earlier: Option<&Self>) {
        for violation in earlier.into_iter().flat_map(|earlier| &earlier.violations) {
            if !self.violations.contains(violation) {
                self.violations.push(violation.clone());
            }
        }
    }

    /// Adds disagreements between the list of signals in doubt and the service's orders.
    pub fn disagree(&mut self, disagreements: &[String]) {
        for disagreement in disagreements {
            self.report(LISTED, disagreement.clone());
        }
    }

    fn of(stage: Stage, ledger: &Ledger, acknowledged: &[Vec<Acknowledged>], executed: &[String]) -> Self {
        let mut judgement = Self::default();
        let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
        for (place, id) in executed.iter().enumerate() {
            places.entry(id).or_default().push(place);
        }
        let times = |id: &str| places.get(id).map_or(0, Vec::len);
        judgement.duplicates = places.values().filter(|places| places.len() > 1).count();
        for id in acknowledged.iter().flatten().map(|signal| signal.id.as_str()) {
            let Some(entry) = ledger.signals.get(id) else {
                judgement.lost += 1;
                judgement.report(AGREE, format!("{id} was acknowledged and is not in the ledger"));
                continue;
            };
            let fits = match stage {
                Stage::BeforeDecisions => {
                    matches!(
                        (entry.state.as_str(), times(id)),
                        ("done", 1) | ("received", 0) | ("in_doubt", 0 | 1)
                    )
                }
                Stage::AtTheEnd => (entry.state.as_str(), times(id)) == ("done", 1),
            };
            if !fits {
                let settled = !matches!(entry.state.as_str(), "received" | "claimed" | "sent" | "in_doubt");
                judgement.lost += usize::from(settled && times(id) == 0);
                let fault =
                    format!("{id} is {} in the ledger and was executed {} times", entry.state, times(id));
                judgement.report(AGREE, fault);
            }
        }
        for id in places.keys().filter(|id| !ledger.signals.contains_key(**id)) {
            judgement.report(AGREE, format!("{id} was executed and is not in the ledger"));
        }
        for one_client in acknowledged {
            judgement.order(ledger, one_client, &places);
        }
        judgement.gaps = ledger.gaps.len();
        for (id, fault) in &ledger.gaps {
            judgement.report(AUDIT, format!("{id}: {fault}"));
        }
        judgement
    }

    /// A client submits its signals one after the other, so those of one instrument must be executed in that
    /// order.
    fn order(&mut self, ledger: &Ledger, one_client: &[Acknowledged], places: &HashMap<&str, Vec<usize>>) {
        let mut latest: HashMap<&str, (&str, u64, Option<usize>)> = HashMap::new();
        for Acknowledged { id, instrument } in one_client {
            let Some(entry) = ledger.signals.get(id) else { continue };
            let place = places.get(id.as_str()).and_then(|places| places.first().copied());
            let before = latest.insert(instrument, (id, entry.arrival, place));
            let Some((earlier, arrival, earlier_place)) = before else { continue };
            if arrival >= entry.arrival {
                self.report(ORDER, format!("{id} arrived before {earlier}, which was acknowledged before"));
            }
            // A signal may be executed only after everything before it was executed.
            let in_order = match (earlier_place, place) {
                (Some(earlier), Some(place)) => earlier < place,
                (Some(_) | None, None) => true,
                // If its successors wait, the signal may be in doubt.
                (None, Some(_)) => false,
            };
            if !in_order {
                self.out_of_order += 1;
                self.report(ORDER, format!("{instrument}: {id} was executed before {earlier}"));
            }
        }
    }

    fn report(&mut self, invariant: &'static str, details: String) {
        self.violations.push(Violation { invariant, details });
    }
}
