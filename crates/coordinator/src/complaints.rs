//! The failures of one kind of request, logged when they begin, when they change, and then each minute. Used for requests
//! that are repeated several times a second while their store is in trouble.

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

#[cfg(test)]
mod tests {
    use super::*;

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
