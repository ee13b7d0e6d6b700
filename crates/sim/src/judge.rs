//! The judge of a run: it records events and effects, and reports every broken invariant.
//!
//! The judge reads the same values as services ([`Leadership`]), on each process's own clock: at every change of any
//! of them, at every claim that a database grants, and whenever a process resumes. It judges paused processes by the
//! lease that they would hold if they ran now.

use crate::fault::Kind;
use crate::kill_switch::{KillSwitch, Pause, Turn};
use crate::knowledge::Age;
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
const ONE_VALID_LEASE: &str = "at most one valid lease";
const NO_OTHER_VALID_LEASE: &str = "no other valid lease when a claim is granted";
const EPOCHS_GROW: &str = "epochs grow on a timeline";
const NOTICED: &str = "a restored backup is noticed at the next write of the lease";
const NO_EFFECT: &str = "no effect before a restored backup is noticed";

/// Reason why an invariant may fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Excuse {
    /// An asynchronous failover lost the record concerned.
    Failover,
    /// A restored backup lacks the record concerned, or brought back a lease that is open while its holder's is still
    /// valid.
    Restore,
    /// The restored lease is as late as the latest that the next leader had read, so no protocol could notice the
    /// restore.
    Unnoticeable,
}

impl Excuse {
    /// The text in the report.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Failover => "an asynchronous failover lost its record",
            Self::Restore => "a restored backup lacks its record, or its lease is open",
            Self::Unnoticeable => "the next leader had read no later lease than the restored one",
        }
    }
}

/// Number of times that an invariant was excused, by reason.
pub type Excused = BTreeMap<(Excuse, &'static str), u64>;

/// An invariant that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The invariant.
    pub invariant: &'static str,
    /// The time, in milliseconds after the start.
    pub at_ms: u64,
    /// The details.
    pub details: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {} ms: {}", self.invariant, self.at_ms, self.details)
    }
}

/// States whether the judge keeps the events as text, in addition to the hash of the trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recording {
    /// For a replay.
    Everything,
    /// For campaigns.
    Nothing,
}

/// A fault of the schedule. It is counted once, when it first takes effect.
#[derive(Debug)]
pub struct Effect {
    kind: Kind,
    counted: AtomicBool,
}

/// If several faults hit the same target, each is counted.
impl Effect {
    /// A fault that has not taken effect yet.
    pub fn new(kind: Kind) -> Arc<Self> {
        Arc::new(Self { kind, counted: AtomicBool::new(false) })
    }
}

/// The judge; see the [module](self).
#[derive(Debug)]
pub struct Judge {
    start: Instant,
    recording: Recording,
    cluster: Cluster,
    ttl: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    hash: DefaultHasher,
    events: Vec<String>,
    violations: Vec<Violation>,
    faults: BTreeMap<Kind, u64>,
    watched: Vec<Watched>,
    /// The highest epoch granted on each timeline.
    epochs: BTreeMap<Timeline, Epoch>,
    /// The token that was granted or carried last, until it is released.
    granted: Option<Token>,
    /// The timeline of the last promotion.
    promoted: Option<Timeline>,
    kill_switch: KillSwitch,
    restores: Restores,
    excused: Excused,
    elections: u64,
}

#[derive(Debug)]
struct Watched {
    name: String,
    nonce: Nonce,
    process: Process,
    seen: watch::Receiver<Leadership>,
}

/// The judge's knowledge of a database at one moment, for a standby that has only the data of that moment.
#[derive(Debug, Clone)]
pub struct Known {
    granted: Option<Token>,
    paused: bool,
}

/// The results of a run.
#[derive(Debug, Default)]
pub struct Findings {
    /// The events, if they were kept.
    pub events: Vec<String>,
    /// The hash of the trace: equal for equal runs.
    pub trace: u64,
    /// The broken invariants.
    pub violations: Vec<Violation>,
    /// The excused ones.
    pub excused: Excused,
    /// Number of faults that took effect, by kind.
    pub faults: BTreeMap<Kind, u64>,
    /// Number of granted claims.
    pub elections: u64,
}

impl Judge {
    /// A judge whose run begins now.
    pub fn new(recording: Recording, cluster: Cluster, ttl: Duration) -> Arc<Self> {
        Arc::new(Self { start: Instant::now(), recording, cluster, ttl, state: Mutex::default() })
    }

    /// Milliseconds since the start.
    pub fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Records an event: `what` goes into the hash of the trace, the sentence into the text.
    pub fn note(&self, what: impl Hash, sentence: impl FnOnce() -> String) {
        let at_ms = self.elapsed_ms();
        let mut state = self.state();
        (at_ms, what).hash(&mut state.hash);
        if self.recording == Recording::Everything {
            state.events.push(format!("{at_ms:>8} ms  {}", sentence()));
        }
    }

    /// Records that the fault has taken effect; counted the first time.
    pub fn took_effect(&self, effect: &Effect) {
        if effect.counted.swap(true, Ordering::Relaxed) {
            return;
        }
        *self.state().faults.entry(effect.kind).or_default() += 1;
        self.note(("effect", effect.kind), || format!("{} takes effect", effect.kind));
    }

    /// Records that `invariant` does not hold.
    pub fn violation(&self, invariant: &'static str, details: String) {
        let at_ms = self.elapsed_ms();
        self.note(invariant, || format!("VIOLATION {invariant}: {details}"));
        self.state().violations.push(Violation { invariant, at_ms, details });
    }

    /// A process has started; the judge watches its leadership until its death.
    pub fn watch(&self, name: &str, nonce: Nonce, process: &Process, seen: watch::Receiver<Leadership>) {
        let watched = Watched { name: name.to_owned(), nonce, process: process.clone(), seen };
        let mut state = self.state();
        state.watched.retain(|watched| !watched.process.is_dead());
        state.watched.push(watched);
    }

    /// S1: at most one process holds a valid lease.
    pub fn check_leases(&self) {
        let names: Vec<String> =
            self.state().watched.iter().filter(|one| one.leads()).map(|one| one.name.clone()).collect();
        if names.len() > 1 {
            self.overlap(ONE_VALID_LEASE, names.join(" and "));
        }
    }

    fn overlap(&self, invariant: &'static str, details: String) {
        if self.state().restores.may_overlap(self.ttl) {
            self.excuse(invariant, Excuse::Restore);
        } else {
            self.violation(invariant, details);
        }
    }

    /// The database granted `token` to an instance that had read no epoch above `knew` and requested none. No other
    /// instance may hold a valid lease now, and epochs grow, on a timeline (S3) and for every instance (M22).
    pub fn granted(&self, token: Token, knew: Epoch) {
        let (others, before, restored) = {
            let mut state = self.state();
            state.elections += 1;
            state.granted = Some(token);
            let highest = state.epochs.entry(token.timeline).or_insert(Epoch(0));
            let before = std::mem::replace(highest, token.epoch.max(*highest));
            let others = state.watched.iter().filter(|one| one.leads() && !one.made(token.claim));
            (others.map(|one| one.name.clone()).collect::<Vec<String>>(), before, state.restores.any())
        };
        self.note(("granted", token), || format!("the database grants {token}"));
        if !others.is_empty() {
            self.overlap(NO_OTHER_VALID_LEASE, others.join(" and "));
        }
        if token.epoch <= knew {
            let details = format!("epoch {} of an instance that knows {knew}", token.epoch);
            self.violation("a claim's epoch exceeds every epoch that its instance knows", details);
        }
        if before >= token.epoch {
            // An instance need not know a term that a restore took back and in which only other instances took part.
            if restored && knew < before {
                return self.excuse(EPOCHS_GROW, Excuse::Unnoticeable);
            }
            let details = format!("epoch {} after {before} on timeline {}", token.epoch, token.timeline.0);
            self.violation(EPOCHS_GROW, details);
        }
    }

    /// The token that was granted or carried last, unless it was released.
    pub fn granted_last(&self) -> Option<Token> {
        self.state().granted
    }

    /// An instance that had read `knew` wrote the lease: it must have noticed a restore since (M23).
    pub fn lease_written(&self, knew: Age, forgot_ms: Option<i64>) {
        let found = self.state().restores.lease_written(knew, forgot_ms);
        self.judge_restore(NOTICED, found, knew);
    }

    /// An instance released the lease as `age`; its last acknowledged write was `acknowledged`.
    pub fn lease_released(&self, acknowledged: Age, age: Age, forgot_ms: Option<i64>) {
        let found = self.state().restores.lease_released(acknowledged, age, forgot_ms);
        self.judge_restore(NOTICED, found, acknowledged);
    }

    fn judge_restore(&self, invariant: &'static str, found: Found, (epoch, seq): Age) {
        match found {
            Found::Nothing => {}
            Found::Unknowable => self.excuse(invariant, Excuse::Unnoticeable),
            Found::Overlooked => {
                let details = format!("by an instance that knows epoch {epoch} and seq {}", seq.0);
                self.violation(invariant, details);
            }
        }
    }

    /// The database carried the lease of `token` to `timeline`.
    pub fn carried(&self, token: Token, timeline: Timeline) {
        self.state().granted = Some(Token { timeline, ..token });
    }

    /// The database released the lease.
    pub fn released(&self) {
        self.state().granted = None;
    }

    /// The database wrote an effect under `token`. Only the latest token may write, while it is not released and the
    /// lease is on the present timeline (S2).
    ///
    /// No effect may be written under a lease that is older than the write `acknowledged` to its sender (M23).
    pub fn effect(&self, what: &'static str, token: Token, acknowledged: Age) {
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

    /// The database has granted a claim of signals, which is allowed only without an acknowledged pause.
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

    /// The database has switched the kill switch.
    pub fn turned(&self, to: Switch) -> Turn {
        self.note(("kill switch", to), || format!("the kill switch: {to:?}"));
        self.state().kill_switch.turned(to)
    }

    /// The client that requested this pause has its answer.
    pub fn pause_is_acknowledged(&self, pause: Turn) {
        self.note("pause acknowledged", || "the pause is acknowledged".to_owned());
        self.state().kill_switch.acknowledged(pause);
    }

    /// Records that `invariant` does not hold and that `why` excuses it.
    pub fn excuse(&self, invariant: &'static str, why: Excuse) {
        *self.state().excused.entry((why, invariant)).or_default() += 1;
    }

    /// The present knowledge of the database.
    pub fn known(&self) -> Known {
        let state = self.state();
        Known { granted: state.granted, paused: state.kill_switch.is_paused() }
    }

    /// The database has returned to the state of `known`, on another timeline.
    pub fn failed_over(&self, known: &Known, timeline: Timeline) {
        let mut state = self.state();
        state.granted = known.granted;
        state.promoted = Some(timeline);
        state.kill_switch.failed_over(known.paused);
    }

    /// The database has returned to a backup in the state of `known`, on the same timeline.
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

    /// The results at the end.
    pub fn findings(&self) -> Findings {
        let mut state = self.state();
        Findings {
            events: std::mem::take(&mut state.events),
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

impl Watched {
    fn leads(&self) -> bool {
        let deadline = self.seen.borrow().deadline();
        !self.process.is_dead() && deadline.is_some_and(|deadline| self.process.now() < deadline)
    }

    fn made(&self, claim: ClaimId) -> bool {
        claim.is_from(self.nonce)
    }
}
