//! Signals on any instance, acted on by the leader, each exactly once.
//!
//! A [`Ledger`] is a coordinator and the ledger of its group. Every instance accepts signals through it and runs
//! [`Ledger::run`] in the background. On the leader, that sends them to the [`SignalHandler`]; without a handler, a service
//! in another process gets them from [`Ledger::pull`].
//!
//! What makes it safe, in the order in which it happens:
//!
//! 1. **Take over first.** Every signal that an earlier leadership may have sent is in doubt and is looked up.
//! 2. **Claim, check the token, send.** The claim is durable before the handler is called, so a crash at any
//!    later point leaves a signal that the next leader finds.
//! 3. **Record under the same token**, and send the report again until there is an answer. The report names the attempt, so a
//!    late one touches no later attempt.
//! 4. **No answer to a claim:** it may arrive late. What is claimed under this leader's token and did not reach the
//!    handler was never sent; it waits again.
//! 5. **No answer from the handler** is not a refusal: the signal is in doubt, and looked up, or left to an operator.

mod beside;
mod dispatch;
mod doubts;
mod expiry;
mod finding;
mod not_executed;
mod slots;

use crate::builder::same;
use crate::clock;
use crate::crash_point::{CrashPoint, at};
use crate::error::{Ended, StartError};
use crate::handle::Coordinator;
use domain::lease::Token;
use domain::ledger::{
    Actor, FORGOTTEN, Limits, NewSignal, Outcome, Signal, SignalId, StateName, Totals, WINDOW_S_MAX,
};
use domain::metrics::{Fact, Refusal, SignalFact};
use domain::overview::SIGNALS_KEPT;
use domain::ports::{
    ListQuery, Recorded, Report, SignalClaim, SignalHandler, SignalLedger, StoreError, Submit,
};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};

/// An answer of the ledger that takes longer is not waited for, which leaves open what was done.
pub(crate) const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
/// How long a handler may take unless configured: longer than any broker's usual answer.
pub const HANDLER_TIME_DEFAULT: Duration = Duration::from_secs(10);
/// How long finished signals are kept unless configured: more than a year, so that last year's can be compared.
pub const RETENTION_DEFAULT: Duration = Duration::from_hours(400 * 24);
/// The shortest retention: beyond the longest window of the limits, and long enough for every client's retries.
pub const RETENTION_MIN: Duration = Duration::from_hours(7 * 24);
/// Signals older than the retention are refused this much earlier than they may be forgotten: a host's clock may differ
/// from the database's by as much.
const CLOCK_SLACK: Duration = Duration::from_hours(24);
const _: () = assert!(RETENTION_MIN.as_secs() > 2 * CLOCK_SLACK.as_secs());
// A repetition of an alert that was folded into a forgotten signal is refused too.
const _: () = assert!(CLOCK_SLACK.as_secs() > WINDOW_S_MAX as u64);
/// Longest time between two reads of the totals.
const TOTALS_EVERY: Duration = Duration::from_secs(5);
/// Shortest time between two reads of the totals.
const TOTALS_PAUSE: Duration = Duration::from_millis(500);
/// Time between two polls of the ledger when no hint comes: hints may be lost, and an expiry sends none.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How signals are executed. Begin with the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LedgerSettings {
    /// How many may be sent.
    pub limits: Limits,
    /// A handler that takes longer has not answered.
    pub handler_time_max: Duration,
    /// How long finished signals are kept, at least [`RETENTION_MIN`].
    pub retention: Duration,
}

impl Default for LedgerSettings {
    /// With the limits that the documentation promises, [`Limits::DEFAULT`].
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            handler_time_max: HANDLER_TIME_DEFAULT,
            retention: RETENTION_DEFAULT,
        }
    }
}

impl LedgerSettings {
    /// As [`Ledger::remembers_since_s`], for a process without a ledger.
    pub fn remembers_since_s(&self) -> i64 {
        let kept = self.retention.saturating_sub(CLOCK_SLACK);
        clock::calendar_ms() / 1_000 - i64::try_from(kept.as_secs()).unwrap_or(i64::MAX)
    }

    /// Sets [`limits`](Self::limits).
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Sets [`handler_time_max`](Self::handler_time_max).
    #[must_use]
    pub fn with_handler_time_max(self, handler_time_max: Duration) -> Self {
        Self { handler_time_max, ..self }
    }

    /// Sets [`retention`](Self::retention).
    #[must_use]
    pub fn with_retention(self, retention: Duration) -> Self {
        Self { retention, ..self }
    }
}

/// Signals that a service has claimed to work on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The leadership under which they are claimed.
    pub token: Token,
    /// What there was.
    pub claim: SignalClaim,
}

/// This instance claims and records nothing for a service now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotNow {
    /// Another instance leads, or none: send the request to the leader.
    #[error("this instance is not the active leader")]
    NotLeading,
    /// The ledger did not answer.
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// The ledger of one instance. Clones are the same.
#[derive(Clone)]
pub struct Ledger {
    pub(crate) coordinator: Coordinator,
    pub(crate) store: Arc<dyn SignalLedger>,
    pub(crate) settings: LedgerSettings,
    /// Notified by every event that changes the totals.
    stirred: Arc<Notify>,
    /// The latest attempt of each signal that was sent or pulled here, reported here, or found in doubt: those must never
    /// be recorded as not sent. Without the ones that are final.
    touched: Arc<Mutex<BTreeMap<SignalId, u32>>>,
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Ledger");
        shown
            .field("coordinator", &self.coordinator)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Ledger {
    /// The ledger `store` of the coordinator's group. Give the coordinator's metrics the same limits
    /// ([`Builder::signals`](crate::Builder::signals)), and use the very object that the coordinator has as its state
    /// store: with another one, the ledger does not know how far the lease has come (rule M23).
    ///
    /// # Errors
    /// [`StartError::Store`] when the store was opened for another group or process than the coordinator.
    pub fn new(
        coordinator: Coordinator,
        store: Arc<dyn SignalLedger>,
        settings: LedgerSettings,
    ) -> Result<Self, StartError> {
        same("signal ledger", &store.identity(), &coordinator.shared.state_store.identity())?;
        let retention = settings.retention.max(RETENTION_MIN);
        let settings = settings.with_retention(retention);
        Ok(Self { coordinator, store, settings, stirred: Arc::default(), touched: Arc::default() })
    }

    /// The store, for everything that only reads, and for the decisions of operators.
    pub fn store(&self) -> &Arc<dyn SignalLedger> {
        &self.store
    }

    /// Signals that arose before this moment (unix seconds) are not accepted: their first acceptance may have been
    /// forgotten, and they would be sent twice.
    pub fn remembers_since_s(&self) -> i64 {
        self.settings.remembers_since_s()
    }

    /// Signals that are dated after this moment (unix seconds) are not accepted: their clock or their unit is wrong, and
    /// they would outlive the retention.
    pub fn accepts_until_s() -> i64 {
        let slack = i64::try_from(CLOCK_SLACK.as_secs()).unwrap_or(i64::MAX);
        (clock::calendar_ms() / 1_000).saturating_add(slack)
    }

    /// Counts a submission that was refused before it reached [`submit`](Self::submit), or a conflict.
    pub fn refused(&self, why: Refusal) {
        self.coordinator.shared.record(Fact::Refused { why, at_ms: clock::calendar_ms() });
    }

    /// Accepts a signal, on any instance, leader or not. It is durable when this returns. Cancellation safe: a
    /// dropped submission may have been accepted; submit it again.
    ///
    /// The caller refuses signals that arose before [`remembers_since_s`](Self::remembers_since_s) or are dated after
    /// [`accepts_until_s`](Self::accepts_until_s).
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: it was not accepted. [`StoreError::Unknown`]: it may have been; submit it again.
    pub async fn submit(&self, signal: &NewSignal, actor: &Actor) -> Result<Submit, StoreError> {
        let answer = at(CrashPoint::Accept, asked(self.store.submit_one(signal, actor))).await?;
        match &answer {
            Submit::Accepted(_) => {
                self.record(SignalFact::Received);
                self.stirred.notify_one();
            }
            Submit::Repeated(_) => self.record(SignalFact::DuplicatePrevented),
            Submit::Folded(into) => self.folded(signal, into),
            Submit::Conflict(_) => {}
        }
        Ok(answer)
    }

    /// Works through the ledger whenever this instance leads, and keeps the totals that pages and alerts show,
    /// until the coordinator ends; returns why it did. Without a handler signals wait to be [pulled](Self::pull).
    ///
    /// Run it once for each instance. Dropping it drops what is under way: those signals are in doubt.
    pub async fn run(&self, handler: Option<Arc<dyn SignalHandler>>) -> Ended {
        // Also when this is dropped.
        let _uncounted = Uncounted(self);
        tokio::select! {
            biased;
            ended = dispatch::run(self, handler.as_deref()) => ended,
            never = self.keep_totals() => match never {},
        }
    }

    /// Claims up to `most` signals for a service that works on them itself, waiting up to `wait` for the first.
    /// Not together with a handler: [`run`](Self::run) with one would take a claim under way here for its own lost claim,
    /// and send the signal once more.
    ///
    /// Each must be [reported](Self::report), and none be executed twice, also when the answer to this call was
    /// lost: what was claimed is listed as claimed, and is in doubt when leadership changes.
    ///
    /// # Errors
    /// [`NotNow::NotLeading`], also when leadership ends during the call.
    pub async fn pull(&self, most: u16, wait: Duration) -> Result<Pulled, NotNow> {
        let until = Instant::now() + wait;
        loop {
            let token = self.active().ok_or(NotNow::NotLeading)?;
            let claim = asked(self.store.claim_signals(&token, self.settings.limits, most)).await?;
            match claim {
                // The answer may have been on its way for longer than the lease, or a failover may have lost the claim.
                SignalClaim::Claimed(signals) if self.active() != Some(token) => {
                    self.give_back(token, &signals).await;
                    return Err(NotNow::NotLeading);
                }
                SignalClaim::Claimed(signals) => {
                    for signal in &signals {
                        self.touch(&signal.id, signal.attempt);
                        self.record(SignalFact::Claimed);
                        self.record(SignalFact::Sent { waited: waited(signal) });
                    }
                    self.stirred.notify_one();
                    return Ok(Pulled { token, claim: SignalClaim::Claimed(signals) });
                }
                SignalClaim::Fenced => {
                    self.record(SignalFact::FencedWrite);
                    return Err(NotNow::NotLeading);
                }
                claim @ (SignalClaim::Empty | SignalClaim::Paused | SignalClaim::Limited(_)) => {
                    let again = until.min(Instant::now() + LOOK_AGAIN);
                    // A hint may be for another instance, and may be lost: claim again either way.
                    let _: Result<(), _> = timeout_at(again, self.store.submitted()).await;
                    if Instant::now() >= until {
                        return Ok(Pulled { token, claim });
                    }
                }
            }
        }
    }

    /// Records that claimed signals never reached the service, so that they wait again instead of being in doubt. If the
    /// ledger refuses or does not answer, the next leader finds them claimed and in doubt.
    async fn give_back(&self, token: Token, signals: &[Signal]) {
        let note = Some("leadership ended before it was handed out".to_owned());
        let report = |signal: &Signal| Report {
            id: signal.id.clone(),
            attempt: signal.attempt,
            outcome: Outcome::Received,
            note: note.clone(),
        };
        let reports: Vec<Report> = signals.iter().map(report).collect();
        let named = finding::named(&reports);
        tracing::warn!("leadership ended before claimed signals were handed out: {named}");
        // A lease that was carried to a new timeline has the claims it had, under its new token.
        let held = self.coordinator.shared.leadership.borrow().token(clock::now());
        let token = held.filter(|held| held.claim == token.claim).unwrap_or(token);
        match asked(self.store.record(&token, &reports)).await {
            Ok(Some(answers)) => {
                for _ in answers.iter().filter(|answer| **answer == Recorded::Recorded) {
                    self.settled(Outcome::Received);
                }
            }
            Ok(None) => self.write_was_fenced(&named),
            Err(error) => tracing::warn!("signals: giving back {named}: {error}"),
        }
    }

    /// Records the outcome that a service reports of a signal that it pulled, or whose outcome it had not known before. `by`
    /// is the service, for the audit; `None` is this process.
    ///
    /// # Errors
    /// [`NotNow::NotLeading`], also when leadership ends during the call.
    pub async fn report(&self, report: Report, by: Option<&Actor>) -> Result<Recorded, NotNow> {
        let token = self.active().ok_or(NotNow::NotLeading)?;
        let (id, attempt, outcome) = (report.id.clone(), report.attempt, report.outcome);
        // A report of an unknown outcome must not be taken for a lost claim.
        self.touch(&id, report.attempt);
        let Some(answers) = asked(self.store.record_by(&token, &[report], by)).await? else {
            self.write_was_fenced(&format!("{id} (attempt {attempt})"));
            return Err(NotNow::NotLeading);
        };
        let answer = answers.first().copied().unwrap_or(Recorded::Refused);
        if answer == Recorded::Recorded {
            self.settled(outcome);
            if outcome.state().is_final() {
                self.forget(&id);
            }
        }
        Ok(answer)
    }

    /// The ledger refused the outcomes of these signals.
    fn write_was_fenced(&self, named: &str) {
        self.record(SignalFact::FencedWrite);
        tracing::warn!("the ledger refused a write of this leadership: the outcome of {named}");
    }

    fn active(&self) -> Option<Token> {
        self.coordinator.shared.leadership.borrow().active(clock::now())
    }

    fn touch(&self, id: &SignalId, attempt: u32) {
        let mut touched = self.touched();
        let latest = touched.entry(id.clone()).or_default();
        *latest = attempt.max(*latest);
    }

    fn has_touched(&self, signal: &Signal) -> bool {
        self.touched().get(&signal.id).is_some_and(|latest| signal.attempt <= *latest)
    }

    /// Folding is the only decision that drops an alert that was not certainly sent before, so each one is logged.
    fn folded(&self, alert: &NewSignal, into: &Signal) {
        self.record(SignalFact::Folded);
        let hook = alert.hook.as_ref().map_or("", |hook| hook.name.as_str());
        let (at_s, into_s) = (alert.instruction.timestamp_s, into.instruction.timestamp_s);
        let state = into.state.name();
        if alert.instruction.payload == into.instruction.payload {
            tracing::info!(
                "hook {hook}: an alert with the timestamp {at_s} was folded into the signal {} ({state}) with the timestamp \
                 {into_s}",
                into.id
            );
        } else {
            tracing::warn!(
                "hook {hook}: an alert with the timestamp {at_s} and another payload was folded into the signal {} ({state}) \
                 with the timestamp {into_s}; if it was a real alert, duplicate_window is too long",
                into.id
            );
        }
    }

    /// A former leader may have sent it, or the store may have forgotten that.
    fn found_in_doubt(&self, signal: &Signal) {
        let forgotten = signal.note.as_deref().filter(|_| signal.may_be_forgotten());
        let why = forgotten.unwrap_or("its leader is gone");
        tracing::error!("signal {} is in doubt: {why}", signal.id);
        self.settled(Outcome::InDoubt);
        self.touch(&signal.id, signal.attempt);
    }

    fn forget(&self, id: &SignalId) {
        self.touched().remove(id);
    }

    /// A single insertion or removal at a time: a panic elsewhere leaves nothing half done.
    fn touched(&self) -> MutexGuard<'_, BTreeMap<SignalId, u32>> {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, fact: SignalFact) {
        self.coordinator.shared.record(Fact::Signal(fact));
    }

    fn settled(&self, outcome: Outcome) {
        self.record(SignalFact::Recorded(outcome));
        self.stirred.notify_one();
    }

    /// Keeps the totals and the newest signals for pages.
    async fn keep_signals(&self, totals: &Totals) {
        let signals = asked(newest(&*self.store, totals.in_doubt)).await;
        let now_ms = clock::calendar_ms();
        self.coordinator.shared.answers.update(|last| {
            last.facts.totals.answered(totals.clone(), now_ms);
            match signals {
                Ok(signals) => last.signals.answered(signals.into(), now_ms),
                Err(_) => last.signals.failed(now_ms),
            }
        });
    }

    fn uncounted(&self) {
        let shared = &self.coordinator.shared;
        let at_ms = clock::calendar_ms();
        shared.record(Fact::LedgerUnknown { at_ms });
        shared.answers.update(|last| last.ledger_failed(at_ms));
    }

    async fn keep_totals(&self) -> std::convert::Infallible {
        loop {
            let shared = &self.coordinator.shared;
            match asked(self.store.totals()).await {
                Ok(totals) => {
                    shared.record(Fact::Ledger { totals: totals.clone(), at_ms: clock::calendar_ms() });
                    self.keep_signals(&totals).await;
                }
                // The last totals remain exported, with their time. The election logs that the store is unavailable.
                Err(error) => {
                    tracing::debug!("the ledger's totals: {error}");
                    self.uncounted();
                }
            }
            tokio::time::sleep(TOTALS_PAUSE).await;
            let _: Result<(), _> = timeout(TOTALS_EVERY, self.stirred.notified()).await;
        }
    }
}

/// The newest signals and those in doubt, the latest first.
async fn newest(store: &dyn SignalLedger, in_doubt: u64) -> Result<Vec<Signal>, StoreError> {
    let query = |state| ListQuery { state, instrument: None, before: None, limit: SIGNALS_KEPT };
    let mut signals = store.list(&query(None)).await?;
    if in_doubt > 0 {
        signals.extend(store.list(&query(Some(StateName::InDoubt))).await?);
        signals.sort_by_key(|signal| Reverse(signal.arrival));
        signals.dedup_by_key(|signal| signal.arrival);
    }
    Ok(signals)
}

/// When it is dropped, the totals are not counted any more, so the last ones are not shown as if they were current.
struct Uncounted<'a>(&'a Ledger);

impl Drop for Uncounted<'_> {
    fn drop(&mut self) {
        self.0.uncounted();
    }
}

/// From the acceptance to the claim, both by the store's clock.
fn waited(signal: &Signal) -> Duration {
    let waited_ms = signal.claimed_ms.unwrap_or(signal.received_ms) - signal.received_ms;
    Duration::from_millis(u64::try_from(waited_ms).unwrap_or(0))
}

/// The answer, or an unknown outcome after [`ANSWER_TIME_MAX`].
async fn asked<T>(request: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let silent = |_| Err(StoreError::Unknown(format!("nothing was said for {ANSWER_TIME_MAX:?}")));
    timeout(ANSWER_TIME_MAX, request).await.unwrap_or_else(silent)
}
