//! The handle of a service on its instance: it reports, and it runs the service's work under leaderships. It decides
//! nothing; the driver does. Work must be dropped before the lease can be valid for another instance.

use crate::clock::{self, Alarm};
use crate::error::{Ended, NotLeading};
use crate::leader::{Leader, Until};
use crate::leadership::Leadership;
use crate::notice::Notice;
use crate::shared::Shared;
use domain::alert::Report;
use domain::election::Resign;
use domain::id::InstanceId;
use domain::lease::{Token, margin};
use domain::metrics::{AccessRefusal, Fact, Urgent};
use domain::overview::{LastAnswers, Samples};
use domain::recovery::{Recovered, RecoveryFault};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, watch};
use tokio_util::sync::DropGuard;
use tracing::Instrument;

/// One instance of one group, running in the background. Clones are the same instance.
///
/// Dropping every handle does not stop it: call [`Coordinator::shutdown`] to hand over cleanly.
#[derive(Clone)]
pub struct Coordinator {
    pub(crate) shared: Arc<Shared>,
    pub(crate) requests: mpsc::Sender<Resign>,
    pub(crate) ended: watch::Sender<Option<Result<(), Ended>>>,
}

impl fmt::Debug for Coordinator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let leadership = self.shared.leadership.borrow();
        f.debug_struct("Coordinator")
            .field("id", self.id())
            .field("leadership", &*leadership)
            .finish_non_exhaustive()
    }
}

impl Coordinator {
    /// The id of this instance.
    pub fn id(&self) -> &InstanceId {
        &self.shared.settings.id
    }

    /// The election as it changes. A receiver sees the latest value, not every one in between. Copy what you need
    /// out of a borrow: the election waits for a borrow that is kept.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.shared.leadership.subscribe()
    }

    /// Role changes from now on, in order. A listener that lags 256 notices behind loses the oldest.
    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        self.shared.notices.subscribe()
    }

    /// Events that operators must know at once, from now on, each with its time in Unix milliseconds. A listener that
    /// lags 64 events behind loses the oldest; the metrics count them all.
    pub fn urgent(&self) -> broadcast::Receiver<(Urgent, i64)> {
        self.shared.urgent.subscribe()
    }

    /// Metrics and alerts of this moment; `None` before the lease was read for the first time.
    pub fn report(&self) -> Option<Report> {
        let started = self.shared.leadership.borrow().started;
        started.then(|| self.shared.report())
    }

    /// The last answers of the stores, as they change. While a store does not answer, its last answer remains, with the
    /// time since when the present state is unknown.
    pub fn last_answers(&self) -> watch::Receiver<Arc<LastAnswers>> {
        self.shared.answers.last.subscribe()
    }

    /// The measurements of the last hour, one sample for each minute.
    pub fn samples(&self) -> Arc<Samples> {
        self.shared.answers.samples.borrow().clone()
    }

    /// The result of the last crash recovery; `None` before the first one.
    pub fn recovered(&self) -> Option<Result<Recovered, RecoveryFault>> {
        self.shared.recovered.borrow().clone()
    }

    /// A number that grows several times a second while the thread of the election is not blocked. For watchdogs: a
    /// process whose number does not change cannot renew a lease. It stops with the election.
    pub fn election_turns(&self) -> u64 {
        self.shared.election_turns.load(Relaxed)
    }

    /// Counts a request to the pages that was refused for its credential.
    pub fn access_refused(&self, why: AccessRefusal) {
        self.shared.record(Fact::AccessRefused(why));
    }

    /// Whether this instance could take over if the leader were gone now.
    ///
    /// # Errors
    /// The reason why it could not, in a sentence.
    pub fn ready(&self) -> Result<(), String> {
        let seen = self.shared.leadership.borrow();
        if let Some(Err(ended)) = &*self.ended.borrow() {
            return Err(ended.to_string());
        }
        if seen.stopped {
            return Err("stopped".into());
        }
        if !seen.started {
            return Err(self.shared.why_not_started());
        }
        if let Some(found) = seen.foreign_schema {
            let needed = self.shared.settings.schema;
            return Err(format!("the database has schema {found}, this binary needs {needed}"));
        }
        if !seen.state_store_answers {
            return Err(self.shared.why_no_store());
        }
        // A leader has its number already.
        if let Some(why) = self.shared.ability.missing().filter(|_| !seen.state.leads()) {
            return Err(format!("this instance cannot lead: {why}"));
        }
        match &*self.shared.recovered.borrow() {
            // Without the findings, which have figures of the portfolio: a probe needs no credential.
            Some(Err(fault)) => {
                let code = fault.code.as_str();
                Err(format!(
                    "crash recovery failed with {code}: `coordinator recovery check` shows the findings"
                ))
            }
            Some(Ok(_)) | None => Ok(()),
        }
    }

    /// Whether this instance is the active leader now. For display and for routing requests: before an effect, take the
    /// [`Leader::token`].
    pub fn is_leader(&self) -> bool {
        self.shared.leadership.borrow().is_active(clock::now())
    }

    /// Runs `work` whenever this instance is the active leader, and drops it when it no longer is, one
    /// margin before the deadline at the latest. Returns what `work` returns, if this instance still leads then.
    ///
    /// If the work returns after its leadership has ended, for example because [`Leader::token`] refused, its result is
    /// discarded, and `work` is called again with the next leadership.
    ///
    /// Dropping takes effect at the next `.await` of the work. Work that computes for long must take the
    /// [`Leader::token`] before every effect. Tasks that it spawns must do so too; they should also end with
    /// [`Leader::cancellation_token`] or [`Leader::lost`]. Cancellation safe: dropping this future drops the work.
    ///
    /// In a spawned task, give it an `async move` closure: the compiler does not prove that the future of a closure
    /// that borrows from its task is `Send`.
    ///
    /// # Errors
    /// [`Ended::Stopped`] after a clean stop, otherwise why the coordinator cannot continue.
    pub async fn run_while_leader<T>(&self, mut work: impl AsyncFnMut(Leader) -> T) -> Result<T, Ended> {
        let mut alarm = new_alarm()?;
        loop {
            let term = self.next_term().await?;
            let work = work(term.leader.clone());
            if let Some(done) = term.run(work, Until::HandedOver, &mut alarm).await? {
                return Ok(done);
            }
        }
    }

    /// As [`run_while_leader`](Self::run_while_leader), but a handover does not drop the work: [`Leader::token`]
    /// refuses then and [`Leader::lost`] returns, and the work may finish what it has begun. It is dropped when the
    /// deadline is near, or when the lease was released because the work took too long. Returns when the work has
    /// returned or was dropped.
    ///
    /// # Errors
    /// [`Ended::Stopped`] after a clean stop, otherwise why the coordinator cannot continue.
    // Not `AsyncFnMut`: a future of one that borrows is not known to be `Send` for every lifetime.
    pub async fn run_until_handed_over<F>(&self, work: impl FnOnce(Leader) -> F) -> Result<(), Ended>
    where
        F: Future<Output = ()>,
    {
        let mut alarm = new_alarm()?;
        let term = self.next_term().await?;
        let work = work(term.leader.clone());
        term.run(work, Until::Deadline, &mut alarm).await.map(drop)
    }

    /// Waits until work may begin under a leadership.
    async fn next_term(&self) -> Result<Term<'_>, Ended> {
        let token = self.activated().await?;
        let recovered = self.recovered().and_then(Result::ok);
        let leader = Leader::new(token, self.leadership(), recovered, self.shared.settings.ttl);
        let cancels = leader.ended.clone().drop_guard();
        Ok(Term { leader, _cancels: cancels, _running: Running::begin(&self.shared.works) })
    }

    /// Hands over: this instance stops its work, releases the lease, and does not claim it for three heartbeats.
    /// Returns when its lease is no longer valid; the release follows. Dropping the future may leave the request in
    /// effect.
    ///
    /// # Errors
    /// [`NotLeading`] when this instance does not lead.
    pub async fn step_down(&self, reason: impl Into<String>) -> Result<(), NotLeading> {
        let mut seen = self.leadership();
        let token = seen.borrow_and_update().token(clock::now()).ok_or(NotLeading)?;
        let request = Resign::StepDown { reason: reason.into() };
        self.requests.send(request).await.map_err(|_| NotLeading)?;
        let over = |now: &Leadership| now.held.is_none_or(|(held, _)| held.claim != token.claim);
        // The sender lives as long as `self`.
        let _ = seen.wait_for(over).await;
        Ok(())
    }

    /// Hands over if it leads, releases what it holds and ends. Returns when that is done; it takes at most a few
    /// heartbeats, even if the stores do not answer. Dropping the future may leave the request in effect.
    pub async fn shutdown(&self) {
        // Fails when it has ended already.
        let _ = self.requests.send(Resign::Stop).await;
        // Callers of `ended` get the error.
        let _ = self.ended().await;
    }

    /// Returns when the coordinator has ended, by [`shutdown`](Self::shutdown) or with an error.
    ///
    /// # Errors
    /// Why it cannot continue.
    pub async fn ended(&self) -> Result<(), Ended> {
        let mut ended = self.ended.subscribe();
        let outcome = ended.wait_for(Option::is_some).await.map(|outcome| outcome.clone());
        match outcome {
            Ok(Some(outcome)) => outcome,
            // `self` holds the sender and the closure saw `Some`.
            Ok(None) | Err(_) => Err(Ended::Failed("the coordinator vanished".into())),
        }
    }

    /// Work is not begun when the deadline is nearer than this.
    fn notice_period(&self) -> Duration {
        margin(self.shared.settings.ttl)
    }

    async fn activated(&self) -> Result<Token, Ended> {
        let mut seen = self.leadership();
        loop {
            let (token, stopped) = {
                let seen = seen.borrow_and_update();
                (seen.active(clock::now() + self.notice_period()), seen.stopped)
            };
            if let Some(token) = token {
                return Ok(token);
            }
            if stopped {
                self.ended().await?;
                return Err(Ended::Stopped);
            }
            // The sender lives as long as `self`.
            let _ = seen.changed().await;
        }
    }
}

/// A leadership while work runs under it. When it is dropped, the tasks of the work are cancelled, and then the work
/// counts as ended.
struct Term<'a> {
    leader: Leader,
    _cancels: DropGuard,
    _running: Running<'a>,
}

impl Term<'_> {
    /// Runs `work` until it or the leadership ends; `None` when the leadership ended before the work.
    async fn run<T>(
        self,
        work: impl Future<Output = T>,
        until: Until,
        alarm: &mut Alarm,
    ) -> Result<Option<T>, Ended> {
        let term = tracing::info_span!("term", epoch = self.leader.epoch().0);
        tokio::select! {
            biased;
            over = self.leader.over(until, alarm) => over.map(|()| None).map_err(failed),
            // A poll may have begun under the leadership and ended after it.
            done = work.instrument(term) => Ok(self.leader.token().is_ok().then_some(done)),
        }
    }
}

fn new_alarm() -> Result<Alarm, Ended> {
    Alarm::new().map_err(failed)
}

/// The kernel has no timer left.
#[expect(clippy::needless_pass_by_value, reason = "as `map_err` has it")]
fn failed(error: io::Error) -> Ended {
    Ended::Failed(error.to_string())
}

/// Counts a piece of work for as long as it lives, also when it is dropped in the middle.
struct Running<'a>(&'a watch::Sender<usize>);

impl<'a> Running<'a> {
    fn begin(works: &'a watch::Sender<usize>) -> Self {
        works.send_modify(|running| *running += 1);
        Self(works)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|running| *running -= 1);
    }
}
