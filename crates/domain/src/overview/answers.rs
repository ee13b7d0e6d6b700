//! The last answers of the stores, as a running instance keeps them for its pages. They outlive an outage of the
//! stores: a page then shows the last known state and since when the present one is unknown.

use super::{Facts, Known};
use crate::ledger::Signal;
use crate::member::{LeaseSeen, MemberSeen, Term, heartbeat_interval};
use crate::ports::ListQuery;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Most terms that an instance keeps.
pub const TERMS_KEPT: u32 = 50;
/// Most signals that an instance keeps: the newest. It keeps the same number of signals in doubt, however old.
pub const SIGNALS_KEPT: u32 = 100;

/// The last answers of the stores.
#[derive(Debug, Clone, PartialEq)]
pub struct LastAnswers {
    /// The input of [`Overview`](super::Overview), as of its `now_ms`; see [`facts_at`](Self::facts_at).
    pub facts: Facts,
    /// The latest terms, newest first, at most [`TERMS_KEPT`].
    pub terms: Known<Arc<[Term]>>,
    /// The newest [`SIGNALS_KEPT`] signals and those in doubt, the latest first.
    pub signals: Known<Arc<[Signal]>>,
}

impl LastAnswers {
    /// No answer yet; `facts` has none either.
    pub fn none(facts: Facts) -> Self {
        Self { facts, terms: Known::default(), signals: Known::default() }
    }

    /// The facts for the present moment `now_ms` (Unix milliseconds).
    pub fn facts_at(&self, now_ms: i64) -> Facts {
        Facts { now_ms, ..self.facts.clone() }
    }

    /// The state store answered at `at_ms` (Unix milliseconds).
    pub fn state_store_answered(
        &mut self,
        (lease, members, terms): (LeaseSeen, Vec<MemberSeen>, Vec<Term>),
        at_ms: i64,
    ) {
        self.facts.now_ms = at_ms;
        self.facts.heartbeat = heartbeat_interval(lease.ttl);
        self.facts.state_store_fault = None;
        self.facts.lease.answered(lease, at_ms);
        self.facts.members.answered(members, at_ms);
        self.terms.answered(terms.into(), at_ms);
    }

    /// The state store did not answer at `at_ms` (Unix milliseconds). It keeps the signals too.
    pub fn state_store_failed(&mut self, at_ms: i64) {
        self.election_failed(at_ms);
        // An instance without a ledger never reads signals, so their absence is no failure.
        if self.facts.totals.last().is_some() {
            self.ledger_failed(at_ms);
        }
    }

    /// The lease, the instance table and the history cannot be read at `at_ms` (Unix milliseconds). The ledger may
    /// answer.
    pub fn election_failed(&mut self, at_ms: i64) {
        self.facts.now_ms = at_ms;
        self.facts.lease.failed(at_ms);
        self.facts.members.failed(at_ms);
        self.terms.failed(at_ms);
    }

    /// Nothing reads the stores any more since `at_ms` (Unix milliseconds).
    pub fn ended(&mut self, at_ms: i64) {
        self.state_store_failed(at_ms);
        if let Some(ticket) = &mut self.facts.ticket {
            ticket.failed(at_ms);
        }
    }

    /// The ledger did not answer at `at_ms` (Unix milliseconds).
    pub fn ledger_failed(&mut self, at_ms: i64) {
        self.facts.totals.failed(at_ms);
        self.signals.failed(at_ms);
    }

    /// The kept signals that `query` selects, and whether these are all that the ledger had at that time. `None`
    /// before the first answer.
    pub fn select(&self, query: &ListQuery) -> Option<(Vec<Signal>, bool)> {
        let (kept, _) = self.signals.last()?;
        let matches = |signal: &&Signal| {
            query.state.is_none_or(|state| signal.state.name() == state)
                && query.instrument.as_ref().is_none_or(|named| signal.instruction.instrument == *named)
                && query.before.is_none_or(|before| signal.arrival < before)
        };
        let mut selected: Vec<Signal> = kept.iter().filter(matches).cloned().collect();
        let limit = query.limit as usize;
        let complete = kept.len() < SIGNALS_KEPT as usize && selected.len() <= limit;
        selected.truncate(limit);
        Some((selected, complete))
    }
}
