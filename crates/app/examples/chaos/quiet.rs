//! Quiet phases: no fault is active or was recently, so a term must not end. The client continues to submit.
//!
//! A phase is judged only if the premise of stability held in it, according to the leader's metrics and the
//! kernel's counts ([`testkit::premise`]). Phases in which it did not hold are counted by the reason. A run
//! without a judged phase fails, because it shows nothing.

use crate::fault::TTL;
use crate::storm::{Stop, Storm};
use contract::invariants::{Violation, one_term_lasts};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use testkit::premise::{Limits, Premise, Watch};
use testkit::process::monotonic_nanos;

/// Time from the end of the last fault to the begin of a phase. Its consequences (dead connections, a standby
/// that catches up) are over by then.
const AFTER_FAULT: Duration = TTL.saturating_mul(3);
/// Duration of a phase: several renewals in each of several leases.
const LASTS: Duration = TTL.saturating_mul(6);
/// Pause after a phase, until the requests of its last heartbeat have their answers.
const ANSWERS: Duration = TTL.saturating_mul(2).checked_div(3).expect("it is divided by three");
/// Pause between two samples of the leader's thread.
const SAMPLE: Duration = Duration::from_millis(25);
/// Further phases at the end of a run in which none was judged.
const TRIES_MAX: u32 = 10;
/// Lines of the log that a violation quotes.
const LINES_MAX: usize = 8;

/// Results of the quiet phases of a run.
#[derive(Debug, Default)]
pub struct Quiet {
    /// Phases in which the premise held.
    pub judged: u32,
    /// Phases in which the premise did not hold, by the reason.
    pub not_judged: BTreeMap<&'static str, u32>,
    /// Terms that ended in judged phases.
    pub ended: Vec<Violation>,
}

impl Quiet {
    /// Every violation.
    pub fn violations(&self) -> Vec<Violation> {
        let mut found = self.ended.clone();
        if self.judged == 0 {
            let told = format!("none, in {} phases: {:?}", self.total(), self.not_judged);
            found.push(Violation { invariant: "a quiet phase is judged", details: told });
        }
        found
    }

    /// Number of phases.
    pub fn total(&self) -> u32 {
        self.judged + self.not_judged.values().sum::<u32>()
    }

    fn add(&mut self, premise: Premise, ended: Vec<Violation>) {
        match premise {
            Premise::Held => {
                self.judged += 1;
                self.ended.extend(ended);
            }
            Premise::Broken(broken) => *self.not_judged.entry(broken.name()).or_default() += 1,
        }
    }
}

impl Storm<'_> {
    /// One phase. Every fault has ended, and every process has been started.
    ///
    /// # Errors
    /// If the operator interrupts, or an instance never takes part.
    pub fn quiet_phase(&mut self) -> Result<(), Stop> {
        self.until("every instance takes part", |storm| {
            let takes_part = |seat: &mut crate::seat::Seat| {
                let ready = seat.process().map(|process| process.get("/readyz"));
                ready.is_some_and(|answer| answer.is_ok_and(|answer| answer.status == 200))
            };
            storm.seats.iter_mut().all(takes_part)
        })?;
        self.pass(AFTER_FAULT)?;
        self.until("exactly one leads", Self::one_leads)?;
        let Some(leader) = self.leader() else { return Ok(()) };
        let Some(process) = self.seats[leader].process() else { return Ok(()) };
        let (id, log_before) = (process.pid(), process.log().len());
        let mut watch = Watch::begin(process, Limits::new(TTL));
        let from = monotonic_nanos();
        self.watched(&mut watch, LASTS)?;
        let to = monotonic_nanos();
        self.watched(&mut watch, ANSWERS)?;
        // A process that has ended unexpectedly is replaced by another, and is a violation whatever the
        // premise.
        let same = self.seats[leader].process().filter(|process| process.pid() == id);
        let Some(process) = same else { return Ok(()) };
        let premise = watch.end(process);
        let log = process.log().split_off(log_before);
        let records: Vec<_> =
            self.seats.iter_mut().filter_map(|seat| Some(seat.process()?.record())).collect();
        let ended = one_term_lasts(&records, TTL, from, to);
        let quoted = |violation: Violation| {
            let told = format!("{}; its log: {}", violation.details, loud(&log));
            Violation { details: told, ..violation }
        };
        let ended: Vec<Violation> = ended.into_iter().map(quoted).collect();
        let term = if ended.is_empty() { "the term lasted" } else { "the term ended" };
        self.print(&match premise {
            Premise::Held => format!("quiet for {} s: {term}", LASTS.as_secs()),
            Premise::Broken(broken) => format!("quiet, not judged: {broken}; {term}"),
        });
        self.evidence.quiet.get_or_insert_default().add(premise, ended);
        Ok(())
    }

    /// Runs phases until one is judged, if none was.
    ///
    /// # Errors
    /// As [`Self::quiet_phase`].
    pub fn judge_a_quiet_phase(&mut self) -> Result<(), Stop> {
        for _ in 0..TRIES_MAX {
            if self.evidence.quiet.as_ref().is_some_and(|quiet| quiet.judged > 0) {
                break;
            }
            self.quiet_phase()?;
        }
        Ok(())
    }

    fn watched(&mut self, watch: &mut Watch, time: Duration) -> Result<(), Stop> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.pass(SAMPLE)?;
            watch.sample();
        }
        Ok(())
    }
}

/// The warnings and errors of a log.
fn loud(log: &str) -> String {
    let loud = |line: &&str| line.contains("\"WARN\"") || line.contains("\"ERROR\"");
    let lines: Vec<&str> = log.lines().filter(loud).take(LINES_MAX).collect();
    if lines.is_empty() { "no warning, no error".to_owned() } else { lines.join(" ") }
}
