//! What the two lanes have in common. A lane is what this instance knows of one store, with at most one request to it
//! under way. It changes nothing but itself: it says what is due, sends it, and returns what the answer means. Only the
//! elector changes the role.

use super::config::Config;
use super::role::Role;
use crate::time::Time;

/// What a lane may read of the rest of the elector.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) config: &'a Config,
    pub(super) role: &'a Role,
    /// The process is to end: nothing new begins.
    pub(super) stopping: bool,
    /// No attempt to lead before this.
    pub(super) keep_out: Time,
    /// When a candidate claims the lease: with its ticket, or when waiting for one makes no sense any more.
    pub(super) claim: Due,
}

/// When there is something to do, if no event comes before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// At once.
    Now,
    /// At that time.
    At(Time),
    /// Only an event can change anything.
    OnEvent,
}

impl Due {
    pub(super) fn is_reached(self, now: Time) -> bool {
        match self {
            Self::Now => true,
            Self::At(at) => now >= at,
            Self::OnEvent => false,
        }
    }

    /// When to wake for it; what is due at once is due since the beginning.
    pub(super) fn time(self) -> Option<Time> {
        match self {
            Self::Now => Some(Time::ZERO),
            Self::At(at) => Some(at),
            Self::OnEvent => None,
        }
    }
}

impl From<Option<Time>> for Due {
    fn from(at: Option<Time>) -> Self {
        at.map_or(Self::OnEvent, Self::At)
    }
}
