//! The database of a run: the contract-tested fake, behind a server that restarts, stalls and fails over.

use crate::judge::{Judge, Known};
use crate::knowledge::{Knowledge, Row};
use crate::line::{Line, Reply};
use crate::restores::Copied;
use crate::server::Server;
use async_trait::async_trait;
use contract::Opening;
use contract::fake::{FakeDatabase, FakeStateStore, Snapshot};
use contract::raw_portfolio::RawPortfolio;
use domain::id::{GroupId, InstanceId, Nonce};
use domain::lease::{Epoch, Observation, Seq, Timeline, Token};
use domain::ledger::{Signal, SignalId};
use domain::member::{Heartbeat, Member, MemberSeen, Term};
use domain::ports::{
    Claim, ClaimRequest, Migrate, Noted, PortfolioRows, Release, Renewal, Schema, SignalLedger, StateStore,
    StepDown, StoreError, StoreIdentity,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Everything of one run.
#[derive(Debug)]
pub struct Database {
    /// What is stored.
    pub fake: FakeDatabase,
    /// Who answers.
    pub server: Arc<Server>,
    group: GroupId,
    judge: Arc<Judge>,
    history: Mutex<History>,
}

#[derive(Debug)]
struct History {
    timeline: Timeline,
    /// Counts promotions and restores: a standby of an earlier history cannot be promoted.
    branch: u64,
    /// By how much the database's clock was set, milliseconds.
    clock_ms: i64,
    /// For each restore, what the backup lacked.
    restores: Vec<BTreeMap<SignalId, Lost>>,
    /// Signals of which a failover has lost a record, and the most that it has lost.
    lost: BTreeMap<SignalId, Lost>,
}

/// What a failover or a restore has lost of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lost {
    /// What became of the same attempt.
    Result,
    /// That it was claimed: it is claimed, and sent, again.
    Claim,
    /// That it was ever submitted.
    Submission,
}

/// A standby, with what it has received.
#[derive(Debug)]
pub struct Standby {
    branch: u64,
    snapshot: Snapshot,
    known: Known,
}

/// A backup of everything.
#[derive(Debug)]
pub struct Backup {
    timeline: Timeline,
    clock_ms: i64,
    snapshot: Snapshot,
    known: Known,
    lease: Copied,
}

impl Database {
    /// An empty one.
    pub fn new(group: GroupId, judge: Arc<Judge>) -> Arc<Self> {
        let history = Mutex::new(History {
            timeline: Timeline(1),
            branch: 0,
            clock_ms: 0,
            restores: Vec::new(),
            lost: BTreeMap::new(),
        });
        Arc::new(Self { fake: FakeDatabase::new(), server: Server::new(), group, judge, history })
    }

    /// What a standby has that received everything until now.
    pub fn standby(&self) -> Standby {
        let branch = self.history().branch;
        Standby { branch, snapshot: self.fake.snapshot(), known: self.judge.known() }
    }

    /// The primary dies, and the standby takes over after `down`. `None`, and nothing happens, when another
    /// was promoted or a backup restored since: this one has followed a history that is gone.
    pub fn promote(&self, standby: &Standby, down: Duration) -> Option<()> {
        let mut history = self.history();
        if standby.branch != history.branch {
            return None;
        }
        history.branch += 1;
        history.timeline.0 += 1;
        let received = standby.snapshot.signals(&self.group);
        for signal in self.fake.signals(&self.group) {
            if let Some(lost) = lost(&signal, received).filter(|lost| *lost != Lost::Result) {
                let known = history.lost.entry(signal.id).or_insert(lost);
                *known = lost.max(*known);
            }
        }
        self.fake.fail_over(&standby.snapshot, history.timeline);
        self.judge.failed_over(&standby.known, history.timeline);
        self.server.restart(down);
        let timeline = history.timeline.0;
        self.judge.note(("promoted", timeline), || format!("a standby is promoted: timeline {timeline}"));
        Some(())
    }

    /// Everything as it is now; `lease` is in it.
    pub fn back_up(&self, lease: Copied) -> Backup {
        let (timeline, clock_ms) = {
            let history = self.history();
            (history.timeline, history.clock_ms)
        };
        Backup { timeline, clock_ms, snapshot: self.fake.snapshot(), known: self.judge.known(), lease }
    }

    /// The server stops, and starts after `down` with what is in `backup`, on the same timeline. `None`, and nothing
    /// happens, when a standby was promoted since the backup.
    pub fn restore(&self, backup: &Backup, down: Duration) -> Option<()> {
        let mut history = self.history();
        if backup.timeline != history.timeline {
            return None;
        }
        history.branch += 1;
        let copied = backup.snapshot.signals(&self.group);
        let lacks = |signal: Signal| lost(&signal, copied).map(|lost| (signal.id, lost));
        history.restores.push(self.fake.signals(&self.group).into_iter().filter_map(lacks).collect());
        self.fake.fail_over(&backup.snapshot, backup.timeline);
        // The clock is the machine's, which goes on.
        self.fake.jump_clock(history.clock_ms - backup.clock_ms);
        self.judge.restored(&backup.known, backup.lease);
        self.server.restart(down);
        let (epoch, seq) = backup.lease.row;
        self.judge.note(("restored", epoch, seq), || {
            format!("a backup is restored: the lease has epoch {epoch} and seq {}", seq.0)
        });
        Some(())
    }

    /// Sets the database's clock.
    pub fn jump_clock(&self, by_ms: i64) {
        let mut history = self.history();
        history.clock_ms = history.clock_ms.saturating_add(by_ms);
        self.fake.jump_clock(by_ms);
    }

    /// For each restore that `which` picks by its number, what it has lost of that signal; the most of these.
    pub fn lost_by_restores(&self, id: &SignalId, which: impl Fn(usize) -> bool) -> Option<Lost> {
        let history = self.history();
        let picked = history.restores.iter().enumerate().filter(|(number, _)| which(*number));
        picked.filter_map(|(_, lost)| lost.get(id).copied()).max()
    }

    /// What failovers have lost of that signal: what follows from it is the documented limit of asynchronous
    /// replication.
    pub fn lost(&self, id: &SignalId) -> Option<Lost> {
        self.history().lost.get(id).copied()
    }

    /// The group's signals as they are stored.
    pub fn signals(&self) -> Vec<Signal> {
        self.fake.signals(&self.group)
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lost(signal: &Signal, received: &[Signal]) -> Option<Lost> {
    match received.iter().find(|other| other.id == signal.id) {
        None => Some(Lost::Submission),
        Some(other) if other.attempt < signal.attempt => Some(Lost::Claim),
        Some(other) if other.state != signal.state => Some(Lost::Result),
        Some(_) => None,
    }
}

/// One process's state store and ledger (for this, see `ledger_client.rs`).
#[derive(Debug)]
pub struct DatabaseClient {
    store: Arc<FakeStateStore>,
    database: Arc<Database>,
    line: Arc<Line>,
    knowledge: Arc<Knowledge>,
    changed: Notify,
    submitted: Notify,
}

impl DatabaseClient {
    /// For the process of that opening, over `line`; what it is shown goes into `knowledge`.
    pub fn new(
        database: &Arc<Database>,
        opening: &Opening,
        line: &Arc<Line>,
        knowledge: &Arc<Knowledge>,
    ) -> Arc<Self> {
        Arc::new(Self {
            store: database.fake.process(opening),
            database: Arc::clone(database),
            line: Arc::clone(line),
            knowledge: Arc::clone(knowledge),
            changed: Notify::new(),
            submitted: Notify::new(),
        })
    }

    /// The lease as it is stored, over no line; `None` while there is none.
    pub async fn stored_lease(&self) -> Option<Copied> {
        let observed = self.store.observe().await.ok()?;
        let forgot_ms = self.store.forgot_ms().await.ok()?;
        Some(Copied { row: (observed.version.token.epoch, observed.version.seq), forgot_ms })
    }

    /// What this process's effects are compared with.
    pub(crate) fn acknowledged(&self) -> Row {
        self.knowledge.last_acknowledged()
    }

    /// As [`Self::ask`], for a request that writes the lease: with the `forgot_ms` that the lease then has.
    async fn ask_lease<T, F>(
        &self,
        work: impl FnOnce(Arc<FakeStateStore>) -> F + Send + 'static,
        told: impl Fn(&Judge, &T, Option<i64>) -> Reply + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let with_moment = async |store: Arc<FakeStateStore>| {
            let answer = work(Arc::clone(&store)).await?;
            Ok((answer, store.forgot_ms().await?))
        };
        let told =
            move |judge: &Judge, (answer, forgot_ms): &(T, Option<i64>)| told(judge, answer, *forgot_ms);
        Ok(self.ask(with_moment, told).await?.0)
    }

    /// Carries hints about the row for as long as it is polled.
    pub async fn carry_lease_hints(self: Arc<Self>) {
        loop {
            self.store.changed().await;
            if let Some(takes) = self.line.hint() {
                tokio::time::sleep(takes).await;
                self.changed.notify_one();
            }
        }
    }

    /// Carries hints about signals for as long as it is polled.
    pub async fn carry_signal_hints(self: Arc<Self>) {
        loop {
            self.store.submitted().await;
            if let Some(takes) = self.line.hint() {
                tokio::time::sleep(takes).await;
                self.submitted.notify_one();
            }
        }
    }

    /// Returns when a hint about signals has arrived.
    pub(crate) async fn wait_for_signal_hint(&self) {
        self.submitted.notified().await;
    }

    /// Who is told what was done.
    pub(crate) fn judge(&self) -> &Judge {
        &self.database.judge
    }

    /// Asks, and tells the judge what was done, at the moment it is done.
    pub(crate) async fn ask<T, F>(
        &self,
        work: impl FnOnce(Arc<FakeStateStore>) -> F + Send + 'static,
        told: impl Fn(&Judge, &T) -> Reply + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let (store, judge) = (Arc::clone(&self.store), Arc::clone(&self.database.judge));
        let done = async move { work(store).await };
        self.line.carry(&self.database.server, done, move |answer| told(&judge, answer)).await
    }
}

/// What was only looked at.
pub(crate) fn read<T>(_: &Judge, _: &T) -> Reply {
    Reply::Read
}

/// What was written, if only once more.
pub(crate) fn written<T>(_: &Judge, _: &T) -> Reply {
    Reply::Written
}

#[async_trait]
impl StateStore for DatabaseClient {
    fn identity(&self) -> StoreIdentity {
        StateStore::identity(&*self.store)
    }

    async fn migrate(&self, apply: Migrate) -> Result<Schema, StoreError> {
        self.ask(move |store| async move { store.migrate(apply).await }, written).await
    }

    async fn observe(&self) -> Result<Observation, StoreError> {
        let observed = self.ask(|store| async move { store.observe().await }, read).await?;
        self.knowledge.shown((observed.version.token.epoch, observed.version.seq));
        Ok(observed)
    }

    async fn claim(&self, request: &ClaimRequest) -> Result<Claim, StoreError> {
        let request = request.clone();
        let (knew, epoch) = (self.knowledge.row(), self.knowledge.epoch());
        self.knowledge.asks(request.epoch());
        let told = move |judge: &Judge, answer: &Claim, forgot_ms| match answer {
            Claim::Granted(token) => {
                judge.granted(*token, epoch);
                judge.lease_written(knew, forgot_ms);
                Reply::Written
            }
            Claim::Lost => Reply::Read,
        };
        let claim = self.ask_lease(move |store| async move { store.claim(&request).await }, told).await?;
        if let Claim::Granted(token) = claim {
            self.knowledge.acknowledged((token.epoch, Seq(0)));
        }
        Ok(claim)
    }

    async fn renew(&self, token: &Token, seq: Seq, current: Timeline) -> Result<Renewal, StoreError> {
        let token = *token;
        let knew = self.knowledge.row();
        let told = move |judge: &Judge, answer: &Renewal, forgot_ms| match answer {
            Renewal::Renewed { timeline, .. } => {
                judge.carried(token, *timeline);
                judge.lease_written(knew, forgot_ms);
                Reply::Written
            }
            Renewal::Superseded | Renewal::OtherTimeline(_) => Reply::Read,
        };
        let renews = move |store: Arc<FakeStateStore>| async move { store.renew(&token, seq, current).await };
        let renewal = self.ask_lease(renews, told).await?;
        if let Renewal::Renewed { .. } = renewal {
            self.knowledge.acknowledged((token.epoch, seq));
        }
        Ok(renewal)
    }

    async fn release(&self, token: &Token, seq: Seq, reason: &str) -> Result<Release, StoreError> {
        let (token, reason) = (*token, reason.to_owned());
        let (knew, row) = (self.knowledge.last_acknowledged(), (token.epoch, seq));
        let told = move |judge: &Judge, answer: &Release, forgot_ms| match answer {
            Release::Released => {
                judge.released();
                judge.lease_released(knew, row, forgot_ms);
                Reply::Written
            }
            Release::Superseded => Reply::Read,
        };
        self.ask_lease(move |store| async move { store.release(&token, seq, &reason).await }, told).await
    }

    async fn request_step_down(&self, token: &Token, reason: &str) -> Result<StepDown, StoreError> {
        let (token, reason) = (*token, reason.to_owned());
        self.ask(move |store| async move { store.request_step_down(&token, &reason).await }, written).await
    }

    async fn note_forgotten(&self, found: &Token, known: Epoch) -> Result<Noted, StoreError> {
        let found = *found;
        self.ask(move |store| async move { store.note_forgotten(&found, known).await }, written).await
    }

    async fn heartbeat(&self, member: &Member) -> Result<Heartbeat, StoreError> {
        let member = member.clone();
        self.ask(move |store| async move { store.heartbeat(&member).await }, written).await
    }

    async fn leave(&self, id: &InstanceId, nonce: Nonce) -> Result<(), StoreError> {
        let id = id.clone();
        self.ask(move |store| async move { store.leave(&id, nonce).await }, written).await
    }

    async fn members(&self) -> Result<Vec<MemberSeen>, StoreError> {
        self.ask(|store| async move { store.members().await }, read).await
    }

    async fn history(&self, limit: u32) -> Result<Vec<Term>, StoreError> {
        self.ask(move |store| async move { store.history(limit).await }, read).await
    }

    async fn forgot_ms(&self) -> Result<Option<i64>, StoreError> {
        self.ask(|store| async move { store.forgot_ms().await }, read).await
    }

    async fn portfolio(&self, rows: &mut dyn PortfolioRows) -> Result<(), StoreError> {
        let answer = self.ask(|store| async move { RawPortfolio::read(&*store).await }, read).await?;
        answer.hand_to(rows);
        Ok(())
    }

    async fn changed(&self) {
        self.changed.notified().await;
    }
}
