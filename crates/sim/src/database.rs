//! The database of a run: the fake that passes the contract suites, behind a server that restarts, stalls and fails
//! over.

use crate::judge::{Judge, Known};
use crate::knowledge::{Age, Knowledge};
use crate::line::{Line, Reply};
use crate::restores::Copied;
use crate::server::Server;
use async_trait::async_trait;
use contract::Opening;
use contract::fake::{FakeDatabase, FakeStateStore, Snapshot};
use contract::raw_portfolio::RawPortfolio;
use domain::decision::Decision;
use domain::id::{GroupId, InstanceId, Nonce};
use domain::identity::Identity;
use domain::lease::{Epoch, Observation, Seq, Timeline, Token};
use domain::ledger::{Actor, Signal, SignalId};
use domain::member::{Heartbeat, LeaseSeen, Member, MemberSeen, Term};
use domain::ports::{
    Claim, ClaimRequest, LeaseStore, MemberStore, Migrate, Noted, OperatorRequests, PortfolioSource, Release,
    Removal, Renewal, Schema, SignalLedger, StateStore, StepDown, StoreError,
};
use domain::recovery::{PortfolioRows, RecoveryCode};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// The database of one run.
#[derive(Debug)]
pub struct Database {
    /// The stored data.
    pub fake: FakeDatabase,
    /// The server that answers.
    pub server: Arc<Server>,
    group: GroupId,
    judge: Arc<Judge>,
    history: Mutex<History>,
}

#[derive(Debug)]
struct History {
    timeline: Timeline,
    /// Number of promotions and restores: a standby of an earlier history cannot be promoted.
    branch: u64,
    /// The offset by which the database's clock was set, in milliseconds.
    clock_ms: i64,
    /// For each restore, the records that the backup lacked.
    restores: Vec<BTreeMap<SignalId, Lost>>,
    /// Signals of which a failover has lost a record, with the largest loss.
    lost: BTreeMap<SignalId, Lost>,
}

/// The loss of a failover or a restore for one signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lost {
    /// The outcome of an attempt.
    Result,
    /// The claim: the signal is claimed and sent again.
    Claim,
    /// The submission.
    Submission,
}

/// A standby, with the data that it has received.
#[derive(Debug)]
pub struct Standby {
    branch: u64,
    snapshot: Snapshot,
    known: Known,
}

/// A backup of all data.
#[derive(Debug)]
pub struct Backup {
    timeline: Timeline,
    clock_ms: i64,
    snapshot: Snapshot,
    known: Known,
    lease: Copied,
}

impl Database {
    /// An empty database.
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

    /// A standby that has received all data until now.
    pub fn standby(&self) -> Standby {
        let branch = self.history().branch;
        Standby { branch, snapshot: self.fake.snapshot(), known: self.judge.known() }
    }

    /// The primary dies, and the standby takes over after `down`. Returns `None` without effect if another standby
    /// was promoted or a backup restored since: this standby has followed a history that is gone.
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

    /// A backup of the present data, with `lease`.
    pub fn back_up(&self, lease: Copied) -> Backup {
        let (timeline, clock_ms) = {
            let history = self.history();
            (history.timeline, history.clock_ms)
        };
        Backup { timeline, clock_ms, snapshot: self.fake.snapshot(), known: self.judge.known(), lease }
    }

    /// The server stops and starts after `down` with the data of `backup`, on the same timeline. Returns `None`
    /// without effect if a standby was promoted since the backup.
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
        // The clock belongs to the machine, so it continues.
        self.fake.jump_clock(history.clock_ms - backup.clock_ms);
        self.judge.restored(&backup.known, backup.lease);
        self.server.restart(down);
        let (epoch, seq) = backup.lease.age;
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

    /// The largest loss of that signal in the restores that `which` selects by number.
    pub fn lost_by_restores(&self, id: &SignalId, which: impl Fn(usize) -> bool) -> Option<Lost> {
        let history = self.history();
        let picked = history.restores.iter().enumerate().filter(|(number, _)| which(*number));
        picked.filter_map(|(_, lost)| lost.get(id).copied()).max()
    }

    /// The loss of that signal in failovers: its consequences are the documented limit of asynchronous replication.
    pub fn lost(&self, id: &SignalId) -> Option<Lost> {
        self.history().lost.get(id).copied()
    }

    /// The group's signals as stored.
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

/// One process's state store and ledger (for the ledger, see `ledger_client.rs`).
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
    /// For the process of that opening, over `line`; the leases that it reads go into `knowledge`.
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

    /// The lease as stored, without a line; `None` if there is none.
    pub async fn stored_lease(&self) -> Option<Copied> {
        let observed = self.store.observe().await.ok()?;
        let forgot_ms = self.store.lease().await.ok()?.forgot_ms;
        Some(Copied { age: (observed.version.token.epoch, observed.version.seq), forgot_ms })
    }

    /// The write with which this process's effects are compared.
    pub(crate) fn acknowledged(&self) -> Age {
        self.knowledge.last_acknowledged()
    }

    /// Like [`Self::ask`], for a request that writes the lease: returns also the `forgot_ms` that the lease has then.
    async fn ask_lease<T, F>(
        &self,
        work: impl FnOnce(Arc<FakeStateStore>) -> F + Send + 'static,
        report: impl Fn(&Judge, &T, Option<i64>) -> Reply + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let with_moment = async |store: Arc<FakeStateStore>| {
            let answer = work(Arc::clone(&store)).await?;
            Ok((answer, store.lease().await?.forgot_ms))
        };
        let report =
            move |judge: &Judge, (answer, forgot_ms): &(T, Option<i64>)| report(judge, answer, *forgot_ms);
        Ok(self.ask(with_moment, report).await?.0)
    }

    /// Carries hints about the lease while it is polled.
    pub async fn carry_lease_hints(self: Arc<Self>) {
        loop {
            self.store.changed().await;
            if let Some(takes) = self.line.hint() {
                tokio::time::sleep(takes).await;
                self.changed.notify_one();
            }
        }
    }

    /// Carries hints about signals while it is polled.
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

    /// The judge, which receives every result.
    pub(crate) fn judge(&self) -> &Judge {
        &self.database.judge
    }

    /// Carries out a request, and reports the result to the judge at the moment of its execution.
    pub(crate) async fn ask<T, F>(
        &self,
        work: impl FnOnce(Arc<FakeStateStore>) -> F + Send + 'static,
        report: impl Fn(&Judge, &T) -> Reply + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let (store, judge) = (Arc::clone(&self.store), Arc::clone(&self.database.judge));
        let done = async move { work(store).await };
        self.line.carry(&self.database.server, done, move |answer| report(&judge, answer)).await
    }
}

/// The reply to a read.
pub(crate) fn read<T>(_: &Judge, _: &T) -> Reply {
    Reply::Read
}

/// The reply to a write, even a repeated one.
pub(crate) fn written<T>(_: &Judge, _: &T) -> Reply {
    Reply::Written
}

#[async_trait]
impl StateStore for DatabaseClient {
    fn identity(&self) -> Identity {
        StateStore::identity(&*self.store)
    }

    async fn migrate(&self, apply: Migrate) -> Result<Schema, StoreError> {
        self.ask(move |store| async move { store.migrate(apply).await }, written).await
    }
}

#[async_trait]
impl LeaseStore for DatabaseClient {
    async fn observe(&self) -> Result<Observation, StoreError> {
        let observed = self.ask(|store| async move { store.observe().await }, read).await?;
        self.knowledge.shown((observed.version.token.epoch, observed.version.seq));
        Ok(observed)
    }

    async fn claim(&self, request: &ClaimRequest) -> Result<Claim, StoreError> {
        let request = request.clone();
        let (knew, epoch) = (self.knowledge.age(), self.knowledge.epoch());
        self.knowledge.asks(request.epoch());
        let report = move |judge: &Judge, answer: &Claim, forgot_ms| match answer {
            Claim::Granted(token) => {
                judge.granted(*token, epoch);
                judge.lease_written(knew, forgot_ms);
                Reply::Written
            }
            Claim::Lost => Reply::Read,
        };
        let claim = self.ask_lease(move |store| async move { store.claim(&request).await }, report).await?;
        if let Claim::Granted(token) = claim {
            self.knowledge.acknowledged((token.epoch, Seq(0)));
        }
        Ok(claim)
    }

    async fn renew(&self, token: &Token, seq: Seq, current: Timeline) -> Result<Renewal, StoreError> {
        let token = *token;
        let knew = self.knowledge.age();
        let report = move |judge: &Judge, answer: &Renewal, forgot_ms| match answer {
            Renewal::Renewed { timeline, .. } => {
                judge.carried(token, *timeline);
                judge.lease_written(knew, forgot_ms);
                Reply::Written
            }
            Renewal::Superseded | Renewal::OtherTimeline(_) => Reply::Read,
        };
        let renews = move |store: Arc<FakeStateStore>| async move { store.renew(&token, seq, current).await };
        let renewal = self.ask_lease(renews, report).await?;
        if let Renewal::Renewed { .. } = renewal {
            self.knowledge.acknowledged((token.epoch, seq));
        }
        Ok(renewal)
    }

    async fn release(&self, token: &Token, seq: Seq, reason: &str) -> Result<Release, StoreError> {
        let (token, reason) = (*token, reason.to_owned());
        let (knew, age) = (self.knowledge.last_acknowledged(), (token.epoch, seq));
        let report = move |judge: &Judge, answer: &Release, forgot_ms| match answer {
            Release::Released => {
                judge.released();
                judge.lease_released(knew, age, forgot_ms);
                Reply::Written
            }
            Release::Superseded => Reply::Read,
        };
        self.ask_lease(move |store| async move { store.release(&token, seq, &reason).await }, report).await
    }

    async fn note_forgotten(&self, found: &Token, known: Epoch) -> Result<Noted, StoreError> {
        let found = *found;
        self.ask(move |store| async move { store.note_forgotten(&found, known).await }, written).await
    }

    async fn changed(&self) {
        self.changed.notified().await;
    }
}

#[async_trait]
impl MemberStore for DatabaseClient {
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

    async fn lease(&self) -> Result<LeaseSeen, StoreError> {
        self.ask(|store| async move { store.lease().await }, read).await
    }
}

#[async_trait]
impl OperatorRequests for DatabaseClient {
    async fn request_handover(
        &self,
        token: &Token,
        successor: Option<&InstanceId>,
        reason: &str,
    ) -> Result<StepDown, StoreError> {
        let (token, successor, reason) = (*token, successor.cloned(), reason.to_owned());
        let request = move |store: Arc<FakeStateStore>| async move {
            store.request_handover(&token, successor.as_ref(), &reason).await
        };
        self.ask(request, written).await
    }

    async fn remove_instance(
        &self,
        id: &InstanceId,
        recent: Duration,
        actor: &Actor,
        reason: &str,
    ) -> Result<Removal, StoreError> {
        let (id, actor, reason) = (id.clone(), actor.clone(), reason.to_owned());
        let remove = move |store: Arc<FakeStateStore>| async move {
            store.remove_instance(&id, recent, &actor, &reason).await
        };
        self.ask(remove, written).await
    }

    async fn acknowledge_recovery(
        &self,
        verdict: Option<RecoveryCode>,
        actor: &Actor,
        reason: &str,
    ) -> Result<(), StoreError> {
        let (actor, reason) = (actor.clone(), reason.to_owned());
        let acknowledge = move |store: Arc<FakeStateStore>| async move {
            store.acknowledge_recovery(verdict, &actor, &reason).await
        };
        self.ask(acknowledge, written).await
    }

    async fn decisions(&self, limit: u32) -> Result<Vec<Decision>, StoreError> {
        self.ask(move |store| async move { store.decisions(limit).await }, read).await
    }
}

#[async_trait]
impl PortfolioSource for DatabaseClient {
    async fn portfolio(&self, rows: &mut dyn PortfolioRows) -> Result<(), StoreError> {
        let answer = self.ask(|store| async move { RawPortfolio::read(&*store).await }, read).await?;
        answer.hand_to(rows);
        Ok(())
    }
}
