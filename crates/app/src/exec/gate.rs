//! [`Gate`]: the state store of `exec`, which releases the lease only when no process of the command exists.
//!
//! The election releases a lease also if the work has not ended in time. For a process that is not enough: the
//! next leader may claim a released lease at once. A release that must wait is therefore not sent; if its timeout
//! passes, the election repeats it, and the lease expires in the usual way if the command cannot be killed.

use async_trait::async_trait;
use domain::decision::Decision;
use domain::id::{InstanceId, Nonce};
use domain::identity::Identity;
use domain::lease::{Epoch, Observation, Seq, Timeline, Token};
use domain::ledger::Actor;
use domain::member::{Heartbeat, LeaseSeen, Member, MemberSeen, Term};
use domain::ports::{
    Claim, ClaimRequest, LeaseStore, MemberStore, Migrate, Noted, OperatorRequests, Release, Removal,
    Renewal, Schema, StateStore, StepDown, StoreError,
};
use domain::recovery::RecoveryCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// A state store behind a gate.
pub struct Gate {
    store: Arc<dyn StateStore>,
    /// Whether a process of the command may exist.
    occupied: watch::Receiver<bool>,
}

impl Gate {
    /// The store, and the sender that closes the gate with `true`.
    pub fn new(store: Arc<dyn StateStore>) -> (Self, watch::Sender<bool>) {
        let (sender, occupied) = watch::channel(false);
        (Self { store, occupied }, sender)
    }
}

#[async_trait]
impl LeaseStore for Gate {
    async fn observe(&self) -> Result<Observation, StoreError> {
        self.store.observe().await
    }

    async fn claim(&self, request: &ClaimRequest) -> Result<Claim, StoreError> {
        self.store.claim(request).await
    }

    async fn renew(&self, token: &Token, seq: Seq, current: Timeline) -> Result<Renewal, StoreError> {
        self.store.renew(token, seq, current).await
    }

    async fn release(&self, token: &Token, seq: Seq, reason: &str) -> Result<Release, StoreError> {
        if self.occupied.clone().wait_for(|occupied| !occupied).await.is_err() {
            // This process is ending, and no code is left that knows about the command.
            std::future::pending::<()>().await;
        }
        self.store.release(token, seq, reason).await
    }

    async fn note_forgotten(&self, found: &Token, known: Epoch) -> Result<Noted, StoreError> {
        self.store.note_forgotten(found, known).await
    }

    async fn changed(&self) {
        self.store.changed().await;
    }
}

#[async_trait]
impl MemberStore for Gate {
    async fn heartbeat(&self, member: &Member) -> Result<Heartbeat, StoreError> {
        self.store.heartbeat(member).await
    }

    async fn leave(&self, id: &InstanceId, nonce: Nonce) -> Result<(), StoreError> {
        self.store.leave(id, nonce).await
    }

    async fn members(&self) -> Result<Vec<MemberSeen>, StoreError> {
        self.store.members().await
    }

    async fn history(&self, limit: u32) -> Result<Vec<Term>, StoreError> {
        self.store.history(limit).await
    }

    async fn lease(&self) -> Result<LeaseSeen, StoreError> {
        self.store.lease().await
    }
}

#[async_trait]
impl OperatorRequests for Gate {
    async fn request_handover(
        &self,
        token: &Token,
        successor: Option<&InstanceId>,
        reason: &str,
    ) -> Result<StepDown, StoreError> {
        self.store.request_handover(token, successor, reason).await
    }

    async fn remove_instance(
        &self,
        id: &InstanceId,
        recent: Duration,
        actor: &Actor,
        reason: &str,
    ) -> Result<Removal, StoreError> {
        self.store.remove_instance(id, recent, actor, reason).await
    }

    async fn acknowledge_recovery(
        &self,
        verdict: Option<RecoveryCode>,
        actor: &Actor,
        reason: &str,
    ) -> Result<(), StoreError> {
        self.store.acknowledge_recovery(verdict, actor, reason).await
    }

    async fn decisions(&self, limit: u32) -> Result<Vec<Decision>, StoreError> {
        self.store.decisions(limit).await
    }
}

#[async_trait]
impl StateStore for Gate {
    fn identity(&self) -> Identity {
        self.store.identity()
    }

    async fn migrate(&self, how: Migrate) -> Result<Schema, StoreError> {
        self.store.migrate(how).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::id::{ClaimId, GroupId};
    use leader_coordinator::{Sqlite, Stores, identity};
    use std::time::Duration;
    use tokio::time::timeout;

    #[tokio::test]
    async fn a_release_waits_for_the_last_process_and_nothing_else_does() {
        let directory = tempfile::tempdir().expect("a directory");
        let group = GroupId::parse("g").expect("a name");
        let identity = identity(group, None, Duration::from_secs(3)).expect("an identity");
        let database = Sqlite::new(directory.path().join("db")).into();
        let stores = Stores::open(&database, &identity).expect("a store");
        let (gate, occupied) = Gate::new(Arc::clone(&stores.state));
        gate.migrate(Migrate::Apply).await.expect("a schema");
        let seen = gate.observe().await.expect("a lease");
        let request = ClaimRequest {
            observed: seen.version,
            claim: ClaimId::from_u128(7),
            holder: identity.id,
            ttl: identity.ttl,
            floor: Epoch(0),
            forgotten: false,
            former: domain::ports::FormerTerm::Expired,
        };
        occupied.send_replace(true);
        let Claim::Granted(token) = gate.claim(&request).await.expect("an answer") else {
            panic!("no other instance exists")
        };
        let renewed = gate.renew(&token, Seq(1), token.timeline).await.expect("an answer");
        assert!(matches!(renewed, Renewal::Renewed { .. }), "{renewed:?}");
        // The command runs: the release is not sent, however often it is repeated.
        for _ in 0..3 {
            let waits = timeout(Duration::from_millis(20), gate.release(&token, Seq(2), "test")).await;
            assert!(waits.is_err(), "{waits:?}");
            assert!(!gate.observe().await.expect("a lease").released);
        }
        let release = gate.release(&token, Seq(2), "test");
        let ends = async { occupied.send_replace(false) };
        let (released, _) = tokio::join!(release, ends);
        assert_eq!(released.expect("an answer"), Release::Released);
        assert!(gate.observe().await.expect("a lease").released);
    }
}
