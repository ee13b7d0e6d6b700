//! What a service may know and hold of the leadership.

use crate::clock;
use domain::id::InstanceId;
use domain::lease::{Epoch, Token};
use domain::member::MemberState;
use domain::recovery::Portfolio;
use domain::time::Time;
use std::sync::Arc;
use tokio::sync::watch;

/// The election as this process sees it. A value of the past: what it grants ends at its deadline, so ask
/// [`Leadership::is_active`] at the moment of acting.
// Independent observations, each of which an operator reads by itself.
#[allow(clippy::struct_excessive_bools)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leadership {
    /// What this instance is doing.
    pub state: MemberState,
    /// Who leads by the lease row.
    pub leader: Option<InstanceId>,
    /// Who holds the ticket in the leader store.
    pub ticket_holder: Option<InstanceId>,
    /// The latest epoch seen.
    pub epoch: Option<Epoch>,
    /// The leader store is configured and does not answer.
    pub fallback: bool,
    /// The state store answered the last request.
    pub state_store_answers: bool,
    /// The database's schema, when it is not the one this binary needs: then this instance does not contend.
    pub foreign_schema: Option<u32>,
    /// Work is being stopped for a handover.
    pub draining: bool,
    /// Everything was given back; this instance takes no part any more.
    pub stopped: bool,
    /// The row was read: this instance knows where it stands.
    pub started: bool,
    pub(crate) held: Option<(Token, Time)>,
}

impl Leadership {
    pub(crate) fn unknown() -> Self {
        Self {
            state: MemberState::Starting,
            leader: None,
            ticket_holder: None,
            epoch: None,
            fallback: false,
            state_store_answers: false,
            foreign_schema: None,
            draining: false,
            stopped: false,
            started: false,
            held: None,
        }
    }

    /// The token held at `now`, active or not, until its deadline.
    pub(crate) fn token(&self, now: Time) -> Option<Token> {
        self.held.filter(|(_, deadline)| now < *deadline).map(|(token, _)| token)
    }

    /// Whether this instance may act at `now`: recovered, not draining, not past its deadline.
    pub fn is_active(&self, now: Time) -> bool {
        self.active(now).is_some()
    }

    /// The token under which this instance may act at `now`.
    pub(crate) fn active(&self, now: Time) -> Option<Token> {
        let acting = self.state == MemberState::Active && !self.draining;
        self.token(now).filter(|_| acting)
    }

    /// When belief ends unless it is renewed before; only while there is a leadership.
    pub fn deadline(&self) -> Option<Time> {
        self.held.map(|(_, deadline)| deadline)
    }
}

/// The leadership is over; nothing may be done in its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this instance does not lead any more")]
pub struct LeadershipOver;

/// A leadership in hand: only [`Coordinator::run_while_leader`](crate::Coordinator::run_while_leader) gives
/// one out, and only while this instance is the active leader.
#[derive(Debug, Clone)]
pub struct Leader {
    pub(crate) token: Token,
    pub(crate) state: watch::Receiver<Leadership>,
    pub(crate) portfolio: Option<Arc<Portfolio>>,
}

impl Leader {
    /// The fencing token, checked against the clock now. Take it anew for every effect, and write the effect
    /// through a statement that checks it: between this answer and the write anything may happen, and only
    /// the database can refuse.
    ///
    /// # Errors
    /// [`LeadershipOver`] when the deadline has passed or another leadership has begun.
    pub fn fence(&self) -> Result<Token, LeadershipOver> {
        let token = self.state.borrow().active(clock::now());
        token.filter(|token| token.claim == self.token.claim).ok_or(LeadershipOver)
    }

    /// The token until the deadline, also while leadership is being handed over: for recording what became of
    /// what was begun before. Nothing is begun under it.
    pub(crate) fn held(&self) -> Result<Token, LeadershipOver> {
        let token = self.state.borrow().token(clock::now());
        token.filter(|token| token.claim == self.token.claim).ok_or(LeadershipOver)
    }

    /// The epoch of this leadership.
    pub fn epoch(&self) -> Epoch {
        self.token.epoch
    }

    /// The portfolio as it was recovered before this leadership became active.
    pub fn portfolio(&self) -> Option<&Portfolio> {
        self.portfolio.as_deref()
    }
}
