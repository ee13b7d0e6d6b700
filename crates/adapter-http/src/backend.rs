//! [`Backend`]: the interface of the HTTP pages to the instance behind them.

use crate::access::Access;
use crate::hooks::Hooks;
use async_trait::async_trait;
use domain::alert;
use domain::decision::Decision;
use domain::id::InstanceId;
use domain::lease::{Epoch, Token};
use domain::ledger::{Actor, AuditEntry, LimitReached, NewSignal, Signal, SignalId, Totals};
use domain::member::{LeaseSeen, MemberSeen, Term};
use domain::metrics::{AccessRefusal, Refusal};
use domain::overview::{LastAnswers, Samples};
use domain::ports::{ListQuery, Recorded, Report, Resolution, StoreError, Submit, Switch, Switched};
use domain::recovery::{Recovered, RecoveryFault};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The instance behind the pages.
///
/// The plain methods answer from memory, at once. The async ones read or write a store. Their futures are
/// dropped if they take too long or the client disconnects, so they must be cancellation safe. A panic
/// becomes a 500.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// Metrics and alerts of this moment; `None` before start-up is done.
    fn status(&self) -> Option<alert::Report>;

    /// The metrics of one report as Prometheus text (format 0.0.4), or why there are none. Called only after
    /// [`Backend::status`] returned a report.
    fn exposition(&self) -> Result<String, String>;

    /// Whether this instance could take over leadership now; the error says why not, on one line. Whether it
    /// leads is no reason: that would block rolling updates.
    fn ready(&self) -> Result<(), String>;

    /// The leader, as far as this instance knows.
    fn leader(&self) -> LeaderView;

    /// The last answers of the stores. While a store does not answer, its last answer remains, with the time since
    /// when the present state is unknown.
    fn last_answers(&self) -> Arc<LastAnswers>;

    /// The same, as it changes: a new value after each answer of a store. The pages follow it and poll nothing.
    fn follow(&self) -> watch::Receiver<Arc<LastAnswers>>;

    /// Whether the instance has stopped. Streams then end, so that they do not delay the shutdown of a server that
    /// nests the pages.
    fn has_stopped(&self) -> bool;

    /// The measurements of the last hour, one sample for each minute.
    fn samples(&self) -> Arc<Samples>;

    /// The lease, as operators see it.
    async fn lease(&self) -> Result<LeaseSeen, StoreError>;

    /// The instance table.
    async fn members(&self) -> Result<Vec<MemberSeen>, StoreError>;

    /// The latest terms, newest first, at most `limit` of them.
    async fn history(&self, limit: u32) -> Result<Vec<Term>, StoreError>;

    /// Stores a signal before it is acknowledged. Any instance can do this.
    async fn submit(&self, signal: &NewSignal, actor: &Actor) -> Result<Submit, StoreError>;

    /// Start of the time in which every signal is remembered, in unix seconds. A signal with an older
    /// timestamp is refused: its first acceptance may have been forgotten, and it would be sent a second
    /// time.
    fn remembers_since_s(&self) -> i64;

    /// Latest accepted timestamp of a signal, in unix seconds: a little after the present.
    fn accepts_until_s(&self) -> i64;

    /// The credentials that requests need; `None`: they need none.
    fn access(&self) -> Option<Arc<Access>> {
        None
    }

    /// Counts a request that was refused for its credential.
    fn access_refused(&self, why: AccessRefusal);

    /// The hooks of this instance; by default none.
    fn hooks(&self) -> Arc<Hooks> {
        Arc::default()
    }

    /// Counts a submission that was refused for that reason: each is a missed trade.
    fn refused(&self, why: Refusal);

    /// The signal with that id, and its audit, newest first.
    async fn signal(&self, id: &SignalId) -> Result<Option<(Signal, Vec<AuditEntry>)>, StoreError>;

    /// The totals of the signals at this moment.
    async fn totals(&self) -> Result<Totals, StoreError>;

    /// Signals, the latest first.
    async fn signals(&self, query: &ListQuery) -> Result<Vec<Signal>, StoreError>;

    /// Claims up to `most` signals for the caller, which executes them. If nothing can be claimed, it may
    /// wait until that changes, for at most `wait`.
    ///
    /// The claim of a dropped call may be granted nevertheless: the caller finds it among the claimed
    /// signals.
    async fn pull(&self, most: u16, wait: Duration) -> Result<Pull, StoreError>;

    /// Records the outcome of a signal that was pulled, as reported by `actor`.
    async fn report(&self, report: Report, actor: &Actor) -> Result<Reported, StoreError>;

    /// Requests a handover from the leader.
    async fn step_down(&self, request: &StepDownRequest) -> Result<SteppedDown, StoreError>;

    /// Records the decision of an operator about a signal.
    async fn resolve(&self, decision: &Resolution) -> Result<Recorded, StoreError>;

    /// Records that an operator knows that a signal expired.
    async fn acknowledge(&self, id: &SignalId, actor: &Actor, reason: &str) -> Result<Recorded, StoreError>;

    /// Turns the kill switch.
    async fn switch(&self, to: Switch, actor: &Actor, reason: &str) -> Result<Switched, StoreError>;

    /// Checks the portfolio as a new leader would; changes nothing.
    async fn check_recovery(&self) -> Result<Result<Recovered, RecoveryFault>, StoreError>;

    /// Records that an operator takes responsibility for the failed recoveries so far, with the result of a check at
    /// this moment, which it returns.
    async fn acknowledge_recovery(
        &self,
        actor: &Actor,
        reason: &str,
    ) -> Result<Result<Recovered, RecoveryFault>, StoreError>;

    /// The latest decisions of operators that concern no signal, newest first, at most `limit` of them.
    async fn decisions(&self, limit: u32) -> Result<Vec<Decision>, StoreError>;
}

/// The wish of an operator that the leader hands over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepDownRequest {
    /// The epoch in which the leader leads. In another one, nothing is requested.
    pub epoch: Epoch,
    /// The instance that leads next; `None` if any may.
    pub to: Option<InstanceId>,
    /// The reason for the history.
    pub reason: String,
}

/// Answer to the wish for a handover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SteppedDown {
    /// The leader finds the request with its next renewal.
    Requested,
    /// No leader leads in that epoch any more; nothing was written.
    Superseded,
}

/// The leader, as far as one instance knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LeaderView {
    /// Whether this instance leads and has recovered, and so is the one that acts.
    pub active: bool,
    /// The leader; `None` if no instance leads or the leader is unknown.
    pub id: Option<InstanceId>,
    /// Address of the leader's page, from the instance table.
    pub address: Option<String>,
    /// Latest epoch that this instance has seen.
    pub epoch: Option<Epoch>,
    /// The leadership of this instance; `Some` only if it is active.
    pub held: Option<Held>,
}

/// The leadership of the active leader, at the moment of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Its fencing token.
    pub token: Token,
    /// Time for which the leader may act from now on unless it renews the lease.
    pub valid_for: Duration,
}

/// Answer to a service that pulls signals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pull {
    /// The caller must execute each of these signals once.
    Claimed {
        /// The leadership under which they are claimed. The service passes it to its fence.
        token: Token,
        /// At least one.
        signals: Vec<Signal>,
    },
    /// No signal can be claimed now.
    Empty,
    /// The kill switch is on.
    Paused,
    /// A signal waits, and this limit delays it.
    Limited(LimitReached),
    /// This instance is not the active leader.
    NotLeading,
    /// A handler is configured, so no service can pull signals.
    Pushed,
}

/// Answer to a reported outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reported {
    /// The signal has this outcome, durably.
    Recorded,
    /// The outcome cannot follow the signal's state, or concerns another attempt, or the signal does not
    /// exist.
    Refused,
    /// This instance is not the active leader.
    NotLeading,
}
