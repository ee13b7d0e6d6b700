//! The library on a store that is in memory but for its renewals, which follow a script.

use super::{eventually, opening, reached};
use async_trait::async_trait;
use contract::fake::{FakeDatabase, FakeStateStore};
use coordinator::{Coordinator, Ended, NoticeKind, clock};
use domain::decision::Decision;
use domain::id::{InstanceId, Nonce};
use domain::identity::Identity;
use domain::lease::{Epoch, Observation, Seq, Timeline, Token};
use domain::ledger::Actor;
use domain::member::{Heartbeat, LeaseSeen, Member, MemberSeen, MemberState, Term};
use domain::ports::{
    Claim, ClaimRequest, LeaseStore, MemberStore, Migrate, Noted, OperatorRequests, Release, Removal,
    Renewal, Schema, StateStore, StepDown, StoreError,
};
use domain::recovery::RecoveryCode;
use std::sync::Arc;
use std::time::Duration;

/// What a test wants of a renewal: `None` lets it through.
#[mockall::automock]
trait Script: Send + Sync {
    fn renewal(&self) -> Option<Renewal>;
}

/// A real (in-memory) store but for its renewals, which follow a script.
struct Scripted {
    real: Arc<FakeStateStore>,
    script: MockScript,
    /// Notified, it panics where the driver itself waits.
    breaks: Arc<tokio::sync::Notify>,
}

#[async_trait]
impl StateStore for Scripted {
    fn identity(&self) -> Identity {
        self.real.identity()
    }
    async fn migrate(&self, apply: Migrate) -> Result<Schema, StoreError> {
        self.real.migrate(apply).await
    }
}

#[async_trait]
impl LeaseStore for Scripted {
    async fn observe(&self) -> Result<Observation, StoreError> {
        self.real.observe().await
    }
    async fn claim(&self, request: &ClaimRequest) -> Result<Claim, StoreError> {
        self.real.claim(request).await
    }
    async fn renew(&self, token: &Token, seq: Seq, current: Timeline) -> Result<Renewal, StoreError> {
        match self.script.renewal() {
            Some(renewal) => Ok(renewal),
            None => self.real.renew(token, seq, current).await,
        }
    }
    async fn release(&self, token: &Token, seq: Seq, reason: &str) -> Result<Release, StoreError> {
        self.real.release(token, seq, reason).await
    }
    async fn note_forgotten(&self, found: &Token, known: Epoch) -> Result<Noted, StoreError> {
        self.real.note_forgotten(found, known).await
    }
    async fn changed(&self) {
        tokio::select! {
            () = self.real.changed() => {}
            () = self.breaks.notified() => panic!("the adapter's own fault"),
        }
    }
}

#[async_trait]
impl MemberStore for Scripted {
    async fn heartbeat(&self, member: &Member) -> Result<Heartbeat, StoreError> {
        self.real.heartbeat(member).await
    }
    async fn leave(&self, id: &InstanceId, nonce: Nonce) -> Result<(), StoreError> {
        self.real.leave(id, nonce).await
    }
    async fn members(&self) -> Result<Vec<MemberSeen>, StoreError> {
        self.real.members().await
    }
    async fn history(&self, limit: u32) -> Result<Vec<Term>, StoreError> {
        self.real.history(limit).await
    }
    async fn lease(&self) -> Result<LeaseSeen, StoreError> {
        self.real.lease().await
    }
}

#[async_trait]
impl OperatorRequests for Scripted {
    async fn request_handover(
        &self,
        token: &Token,
        successor: Option<&InstanceId>,
        reason: &str,
    ) -> Result<StepDown, StoreError> {
        self.real.request_handover(token, successor, reason).await
    }
    async fn remove_instance(
        &self,
        id: &InstanceId,
        recent: Duration,
        actor: &Actor,
        reason: &str,
    ) -> Result<Removal, StoreError> {
        self.real.remove_instance(id, recent, actor, reason).await
    }
    async fn acknowledge_recovery(
        &self,
        verdict: Option<RecoveryCode>,
        actor: &Actor,
        reason: &str,
    ) -> Result<(), StoreError> {
        self.real.acknowledge_recovery(verdict, actor, reason).await
    }
    async fn decisions(&self, limit: u32) -> Result<Vec<Decision>, StoreError> {
        self.real.decisions(limit).await
    }
}

#[tokio::test]
async fn a_third_renewal_that_is_superseded_ends_the_leadership_and_is_counted() {
    let mut script = MockScript::new();
    let mut order = mockall::Sequence::new();
    script.expect_renewal().times(2).in_sequence(&mut order).returning(|| None);
    script.expect_renewal().times(1).in_sequence(&mut order).returning(|| Some(Renewal::Superseded));
    script.expect_renewal().returning(|| None);
    let opening = opening("scripted");
    let (real, breaks) = (FakeDatabase::new().process(&opening), Arc::default());
    let store = Arc::new(Scripted { real, script, breaks });
    let coordinator = Coordinator::builder(store).start().expect("a valid start");
    let mut notices = coordinator.notices();
    let mut renewed = 0;
    let lost = async {
        loop {
            match notices.recv().await.expect("notices").kind {
                NoticeKind::Renew { .. } => renewed += 1,
                NoticeKind::Lost => return,
                _ => {}
            }
        }
    };
    eventually("the leadership is lost", lost).await;
    assert_eq!(renewed, 2);
    let counters = coordinator.report().expect("it started").snapshot.counters;
    assert_eq!(counters.split_brains, 1);
    coordinator.shutdown().await;
}

#[tokio::test]
async fn a_panic_of_the_election_ends_leadership_with_its_reason() {
    let mut script = MockScript::new();
    script.expect_renewal().returning(|| None);
    let opening = opening("panics");
    let (real, breaks) = (FakeDatabase::new().process(&opening), Arc::new(tokio::sync::Notify::new()));
    let store = Arc::new(Scripted { real, script, breaks: Arc::clone(&breaks) });
    let coordinator = Coordinator::builder(store).start().expect("a valid start");
    reached(&coordinator, MemberState::Active).await;
    let worker = coordinator.clone();
    let work = tokio::spawn(async move { worker.run_while_leader(|_| std::future::pending::<()>()).await });
    breaks.notify_one();
    let ended = eventually("it ends", coordinator.ended()).await;
    assert!(
        matches!(&ended, Err(Ended::Failed(why)) if why.contains("the adapter's own fault")),
        "{ended:?}"
    );
    assert!(!coordinator.leadership().borrow().is_active(clock::now()));
    assert_eq!(eventually("the work ends", work).await.expect("no panic"), ended);
}
