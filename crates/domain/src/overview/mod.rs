//! What is true of a group at one moment, in words: who acts, what is wrong, and what the operator should do. The page,
//! `coordinator status`, `coordinator why` and the JSON of both render this one value, so they cannot contradict each
//! other.
//!
//! The input is [`Facts`]: the last answers of the stores. An answer that is old makes a state unknown. Unknown is never
//! shown as OK, and no election rule reads any of this.

mod instance;
mod known;
mod leader;
mod phrase;
mod problem;
mod sentence;
#[cfg(test)]
mod tests;

pub use instance::{InstanceState, InstanceView};
pub use known::Known;
pub use leader::LeaderView;
pub use phrase::{Part, Phrase, age, rupees};
pub use problem::{Money, Problem};

use crate::ledger::Totals;
use crate::member::{Health, LeaseSeen, MemberSeen};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use rust_decimal::Decimal;

/// What one reader knows of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// The moment, unix milliseconds.
    pub now_ms: i64,
    /// The state store as the operator knows it, such as `PostgreSQL`.
    pub state_store: String,
    /// How often an instance sends a heartbeat.
    pub heartbeat: Duration,
    /// The lease.
    pub lease: Known<LeaseSeen>,
    /// The instance table.
    pub members: Known<Vec<MemberSeen>>,
    /// The holder of the ticket in Redis; `None` without Redis.
    pub ticket: Option<Known<Option<crate::id::InstanceId>>>,
    /// The signals that are not finished.
    pub totals: Known<Totals>,
    /// What a signal is worth, in rupees.
    pub signal_value: Decimal,
}

/// What is true, and what to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Overview {
    /// The worst of [`problems`](Self::problems).
    pub level: Health,
    /// Who leads, and the worst fact, for the operator who reads nothing else.
    pub sentence: Phrase,
    /// The lease, as far as it is known.
    pub leader: LeaderView,
    /// Every instance of the group, in the order of the ids.
    pub instances: Vec<InstanceView>,
    /// What is wrong, the worst first: by severity, then by money, then by age.
    pub problems: Vec<Problem>,
}

impl Overview {
    /// Derives everything from `facts`.
    pub fn of(facts: &Facts) -> Self {
        let leader = LeaderView::of(facts);
        let instances = instance::all(facts, &leader);
        let problems = problem::all(facts, &leader, &instances);
        let level = problems.iter().map(|problem| problem.level).max().unwrap_or_default();
        let sentence = sentence::of(facts, &leader, &instances, &problems);
        Self { level, sentence, leader, instances, problems }
    }

    /// Whether exactly one live instance leads and acts: it holds a valid lease that it renews, it is active, and its
    /// heartbeat is recent.
    pub fn acts(&self) -> bool {
        let LeaderView::Leads { id, .. } = &self.leader else { return false };
        let active = |view: &&InstanceView| view.state == InstanceState::Active;
        let mut acting = self.instances.iter().filter(active);
        acting.next().is_some_and(|view| view.id == *id) && acting.next().is_none()
    }
}
