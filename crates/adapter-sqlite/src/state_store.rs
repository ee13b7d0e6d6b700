//! The store: three connections, and the port on them.

use crate::config::SqliteConfig;
use crate::fence::TIMELINE;
use crate::session::Session;
use crate::watch::{Reader, Subject, Watch};
use crate::{lease, members, portfolio, schema};
use async_trait::async_trait;
use domain::id::{InstanceId, Nonce};
use domain::lease::{Epoch, Observation, Reached, Seq, Timeline, Token};
use domain::member::{Heartbeat, Member, MemberSeen, Term};
use domain::ports::{
    Claim, ClaimRequest, Migrate, Noted, PortfolioRows, Release, Renewal, Schema, StateStore, StepDown,
    StoreError, StoreIdentity,
};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One process's store for one group. Nothing is opened before it is needed.
///
/// Implements [`StateStore`] and [`domain::ports::SignalLedger`]. Three connections: the lease has its
/// own, so that neither a page nor the ledger ever stands before a renewal; everything else shares the
/// second (SQLite writes one after the other in any case); the third only reads what has changed.
///
/// Calls on one connection take turns: poll or drop a call before awaiting the next one. Every call may
/// be dropped at any point; what it was writing is then written as a whole or not at all.
pub struct SqliteStore {
    pub(crate) config: SqliteConfig,
    election: Session,
    pub(crate) work: Session,
    watch: Watch,
    of_row: Reader,
    of_signals: Reader,
    /// Whether this process has written its line of the instance table.
    beaten: AtomicBool,
    /// How far the lease row has come, by what was acknowledged.
    reached: Mutex<Reached>,
}

impl SqliteStore {
    /// A store that opens its file when it is first used.
    pub fn new(mut config: SqliteConfig) -> Self {
        // The same file for good, whatever becomes of the working directory; and SQLite takes a name
        // such as `file:x` or `:memory:` for something else than a path.
        config.path = std::path::absolute(&config.path).unwrap_or(config.path);
        let lost = Arc::default();
        Self {
            election: Session::new(&config, &lost),
            work: Session::new(&config, &lost),
            watch: Watch::new(&config, &lost),
            of_row: Reader::of(Subject::Lease),
            of_signals: Reader::of(Subject::Signals),
            beaten: AtomicBool::new(false),
            reached: Mutex::default(),
            config,
        }
    }

    /// Closes every connection. The last process to do so folds the log into the file, which then is
    /// all there is to copy. A call that comes later opens its connection again.
    pub async fn close(&self) {
        self.watch.close().await;
        self.work.close().await;
        self.election.close().await;
    }

    /// The seq that the row has reached for certain under this token.
    pub(crate) fn reached(&self, token: &Token) -> Seq {
        self.known().of(token)
    }

    fn known(&self) -> MutexGuard<'_, Reached> {
        // It is whole after every change.
        self.reached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// See [`domain::ports::SignalLedger::submitted`].
    pub(crate) async fn next_signal(&self) {
        self.watch.next(&self.of_signals).await;
    }
}

#[async_trait]
impl StateStore for SqliteStore {
    fn identity(&self) -> StoreIdentity {
        let of = &self.config;
        StoreIdentity { group: of.group.clone(), id: of.id.clone(), nonce: of.nonce, ttl: of.ttl }
    }

    async fn migrate(&self, apply: Migrate) -> Result<Schema, StoreError> {
        schema::migrate(&self.config, apply).await
    }

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

    async fn request_step_down(&self, token: &Token, reason: &str) -> Result<StepDown, StoreError> {
        lease::request_step_down(&self.election, &self.config, token, reason).await
    }

    async fn note_forgotten(&self, found: &Token, known: Epoch) -> Result<Noted, StoreError> {
        lease::note_forgotten(&self.election, &self.config, found, known).await
    }

    async fn heartbeat(&self, member: &Member) -> Result<Heartbeat, StoreError> {
        let written = members::heartbeat(&self.work, &self.config.group, member).await?;
        let before = self.beaten.swap(true, Ordering::Relaxed);
        Ok(written.judged(member.nonce, before))
    }

    async fn leave(&self, id: &InstanceId, nonce: Nonce) -> Result<(), StoreError> {
        members::leave(&self.work, &self.config.group, id, nonce).await
    }

    async fn members(&self) -> Result<Vec<MemberSeen>, StoreError> {
        members::members(&self.work, &self.config.group).await
    }

    async fn history(&self, limit: u32) -> Result<Vec<Term>, StoreError> {
        members::history(&self.work, &self.config.group, limit).await
    }

    async fn forgot_ms(&self) -> Result<Option<i64>, StoreError> {
        members::forgot_ms(&self.work, &self.config.group).await
    }

    async fn portfolio(&self, rows: &mut dyn PortfolioRows) -> Result<(), StoreError> {
        portfolio::portfolio(&self.work, &self.config, rows).await
    }

    async fn changed(&self) {
        self.watch.next(&self.of_row).await;
    }
}
