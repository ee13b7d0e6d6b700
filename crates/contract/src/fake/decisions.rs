//! [`OperatorRequests`] in memory.

use super::database::Tables;
use super::faults::Call;
use super::state_store::{FakeStateStore, shortened, writable};
use async_trait::async_trait;
use domain::decision::{Decision, Subject};
use domain::id::{GroupId, InstanceId};
use domain::lease::Token;
use domain::ledger::Actor;
use domain::ports::{DECISIONS_READ_MAX, OperatorRequests, Removal, StepDown, StoreError};
use domain::recovery::RecoveryCode;
use std::time::Duration;
use tokio::time::Instant;

/// Maximum number of characters of an operator's name or host that are kept.
const ACTOR_CHARS_MAX: usize = 128;

/// A decision, and the heartbeat that a removed instance had written last.
#[derive(Debug, Clone)]
pub(super) struct Decided {
    decision: Decision,
    last_heartbeat: Option<Instant>,
}

impl Tables {
    /// Whether an operator removed the instance, which has written no heartbeat since.
    pub(super) fn is_removed(&self, group: &GroupId, id: &InstanceId, last_heartbeat: Instant) -> bool {
        let removed = |decided: &Decided| match &decided.decision.subject {
            Subject::InstanceRemoved { id: removed, .. } => {
                removed == id && decided.last_heartbeat == Some(last_heartbeat)
            }
            Subject::RecoveryAcknowledged { .. } => false,
        };
        self.decisions.iter().any(|(of, decided)| of == group && removed(decided))
    }

    fn decide(
        &mut self,
        group: &GroupId,
        subject: Subject,
        last_heartbeat: Option<Instant>,
        actor: &Actor,
        reason: &str,
    ) {
        let kept = |text: &str| text.chars().take(ACTOR_CHARS_MAX).collect();
        let actor = Actor { who: kept(&actor.who), origin: kept(&actor.origin) };
        let decision = Decision { at_ms: self.now_ms(), actor, subject, reason: shortened(reason) };
        self.decisions.push((group.clone(), Decided { decision, last_heartbeat }));
    }
}

impl FakeStateStore {
    fn do_request_handover(&self, token: &Token, successor: Option<&InstanceId>, reason: &str) -> StepDown {
        let mut tables = self.database.tables();
        let Some(lease) = writable(&mut tables, self, token, None) else { return StepDown::Superseded };
        lease.resign = Some(shortened(reason));
        lease.successor = successor.cloned();
        self.wake_others(&mut tables);
        StepDown::Requested
    }

    fn do_remove_instance(&self, id: &InstanceId, recent: Duration, actor: &Actor, reason: &str) -> Removal {
        let mut tables = self.database.tables();
        let group = &self.opening.group;
        let Some((member, at)) = tables.members.get(&(group.clone(), id.clone())).cloned() else {
            return Removal::Unknown;
        };
        if tables.is_removed(group, id, at) {
            return Removal::Unknown;
        }
        let now_ms = tables.now_ms();
        let holds = tables.leases.get(group).is_some_and(|lease| {
            let ttl_ms = i64::try_from(lease.ttl.as_millis()).unwrap_or(i64::MAX);
            let ends_ms = lease.renewed_ms.saturating_add(ttl_ms);
            lease.holder.as_deref() == Some(id.as_str()) && !lease.released && now_ms < ends_ms
        });
        if holds {
            return Removal::Leads;
        }
        let heartbeat_age = at.elapsed();
        if heartbeat_age < recent {
            return Removal::Alive { heartbeat_age };
        }
        let subject = Subject::InstanceRemoved { id: id.clone(), started_ms: member.started_ms };
        tables.decide(group, subject, Some(at), actor, reason);
        Removal::Removed
    }

    fn do_acknowledge_recovery(&self, verdict: Option<RecoveryCode>, actor: &Actor, reason: &str) {
        let subject = Subject::RecoveryAcknowledged { verdict };
        self.database.tables().decide(&self.opening.group, subject, None, actor, reason);
    }

    fn do_decisions(&self, limit: u32) -> Vec<Decision> {
        let tables = self.database.tables();
        let of_group = tables.decisions.iter().rev().filter(|(group, _)| *group == self.opening.group);
        of_group.take(limit.min(DECISIONS_READ_MAX) as usize).map(|(_, one)| one.decision.clone()).collect()
    }
}

#[async_trait]
impl OperatorRequests for FakeStateStore {
    async fn request_handover(
        &self,
        token: &Token,
        successor: Option<&InstanceId>,
        reason: &str,
    ) -> Result<StepDown, StoreError> {
        let request = || Ok(self.do_request_handover(token, successor, reason));
        self.faults.around(Call::RequestStepDown, request).await
    }

    async fn remove_instance(
        &self,
        id: &InstanceId,
        recent: Duration,
        actor: &Actor,
        reason: &str,
    ) -> Result<Removal, StoreError> {
        let remove = || Ok(self.do_remove_instance(id, recent, actor, reason));
        self.faults.around(Call::RemoveInstance, remove).await
    }

    async fn acknowledge_recovery(
        &self,
        verdict: Option<RecoveryCode>,
        actor: &Actor,
        reason: &str,
    ) -> Result<(), StoreError> {
        let acknowledge = || {
            self.do_acknowledge_recovery(verdict, actor, reason);
            Ok(())
        };
        self.faults.around(Call::AcknowledgeRecovery, acknowledge).await
    }

    async fn decisions(&self, limit: u32) -> Result<Vec<Decision>, StoreError> {
        self.faults.around(Call::Decisions, || Ok(self.do_decisions(limit))).await
    }
}
