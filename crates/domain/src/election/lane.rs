//! What the two lanes have in common. A lane is what this instance knows of one store, with at most one request to it
//! under way. It changes nothing but itself: it says what is due, sends it, and returns what the answer means. Only the
//! elector changes the role.

use super::config::Config;
use super::hints::Cause;
use super::role::Role;
use crate::lease::{Timeline, Token};
use crate::time::Time;
use alloc::string::String;

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

/// What to send to the state store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeaseWork {
    /// Give up a lease.
    Release,
    /// Keep the lease.
    Renew,
    /// Report that the store has forgotten.
    Note,
    /// Take the lease.
    Claim,
    /// Read the lease, for this cause.
    Read(Cause),
}

/// What an answer of the state store means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LeaseNews {
    /// Nothing that concerns the role.
    Nothing,
    /// This instance leads until `deadline`, by a claim sent at `sent`.
    Granted { token: Token, sent: Time, deadline: Time },
    /// The attempt to lead has ended without a term.
    AttemptFailed(Attempt),
    /// A renewal sent at `sent` was carried out.
    Renewed { timeline: Timeline, sent: Time, forgotten: bool, resign: Option<String> },
    /// The leader's own lease was read: it is unchanged, but somebody may have requested a handover.
    StillMine { resign: Option<String> },
    /// A renewal whose answer was lost has carried the lease to this timeline.
    CarriedOver(Timeline),
    /// Another instance holds the lease, or nobody.
    Superseded,
    /// The store has answered a renewal, and cannot have the lease.
    Damaged,
    /// The lease of that token is free for others.
    Released(Token),
}

/// How an attempt to lead has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    /// Another instance was quicker, or the grant was learned too late.
    Lost,
    /// The state store did not answer; the claim may have been carried out.
    Unknown,
    /// This instance cannot store the epoch of a claim.
    NotSent,
}
