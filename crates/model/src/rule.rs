//! The rules of the stores' statements, each of which a mutant breaks.

/// A rule of a statement. The shipped statements keep all of them; a mutant breaks one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// A claim compares the row's write count, not its epoch alone (M3).
    ClaimComparesSeq,
    /// A claim compares the store's present timeline with the one that was observed.
    ClaimComparesTimeline,
    /// A claim compares the row's token with the one that was observed.
    ClaimComparesToken,
    /// A claim raises the epoch.
    ClaimRaisesEpoch,
    /// A late renewal does not win over a later write (M2).
    RenewalComparesSeq,
    /// A renewal compares the store's present timeline with the one that its sender knew (M20).
    RenewalComparesTimeline,
    /// A release compares the token.
    ReleaseComparesClaim,
    /// An effect compares the claim, not the epoch alone (M11).
    EffectComparesClaim,
    /// An effect needs a row on the store's present timeline (M10).
    EffectComparesTimeline,
    /// An effect is refused once the row is released.
    EffectRefusesReleased,
    /// An effect needs the seq that was acknowledged to its sender (M23).
    EffectComparesReached,
    /// A renewal that finds a seq below the last acknowledged one notes that the store has forgotten (M23).
    RenewalNotesOlderLease,
    /// An effect holds the row's lock from the check to the write.
    EffectLocksLease,
    /// No rule reads the database's clock (M9).
    ExpiryIsJudgedByFollowers,
    /// What a former leader claimed is in doubt, never sent blindly.
    TakeOverDoubts,
    /// A ticket belongs to one acquisition, not to a process (M18).
    TicketIsPerClaim,
    /// A ticket is released only by its own claim.
    TicketReleaseComparesClaim,
}
