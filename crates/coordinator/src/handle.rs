//! The handle that a service holds.

use crate::builder::{Builder, Ended};
use crate::clock::{self, Alarm};
use crate::leadership::{Leader, Leadership};
use crate::notice::Notice;
use crate::shared::Shared;
use domain::alert::Report;
use domain::election::Resign;
use domain::id::InstanceId;
use domain::lease::{Token, margin};
use domain::metrics::Urgent;
use domain::ports::StateStore;
use domain::recovery::{Recovered, RecoveryFault};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, watch};

/// One instance of one group, running in the background. Clones are the same instance.
///
/// Dropping every handle does not stop it: call [`Coordinator::shutdown`] to hand over cleanly.
#[derive(Clone)]
pub struct Coordinator {
    pub(crate) shared: Arc<Shared>,
    pub(crate) requests: mpsc::Sender<Resign>,
    pub(crate) ended: watch::Sender<Option<Result<(), Ended>>>,
}

/// A step-down was asked of an instance that does not lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this instance does not lead, so it has nothing to hand over")]
pub struct NotLeading;

impl Coordinator {
    /// Settings for the instance that `state_store` was opened for: the group, the id, the nonce, the host and LEADER_TTL
    /// are those of its [`Identity`](domain::identity::Identity). Draw the nonce with
    /// [`fresh_nonce`](crate::fresh_nonce), and open every other store of the process with the same identity.
    pub fn builder(state_store: Arc<dyn StateStore>) -> Builder {
        Builder::new(state_store)
    }

    /// Who this instance is.
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

    /// What people are to know at once, from now on, each with its time in unix milliseconds. A listener that lags 64
    /// behind loses the oldest; the metrics count them all.
    pub fn urgent(&self) -> broadcast::Receiver<(Urgent, i64)> {
        self.shared.urgent.subscribe()
    }

    /// Metrics and alerts of this moment; `None` before the lease row was read for the first time.
    pub fn report(&self) -> Option<Report> {
        let started = self.shared.leadership.borrow().started;
        started.then(|| self.shared.report())
    }

    /// How the last crash recovery ended; `None` before there was one.
    pub fn recovered(&self) -> Option<Result<Recovered, RecoveryFault>> {
        self.shared.recovered.borrow().clone()
    }

    /// Whether this instance could take over if the leader vanished now.
    ///
    /// # Errors
    /// Why not, in a sentence.
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
        // A leader keeps its number as it is.
        if let Some(why) = self.shared.ability.missing().filter(|_| !seen.state.leads()) {
            return Err(format!("this instance cannot lead: {why}"));
        }
        match &*self.shared.recovered.borrow() {
            Some(Err(fault)) => Err(fault.to_string()),
            Some(Ok(_)) | None => Ok(()),
        }
    }

    /// Runs `work` whenever this instance is the active leader, and drops it when it is not any more, a
    /// margin before the deadline at the latest. Returns what `work` returns, if this instance still leads then.
    ///
    /// Work that ends after its leadership, because [`Leader::fence`] refused, has no result: as if it had been
    /// dropped, `work` is called again with the next leadership.
    ///
    /// Dropping takes effect at the next `.await` of the work: work that computes for long, or that leaves
    /// tasks behind, must ask [`Leader::fence`] before every effect. Cancellation safe: dropping this future
    /// drops the work.
    ///
    /// # Errors
    /// [`Ended::Stopped`] after a clean stop, else why the coordinator cannot go on.
    pub async fn run_while_leader<W, F, T>(&self, mut work: W) -> Result<T, Ended>
    where
        W: FnMut(Leader) -> F,
        F: Future<Output = T>,
    {
        let mut alarm = Alarm::new().map_err(|error| Ended::Failed(error.to_string()))?;
        loop {
            if let Some(done) = self.lead_once(&mut work, Until::HandedOver, &mut alarm).await? {
                return Ok(done);
            }
        }
    }

    /// As [`run_while_leader`](Self::run_while_leader), but the work sees a handover itself ([`Leader::fence`] says
    /// no) and may finish what it has begun ([`Leader::held`] says yes): it is dropped when the deadline is near, or
    /// when the row was given back because it took too long. Returns when the work does, and when it was dropped.
    pub(crate) async fn run_until_handed_over<W, F>(&self, mut work: W) -> Result<(), Ended>
    where
        W: FnMut(Leader) -> F,
        F: Future<Output = ()>,
    {
        let mut alarm = Alarm::new().map_err(|error| Ended::Failed(error.to_string()))?;
        self.lead_once(&mut work, Until::Deadline, &mut alarm).await.map(drop)
    }

    /// Waits for a leadership and works under it; `None` when the leadership ended before the work.
    async fn lead_once<W, F, T>(
        &self,
        work: &mut W,
        until: Until,
        alarm: &mut Alarm,
    ) -> Result<Option<T>, Ended>
    where
        W: FnMut(Leader) -> F,
        F: Future<Output = T>,
    {
        let token = self.activated().await?;
        let recovered = self.recovered().and_then(Result::ok);
        let leader = Leader { token, state: self.leadership(), recovered };
        let running = Running::begin(&self.shared.works);
        let done = tokio::select! {
            biased;
            over = self.over(token, until, alarm) => over.map(|()| None),
            // A poll may have begun under the leadership and ended after it.
            done = work(leader.clone()) => Ok(leader.fence().is_ok().then_some(done)),
        };
        drop(running);
        done
    }

    /// Hands over: the work is stopped, the row given back, and this instance stays out for three heartbeats.
    /// Returns when the row was given back or leadership ended otherwise.
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

    /// Hands over if it leads, gives everything back and ends. Returns when that is done; it takes at most a
    /// few heartbeats, also when the stores do not answer.
    pub async fn shutdown(&self) {
        // Fails when it has ended already.
        let _ = self.requests.send(Resign::Stop).await;
        // An error was told to whoever asked for `ended`.
        let _ = self.ended().await;
    }

    /// Returns when the coordinator has ended, by [`shutdown`](Self::shutdown) or for good reason.
    ///
    /// # Errors
    /// Why it cannot go on.
    pub async fn ended(&self) -> Result<(), Ended> {
        let mut ended = self.ended.subscribe();
        let outcome = ended.wait_for(Option::is_some).await.map(|outcome| outcome.clone());
        match outcome {
            Ok(Some(outcome)) => outcome,
            // `self` holds the sender and the closure saw `Some`.
            Ok(None) | Err(_) => Err(Ended::Failed("the coordinator vanished".into())),
        }
    }

    /// Work is not begun, and not gone on with, when the deadline is nearer than this.
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

    /// Returns when the leadership of `token` is over or is about to be.
    async fn over(&self, token: Token, until: Until, alarm: &mut Alarm) -> Result<(), Ended> {
        let mut seen = self.leadership();
        loop {
            let until = {
                let seen = seen.borrow_and_update();
                let soon = clock::now() + self.notice_period();
                let goes_on = match until {
                    Until::HandedOver => seen.active(soon),
                    Until::Deadline => seen.token(soon),
                };
                goes_on.filter(|now| now.claim == token.claim).and(seen.deadline())
            };
            let Some(until) = until.map(|deadline| deadline - self.notice_period()) else { return Ok(()) };
            tokio::select! {
                biased;
                _ = seen.changed() => {}
                rung = alarm.at(until) => rung.map_err(|error| Ended::Failed(error.to_string()))?,
            }
        }
    }
}

/// When work under a leadership is dropped, at the latest.
#[derive(Debug, Clone, Copy)]
enum Until {
    /// When it is being handed over.
    HandedOver,
    /// When its deadline is near, or it was given back.
    Deadline,
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
