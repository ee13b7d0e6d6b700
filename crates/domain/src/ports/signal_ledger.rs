//! The ledger of signals.

use super::{StoreError, StoreIdentity};
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

/// Most signals that one claim takes: more than any handler works on at a time.
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
    /// Another signal has this id, or this fingerprint with another payload or expiry; nothing was written.
    Conflict(Signal),
}

/// Answer to a claim of signals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignalClaim {
    /// Mine to send, each once: at least one, in order of arrival, no two of one instrument.
    Claimed(Vec<Signal>),
    /// Nothing waits whose turn it is.
    Empty,
    /// The kill switch is on.
    Paused,
    /// Something waits, and this limit holds it.
    Limited(LimitReached),
    /// The token is not the row's; nothing was written.
    Fenced,
}

/// What was found out about one attempt of a signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Which signal.
    pub id: SignalId,
    /// Which claim of it.
    pub attempt: u32,
    /// What.
    pub settlement: Outcome,
    /// What the handler said; `None` leaves what was said before. At most 256 characters are kept.
    pub note: Option<String>,
}

/// Answer to a report or a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Recorded {
    /// It stands so, durably; now, or already when it was asked for.
    Recorded,
    /// The signal is not in a state that this leads from, or another attempt is under way, or another leader has
    /// it; nothing was written.
    Refused,
}

/// Which of a token's own claims are being worked on at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InFlight<'a> {
    /// These. Another one under the token is a claim whose answer was lost.
    Only(&'a [SignalId]),
    /// Whatever is claimed: somebody outside of this process works on it.
    All,
}

/// What a person decides about a signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// Which signal.
    pub id: SignalId,
    /// Which claim of it the person has looked into.
    pub attempt: u32,
    /// What it is to be: done, rejected, or received to be sent (again).
    pub settlement: Outcome,
    /// Who, and from where.
    pub actor: Actor,
    /// Why; at most 256 characters are kept.
    pub reason: String,
}

/// The kill switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Switch {
    /// Nothing is claimed any more.
    Pause,
    /// Claims are granted again.
    Resume,
}

/// Answer to the kill switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Switched {
    /// It is turned.
    Turned,
    /// It was so already; nothing was written.
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
    /// At most so many, [`SIGNALS_READ_MAX`] in any case.
    pub limit: u32,
}

/// What was removed.
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
/// SHARE): no timing is involved. A fenced token is told apart from everything else.
///
/// Every change of a signal or of the kill switch appends a line to the audit, in the same statement.
#[async_trait]
pub trait SignalLedger: Send + Sync {
    /// What it was opened for, as [`StateStore::identity`](super::StateStore::identity).
    fn identity(&self) -> StoreIdentity;

    /// Stores signals before they are acknowledged, one answer for each, in their order. Needs no leadership. All
    /// of them are stored, or none when there is an error.
    ///
    /// A signal is a repetition when its fingerprint was accepted before with an equal
    /// [`Instruction`](crate::ledger::Instruction), whatever it is called, and a conflict when only its id or only its fingerprint was. Both
    /// are told only when the first acceptance is as durable as a new one would be: a retry after
    /// [`StoreError::Unknown`] must not be acknowledged for a commit that a failover can still lose.
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
    /// in doubt, by whomever. None while the kill switch is on: once a pause was acknowledged, no claim is granted.
    /// Never more than `limits` allow, however many claim at the same time. A signal that has expired by the
    /// store's clock is expired instead, whatever else the answer is, unless the token is fenced.
    ///
    /// Of two claims at the same time one may be told [`SignalClaim::Empty`] although something waits.
    async fn claim_signals(
        &self,
        token: &Token,
        limits: Limits,
        most: u16,
    ) -> Result<SignalClaim, StoreError>;

    /// Records what was found out, one answer for each report, in their order; `None` when `token` is fenced.
    ///
    /// A report is recorded when its attempt is the signal's latest and its settlement
    /// [leads from](Outcome::leads_from) the signal's state, and, if the signal is claimed, it is claimed under
    /// `token`. By the claim and not the whole token: a leader that carried its row to a new timeline has the claims
    /// it had. A report that is recorded already is recorded. `by` is who says so, for the audit; `None` is this
    /// process itself.
    ///
    /// # Panics
    /// May panic when a signal is in the reports twice.
    async fn record_by(
        &self,
        token: &Token,
        reports: &[Report],
        by: Option<&Actor>,
    ) -> Result<Option<Vec<Recorded>>, StoreError>;

    /// [`record_by`](Self::record_by) of this process: what its own work found out.
    async fn record(&self, token: &Token, reports: &[Report]) -> Result<Option<Vec<Recorded>>, StoreError> {
        self.record_by(token, reports, None).await
    }

    /// Marks claimed signals as in doubt, and answers with the signals in doubt, oldest first, at most
    /// [`SIGNALS_READ_MAX`]; `None` when `token` is fenced. The leader never sends them blindly.
    ///
    /// All claims of other tokens are marked, and those of `token` that are not in flight: a claim whose answer was
    /// lost leaves a signal claimed that nobody else would ever look at. It may reach the ledger later than a
    /// take-over that was sent after it, so ask again now and then. A signal that was sent stays so.
    async fn take_over(
        &self,
        token: &Token,
        in_flight: InFlight<'_>,
    ) -> Result<Option<Vec<Signal>>, StoreError>;

    /// Records what a person has decided: in_doubt -> done | rejected | received, sent -> done | rejected. Needs no
    /// leadership: that the attempt is the one the person has looked into is what makes it safe.
    async fn resolve(&self, decision: &Resolution) -> Result<Recorded, StoreError>;

    /// Turns the kill switch, for everybody and for good: it outlives restarts and failovers.
    async fn switch(&self, to: Switch, actor: &Actor, reason: &str) -> Result<Switched, StoreError>;

    /// The signal of that name.
    async fn find(&self, id: &SignalId) -> Result<Option<Signal>, StoreError>;

    /// Signals, the latest first.
    async fn list(&self, query: &ListQuery) -> Result<Vec<Signal>, StoreError>;

    /// The latest lines of the audit, of one signal or of the group, newest first, at most `limit` and
    /// [`AUDIT_READ_MAX`].
    async fn audit(&self, of: Option<&SignalId>, limit: u32) -> Result<Vec<AuditEntry>, StoreError>;

    /// How many signals are in each state. Looks at every signal.
    async fn counts(&self) -> Result<SignalCounts, StoreError>;

    /// What an operator has to know. Looks at open signals, and at those claimed in the last 24 hours.
    async fn totals(&self) -> Result<Totals, StoreError>;

    /// Removes finished signals that were settled, and arose by their own timestamp, longer than `keep` ago, and
    /// lines of instances that are older than a day; some thousand at most, so ask again. `None` when `token` is
    /// fenced.
    async fn sweep(&self, token: &Token, keep: Duration) -> Result<Option<Swept>, StoreError>;

    /// Resolves when a signal may have been submitted, or may wait again, since the last call. As
    /// [`StateStore::changed`](super::StateStore::changed).
    async fn submitted(&self);
}
