//! The printed table, and the record for the evidence.

use super::Seen;
use super::clients::{CLIENTS, INSTRUMENTS};
use super::judge::Judgement;
use super::trouble::Trouble;
use crate::judge::Evidence;
use crate::report::{Spread, print_violations};
use serde_json::{Map, Value, json};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;
use testkit::broker::HttpBroker;

/// Everything in the report.
pub struct Report {
    pub count: u64,
    /// Number of requests to submit the signals.
    pub attempts: u64,
    pub evidence: Evidence,
    pub judgement: Judgement,
    pub seen: Seen,
    pub broker: HttpBroker,
    pub trouble: Arc<Trouble>,
    pub wall: Duration,
}

impl Report {
    /// The table to print.
    pub fn table(&self) -> String {
        let mut text = String::from("\n");
        let mut line = |name: &str, value: String| {
            // Writing to a String does not fail.
            let _ = writeln!(text, "{name:<48}{value:>12}");
        };
        let Seen { submitting, finishing, decided, found_executed, lists, .. } = &self.seen;
        line("signals acknowledged", self.evidence.acknowledged.len().to_string());
        line(
            &format!("  requests of {CLIENTS} clients, {INSTRUMENTS} instruments"),
            self.attempts.to_string(),
        );
        line("  seconds until all were acknowledged", submitting.as_secs().to_string());
        line("  and until all had outcomes", finishing.as_secs().to_string());
        line("  acknowledged a second", self.rate().to_string());
        line("faults of the leader", self.evidence.faults.values().sum::<u32>().to_string());
        for (kind, count) in &self.evidence.faults {
            line(&format!("  {kind}"), count.to_string());
        }
        line("takeovers", self.takeovers().to_string());
        line("troubles at the broker", self.trouble.met().map(|(_, met)| met).sum::<u32>().to_string());
        for (ill, met) in self.trouble.met() {
            line(&format!("  {ill}"), met.to_string());
        }
        line("orders that arrived too late and were refused", self.broker.turned_away().to_string());
        line("in doubt, resolved by the lookup", self.broker.answered().len().to_string());
        line("in doubt, resolved by the operator", decided.len().to_string());
        line("  executed according to the broker", found_executed.to_string());
        line("  sent again", (decided.len() - found_executed).to_string());
        line("  lists compared with the orders of the broker", lists.to_string());
        line("executed more than once", self.judgement.duplicates.to_string());
        line("lost", self.judgement.lost.to_string());
        line("executed out of order", self.judgement.out_of_order.to_string());
        line("steps missing in the audit", self.judgement.gaps.to_string());
        let takeovers = Spread::of(self.evidence.takeovers());
        let _ = writeln!(
            text,
            "\ntakeover to LEADER_TTL + margin, reported and not judged: {}",
            takeovers.shown()
        );
        let _ = writeln!(text, "took {} s", self.wall.as_secs());
        print_violations(&mut text, &self.judgement.violations);
        text
    }

    /// The record.
    pub fn record(&self) -> Value {
        let takeovers = Spread::of(self.evidence.takeovers());
        let troubles: Map<String, Value> =
            self.trouble.met().map(|(ill, met)| (ill.to_owned(), met.into())).collect();
        json!({
            "signals": self.evidence.acknowledged.len(),
            "signals_asked_for": self.count,
            "requests": self.attempts,
            "clients": CLIENTS,
            "instruments": INSTRUMENTS,
            "seconds_until_acknowledged": self.seen.submitting.as_secs(),
            "seconds_until_settled": self.seen.finishing.as_secs(),
            "signals_a_second": self.rate(),
            "faults": self.evidence.faults,
            "faults_total": self.evidence.faults.values().sum::<u32>(),
            "takeovers": self.takeovers(),
            "takeover_ratio_median": takeovers.median,
            "takeover_ratio_max": takeovers.most,
            "troubles": troubles,
            "troubles_total": self.trouble.met().map(|(_, met)| met).sum::<u32>(),
            "orders_turned_away": self.broker.turned_away(),
            "doubts_looked_up": self.broker.answered().len(),
            "doubts_listed": self.seen.decided.len(),
            "doubts_executed": self.seen.found_executed,
            "lists": self.seen.lists,
            "duplicates": self.judgement.duplicates,
            "losses": self.judgement.lost,
            "out_of_order": self.judgement.out_of_order,
            "audit_gaps": self.judgement.gaps,
            "violations": self.judgement.violations.len(),
            "wall_seconds": self.wall.as_secs(),
        })
    }

    fn rate(&self) -> u64 {
        let acknowledged = u64::try_from(self.evidence.acknowledged.len()).unwrap_or(u64::MAX);
        acknowledged / self.seen.submitting.as_secs().max(1)
    }

    /// Number of terms after the first: each took over from another leader.
    fn takeovers(&self) -> usize {
        self.evidence.elections().saturating_sub(1)
    }
}
