//! The judgement over the ledger, the service's books and what was acknowledged.

use super::crowd::Acknowledged;
use super::ledger::Ledger;
use contract::invariants::Violation;
use std::collections::HashMap;

const AGREE: &str = "ledger and broker agree";
const ORDER: &str = "signals of one instrument are executed in order of arrival";
const AUDIT: &str = "the audit tells every step";
const LISTED: &str = "what is in doubt is listed, and nothing else";

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Judgement {
    /// Executed more than once.
    pub duplicates: usize,
    /// Acknowledged, not executed, and nobody will.
    pub lost: usize,
    /// Executed before one that arrived earlier.
    pub out_of_order: usize,
    /// Steps that the audit does not tell.
    pub gaps: usize,
    pub violations: Vec<Violation>,
}

/// What may stand in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Doubts, and what waits behind them.
    BeforeDecisions,
    /// Nothing but what is done.
    AtTheEnd,
}

impl Judgement {
    /// When nothing is open but doubts, and what waits behind them. `executed` are the names of the signals that the
    /// service has executed, in that order.
    pub fn before_decisions(
        ledger: &Ledger,
        acknowledged: &[Vec<Acknowledged>],
        executed: &[String],
    ) -> Self {
        Self::of(Stage::BeforeDecisions, ledger, acknowledged, executed)
    }

    /// When nothing is open.
    pub fn at_the_end(ledger: &Ledger, acknowledged: &[Vec<Acknowledged>], executed: &[String]) -> Self {
        Self::of(Stage::AtTheEnd, ledger, acknowledged, executed)
    }

    /// What held earlier as little as it does now is told once.
    pub fn add(&mut self, earlier: Option<&Self>) {
        for violation in earlier.into_iter().flat_map(|earlier| &earlier.violations) {
            if !self.violations.contains(violation) {
                self.violations.push(violation.clone());
            }
        }
    }

    /// The list of doubts and the books did not agree.
    pub fn disagree(&mut self, told: &[String]) {
        for told in told {
            self.tell(LISTED, told.clone());
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
                judgement.tell(AGREE, format!("{id} was acknowledged and is not in the ledger"));
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
                let told =
                    format!("{id} is {} in the ledger and was executed {} times", entry.state, times(id));
                judgement.tell(AGREE, told);
            }
        }
        for id in places.keys().filter(|id| !ledger.signals.contains_key(**id)) {
            judgement.tell(AGREE, format!("{id} was executed and is not in the ledger"));
        }
        for one_client in acknowledged {
            judgement.order(ledger, one_client, &places);
        }
        judgement.gaps = ledger.gaps.len();
        for (id, told) in &ledger.gaps {
            judgement.tell(AUDIT, format!("{id}: {told}"));
        }
        judgement
    }

    /// One client submits its signals one after the other, so those of one instrument have to be executed so.
    fn order(&mut self, ledger: &Ledger, one_client: &[Acknowledged], places: &HashMap<&str, Vec<usize>>) {
        let mut latest: HashMap<&str, (&str, u64, Option<usize>)> = HashMap::new();
        for Acknowledged { id, instrument } in one_client {
            let Some(entry) = ledger.signals.get(id) else { continue };
            let place = places.get(id.as_str()).and_then(|places| places.first().copied());
            let before = latest.insert(instrument, (id, entry.arrival, place));
            let Some((earlier, arrival, earlier_place)) = before else { continue };
            if arrival >= entry.arrival {
                self.tell(ORDER, format!("{id} arrived before {earlier}, which was acknowledged before"));
            }
            // What is executed has everything before it executed.
            let in_order = match (earlier_place, place) {
                (Some(earlier), Some(place)) => earlier < place,
                (Some(_) | None, None) => true,
                // It may be in doubt no more than its successors wait.
                (None, Some(_)) => false,
            };
            if !in_order {
                self.out_of_order += 1;
                self.tell(ORDER, format!("{instrument}: {id} was executed before {earlier}"));
            }
        }
    }

    fn tell(&mut self, invariant: &'static str, told: String) {
        self.violations.push(Violation { invariant, details: told });
    }
}
