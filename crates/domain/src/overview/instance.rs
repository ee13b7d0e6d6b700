//! The state of each instance, judged by its heartbeat and the lease. An instance without a valid lease or without a
//! recent heartbeat is never shown as active.

use super::phrase::since;
use super::{Facts, LeaderView};
use crate::id::InstanceId;
use crate::lease::Epoch;
use crate::member::{MemberSeen, MemberState};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

/// Heartbeats that an instance may miss before it is stale; the alert DelayedHeartbeat uses the same limit at the
/// default heartbeat of 10 s.
const STALE_AFTER: u32 = 3;
/// Heartbeats that an instance may miss before it is gone; the alert StaleHeartbeat uses the same limit at the default
/// heartbeat of 10 s.
const GONE_AFTER: u32 = 6;

/// The state of an instance, as the operator sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InstanceState {
    /// It has not read the lease yet.
    Starting,
    /// It leads and checks the portfolio; it does not act yet.
    Recovering,
    /// It leads and acts.
    Active,
    /// It does not lead. It can take over, unless [`InstanceView::cannot_lead`] is set.
    Standby,
    /// It leads, but its crash recovery failed: it sends nothing.
    Halted,
    /// It has missed three heartbeats. Or it reports that it leads, but it does not hold a valid lease under the epoch
    /// that it reports, or it has missed a renewal.
    Stale,
    /// It has missed six heartbeats.
    Gone,
    /// The state store does not answer, so its heartbeat cannot be read.
    Unknown,
}

impl InstanceState {
    /// The text in the JSON and in the table of instances.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Recovering => "recovering",
            Self::Active => "active",
            Self::Standby => "standby",
            Self::Halted => "halted",
            Self::Stale => "stale",
            Self::Gone => "gone",
            Self::Unknown => "unknown",
        }
    }
}

/// One instance of the group.
#[derive(Debug, Clone, PartialEq)]
pub struct InstanceView {
    /// Its id.
    pub id: InstanceId,
    /// Its state, as judged here.
    pub state: InstanceState,
    /// The state in its last heartbeat.
    pub said: MemberState,
    /// The time since its last heartbeat.
    pub heartbeat_age: Duration,
    /// The epoch in its last heartbeat; 0 if it knew none.
    pub epoch: Epoch,
    /// Its version.
    pub version: String,
    /// The address of its page.
    pub address: String,
    /// Its host.
    pub host: String,
    /// True if it does not reach Redis.
    pub fallback: bool,
    /// The reason why it cannot lead; `None` if it can.
    pub cannot_lead: Option<String>,
    /// The 95th percentile of its latest syncs with the state store, in its last heartbeat.
    pub sync_p95: Option<Duration>,
}

/// The age above which a heartbeat is late, for instances that write one every `heartbeat`.
pub fn stale_after(heartbeat: Duration) -> Duration {
    heartbeat * STALE_AFTER
}

impl Facts {
    /// Whether an instance with a heartbeat of this age has missed at most three heartbeats.
    pub fn is_recent(&self, heartbeat_age: Duration) -> bool {
        heartbeat_age <= stale_after(self.heartbeat)
    }
}

pub(super) fn all(facts: &Facts, leader: &LeaderView) -> Vec<InstanceView> {
    let Some((members, read_ms)) = facts.members.last() else { return Vec::new() };
    let read_ago = since(read_ms, facts.now_ms);
    let view = |seen: &MemberSeen| {
        let heartbeat_age = seen.heartbeat_age + read_ago;
        let member = &seen.member;
        let state = if facts.members.current().is_none() {
            InstanceState::Unknown
        } else {
            judge(facts, leader, seen, heartbeat_age)
        };
        InstanceView {
            id: member.id.clone(),
            state,
            said: member.state,
            heartbeat_age,
            epoch: member.epoch,
            version: member.version.clone(),
            address: member.address.clone(),
            host: member.host.clone(),
            fallback: member.fallback,
            cannot_lead: member.cannot_lead.clone(),
            sync_p95: member.sync_p95,
        }
    };
    let mut views: Vec<InstanceView> = members.iter().map(view).collect();
    views.sort_by(|a, b| a.id.cmp(&b.id));
    views
}

fn judge(facts: &Facts, leader: &LeaderView, seen: &MemberSeen, heartbeat_age: Duration) -> InstanceState {
    let member = &seen.member;
    if heartbeat_age > facts.heartbeat * GONE_AFTER {
        return InstanceState::Gone;
    }
    if !facts.is_recent(heartbeat_age) {
        return InstanceState::Stale;
    }
    let holds = leader.holder() == Some((&member.id, member.epoch));
    let overdue = matches!(leader, LeaderView::Overdue { .. });
    match member.state {
        // Its heartbeat is older than its claim; the next heartbeat shows its state.
        _ if !overdue
            && leader.holder().is_some_and(|(id, epoch)| *id == member.id && epoch > member.epoch) =>
        {
            InstanceState::Recovering
        }
        MemberState::Starting | MemberState::Standby
            if leader.holder().is_some_and(|(id, _)| *id == member.id) =>
        {
            InstanceState::Recovering
        }
        MemberState::Starting => InstanceState::Starting,
        MemberState::Standby => InstanceState::Standby,
        _ if matches!(leader, LeaderView::Unknown { .. }) => InstanceState::Unknown,
        _ if !holds || overdue => InstanceState::Stale,
        MemberState::Recovering => InstanceState::Recovering,
        MemberState::Active => InstanceState::Active,
        MemberState::Halted => InstanceState::Halted,
    }
}
