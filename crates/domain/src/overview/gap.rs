//! The times without a leader, from the history of the terms.
//!
//! A term that was not released ends with its lease, so an outage of the state store that outlasts the lease is such a
//! time. The store cannot show a shorter one, nor the moment at which a leader that was cut off stopped acting: it stops
//! before its lease ends.

use crate::lease::Epoch;
use crate::member::Term;
use alloc::vec::Vec;
use core::time::Duration;

/// A time without a leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The epoch of the term before it.
    pub after: Epoch,
    /// The end of that term, in unix milliseconds.
    pub from_ms: i64,
    /// The start of the next term, in unix milliseconds; `None` while no instance leads.
    pub to_ms: Option<i64>,
}

impl Gap {
    /// The gaps between `terms` (newest first) and after the latest of them, newest first.
    pub fn between(terms: &[Term]) -> Vec<Self> {
        let next_from = core::iter::once(None).chain(terms.iter().map(|term| Some(term.from_ms)));
        let gap = |(term, to_ms): (&Term, Option<i64>)| {
            let from_ms = term.to_ms?;
            // Two terms on different timelines can overlap: the promotion lost the end of the former.
            to_ms.is_none_or(|to_ms| to_ms > from_ms).then_some(Self { after: term.epoch, from_ms, to_ms })
        };
        terms.iter().zip(next_from).filter_map(gap).collect()
    }

    /// Its length at `now_ms` (unix milliseconds).
    pub fn lasted(&self, now_ms: i64) -> Duration {
        super::phrase::since(self.from_ms, self.to_ms.unwrap_or(now_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::InstanceId;
    use crate::lease::Timeline;

    fn term(epoch: u64, from_ms: i64, to_ms: Option<i64>) -> Term {
        Term {
            timeline: Timeline(1),
            epoch: Epoch(epoch),
            holder: InstanceId::parse("a").unwrap(),
            host: "host".into(),
            from_ms,
            to_ms,
            reason: None,
        }
    }

    #[test]
    fn the_time_between_two_terms_and_after_the_last_one_has_no_leader() {
        let terms =
            [term(4, 50, Some(60)), term(3, 40, Some(50)), term(2, 20, Some(30)), term(1, 0, Some(21))];
        let gap = |after, from_ms, to_ms| Gap { after: Epoch(after), from_ms, to_ms };
        assert_eq!(Gap::between(&terms), [gap(4, 60, None), gap(2, 30, Some(40))]);
        assert_eq!(Gap::between(&[term(1, 0, None)]), []);
        assert_eq!(gap(4, 60, None).lasted(72), Duration::from_millis(12));
    }
}
