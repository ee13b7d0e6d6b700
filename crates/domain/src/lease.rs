//! The lease row: the right to act. One row per group in the state store decides who leads.

use crate::id::{ClaimId, InstanceId};
use alloc::string::String;
use core::fmt;
use core::time::Duration;

/// Shortest LEADER_TTL: below it a garbage-collected neighbour or a slow disk would cost the lease.
pub const TTL_MIN: Duration = Duration::from_secs(1);
/// Longest LEADER_TTL: a crash would leave a group without a leader for longer than anybody waits.
pub const TTL_MAX: Duration = Duration::from_mins(5);
/// LEADER_TTL unless configured.
pub const TTL_DEFAULT: Duration = Duration::from_secs(10);

/// The kernel's NTP discipline slews a clock by at most 500 parts per million.
const CLOCK_RATE_PPM: u64 = 500;
/// Both ends may be off, in opposite directions.
const CLOCKS: u64 = 2;
/// Grain of timers and of the conversions to milliseconds that the stores keep.
const TIMER_GRAIN: Duration = Duration::from_millis(2);

const _: () = assert!(TTL_MIN.as_nanos() > 2 * margin(TTL_MIN).as_nanos());
const _: () = assert!(margin(TTL_DEFAULT).as_millis() == 12);

/// By how much a believer stops early and a follower waits longer, for a lease of `ttl`: what two
/// clocks can drift apart over it, and the grain of timers. 12 ms at 10 s.
pub const fn margin(ttl: Duration) -> Duration {
    // ttl is at most TTL_MAX, so its nanoseconds fit.
    #[allow(clippy::cast_possible_truncation)]
    let drift = ttl.as_nanos() as u64 / 1_000_000 * CLOCK_RATE_PPM * CLOCKS;
    Duration::from_nanos(drift).saturating_add(TIMER_GRAIN)
}

/// A PostgreSQL timeline, which changes when a standby is promoted; constant 1 on SQLite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timeline(pub u32);

/// Counts the claims of a group on one timeline. 0: nobody has led yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch of the next claim.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Counts the writes under one claim, so that a late one cannot win over a later one (rule M2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

impl Seq {
    /// The number of the next write.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// The fencing token. All three parts: an epoch alone repeats after a failover to an asynchronous
/// standby that had not seen it (rules M10, M11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token {
    /// The timeline the claim was made on or carried to.
    pub timeline: Timeline,
    /// The number of the claim.
    pub epoch: Epoch,
    /// The claim itself.
    pub claim: ClaimId,
}

/// `timeline.epoch.claim`, as `COORDINATOR_FENCE` carries it.
impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.timeline.0, self.epoch, self.claim)
    }
}

/// What a compare-and-set compares: the row has not changed in any way that matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version {
    /// The store's own timeline when the row was read.
    pub current: Timeline,
    /// The row's token.
    pub token: Token,
    /// The row's write count. Epoch alone would let a late claim beat a renewal (rule M3).
    pub seq: Seq,
}

/// The latest write to a lease row that is known to have been carried out. An older copy of the row is noticed by it: a
/// backup was restored, or the database lost commits when it crashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reached {
    claim: ClaimId,
    seq: Seq,
    /// Whether the row's `forgot_ms` is known: from the claim, or from its first renewal when the claim had no answer.
    is_compared: bool,
    forgot_ms: Option<i64>,
}

impl Default for Reached {
    fn default() -> Self {
        Self { claim: ClaimId::NIL, seq: Seq(0), is_compared: false, forgot_ms: None }
    }
}

impl Reached {
    /// A claim was acknowledged, with the row's `forgot_ms`.
    pub fn claimed(&mut self, token: &Token, forgot_ms: Option<i64>) {
        *self = Self { claim: token.claim, seq: Seq(0), is_compared: true, forgot_ms };
    }

    /// A renewal was acknowledged: the row has this `seq`, and `forgot_ms`. Answers whether the store has forgotten since
    /// the claim. `found` says that this very renewal found an older copy of the row. Once it is so, it is so for every
    /// later renewal of the claim: an answer may be lost.
    pub fn renewed(&mut self, token: &Token, seq: Seq, forgot_ms: Option<i64>, found: bool) -> bool {
        let seq = seq.max(self.of(token));
        if !(self.claim == token.claim && self.is_compared) {
            // The claim had no answer: its first renewal has nothing to compare with but what it found itself.
            let before = if found { None } else { forgot_ms };
            *self = Self { claim: token.claim, seq, is_compared: true, forgot_ms: before };
        }
        self.seq = seq;
        found || self.forgot_ms != forgot_ms
    }

    /// The seq that the row has reached under this token; 0 when nothing is known of the token.
    pub fn of(&self, token: &Token) -> Seq {
        if self.claim == token.claim { self.seq } else { Seq(0) }
    }
}

/// The row and the store's timeline, read in one statement.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Observation {
    /// Everything that a claim compares.
    pub version: Version,
    /// Nobody holds the row; its last holder gave it back.
    pub released: bool,
    /// What the last holder was granted.
    pub ttl: Duration,
    /// Who holds or held the row; `None` before the first claim. For people: no rule reads it.
    pub holder: Option<InstanceId>,
    /// Somebody asked the present holder to hand over, and why.
    pub resign: Option<String>,
    /// The highest epoch that an instance has reported when it found that the store has forgotten; 0 before the first
    /// report. A claim is above it (M22).
    pub floor: Epoch,
    /// Version of the database's schema.
    pub schema: u32,
}

impl Observation {
    /// Whether the row was last written on the store's present timeline.
    pub fn on_current_timeline(&self) -> bool {
        self.version.token.timeline == self.version.current
    }
}
