//! [`SqliteStore`]: three connections, and the ports on them.

use crate::config::SqliteConfig;
use crate::fence::TIMELINE;
use crate::session::Session;
use crate::watch::{Reader, Subject, Watch};
use crate::{decisions, lease, members, portfolio, schema};
use async_trait::async_trait;
use domain::decision::Decision;
use domain::id::{InstanceId, Nonce};
use domain::identity::Identity;
use domain::lease::{Epoch, Observation, Reached, Seq, Timeline, Token};
use domain::ledger::Actor;
use domain::member::{Heartbeat, LeaseSeen, Member, MemberSeen, Term};
use domain::ports::{
    Claim, ClaimRequest, LeaseStore, MemberStore, Migrate, Noted, OperatorRequests, PortfolioSource, Release,
    Removal, Renewal, Schema, StateStore, StepDown, StoreError,
};
use domain::recovery::{PortfolioRows, RecoveryCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Both ports of one process for one group; connections open when they are needed.
///
/// Implements [`StateStore`] and [`domain::ports::SignalLedger`]. The lease has a separate connection, so
/// that neither a page nor the ledger ever delays a renewal. Everything else shares the second connection
/// (SQLite serialises writes in any case). The third only reads what has changed.
///
/// Calls on one connection take turns: poll or drop a call before awaiting the next one. Every call may be
/// dropped at any point; what it was writing is then written as a whole or not at all.
pub struct SqliteStore {
    pub(crate) config: SqliteConfig,
    election: Session,
    pub(crate) work: Session,
    watch: Watch,
    of_row: Reader,
    of_signals: Reader,
    /// Whether this process has written its line of the instance table.
    written_before: AtomicBool,
    /// The seq that the lease has reached according to acknowledged writes.
    reached: Mutex<Reached>,
}

impl SqliteStore {
    /// Creates the store; it opens its file at first use.
    pub fn new(mut config: SqliteConfig) -> Self {
        // An absolute path names the same file even if the working directory changes. In addition, SQLite
        // does not treat a name such as `file:x` or `:memory:` as a path.
        config.path = std::path::absolute(&config.path).unwrap_or(config.path);
        let lost = Arc::default();
        Self {
            election: Session::new(&config, &lost),
            work: Session::new(&config, &lost),
            watch: Watch::new(&config, &lost),
            of_row: Reader::of(Subject::Lease),
            of_signals: Reader::of(Subject::Signals),
            written_before: AtomicBool::new(false),
            reached: Mutex::default(),
            config,
        }
    }

    /// Closes every connection. The last process to do so moves the log into the file, which is then complete
    /// for a copy. A later call opens its connection again.
    pub async fn close(&self) {
        self.watch.close().await;
        self.work.close().await;
        self.election.close().await;
    }

    /// The seq that the lease has certainly reached under this token.
    pub(crate) fn reached(&self, token: &Token) -> Seq {
        self.known().of(token)
    }

    fn known(&self) -> MutexGuard<'_, Reached> {
        // The value is whole after every change.
        self.reached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// See [`domain::ports::SignalLedger::submitted`].
    pub(crate) async fn next_signal(&self) {
        self.watch.next(&self.of_signals).await;
    }
}

#[async_trait]
impl StateStore for SqliteStore {
    fn identity(&self) -> Identity {
        self.config.identity.clone()
    }

    async fn migrate(&self, apply: Migrate) -> Result<Schema, StoreError> {
        schema::migrate(&self.config, apply).await
    }
}

#[async_trait]
impl LeaseStore for SqliteStore {
    async fn observe(&self) -> Result<Observation, StoreError> {
        lease::observe(&self.election, &self.config).await
    }

    async fn claim(&self, request: &ClaimRequest) -> Result<Claim, StoreError> {
        let granted = lease::claim(&self.election, &self.config, request).await?;
        Ok(granted.map_or(Claim::Lost, |(token, forgot_ms)| {
            self.known().claimed(&token, forgot_ms);
            Claim::Granted(token)
        }))
    }

    async fn renew(&self, token: &Token, seq: Seq, current: Timeline) -> Result<Renewal, StoreError> {
        if current != TIMELINE {
            return Ok(Renewal::OtherTimeline(TIMELINE));
        }
        let reached = self.reached(token);
        let renewed = lease::renew(&self.election, &self.config, token, seq, reached).await?;
        Ok(renewed.map_or(Renewal::Superseded, |lease::Renewed { resign, forgot_ms, found }| {
            let forgotten = self.known().renewed(token, seq, forgot_ms, found);
            Renewal::Renewed { timeline: TIMELINE, resign, forgotten }
        }))
    }

    async fn release(&self, token: &Token, seq: Seq, reason: &str) -> Result<Release, StoreError> {
        lease::release(&self.election, &self.config, token, seq, self.reached(token), reason).await
    }

    async fn note_forgotten(&self, found: &Token, known: Epoch) -> Result<Noted, StoreError> {
        lease::note_forgotten(&self.election, &self.config, found, known).await
    }

    async fn changed(&self) {
        self.watch.next(&self.of_row).await;
    }
}

#[async_trait]
impl MemberStore for SqliteStore {
    async fn heartbeat(&self, member: &Member) -> Result<Heartbeat, StoreError> {
        let written = members::heartbeat(&self.work, &self.config.identity.group, member).await?;
        let before = self.written_before.swap(true, Ordering::Relaxed);
        Ok(written.judged(member.nonce, before))
    }

    async fn leave(&self, id: &InstanceId, nonce: Nonce) -> Result<(), StoreError> {
        members::leave(&self.work, &self.config.identity.group, id, nonce).await
    }

    async fn members(&self) -> Result<Vec<MemberSeen>, StoreError> {
        members::members(&self.work, &self.config.identity.group).await
    }

    async fn history(&self, limit: u32) -> Result<Vec<Term>, StoreError> {
        members::history(&self.work, &self.config.identity.group, limit).await
    }

    async fn lease(&self) -> Result<LeaseSeen, StoreError> {
        members::lease(&self.work, &self.config).await
    }
}

#[async_trait]
impl OperatorRequests for SqliteStore {
    async fn request_handover(
        &self,
        token: &Token,
        successor: Option<&InstanceId>,
        reason: &str,
    ) -> Result<StepDown, StoreError> {
        lease::request_handover(&self.election, &self.config, token, successor, reason).await
    }

    async fn remove_instance(
        &self,
        id: &InstanceId,
        recent: Duration,
        actor: &Actor,
        reason: &str,
    ) -> Result<Removal, StoreError> {
        decisions::remove_instance(&self.work, &self.config.identity.group, id, recent, actor, reason).await
    }

    async fn acknowledge_recovery(
        &self,
        verdict: Option<RecoveryCode>,
        actor: &Actor,
        reason: &str,
    ) -> Result<(), StoreError> {
        decisions::acknowledge_recovery(&self.work, &self.config.identity.group, verdict, actor, reason).await
    }

    async fn decisions(&self, limit: u32) -> Result<Vec<Decision>, StoreError> {
        decisions::decisions(&self.work, &self.config.identity.group, limit).await
    }
}

#[async_trait]
impl PortfolioSource for SqliteStore {
    async fn portfolio(&self, rows: &mut dyn PortfolioRows) -> Result<(), StoreError> {
        portfolio::portfolio(&self.work, &self.config, rows).await
    }
}
