//! [`Page`]: the data of the HTTP pages, from the coordinator and the state store.

use super::operations::Operations;
use adapter_http::{Access, Backend, Held, Hooks, LeaderView, Pull, Reported, StepDownRequest, SteppedDown};
use adapter_otel::Exposition;
use async_trait::async_trait;
use coordinator::{Coordinator, Ledger, NotNow, Pulled, clock};
use domain::alert;
use domain::decision::Decision;
use domain::id::InstanceId;
use domain::ledger::{Actor, AuditEntry, NewSignal, Signal, SignalId, Totals};
use domain::member::{LeaseSeen, MemberSeen, Term};
use domain::metrics::{AccessRefusal, Refusal};
use domain::overview::{LastAnswers, Samples};
use domain::ports::{
    ListQuery, MemberStore, Recorded, Report, Resolution, SignalClaim, StoreError, Submit, Switch, Switched,
};
use domain::recovery::{Recovered, RecoveryFault};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Pause before the leader's address is read again if the instance table did not contain it.
const READ_AGAIN: Duration = Duration::from_secs(2);

/// Most lines of the audit on a signal's page; a signal usually has about ten.
const AUDIT_LINES: u32 = 200;

/// Way in which signals reach their handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// The leader sends them to a handler.
    Pushed,
    /// A service pulls them from the leader.
    Pulled,
}

/// The instance behind the pages.
pub struct Page {
    coordinator: Coordinator,
    members: Arc<dyn MemberStore>,
    signals: Option<(Ledger, Delivery)>,
    exposition: Exposition,
    access: Option<Arc<Access>>,
    operations: Option<Operations>,
    hooks: Arc<Hooks>,
    /// The leader whose address is known, and the address.
    leader: Mutex<Option<(InstanceId, String)>>,
}

impl Page {
    /// The backend of one instance; without `signals` the signal API has nothing to answer.
    pub fn new(
        coordinator: Coordinator,
        members: Arc<dyn MemberStore>,
        signals: Option<(Ledger, Delivery)>,
        exposition: Exposition,
    ) -> Self {
        Self {
            coordinator,
            members,
            signals,
            exposition,
            access: None,
            operations: None,
            hooks: Arc::default(),
            leader: Mutex::new(None),
        }
    }

    /// Every route except the probes and the hooks needs one of these credentials.
    #[must_use]
    pub fn with_access(self, access: Arc<Access>) -> Self {
        Self { access: Some(access), ..self }
    }

    /// Adds the actions of operators. Without it they answer 503.
    #[must_use]
    pub fn with_operations(self, operations: Operations) -> Self {
        Self { operations: Some(operations), ..self }
    }

    /// The hooks to which other systems post alerts.
    #[must_use]
    pub fn with_hooks(self, hooks: Arc<Hooks>) -> Self {
        Self { hooks, ..self }
    }

    /// Keeps the leader's address up to date; only the instance table contains it. Runs until it is dropped.
    pub async fn follow_the_leader(&self) {
        let mut seen = self.coordinator.leadership();
        loop {
            let leader = seen.borrow_and_update().leader.clone();
            let found = match &leader {
                Some(leader) => self.address_of(leader).await,
                None => None,
            };
            let missing = leader.is_some() && found.is_none();
            *self.leader.lock().unwrap_or_else(PoisonError::into_inner) = leader.clone().zip(found);
            // The sender lives as long as the coordinator.
            let changed = seen.wait_for(|now| now.leader != leader);
            if missing {
                let _ = tokio::time::timeout(READ_AGAIN, changed).await;
            } else {
                let _ = changed.await;
            }
        }
    }

    fn ledger(&self) -> Result<&Ledger, StoreError> {
        let absent = || StoreError::Unavailable("this service keeps no signals".to_owned());
        self.signals.as_ref().map(|(ledger, _)| ledger).ok_or_else(absent)
    }

    fn operations(&self) -> Result<&Operations, StoreError> {
        let absent = || StoreError::Unavailable("this service offers no actions of operators".to_owned());
        self.operations.as_ref().ok_or_else(absent)
    }

    async fn address_of(&self, leader: &InstanceId) -> Option<String> {
        let members = tokio::time::timeout(READ_AGAIN, self.members.members()).await.ok()?.ok()?;
        let line = members.into_iter().find(|seen| seen.member.id == *leader)?;
        Some(line.member.address)
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page").field("instance", self.coordinator.id()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Backend for Page {
    fn status(&self) -> Option<alert::Report> {
        self.coordinator.report()
    }

    fn exposition(&self) -> Result<String, String> {
        let report = self.coordinator.report().ok_or("not started")?;
        self.exposition.render(&report).map_err(|error| error.to_string())
    }

    fn ready(&self) -> Result<(), String> {
        self.coordinator.ready()
    }

    fn leader(&self) -> LeaderView {
        let seen = self.coordinator.leadership().borrow().clone();
        let known = self.leader.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let address = known.filter(|(id, _)| Some(id) == seen.leader.as_ref()).map(|(_, address)| address);
        let now = clock::now();
        let held = seen.acting(now).map(|(token, deadline)| Held { token, valid_for: deadline.since(now) });
        LeaderView { active: held.is_some(), id: seen.leader, address, epoch: seen.epoch, held }
    }

    fn last_answers(&self) -> Arc<LastAnswers> {
        self.coordinator.last_answers().borrow().clone()
    }

    fn follow(&self) -> watch::Receiver<Arc<LastAnswers>> {
        self.coordinator.last_answers()
    }

    fn has_stopped(&self) -> bool {
        self.coordinator.leadership().borrow().stopped
    }

    fn samples(&self) -> Arc<Samples> {
        self.coordinator.samples()
    }

    async fn lease(&self) -> Result<LeaseSeen, StoreError> {
        self.members.lease().await
    }

    async fn members(&self) -> Result<Vec<MemberSeen>, StoreError> {
        self.members.members().await
    }

    async fn history(&self, limit: u32) -> Result<Vec<Term>, StoreError> {
        self.members.history(limit).await
    }

    async fn submit(&self, signal: &NewSignal, actor: &Actor) -> Result<Submit, StoreError> {
        self.ledger()?.submit(signal, actor).await
    }

    fn remembers_since_s(&self) -> i64 {
        self.signals.as_ref().map_or(i64::MIN, |(ledger, _)| ledger.remembers_since_s())
    }

    fn accepts_until_s(&self) -> i64 {
        Ledger::accepts_until_s()
    }

    fn access(&self) -> Option<Arc<Access>> {
        self.access.clone()
    }

    fn access_refused(&self, why: AccessRefusal) {
        self.coordinator.access_refused(why);
    }

    fn hooks(&self) -> Arc<Hooks> {
        Arc::clone(&self.hooks)
    }

    fn refused(&self, why: Refusal) {
        if let Some((ledger, _)) = &self.signals {
            ledger.refused(why);
        }
    }

    async fn signal(&self, id: &SignalId) -> Result<Option<(Signal, Vec<AuditEntry>)>, StoreError> {
        let store = self.ledger()?.store();
        match store.find(id).await? {
            Some(signal) => Ok(Some((signal, store.audit(Some(id), AUDIT_LINES).await?))),
            None => Ok(None),
        }
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        self.ledger()?.store().totals().await
    }

    async fn signals(&self, query: &ListQuery) -> Result<Vec<Signal>, StoreError> {
        self.ledger()?.store().list(query).await
    }

    async fn pull(&self, most: u16, wait: Duration) -> Result<Pull, StoreError> {
        if matches!(self.signals, Some((_, Delivery::Pushed))) {
            return Ok(Pull::Pushed);
        }
        match self.ledger()?.pull(most, wait).await {
            Ok(Pulled { token, claim }) => Ok(match claim {
                SignalClaim::Claimed(signals) => Pull::Claimed { token, signals },
                SignalClaim::Empty => Pull::Empty,
                SignalClaim::Paused => Pull::Paused,
                SignalClaim::Limited(limit) => Pull::Limited(limit),
                SignalClaim::Fenced => Pull::NotLeading,
            }),
            Err(NotNow::Store(error)) => Err(error),
            Err(_) => Ok(Pull::NotLeading),
        }
    }

    async fn report(&self, report: Report, actor: &Actor) -> Result<Reported, StoreError> {
        match self.ledger()?.report(report, Some(actor)).await {
            Ok(Recorded::Recorded) => Ok(Reported::Recorded),
            Ok(Recorded::Refused) => Ok(Reported::Refused),
            Err(NotNow::Store(error)) => Err(error),
            Err(_) => Ok(Reported::NotLeading),
        }
    }

    async fn step_down(&self, request: &StepDownRequest) -> Result<SteppedDown, StoreError> {
        self.operations()?.step_down(request).await
    }

    async fn resolve(&self, decision: &Resolution) -> Result<Recorded, StoreError> {
        self.ledger()?.store().resolve(decision).await
    }

    async fn acknowledge(&self, id: &SignalId, actor: &Actor, reason: &str) -> Result<Recorded, StoreError> {
        self.ledger()?.store().acknowledge(id, actor, reason).await
    }

    async fn switch(&self, to: Switch, actor: &Actor, reason: &str) -> Result<Switched, StoreError> {
        self.ledger()?.store().switch(to, actor, reason).await
    }

    async fn check_recovery(&self) -> Result<Result<Recovered, RecoveryFault>, StoreError> {
        Ok(self.operations()?.check_recovery().await)
    }

    async fn acknowledge_recovery(
        &self,
        actor: &Actor,
        reason: &str,
    ) -> Result<Result<Recovered, RecoveryFault>, StoreError> {
        self.operations()?.acknowledge_recovery(actor, reason).await
    }

    async fn decisions(&self, limit: u32) -> Result<Vec<Decision>, StoreError> {
        self.operations()?.decisions(limit).await
    }
}
