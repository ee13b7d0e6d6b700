//! Watches a run: what happened, what took effect, and which invariant did not hold.
//!
//! Beliefs are judged by the very values that services read ([`Leadership`]) on each process's own clock, at
//! every change of any of them, at every claim that a database grants, and whenever a process is continued.
//! Stopped processes are judged like the others: what they would believe if they ran now.

use crate::fault::Kind;
use crate::kill_switch::{KillSwitch, Pause, Turn};
use crate::knowledge::Row;
use crate::plan::Cluster;
use crate::restores::{Copied, Found, Restores};
use coordinator::Leadership;
use coordinator::clock::Process;
use domain::id::{ClaimId, Nonce};
use domain::lease::{Epoch, Timeline, Token};
use domain::ports::Switch;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

const KILL_SWITCH: &str = "no claim after an acknowledged pause";
const ONE_BELIEVER: &str = "at most one believer";
const NO_OTHER_BELIEVER: &str = "nobody believes when a claim is granted";
const EPOCHS_GROW: &str = "epochs grow on a timeline";
const NOTICED: &str = "a restored backup is noticed when the lease is written next";
const NO_EFFECT: &str = "no effect before a restored backup is noticed";

/// Why an invariant may fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Excuse {
    /// An asynchronous failover lost the very record.
    Failover,
    /// A restored backup lacks the very record, or brought back a lease that is open while its holder still believes.
    Restore,
    /// The restored lease is as late as the latest that the next leader was shown, so no protocol could notice.
    Unnoticeable,
}

impl Excuse {
    /// As the report has it.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Failover => "an asynchronous failover lost its record",
            Self::Restore => "a restored backup lacks its record, or its lease is open",
            Self::Unnoticeable => "the next leader had seen no later lease than the restored one",
        }
    }
}

/// How often an invariant was excused, and why.
pub type Excused = BTreeMap<(Excuse, &'static str), u64>;

/// An invariant that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: &'static str,
    /// When, milliseconds after the start.
    pub at_ms: u64,
    /// Who and what.
    pub told: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {} ms: {}", self.invariant, self.at_ms, self.told)
    }
}

/// Whether what happens is written down, beside being folded into the trace's hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    /// For a replay that somebody reads.
    Everything,
    /// For the many runs that nobody reads.
    Nothing,
}

/// A fault of the schedule, so that it is counted once, when it first takes effect.
#[derive(Debug)]
pub struct Effect {
    kind: Kind,
    counted: AtomicBool,
}

/// Several faults hit the same thing; each counts by itself.
impl Effect {
    /// Of a fault that has not taken effect yet.
    pub fn new(kind: Kind) -> Arc<Self> {
        Arc::new(Self { kind, counted: AtomicBool::new(false) })
    }
}

/// See the [module](self).
#[derive(Debug)]
pub struct Judge {
    start: Instant,
    telling: Telling,
    cluster: Cluster,
    ttl: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    hash: DefaultHasher,
    story: Vec<String>,
    violations: Vec<Violation>,
    faults: BTreeMap<Kind, u64>,
    believers: Vec<Believer>,
    /// The highest epoch granted on each timeline.
    epochs: BTreeMap<Timeline, Epoch>,
    /// The token granted or carried last, until it is released.
    granted: Option<Token>,
    /// The timeline that a promotion began last.
    promoted: Option<Timeline>,
    kill_switch: KillSwitch,
    restores: Restores,
    excused: Excused,
    elections: u64,
}

#[derive(Debug)]
struct Believer {
    name: String,
    nonce: Nonce,
    process: Process,
    seen: watch::Receiver<Leadership>,
}

/// What the judge knows of a database at one moment, for a standby that has only that.
#[derive(Debug, Clone)]
pub struct Known {
    granted: Option<Token>,
    paused: bool,
}

/// What is left when a run is over.
#[derive(Debug, Default)]
pub struct Findings {
    /// What happened, if it was written down.
    pub story: Vec<String>,
    /// Equal for equal runs.
    pub trace: u64,
    /// What did not hold.
    pub violations: Vec<Violation>,
    /// What was excused.
    pub excused: Excused,
    /// How many faults of each kind took effect.
    pub faults: BTreeMap<Kind, u64>,
    /// How many claims were granted.
    pub elections: u64,
}

impl Judge {
    /// Begins now.
    pub fn new(telling: Telling, cluster: Cluster, ttl: Duration) -> Arc<Self> {
        Arc::new(Self { start: Instant::now(), telling, cluster, ttl, state: Mutex::default() })
    }

    /// Milliseconds since the start.
    pub fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Takes down that something happened: `what` goes into the trace, its sentence into the story.
    pub fn note(&self, what: impl Hash, sentence: impl FnOnce() -> String) {
        let at_ms = self.elapsed_ms();
        let mut state = self.state();
        (at_ms, what).hash(&mut state.hash);
        if self.telling == Telling::Everything {
            state.story.push(format!("{at_ms:>8} ms  {}", sentence()));
        }
    }

    /// The fault has taken effect; counted the first time.
    pub fn took_effect(&self, effect: &Effect) {
        if effect.counted.swap(true, Ordering::Relaxed) {
            return;
        }
        *self.state().faults.entry(effect.kind).or_default() += 1;
        self.note(("effect", effect.kind), || format!("{} takes effect", effect.kind));
    }

    /// `invariant` does not hold.
    pub fn violation(&self, invariant: &'static str, told: String) {
        let at_ms = self.elapsed_ms();
        self.note(invariant, || format!("VIOLATION {invariant}: {told}"));
        self.state().violations.push(Violation { invariant, at_ms, told });
    }

    /// A process has started; what it publishes is watched until its death.
    pub fn watch(&self, name: &str, nonce: Nonce, process: &Process, seen: watch::Receiver<Leadership>) {
        let believer = Believer { name: name.to_owned(), nonce, process: process.clone(), seen };
        let mut state = self.state();
        state.believers.retain(|believer| !believer.process.is_dead());
        state.believers.push(believer);
    }

    /// S1: at most one process believes.
    pub fn check_beliefs(&self) {
        let names: Vec<String> =
            self.state().believers.iter().filter(|one| one.believes()).map(|one| one.name.clone()).collect();
        if names.len() > 1 {
            self.overlap(ONE_BELIEVER, names.join(" and "));
        }
    }

    fn overlap(&self, invariant: &'static str, told: String) {
        if self.state().restores.may_overlap(self.ttl) {
            self.excuse(invariant, Excuse::Restore);
        } else {
            self.violation(invariant, told);
        }
    }

    /// The database granted `token` to an instance that had seen no larger epoch than `knew`, and requested none: nobody
    /// else may believe by now, and epochs grow, on a timeline (S3) and for every instance (M22).
    pub fn granted(&self, token: Token, knew: Epoch) {
        let (others, before, restored) = {
            let mut state = self.state();
            state.elections += 1;
            state.granted = Some(token);
            let highest = state.epochs.entry(token.timeline).or_insert(Epoch(0));
            let before = std::mem::replace(highest, token.epoch.max(*highest));
            let others = state.believers.iter().filter(|one| one.believes() && !one.made(token.claim));
            (others.map(|one| one.name.clone()).collect::<Vec<String>>(), before, state.restores.any())
        };
        self.note(("granted", token), || format!("the database grants {token}"));
        if !others.is_empty() {
            self.overlap(NO_OTHER_BELIEVER, others.join(" and "));
        }
        if token.epoch <= knew {
            let told = format!("epoch {} of an instance that knows {knew}", token.epoch);
            self.violation("a claim's epoch is above all that its instance knows", told);
        }
        if before >= token.epoch {
            // Nobody is sure to know a term that a restore has taken back and in which only others took part.
            if restored && knew < before {
                return self.excuse(EPOCHS_GROW, Excuse::Unnoticeable);
            }
            let told = format!("epoch {} after {before} on timeline {}", token.epoch, token.timeline.0);
            self.violation(EPOCHS_GROW, told);
        }
    }

    /// The token that was granted or carried last, unless it was released.
    pub fn granted_last(&self) -> Option<Token> {
        self.state().granted
    }

    /// The lease was written by an instance that had been shown `knew`: it must have noticed a restore since (M23).
    pub fn lease_written(&self, knew: Row, forgot_ms: Option<i64>) {
        let found = self.state().restores.lease_written(knew, forgot_ms);
        self.judge_restore(NOTICED, found, knew);
    }

    /// The lease was released as `row` by an instance to which the write of `acknowledged` was acknowledged.
    pub fn lease_released(&self, acknowledged: Row, row: Row, forgot_ms: Option<i64>) {
        let found = self.state().restores.lease_released(acknowledged, row, forgot_ms);
        self.judge_restore(NOTICED, found, acknowledged);
    }

    fn judge_restore(&self, invariant: &'static str, found: Found, (epoch, seq): Row) {
        match found {
            Found::Nothing => {}
            Found::Unknowable => self.excuse(invariant, Excuse::Unnoticeable),
            Found::Overlooked => {
                let told = format!("by an instance that knows epoch {epoch} and seq {}", seq.0);
                self.violation(invariant, told);
            }
        }
    }

    /// The database carried the row of `token` to `timeline`.
    pub fn carried(&self, token: Token, timeline: Timeline) {
        self.state().granted = Some(Token { timeline, ..token });
    }

    /// The database opened the row.
    pub fn released(&self) {
        self.state().granted = None;
    }

    /// The database wrote an effect under `token`: only the latest may, while it is not released and the row is
    /// on the present timeline (S2).
    ///
    /// And nothing may be written under a lease that is older than the one that was `acknowledged` to the writer (M23).
    pub fn effect(&self, what: &'static str, token: Token, acknowledged: Row) {
        let (granted, promoted, found) = {
            let mut state = self.state();
            let found = state.restores.effect(acknowledged);
            (state.granted, state.promoted, found)
        };
        self.judge_restore(NO_EFFECT, found, acknowledged);
        if promoted.is_some_and(|promoted| promoted != token.timeline) {
            self.violation("effects on the present timeline only", format!("{what} under {token}"));
        }
        self.note((what, token), || format!("{what} under {token}"));
        if granted != Some(token) {
            let latest = granted.map_or("none".to_owned(), |latest| latest.to_string());
            self.violation(
                "effects under the latest token only",
                format!("{what} under {token}, not {latest}"),
            );
        }
    }

    /// The database has granted a claim of signals: only while no pause holds that was acknowledged.
    pub fn claims_signals(&self, token: Token) {
        let pause = self.state().kill_switch.claims();
        match pause {
            Pause::None => {}
            Pause::Lost if self.cluster == Cluster::Asynchronous => {
                self.excuse(KILL_SWITCH, Excuse::Failover);
            }
            Pause::Forgotten => self.excuse(KILL_SWITCH, Excuse::Restore),
            Pause::Lost | Pause::Holds => self.violation(KILL_SWITCH, format!("a claim under {token}")),
        }
    }

    /// The database has turned the kill switch.
    pub fn turned(&self, to: Switch) -> Turn {
        self.note(("kill switch", to), || format!("the kill switch: {to:?}"));
        self.state().kill_switch.turned(to)
    }

    /// Whoever asked for that pause has its answer.
    pub fn pause_is_acknowledged(&self, pause: Turn) {
        self.note("pause acknowledged", || "the pause is acknowledged".to_owned());
        self.state().kill_switch.acknowledged(pause);
    }

    /// `invariant` does not hold, and `why` excuses it.
    pub fn excuse(&self, invariant: &'static str, why: Excuse) {
        *self.state().excused.entry((why, invariant)).or_default() += 1;
    }

    /// What is known of the database as it is now.
    pub fn known(&self) -> Known {
        let state = self.state();
        Known { granted: state.granted, paused: state.kill_switch.is_paused() }
    }

    /// The database is now what it was when only that was known of it, on another timeline.
    pub fn failed_over(&self, known: &Known, timeline: Timeline) {
        let mut state = self.state();
        state.granted = known.granted;
        state.promoted = Some(timeline);
        state.kill_switch.failed_over(known.paused);
    }

    /// The database is now what it was when a backup was taken and only that was known of it, on the same timeline.
    pub fn restored(&self, known: &Known, lease: Copied) {
        let mut state = self.state();
        state.granted = known.granted;
        state.kill_switch.restored(known.paused);
        state.restores.restored(lease);
    }

    /// The numbers of the restores that no protocol could notice in time.
    pub fn unnoticed_restores(&self) -> BTreeSet<usize> {
        self.state().restores.unnoticed().clone()
    }

    /// The end.
    pub fn findings(&self) -> Findings {
        let mut state = self.state();
        Findings {
            story: std::mem::take(&mut state.story),
            trace: state.hash.finish(),
            violations: state.violations.clone(),
            excused: state.excused.clone(),
            faults: state.faults.clone(),
            elections: state.elections,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Believer {
    fn believes(&self) -> bool {
        let deadline = self.seen.borrow().deadline();
        !self.process.is_dead() && deadline.is_some_and(|deadline| self.process.now() < deadline)
    }

    fn made(&self, claim: ClaimId) -> bool {
        claim.is_from(self.nonce)
    }
}
