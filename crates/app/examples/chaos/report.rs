//! The printed table, and the record for the evidence.

use crate::judge::{Evidence, Signals};
use contract::invariants::Violation;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

/// Violations of one invariant that are printed; the rest is counted.
const VIOLATIONS_SHOWN: usize = 5;

/// Both runs.
pub struct Report {
    ours: Evidence,
    naive: Evidence,
    signals: (Signals, Signals),
    /// All violations.
    pub violations: Vec<Violation>,
    wall: Duration,
}

impl Report {
    /// Judges the first run; counts in the second.
    pub fn new(ours: Evidence, naive: Evidence, wall: Duration) -> Self {
        let signals = (ours.signals(), naive.signals());
        let violations = ours.violations();
        Self { ours, naive, signals, violations, wall }
    }

    /// The table to print.
    pub fn table(&self) -> String {
        let mut text = format!("\n{:<36}{:>14}{:>14}\n", "", "coordinator", "naive");
        let mut line = |name: &str, ours: String, naive: String| {
            // Writing to a String does not fail.
            let _ = writeln!(text, "{name:<36}{ours:>14}{naive:>14}");
        };
        let total = |evidence: &Evidence| evidence.faults.values().sum::<u32>().to_string();
        line("faults", total(&self.ours), total(&self.naive));
        for kind in crate::fault::Kind::ALL.map(crate::fault::Kind::name) {
            let count = |evidence: &Evidence| evidence.faults.get(&kind).copied().unwrap_or(0).to_string();
            line(&format!("  {kind}"), count(&self.ours), count(&self.naive));
        }
        let elections = |evidence: &Evidence| evidence.elections().to_string();
        line("leaderships", elections(&self.ours), elections(&self.naive));
        let (ours, naive) = &self.signals;
        line("signals acknowledged", ours.acknowledged.to_string(), naive.acknowledged.to_string());
        line(
            "executed more than once",
            ours.duplicates.len().to_string(),
            naive.duplicates.len().to_string(),
        );
        line("lost", ours.losses.len().to_string(), naive.losses.len().to_string());
        line("without an outcome", ours.unsettled.to_string(), naive.unsettled.to_string());
        line("lost because a standby lacked it", ours.excused.to_string(), naive.excused.to_string());
        let figures = Figures::of(&self.ours);
        let _ = writeln!(text, "\nratios of the coordinator to its limits, reported and not judged");
        let _ = writeln!(
            text,
            "takeover to LEADER_TTL + margin, nothing else wrong: {}",
            figures.takeovers.shown()
        );
        let _ = writeln!(
            text,
            "handover to 5 ms, before the first fault:            {}",
            figures.handovers.shown()
        );
        let _ = writeln!(
            text,
            "handover to 5 ms, just after faults:                 {}",
            figures.after_faults.shown()
        );
        if let Some(quiet) = &self.ours.quiet {
            let (judged, total, ended) = (quiet.judged, quiet.total(), quiet.ended.len());
            let _ = writeln!(
                text,
                "quiet phases: {total}, of which {judged} were judged; terms that ended in these: {ended}"
            );
            for (why, times) in &quiet.not_judged {
                let _ = writeln!(text, "  not judged, {why}: {times}");
            }
        }
        let _ = writeln!(text, "took {} s", self.wall.as_secs());
        print_violations(&mut text, &self.violations);
        text
    }

    /// The record.
    pub fn record(&self) -> Value {
        let (ours, naive) = &self.signals;
        let Figures { takeovers, handovers, after_faults } = Figures::of(&self.ours);
        json!({
            "faults": self.ours.faults,
            "faults_total": self.ours.faults.values().sum::<u32>(),
            "elections": self.ours.elections(),
            "takeover_ratio_median": takeovers.median,
            "takeover_ratio_max": takeovers.most,
            "handover_ratio_median": handovers.median,
            "handover_ratio_max": handovers.most,
            "handover_after_faults_ratio_median": after_faults.median,
            "handover_after_faults_ratio_max": after_faults.most,
            "signals": ours.acknowledged,
            "duplicates": ours.duplicates.len(),
            "losses": ours.losses.len(),
            "unsettled": ours.unsettled,
            "excused": ours.excused,
            "quiet_judged": self.ours.quiet.as_ref().map(|quiet| quiet.judged),
            "quiet_not_judged": self.ours.quiet.as_ref().map(|quiet| &quiet.not_judged),
            "quiet_ended": self.ours.quiet.as_ref().map(|quiet| quiet.ended.len()),
            "violations": self.violations.len(),
            "naive": {
                "faults_total": self.naive.faults.values().sum::<u32>(),
                "signals": naive.acknowledged,
                "duplicates": naive.duplicates.len(),
                "losses": naive.losses.len(),
                "unsettled": naive.unsettled,
                "excused": naive.excused,
            },
            "wall_seconds": self.wall.as_secs(),
        })
    }
}

/// Measured values of the coordinator.
struct Figures {
    takeovers: Spread,
    handovers: Spread,
    after_faults: Spread,
}

impl Figures {
    fn of(evidence: &Evidence) -> Self {
        let (handovers, after_faults) = evidence.handovers();
        Self {
            takeovers: Spread::of(evidence.takeovers()),
            handovers: Spread::of(handovers),
            after_faults: Spread::of(after_faults),
        }
    }
}

/// Prints the first violations of each invariant, and their number.
pub fn print_violations(text: &mut String, violations: &[Violation]) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for violation in violations {
        let times = counts.entry(violation.invariant).or_default();
        *times += 1;
        if *times <= VIOLATIONS_SHOWN {
            // Writing to a String does not fail.
            let _ = writeln!(text, "VIOLATION {violation}");
        }
    }
    for (invariant, times) in counts.into_iter().filter(|(_, times)| *times > VIOLATIONS_SHOWN) {
        let _ = writeln!(text, "and {} more: {invariant}", times - VIOLATIONS_SHOWN);
    }
}

/// Measured ratios; may be empty.
pub struct Spread {
    count: usize,
    pub median: Option<f64>,
    pub most: Option<f64>,
}

impl Spread {
    /// Creates it from these ratios.
    pub fn of(mut ratios: Vec<f64>) -> Self {
        ratios.sort_by(f64::total_cmp);
        let median = ratios.get(ratios.len() / 2).copied();
        Self { count: ratios.len(), median, most: ratios.last().copied() }
    }

    /// Text to print.
    pub fn shown(&self) -> String {
        match (self.median, self.most) {
            (Some(median), Some(most)) => {
                format!("median {median:.2}, most {most:.2}, of {}", self.count)
            }
            _ => "none".to_owned(),
        }
    }
}
