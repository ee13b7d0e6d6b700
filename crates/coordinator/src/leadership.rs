//! The election as this process sees it: the value that the driver publishes after each step.

use domain::id::InstanceId;
use domain::lease::{Epoch, Token};
use domain::member::MemberState;
use domain::time::Time;

/// The election as this process sees it. A value of the past: what it grants ends at its deadline, so call
/// [`Leadership::is_active`] at the moment of acting.
// Independent observations, each of which an operator reads separately.
#[allow(clippy::struct_excessive_bools)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leadership {
    /// What this instance is doing.
    pub state: MemberState,
    /// The holder of the lease.
    pub leader: Option<InstanceId>,
    /// The holder of the ticket in the leader store.
    pub ticket_holder: Option<InstanceId>,
    /// The latest epoch seen. It never decreases, also when the store forgets.
    pub epoch: Option<Epoch>,
    /// The leader store is configured and does not answer.
    pub fallback: bool,
    /// The state store answered the last request.
    pub state_store_answers: bool,
    /// The database's schema, when it is not the one this binary needs: then this instance does not contend.
    pub foreign_schema: Option<u32>,
    /// Work is being stopped for a handover.
    pub draining: bool,
    /// This instance has released what it held, and takes no part any more.
    pub stopped: bool,
    /// The lease was read at least once.
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

    /// The token under which this instance may act at `now`, and when the lease stops being valid unless it is renewed
    /// before.
    pub fn acting(&self, now: Time) -> Option<(Token, Time)> {
        self.active(now).zip(self.deadline())
    }

    /// When the lease stops being valid unless it is renewed before; only while there is a leadership.
    pub fn deadline(&self) -> Option<Time> {
        self.held.map(|(_, deadline)| deadline)
    }
}
