//! [`Leader`]: one leadership, as the work that runs under it sees it.
//! [`Coordinator::run_while_leader`](crate::Coordinator) creates one for each term; it grants nothing after that term.

use crate::clock::{self, Alarm};
use crate::error::LeadershipOver;
use crate::leadership::Leadership;
use domain::lease::{Epoch, Token, margin};
use domain::recovery::{Portfolio, Recovered};
use domain::time::Time;
use std::io;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The latest moment at which work under a leadership is dropped.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    /// When it is being handed over.
    HandedOver,
    /// When its deadline is near, or the lease is no longer held.
    Deadline,
}

/// One leadership of this instance. Only [`Coordinator::run_while_leader`](crate::Coordinator::run_while_leader) gives
/// one out, and only while this instance is the active leader. Clones are the same leadership; give them to tasks.
#[derive(Debug, Clone)]
pub struct Leader {
    pub(crate) token: Token,
    pub(crate) state: watch::Receiver<Leadership>,
    recovered: Option<Recovered>,
    /// Work is not begun, and not continued, when the deadline is nearer than this.
    notice_period: Duration,
    /// Cancelled when the work under this leadership has ended.
    pub(crate) ended: CancellationToken,
}

impl Leader {
    pub(crate) fn new(
        token: Token,
        state: watch::Receiver<Leadership>,
        recovered: Option<Recovered>,
        ttl: Duration,
    ) -> Self {
        Self { token, state, recovered, notice_period: margin(ttl), ended: CancellationToken::new() }
    }

    /// The fencing token, checked against the clock now. Take it anew for every effect, and write the effect
    /// through a statement that checks it: this process may be stopped between this answer and the write, and then only
    /// the database can refuse.
    ///
    /// # Errors
    /// [`LeadershipOver`] when the deadline has passed, a handover has begun, or another leadership has begun.
    pub fn token(&self) -> Result<Token, LeadershipOver> {
        let token = self.state.borrow().active(clock::now());
        token.filter(|token| token.claim == self.token.claim).ok_or(LeadershipOver)
    }

    /// The token until the deadline, also while leadership is being handed over: for recording the outcome of what was
    /// begun before. Nothing may be begun under it.
    pub(crate) fn held(&self) -> Result<Token, LeadershipOver> {
        let token = self.state.borrow().token(clock::now());
        token.filter(|token| token.claim == self.token.claim).ok_or(LeadershipOver)
    }

    /// The time at which the lease stops being valid unless it is renewed before: `sent + ttl - margin`. Each renewal
    /// moves it. Compare it with [`clock::now`]; the work is dropped one margin before it.
    ///
    /// # Errors
    /// [`LeadershipOver`] when it has passed, or the lease was released.
    pub fn deadline(&self) -> Result<Time, LeadershipOver> {
        let seen = self.state.borrow();
        let held = seen.token(clock::now()).filter(|token| token.claim == self.token.claim);
        held.and(seen.deadline()).ok_or(LeadershipOver)
    }

    /// Returns at the moment at which the work of this leadership must stop: when a handover begins, when another
    /// instance has superseded this one, and at the latest one margin before the deadline. For a task that the work has
    /// spawned; the work itself is dropped then. Cancellation safe.
    pub async fn lost(&self) {
        // Without a timer nothing can be promised, so the leadership counts as lost.
        let Ok(mut alarm) = Alarm::new() else { return };
        let _ = self.over(Until::HandedOver, &mut alarm).await;
    }

    /// A token that is cancelled when the work under this leadership ends: when it is dropped because the leadership is
    /// over, and when it returns. Give it to the tasks that the work spawns. Cancelling it affects no other copy.
    ///
    /// The lease is released after it was cancelled, and without waiting for the tasks: each of them must take the
    /// [`token`](Self::token) before every effect.
    #[must_use]
    pub fn cancellation_token(&self) -> CancellationToken {
        self.ended.child_token()
    }

    /// The epoch of this leadership.
    pub fn epoch(&self) -> Epoch {
        self.token.epoch
    }

    /// The portfolio as it was recovered before this leadership became active; `None` unless the coordinator was built
    /// with the [recovery](crate::Builder::recovery) of one.
    pub fn portfolio(&self) -> Option<&Portfolio> {
        self.recovered.as_ref().and_then(Recovered::portfolio)
    }

    /// Returns when this leadership is over or is about to be.
    pub(crate) async fn over(&self, until: Until, alarm: &mut Alarm) -> io::Result<()> {
        let mut seen = self.state.clone();
        loop {
            let until = {
                let seen = seen.borrow_and_update();
                let soon = clock::now() + self.notice_period;
                let goes_on = match until {
                    Until::HandedOver => seen.active(soon),
                    Until::Deadline => seen.token(soon),
                };
                goes_on.filter(|now| now.claim == self.token.claim).and(seen.deadline())
            };
            let Some(until) = until.map(|deadline| deadline - self.notice_period) else { return Ok(()) };
            tokio::select! {
                biased;
                changed = seen.changed() => if changed.is_err() {
                    // The coordinator is gone.
                    return Ok(());
                },
                rung = alarm.at(until) => rung?,
            }
        }
    }
}
