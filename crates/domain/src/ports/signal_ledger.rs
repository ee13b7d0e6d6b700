//! The ledger of signals: the port of the dispatcher, of clients and of operators to the state store.

use super::StoreError;
use crate::identity::Identity;
use crate::lease::Token;
use crate::ledger::{
    Actor, AuditEntry, Label, LimitReached, Limits, NewSignal, Outcome, Signal, SignalCounts, SignalId,
    StateName, Totals,
};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use async_trait::async_trait;
use core::time::Duration;

/// Most signals that one claim takes: more than any handler executes at a time.
pub const CLAIM_MAX: u16 = 100;
/// Most signals that one answer carries: with the largest payloads 64 MiB.
pub const SIGNALS_READ_MAX: u32 = 1_000;
/// Most lines of the audit that one answer carries.
pub const AUDIT_READ_MAX: u32 = 1_000;

/// Answer to a new signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Submit {
    /// Durable.
    Accepted(Signal),
    /// The same signal was accepted before, as this one; nothing was written.
    Repeated(Signal),
    /// The same alert was accepted before, as this signal: its timestamp is within the window of its hook. The audit of the
    /// signal has a line about it.
    Folded(Signal),
    /// Another signal has this id, or this fingerprint with another payload or expiry; nothing was written.
    Conflict(Signal),
}

/// Answer to a claim of signals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignalClaim {
    /// The claimer must send each of these once: at least one, in order of arrival, no two of one instrument.
    Claimed(Vec<Signal>),
    /// No signal waits whose turn it is.
    Empty,
    /// The kill switch is on.
    Paused,
    /// A signal waits, and this limit holds it.
    Limited(LimitReached),
    /// The token is not the lease's; nothing was written.
    Fenced,
}

/// The outcome of one attempt of a signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Which signal.
    pub id: SignalId,
    /// Which claim of it.
    pub attempt: u32,
    /// The outcome.
    pub outcome: Outcome,
    /// The handler's note; `None` leaves the former note. At most 256 characters are kept.
    pub note: Option<String>,
}

/// Answer to a report or a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Recorded {
    /// The outcome is durable; this call or an earlier one recorded it.
    Recorded,
    /// The signal is not in a state that allows this outcome, or another attempt is under way, or another leader has
    /// it; nothing was written.
    Refused,
}

/// Which of a token's own claims are being executed now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InFlight<'a> {
    /// These. Another one under the token is a claim whose answer was lost.
    Only(&'a [SignalId]),
    /// All claimed signals: a service outside of this process executes them.
    All,
}

/// The decision of an operator about a signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// Which signal.
    pub id: SignalId,
    /// Which claim of it the operator has examined.
    pub attempt: u32,
    /// The decision: done, rejected, or received, which sends it (again).
    pub outcome: Outcome,
    /// The operator, and the host of the request.
    pub actor: Actor,
    /// The reason; at most 256 characters are kept.
    pub reason: String,
}

/// The kill switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Switch {
    /// No signal is claimed any more.
    Pause,
    /// Claims are granted again.
    Resume,
}

/// Answer to the kill switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Switched {
    /// The switch was turned.
    Turned,
    /// The switch was in this position already; nothing was written.
    Unchanged,
}

/// Which signals to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListQuery {
    /// Only those in this state.
    pub state: Option<StateName>,
    /// Only those of this instrument.
    pub instrument: Option<Label>,
    /// Only those that arrived before this one ([`Signal::arrival`]): the next page.
    pub before: Option<u64>,
    /// Most signals in the answer; never more than [`SIGNALS_READ_MAX`].
    pub limit: u32,
}

/// The numbers of removed lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Finished signals.
    pub signals: u64,
    /// Lines of instances that are long gone.
    pub members: u64,
}

/// The ledger of effects.
///
/// Every method that takes a token writes only while the lease row carries exactly that token, is not released and
/// is on the current timeline, checked in the same statement under a lock that makes a concurrent claim wait (FOR
/// SHARE): no timing is involved. A fenced token has its own answer.
///
/// Every change of a signal or of the kill switch appends a line to the audit, in the same statement.
#[async_trait]
pub trait SignalLedger: Send + Sync {
    /// What it was opened for, as [`StateStore::identity`](super::StateStore::identity).
    fn identity(&self) -> Identity;

    /// Stores signals before they are acknowledged, one answer for each, in their order. Needs no leadership. All
    /// of them are stored, or none when there is an error.
    ///
    /// A signal is a repetition when its fingerprint was accepted before with an equal
    /// [`Instruction`](crate::ledger::Instruction), whatever its id is, and a conflict when only its id or only its
    /// fingerprint was. Both are answered only when the first acceptance is as durable as a new one would be: a retry after
    /// [`StoreError::Unknown`] must not be acknowledged for a commit that a failover can still lose.
    ///
    /// A signal of a hook with a [window](crate::ledger::FromHook::window_s) that is no repetition is folded into a stored
    /// signal of the same hook, instrument, signal type and position whose timestamp differs by at most the window: into
    /// the nearest one, of two the one that arrived first. Only stored signals count, never folded alerts, so a chain of
    /// alerts cannot extend a window without end. Nor counts a signal that was certainly never sent: an expired one, or one
    /// that is rejected and was never claimed. If the timestamps are [the sender's own](crate::ledger::Dated::BySender), a
    /// signal of another type of the same hook and instrument whose timestamp is between the two ends the window. Of concurrent submissions within a window one is accepted, on whatever
    /// instances they arrive.
    async fn submit(&self, signals: &[NewSignal], actor: &Actor) -> Result<Vec<Submit>, StoreError>;

    /// As [`submit`](Self::submit), one signal.
    ///
    /// # Panics
    /// When the adapter breaks the promise of one answer for each signal.
    async fn submit_one(&self, signal: &NewSignal, actor: &Actor) -> Result<Submit, StoreError> {
        let answer = self.submit(core::slice::from_ref(signal), actor).await?.pop();
        Ok(answer.expect("the port promises one answer for each signal"))
    }

    /// Claims up to `most` signals (at least 1, at most [`CLAIM_MAX`]): received -> claimed(token), attempt + 1.
    ///
    /// Of each instrument only the oldest that waits, and none while another one of that instrument is claimed or
    /// in doubt, under any token. None while the kill switch is on: once a pause was acknowledged, no claim is granted.
    /// Never more than `limits` allow, however many claim at the same time. A signal that has expired by the
    /// store's clock is expired instead, whatever else the answer is, unless the token is fenced.
    ///
    /// Of two claims at the same time one may get [`SignalClaim::Empty`] although a signal waits.
    async fn claim_signals(
        &self,
        token: &Token,
        limits: Limits,
        most: u16,
    ) -> Result<SignalClaim, StoreError>;

    /// Records outcomes, one answer for each report, in their order; `None` when `token` is fenced.
    ///
    /// A report is recorded when its attempt is the signal's latest and its outcome
    /// [leads from](Outcome::leads_from) the signal's state, and, if the signal is claimed, it is claimed under
    /// `token`. By the claim and not the whole token: a leader that carried its lease to a new timeline has the
    /// claims it had. A repeated report is answered as recorded. `by` is the author of the report, for the audit; `None` is
    /// this process.
    ///
    /// # Panics
    /// May panic when a signal is in the reports twice.
    async fn record_by(
        &self,
        token: &Token,
        reports: &[Report],
        by: Option<&Actor>,
    ) -> Result<Option<Vec<Recorded>>, StoreError>;

    /// [`record_by`](Self::record_by) of this process, with the outcomes of signals that it sent.
    async fn record(&self, token: &Token, reports: &[Report]) -> Result<Option<Vec<Recorded>>, StoreError> {
        self.record_by(token, reports, None).await
    }

    /// Marks claimed signals as in doubt, and answers with the signals in doubt, oldest first, at most
    /// [`SIGNALS_READ_MAX`]; `None` when `token` is fenced. The leader never sends them blindly.
    ///
    /// All claims of other tokens are marked, and those of `token` that are not in flight: a claim whose answer was
    /// lost leaves a claimed signal that no other part of the system would find. Such a claim may reach the ledger later
    /// than a take-over that was sent after it, so repeat the call from time to time. A signal in the state `sent` keeps it.
    async fn take_over(
        &self,
        token: &Token,
        in_flight: InFlight<'_>,
    ) -> Result<Option<Vec<Signal>>, StoreError>;

    /// Records the decision of an operator: in_doubt -> done | rejected | received, sent -> done | rejected. Needs no
    /// leadership: it is safe because the attempt must be the one that the operator has examined.
    async fn resolve(&self, decision: &Resolution) -> Result<Recorded, StoreError>;

    /// An operator acknowledges that a signal expired: expired -> rejected, and [`Totals::expired_last_day`] no longer
    /// counts it. The audit line has the operator and the reason. Needs no leadership: the signal was certainly not sent,
    /// and no leader changes it any more. At most 256 characters of the reason are kept.
    async fn acknowledge(&self, id: &SignalId, actor: &Actor, reason: &str) -> Result<Recorded, StoreError>;

    /// Turns the kill switch, for all instances and permanently: it outlives restarts and failovers.
    async fn switch(&self, to: Switch, actor: &Actor, reason: &str) -> Result<Switched, StoreError>;

    /// The signal with that id.
    async fn find(&self, id: &SignalId) -> Result<Option<Signal>, StoreError>;

    /// Signals, the latest first.
    async fn list(&self, query: &ListQuery) -> Result<Vec<Signal>, StoreError>;

    /// The latest lines of the audit, of one signal or of the group, newest first, at most `limit` and
    /// [`AUDIT_READ_MAX`].
    async fn audit(&self, of: Option<&SignalId>, limit: u32) -> Result<Vec<AuditEntry>, StoreError>;

    /// How many signals are in each state. Reads every signal.
    async fn counts(&self) -> Result<SignalCounts, StoreError>;

    /// What an operator needs to know. Reads the open signals, and those claimed in the last 24 hours.
    async fn totals(&self) -> Result<Totals, StoreError>;

    /// Removes finished signals whose outcome was recorded, and that arose by their own timestamp, longer than `keep` ago,
    /// and lines of instances that are older than a day; some thousand at most, so call it again. `None` when `token` is
    /// fenced.
    async fn sweep(&self, token: &Token, keep: Duration) -> Result<Option<Swept>, StoreError>;

    /// Resolves when a signal may have been submitted, or may wait again, since the last call. As
    /// [`LeaseStore::changed`](super::LeaseStore::changed).
    async fn submitted(&self);
}
