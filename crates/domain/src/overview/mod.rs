//! The condition of a group at one moment, in words: which instance acts, what is wrong, and what the operator should
//! do. The page, `coordinator status`, `coordinator why` and the JSON of both render this one value, so they cannot
//! contradict each other.
//!
//! The input is [`Facts`]: the last answers of the stores. An old answer makes a state unknown. Unknown is never shown
//! as OK, and no election rule reads any of this.

mod answers;
mod gap;
mod instance;
mod known;
mod last_known;
mod leader;
mod phrase;
mod problem;
mod samples;
mod sentence;
mod stores;
#[cfg(test)]
mod tests;

pub use answers::{LastAnswers, SIGNALS_KEPT, TERMS_KEPT};
pub use gap::Gap;
pub use instance::{InstanceState, InstanceView, stale_after};
pub use known::Known;
pub use leader::LeaderView;
pub use phrase::{Part, Phrase, age, before, rupees};
pub use problem::{Money, Problem};
pub use samples::{SAMPLES_KEPT, Sample, Samples};

use crate::id::InstanceId;
use crate::ledger::Totals;
use crate::member::{Health, LeaseSeen, MemberSeen};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use rust_decimal::Decimal;

/// The last answers of the stores about a group, as one reader received them.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// The present time, in Unix milliseconds.
    pub now_ms: i64,
    /// The state store as the operator knows it, such as `PostgreSQL`.
    pub state_store: String,
    /// Why the tables of the state store cannot be read although it answers; `None` if they can, or if it does not
    /// answer.
    pub state_store_fault: Option<String>,
    /// The interval between two heartbeats of an instance.
    pub heartbeat: Duration,
    /// The lease.
    pub lease: Known<LeaseSeen>,
    /// The instance table.
    pub members: Known<Vec<MemberSeen>>,
    /// The holder of the ticket in Redis; `None` without Redis.
    pub ticket: Option<Known<Option<InstanceId>>>,
    /// The signals that are not finished.
    pub totals: Known<Totals>,
    /// The value of one signal, in rupees.
    pub signal_value: Decimal,
}

impl Facts {
    /// The instances that report an alert worse than `level`, and the level of it. An instance evaluates some conditions
    /// on its own, such as the latency of its database.
    pub fn alerts_above(&self, level: Health) -> impl Iterator<Item = (&InstanceId, Health)> {
        let members = self.members.current().into_iter().flatten();
        let recent = members.filter(|seen| self.is_recent(seen.heartbeat_age));
        recent.map(|seen| (&seen.member.id, seen.member.alerts)).filter(move |(_, alerts)| *alerts > level)
    }

    /// The instance `id` itself reports its alerts, which the instance table has only from its next heartbeat on.
    pub fn reports(&mut self, id: &InstanceId, alerts: Health) {
        self.members.amend(|members| {
            for seen in members.iter_mut().filter(|seen| seen.member.id == *id) {
                seen.member.alerts = seen.member.alerts.max(alerts);
            }
        });
    }
}

/// The condition of a group, and what the operator should do.
#[derive(Debug, Clone, PartialEq)]
pub struct Overview {
    /// The worst of [`problems`](Self::problems).
    pub level: Health,
    /// The leader and the worst facts, for the operator who reads nothing else.
    pub sentence: Phrase,
    /// The lease, as far as it is known.
    pub leader: LeaderView,
    /// Every instance of the group, in the order of the ids.
    pub instances: Vec<InstanceView>,
    /// Every problem, the worst first: by severity, then by money, then by age.
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

    /// True if exactly one live instance leads and acts: it holds a valid lease that it renews, it is active, and its
    /// heartbeat is recent.
    pub fn acts(&self) -> bool {
        self.inactive().is_none()
    }

    /// The reason why no instance acts, in a few words; `None` if exactly one acts.
    pub fn inactive(&self) -> Option<String> {
        let id = match &self.leader {
            LeaderView::Leads { id, .. } => id,
            LeaderView::Overdue { id, .. } => return Some(format!("{id} has missed a renewal of its lease")),
            LeaderView::Vacant { .. } => return Some("0 instances lead; it should be exactly one".into()),
            LeaderView::Unknown { .. } => return Some("the leader is unknown".into()),
        };
        let state = self.instances.iter().find(|view| view.id == *id).map(|view| view.state);
        match state {
            Some(InstanceState::Active) => None,
            Some(state) => Some(format!("{id} leads and does not act: it is {}", state.as_str())),
            None => Some(format!("{id} leads and is not in the instance table")),
        }
    }
}
