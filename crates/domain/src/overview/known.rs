//! The last answer of a store, and whether it is current.

/// The last answer of a store to one request. After a failed request it is only the last known state, and is never
/// shown as the present one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known<T> {
    last: Option<(T, i64)>,
    away_since_ms: Option<i64>,
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self { last: None, away_since_ms: None }
    }
}

impl<T> Known<T> {
    /// An answer, read at `read_ms` (unix milliseconds).
    pub fn read(value: T, read_ms: i64) -> Self {
        Self { last: Some((value, read_ms)), away_since_ms: None }
    }

    /// No answer since `since_ms` (unix milliseconds), and none before it.
    pub fn away(since_ms: i64) -> Self {
        Self { last: None, away_since_ms: Some(since_ms) }
    }

    /// A new answer at `read_ms` (unix milliseconds).
    pub fn answered(&mut self, value: T, read_ms: i64) {
        *self = Self::read(value, read_ms);
    }

    /// A request failed at `at_ms` (unix milliseconds): the last answer remains as the last known state.
    pub fn failed(&mut self, at_ms: i64) {
        self.away_since_ms.get_or_insert(at_ms);
    }

    /// Changes the last answer, which remains as old as it is.
    pub(super) fn amend(&mut self, change: impl FnOnce(&mut T)) {
        if let Some((value, _)) = &mut self.last {
            change(value);
        }
    }

    /// The answer, if the store answered its last request; `None` if the state is unknown.
    pub fn current(&self) -> Option<&T> {
        self.last.as_ref().filter(|_| self.away_since_ms.is_none()).map(|(value, _)| value)
    }

    /// The last answer and when it was read (unix milliseconds), however old.
    pub fn last(&self) -> Option<(&T, i64)> {
        self.last.as_ref().map(|(value, read_ms)| (value, *read_ms))
    }

    /// The last answer and when it was read (unix milliseconds), however old.
    pub fn into_last(self) -> Option<(T, i64)> {
        self.last
    }

    /// Since when the store has not answered, unix milliseconds; `None` while it answers and before the first request.
    pub fn away_since_ms(&self) -> Option<i64> {
        self.away_since_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_request_makes_the_state_unknown_and_keeps_the_last_answer() {
        let mut known = Known::default();
        assert_eq!((known.current(), known.last(), known.away_since_ms()), (None, None, None));
        known.answered(7, 1_000);
        assert_eq!((known.current(), known.last()), (Some(&7), Some((&7, 1_000))));
        known.failed(2_000);
        known.failed(3_000);
        assert_eq!((known.current(), known.last()), (None, Some((&7, 1_000))));
        assert_eq!(known.away_since_ms(), Some(2_000), "since the first failure");
        known.answered(8, 4_000);
        assert_eq!((known.current(), known.away_since_ms()), (Some(&8), None));
    }
}
