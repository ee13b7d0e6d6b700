//! What the HTTP face asks of the instance behind it.

use async_trait::async_trait;
use domain::alert;
use domain::id::InstanceId;
use domain::lease::Epoch;
use domain::ledger::{Actor, AuditEntry, LimitReached, NewSignal, Signal, SignalId};
use domain::member::{MemberSeen, Term};
use domain::metrics::Refusal;
use domain::ports::{ListQuery, Report, StoreError, Submit};
use std::time::Duration;

/// The instance behind the pages.
///
/// The plain methods answer from memory, at once. The async ones read or write a store; they are dropped when
/// they take too long or the client goes away, so they must be cancellation safe. A panic becomes a 500.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// Metrics and alerts of this moment; `None` before start-up is done.
    fn status(&self) -> Option<alert::Report>;

    /// The metrics of one report as Prometheus text (format 0.0.4), or why there are none. Asked only
    /// after [`Backend::status`] answered.
    fn exposition(&self) -> Result<String, String>;

    /// Whether this instance could take over leadership now; the error says why not, on one line.
    /// That it leads, or does not, is no reason: that would block rolling updates.
    fn ready(&self) -> Result<(), String>;

    /// Who leads, as far as this instance knows.
    fn leader(&self) -> LeaderView;

    /// The instance table.
    async fn members(&self) -> Result<Vec<MemberSeen>, StoreError>;

    /// The latest terms, newest first, at most `limit` of them.
    async fn history(&self, limit: u32) -> Result<Vec<Term>, StoreError>;

    /// Stores a signal before it is acknowledged, on whichever instance it arrives.
    async fn submit(&self, signal: &NewSignal, actor: &Actor) -> Result<Submit, StoreError>;

    /// From when on every signal is remembered, unix seconds. One with an older timestamp is refused: its first
    /// acceptance may have been forgotten, and it would be sent a second time.
    fn remembers_since_s(&self) -> i64;

    /// Until when a signal may be dated, unix seconds: a little after the present.
    fn accepts_until_s(&self) -> i64;

    /// A submission was refused for that reason: a trade that was missed.
    fn refused(&self, why: Refusal);

    /// The signal of that name, and its lines of the audit, newest first.
    async fn signal(&self, id: &SignalId) -> Result<Option<(Signal, Vec<AuditEntry>)>, StoreError>;

    /// Signals, the latest first.
    async fn signals(&self, query: &ListQuery) -> Result<Vec<Signal>, StoreError>;

    /// Claims up to `most` signals for the caller, who sends them. When nothing can be claimed it may wait until
    /// that changes, for at most `wait`.
    ///
    /// The claim of a dropped call may be granted nevertheless: the caller finds it among the claimed signals.
    async fn pull(&self, most: u16, wait: Duration) -> Result<Pull, StoreError>;

    /// Records what became of a signal that was pulled, as `actor` says.
    async fn report(&self, report: Report, actor: &Actor) -> Result<Reported, StoreError>;
}

/// Who leads, as far as one instance knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LeaderView {
    /// This instance leads, and has recovered: it is the one that acts.
    pub active: bool,
    /// Who leads; `None` when nobody does or it is unknown.
    pub id: Option<InstanceId>,
    /// Where the leader's page is, as the instance table has it.
    pub address: Option<String>,
    /// The latest epoch seen.
    pub epoch: Option<Epoch>,
}

/// Answer to somebody who wants signals to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pull {
    /// These are the caller's, each to be sent once.
    Claimed {
        /// The epoch they were claimed in, which whoever executes them can compare.
        epoch: Epoch,
        /// At least one.
        signals: Vec<Signal>,
    },
    /// Nothing waits whose turn it is.
    Empty,
    /// The kill switch is on.
    Paused,
    /// Something waits, and this limit holds it.
    Limited(LimitReached),
    /// This instance is not the one that acts.
    NotLeading,
    /// Signals are handed to a handler that is configured, so nobody pulls them.
    Pushed,
}

/// Answer to a result that is handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reported {
    /// It stands so, durably.
    Recorded,
    /// It does not lead on from where the signal stands, or is about another attempt, or there is no such signal.
    Refused,
    /// This instance is not the one that acts.
    NotLeading,
}
