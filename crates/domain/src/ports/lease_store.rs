//! The lease: the port of the election to the state store.

use super::StoreError;
use crate::id::{ClaimId, InstanceId};
use crate::lease::{Epoch, Observation, Seq, Timeline, Token, Version};
use alloc::boxed::Box;
use alloc::string::String;
use async_trait::async_trait;
use core::time::Duration;

/// Answer to a claim of the lease.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Claim {
    /// The claimer holds the lease under this token, with [`Seq`] 0.
    Granted(Token),
    /// The lease had changed since it was observed; nothing was written.
    Lost,
}

/// Answer to a renewal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Renewal {
    /// The lease has the new sequence number, on this timeline.
    Renewed {
        /// The timeline that the renewal named, to which the lease was carried if it was on an older one.
        timeline: Timeline,
        /// The reason of a request to hand over, if there is one.
        resign: Option<String>,
        /// The store has forgotten: the lease was on an older timeline, or had a smaller seq than this store object knows
        /// it to have reached. The store has noted the moment.
        forgotten: bool,
    },
    /// Another claim holds the lease, it was released, or it has a later write; nothing was written.
    Superseded,
    /// The store is on this timeline, and the renewal named another one; nothing was written. Does not show who holds
    /// the lease.
    OtherTimeline(Timeline),
}

/// Answer to a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Release {
    /// Every instance may claim the lease.
    Released,
    /// Another claim holds the lease; nothing was written.
    Superseded,
}

/// Answer to a report that the store has forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Noted {
    /// The lease has the moment and the epoch; its holder finds both with its next renewal.
    Noted,
    /// That token no longer holds the lease; nothing was written.
    Superseded,
}

/// What a claim writes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClaimRequest {
    /// The lease as it was observed; a claim of anything else loses.
    pub observed: Version,
    /// The fresh claim.
    pub claim: ClaimId,
    /// The instance that claims.
    pub holder: InstanceId,
    /// LEADER_TTL of the claimer, for which every other instance then waits.
    pub ttl: Duration,
    /// The highest epoch that the claimer has ever seen in the group, or has requested. The store may have forgotten it
    /// (an older backup, a standby that lagged); the new epoch is nevertheless above it (M22).
    pub floor: Epoch,
    /// The store is known to have forgotten: the claimer has seen a later lease than this one, or the lease is from
    /// another timeline. What may have been executed before is looked up before it is sent.
    pub forgotten: bool,
    /// How the former term ended unless its holder released the lease. For the history; no rule reads it.
    pub former: FormerTerm,
}

/// The end of a term whose holder did not release the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FormerTerm {
    /// The lease was unchanged for its ttl and the margin.
    Expired,
    /// The kernel has reported the end of its process (M24).
    ProcessEnded,
}

impl FormerTerm {
    /// The end that a reason in the history names; `None` if the holder released the lease.
    pub fn named(reason: &str) -> Option<Self> {
        [Self::Expired, Self::ProcessEnded].into_iter().find(|former| former.reason() == reason)
    }

    /// The reason of the term's end in the history.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::ProcessEnded => "process ended",
        }
    }
}

impl ClaimRequest {
    /// The epoch of the term that this claim begins, if it is granted.
    pub fn epoch(&self) -> Epoch {
        self.observed.token.epoch.max(self.floor).next()
    }
}

/// The lease of one group: the row that decides who leads. Only the election uses it.
///
/// Its methods run on connections that nothing else uses, so that no other load delays a renewal.
#[async_trait]
pub trait LeaseStore: Send + Sync {
    /// Reads the lease, the current timeline and the schema version in one statement.
    /// [`StoreError::Corrupt`] when the lease is missing or has a value out of range;
    /// [`StoreError::Unavailable`] on a standby.
    async fn observe(&self) -> Result<Observation, StoreError>;

    /// Acquires the lease if it is exactly as observed, timeline of the store included: the epoch above both the lease's
    /// and the request's floor ([`ClaimRequest::epoch`]), seq 0, `released` false, this claim, on the current timeline.
    /// Closes the previous term of the history (reason [`FormerTerm::reason`] unless it was released) and opens the next, in the same
    /// statement. Hints others.
    async fn claim(&self, request: &ClaimRequest) -> Result<Claim, StoreError>;

    /// Writes `seq` into the lease if the store is on the timeline `current`, the token is the lease's, it is not
    /// released, and the lease's seq is below `seq`. Carries the lease to that timeline. Hints others.
    ///
    /// The comparison of the timeline is rule M20: a renewal that was sent before a promotion and arrives after it
    /// must not revive the lease on the new timeline, because the promotion may have lost a later claim.
    ///
    /// A store object remembers the largest seq that was acknowledged ([`Reached`](crate::lease::Reached)). While the
    /// lease has a smaller one, which is an older copy, no effect of the token is accepted (rule M23); the next renewal
    /// writes the lease again, and notes in the same statement that the store has forgotten.
    ///
    /// [`StoreError::Corrupt`] when the lease is missing: no other instance holds it.
    async fn renew(&self, token: &Token, seq: Seq, current: Timeline) -> Result<Renewal, StoreError>;

    /// Releases the lease, under the same guards as a renewal, and closes the term with `reason`. Does not carry the
    /// lease to another timeline: a late release on a promoted standby that lags must not open a lease that is still
    /// valid for its later holder. Hints others.
    async fn release(&self, token: &Token, seq: Seq, reason: &str) -> Result<Release, StoreError>;

    /// Notes that the store has forgotten, for an instance that has seen a later lease than this one, which `found` holds:
    /// the moment, as a claim with [`ClaimRequest::forgotten`] does, and `known`, the highest epoch that the instance
    /// knows of, unless the lease's [`Observation::floor`] is above it. The answer to the holder's next renewal reports
    /// that the store has forgotten. Changes no other column. Hints others.
    async fn note_forgotten(&self, found: &Token, known: Epoch) -> Result<Noted, StoreError>;

    /// Resolves when another process may have written the lease since the last call. May resolve without a
    /// change and may miss one: a hint only makes things fast. Never fails; reconnects automatically.
    /// Cancellation safe: a hint that arrived between two calls is delivered to the next one.
    async fn changed(&self);
}
