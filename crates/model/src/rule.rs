//! Rules of the stores' statements; a mutant breaks each of them.

/// A rule of a statement. The shipped statements keep all of them; a mutant breaks one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// A claim compares the write count of the lease, not only its epoch (M3).
    ClaimComparesSeq,
    /// A claim compares the store's present timeline with the observed one.
    ClaimComparesTimeline,
    /// A claim compares the token of the lease with the observed one.
    ClaimComparesToken,
    /// A claim raises the epoch.
    ClaimRaisesEpoch,
    /// A late renewal does not win over a later write (M2).
    RenewalComparesSeq,
    /// A renewal compares the store's present timeline with the one that its sender knows (M20).
    RenewalComparesTimeline,
    /// A release compares the token.
    ReleaseComparesClaim,
    /// An effect compares the claim, not only the epoch (M11).
    EffectComparesClaim,
    /// An effect needs a lease on the store's present timeline (M10).
    EffectComparesTimeline,
    /// The fence refuses an effect once the lease is released.
    EffectRefusesReleased,
    /// An effect needs the seq that was acknowledged to its sender (M23).
    EffectComparesReached,
    /// A renewal that finds a seq below the last acknowledged one reports that the store has forgotten (M23).
    RenewalNotesOlderLease,
    /// An effect holds the lock of the lease from the check to the write.
    EffectLocksLease,
    /// No rule reads the database's clock (M9).
    ExpiryIsJudgedByFollowers,
    /// A signal that a former leader claimed becomes in doubt and is never sent without a lookup.
    TakeOverDoubts,
    /// Evidence of exit is for one start of a process, not for its instance id (M24).
    EvidenceIsPerStart,
    /// An instance that cannot be reached has not ended (M24).
    ConnectionLossIsNoEvidence,
    /// A process that is stopped has not ended (M24).
    StoppedIsNoEvidence,
    /// A ticket belongs to one acquisition, not to a process (M18).
    TicketIsPerClaim,
    /// A ticket is released only by its own claim.
    TicketReleaseComparesClaim,
}
