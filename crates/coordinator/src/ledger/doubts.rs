//! The signals in doubt that a leader knows of, and when to look each of them up.

use domain::ledger::{Signal, SignalId};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// First pause after a lookup without a result; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// Longest pause: soon after a broker is back, it is asked.
const PAUSE_MAX: Duration = Duration::from_mins(1);

#[derive(Debug)]
struct Doubt {
    signal: Signal,
    /// When to look it up; `None` while that is under way.
    due: Option<Instant>,
    pause: Duration,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Doubts(BTreeMap<SignalId, Doubt>);

impl Doubts {
    /// Whether that very attempt is known to be in doubt.
    pub(super) fn knows(&self, signal: &Signal) -> bool {
        self.0.get(&signal.id).is_some_and(|doubt| doubt.signal.attempt == signal.attempt)
    }

    /// A signal in doubt, to be looked up now unless it is known.
    pub(super) fn add(&mut self, signal: Signal) {
        if !self.knows(&signal) {
            let (due, pause) = (Some(Instant::now()), PAUSE_MIN);
            self.0.insert(signal.id.clone(), Doubt { signal, due, pause });
        }
    }

    /// That attempt is in doubt no more; a later one may be.
    pub(super) fn remove(&mut self, signal: &Signal) {
        if self.0.get(&signal.id).is_some_and(|doubt| doubt.signal.attempt <= signal.attempt) {
            self.0.remove(&signal.id);
        }
    }

    /// Forgets those that are not among `these`: somebody else has settled them.
    pub(super) fn keep(&mut self, these: &[Signal]) {
        self.0.retain(|id, doubt| doubt.due.is_none() || these.iter().any(|signal| signal.id == *id));
    }

    /// One that is to be looked up now; it is under way then.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Signal> {
        let doubt = self.0.values_mut().find(|doubt| doubt.due.is_some_and(|due| due <= now))?;
        doubt.due = None;
        Some(doubt.signal.clone())
    }

    /// A lookup had no result: again later.
    pub(super) fn unresolved(&mut self, signal: &Signal) {
        let doubt = self.0.get_mut(&signal.id);
        if let Some(doubt) = doubt.filter(|doubt| doubt.signal.attempt == signal.attempt) {
            doubt.due = Some(Instant::now() + doubt.pause);
            doubt.pause = (doubt.pause * 2).min(PAUSE_MAX);
        }
    }

    /// When the next one is to be looked up.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.0.values().filter_map(|doubt| doubt.due).min()
    }
}
