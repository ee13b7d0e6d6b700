//! The parts that both lanes share. A lane holds what this instance knows of one store, with at most one call to it
//! in progress. A lane changes only itself: it computes what is due, sends it, and returns the meaning of the answer.
//! Only the elector changes the role.

use super::config::Config;
use super::hints::Cause;
use super::role::Role;
use crate::lease::{Timeline, Token};
use crate::time::Time;
use alloc::string::String;

/// The values of the elector that a lane may read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) config: &'a Config,
    pub(super) role: &'a Role,
    /// The process is stopping: nothing new begins.
    pub(super) stopping: bool,
    /// No attempt to lead before this time.
    pub(super) keep_out: Time,
    /// The time when a candidate claims the lease: with its ticket, or when waiting for a ticket no longer makes
    /// sense.
    pub(super) claim: Due,
}

/// The time when there is work to do, if no event comes before.
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

    /// The wakeup time. Work that is due at once has been due since [`Time::ZERO`].
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

/// Work of the lease lane: a request to the state store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeaseWork {
    /// Release a lease.
    Release,
    /// Renew the lease.
    Renew,
    /// Report that the store has forgotten.
    Note,
    /// Claim the lease.
    Claim,
    /// Read the lease, for this cause.
    Read(Cause),
}

/// Meaning of an answer of the state store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LeaseNews {
    /// No effect on the role.
    Nothing,
    /// This instance leads until `deadline`, under a claim that was sent at `sent`.
    Granted { token: Token, sent: Time, deadline: Time },
    /// The attempt to lead has ended without a term.
    AttemptFailed(Attempt),
    /// A renewal that was sent at `sent` was carried out.
    Renewed { timeline: Timeline, sent: Time, forgotten: bool, resign: Option<String> },
    /// The leader has read its own lease: it is unchanged. `resign` holds a request to hand over.
    StillMine { resign: Option<String> },
    /// A renewal whose answer was lost has carried the lease to this timeline.
    CarriedOver(Timeline),
    /// Another instance holds the lease, or it is released.
    Superseded,
    /// The store has answered a renewal with `Corrupt`: it cannot have the lease.
    Damaged,
    /// The lease of that token is open for others.
    Released(Token),
}

/// Result of a failed attempt to lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    /// Another instance was quicker, or the answer came too late.
    Lost,
    /// The state store did not answer; it may have carried out the claim.
    Unknown,
    /// This instance cannot store the epoch of a claim.
    NotSent,
}
