//! The instances as they were at the last answer of the state store. The problems use them while the store does not
//! answer: an outage ends no problem, and it makes none worse.

use super::{Facts, InstanceView, Known, LeaderView, Part, Phrase, Problem, instance};
use alloc::vec::Vec;

/// The instances at the last read of the instance table, judged by the lease that was read with it.
pub(super) struct LastKnown {
    /// The facts of that moment; the ledger and Redis as they are now.
    pub(super) facts: Facts,
    /// The instances, in the order of the ids.
    pub(super) instances: Vec<InstanceView>,
    read_ms: i64,
    unknown_since_ms: i64,
}

impl LastKnown {
    /// `None` while the state store answers, and if it has never answered.
    pub(super) fn of(facts: &Facts) -> Option<Self> {
        let unknown_since_ms = facts.members.away_since_ms().or(facts.lease.away_since_ms())?;
        let (members, members_ms) = facts.members.last()?;
        let (lease, lease_ms) = facts.lease.last()?;
        let now_ms = if facts.members.current().is_some() { facts.now_ms } else { members_ms };
        let facts = Facts {
            now_ms,
            members: Known::read(members.clone(), members_ms),
            // No age of the lease grows after the last answer.
            lease: Known::read(lease.clone(), now_ms),
            ..facts.clone()
        };
        let instances = instance::all(&facts, &LeaderView::of(&facts));
        Some(Self { facts, instances, read_ms: members_ms.min(lease_ms), unknown_since_ms })
    }

    /// `problem`, with the time when it was last known.
    pub(super) fn mark(&self, problem: Problem) -> Problem {
        mark(problem, self.read_ms, self.unknown_since_ms)
    }
}

/// `problem`, last known at `read_ms` and unknown since `unknown_since_ms` (both Unix milliseconds).
pub(super) fn mark(mut problem: Problem, read_ms: i64, unknown_since_ms: i64) -> Problem {
    let known =
        Phrase::of("Last known at ").time(read_ms).text(", unknown since ").time(unknown_since_ms).text(".");
    let ends = problem
        .meaning
        .parts()
        .last()
        .is_some_and(|part| matches!(part, Part::Text(text) if text.ends_with('.')));
    let meaning = if ends { problem.meaning } else { problem.meaning.text(".") };
    problem.meaning = meaning.then(known);
    problem
}
