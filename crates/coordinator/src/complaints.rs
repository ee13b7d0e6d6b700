//! Failures of stores, logged when they begin, when they change and when they end, not at every try. Used for requests that
//! are repeated several times a second while their store is in trouble.

use domain::ports::StoreError;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// How long the same failure of the same request is not logged again.
const REPEAT_AFTER: Duration = Duration::from_mins(1);

/// What was logged last about each kind of request, and when.
#[derive(Debug, Default)]
pub(crate) struct Complaints(BTreeMap<&'static str, (String, Instant)>);

impl Complaints {
    /// Logs that a request of the ledger had no answer, unless that was logged within a minute.
    pub(crate) fn signals(&mut self, what: &'static str, error: &StoreError) {
        let message = format!("signals: {what}: {error}");
        if self.is_due(what, &message, Instant::now()) {
            tracing::warn!("{message}");
        }
    }

    fn is_due(&mut self, what: &'static str, message: &str, now: Instant) -> bool {
        let last = self.0.get(what);
        let is_due = last.is_none_or(|(last, at)| last != message || now >= *at + REPEAT_AFTER);
        if is_due {
            self.0.insert(what, (message.to_owned(), now));
        }
        is_due
    }
}

/// Whether a request changes its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Reads,
    Writes,
}

/// What is wrong with one store of the election, logged when it begins, when it changes and when it ends. A store whose
/// disk is full answers reads: while writes fail, an answered read ends nothing.
#[derive(Debug)]
pub(crate) struct Trouble {
    store: &'static str,
    last: Option<Failure>,
}

#[derive(Debug)]
struct Failure {
    message: String,
    of: Effect,
    at: Instant,
}

impl Trouble {
    pub(crate) fn of(store: &'static str) -> Self {
        Self { store, last: None }
    }

    /// Takes in the outcome of a request.
    pub(crate) fn answered(&mut self, effect: Effect, error: Option<&StoreError>) {
        let (store, now) = (self.store, Instant::now());
        match error {
            Some(error) => {
                if self.fails(effect, error.to_string(), now) {
                    tracing::warn!("{store}: {error}");
                }
            }
            None => {
                if self.ends(effect, now) {
                    tracing::info!("{store}: answers again");
                }
            }
        }
    }

    /// Returns whether to log it.
    fn fails(&mut self, of: Effect, message: String, now: Instant) -> bool {
        let is_new = self.last.as_ref().is_none_or(|last| last.message != message);
        self.last = Some(Failure { message, of, at: now });
        is_new
    }

    /// Returns whether to log it. For an instance that has stopped writing, its reads prove it after a while.
    fn ends(&mut self, effect: Effect, now: Instant) -> bool {
        let proves = |last: &Failure| {
            effect == Effect::Writes || last.of == Effect::Reads || now >= last.at + REPEAT_AFTER
        };
        self.last.take_if(|last| proves(last)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answered_read_does_not_end_the_failure_of_writes() {
        let (mut trouble, now) = (Trouble::of("state store"), Instant::now());
        let full = || "disk full".to_owned();
        assert!(trouble.fails(Effect::Writes, full(), now));
        for _ in 0..3 {
            assert!(!trouble.ends(Effect::Reads, now), "it only reads");
            assert!(!trouble.fails(Effect::Writes, full(), now), "it is logged once");
        }
        assert!(trouble.ends(Effect::Writes, now));
        assert!(!trouble.ends(Effect::Writes, now), "once");
        assert!(trouble.fails(Effect::Writes, full(), now));
        assert!(trouble.ends(Effect::Reads, now + REPEAT_AFTER), "nothing was written since");
        assert!(trouble.fails(Effect::Reads, "away".to_owned(), now));
        assert!(trouble.ends(Effect::Reads, now));
    }

    #[test]
    fn a_failure_is_logged_when_it_begins_when_it_changes_and_each_minute() {
        let (mut complaints, now) = (Complaints::default(), Instant::now());
        let second = Duration::from_secs(1);
        for (after, what, message, is_due) in [
            (Duration::ZERO, "a claim", "away", true),
            (second / 5, "a claim", "away", false),
            (second / 5, "taking over", "away", true),
            (second, "a claim", "locked", true),
            (second * 60, "a claim", "locked", false),
            (second * 61, "a claim", "locked", true),
        ] {
            assert_eq!(complaints.is_due(what, message, now + after), is_due, "{what} after {after:?}");
        }
    }
}
