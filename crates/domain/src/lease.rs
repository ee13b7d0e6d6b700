//! The lease: the right to act. It is one row per group in the state store, and it decides which instance leads.

use crate::id::{ClaimId, InstanceId};
use alloc::string::String;
use core::fmt;
use core::time::Duration;

/// Shortest LEADER_TTL. Below it, one garbage collection or a slow disk would cost the lease.
pub const TTL_MIN: Duration = Duration::from_secs(1);
/// Longest LEADER_TTL. After a crash the group has no leader for this long.
pub const TTL_MAX: Duration = Duration::from_mins(5);
/// LEADER_TTL unless configured.
pub const TTL_DEFAULT: Duration = Duration::from_secs(10);

/// The kernel's NTP discipline slews a clock by at most 500 parts per million.
const CLOCK_RATE_PPM: u64 = 500;
/// Both clocks may be off, in opposite directions.
const CLOCKS: u64 = 2;
/// Resolution of timers and of the conversions to milliseconds that the stores keep.
const TIMER_GRAIN: Duration = Duration::from_millis(2);

const _: () = assert!(TTL_MIN.as_nanos() > 2 * margin(TTL_MIN).as_nanos());
const _: () = assert!(margin(TTL_DEFAULT).as_millis() == 12);

/// Safety margin for a lease of `ttl`: a leader stops this much earlier, and a follower waits this much longer. It
/// covers the drift of two clocks over `ttl` and the resolution of timers. 12 ms at 10 s.
pub const fn margin(ttl: Duration) -> Duration {
    // ttl is at most TTL_MAX, so its nanoseconds fit.
    #[allow(clippy::cast_possible_truncation)]
    let drift = ttl.as_nanos() as u64 / 1_000_000 * CLOCK_RATE_PPM * CLOCKS;
    Duration::from_nanos(drift).saturating_add(TIMER_GRAIN)
}

/// A PostgreSQL timeline, which changes when a standby is promoted; constant 1 on SQLite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timeline(pub u32);

/// Number of claims of a group on one timeline. 0: no instance has led yet.
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

/// Number of writes under one claim, so that a late write cannot win over a later one (rule M2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

impl Seq {
    /// The number of the next write.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// The fencing token. All three parts are needed: an epoch alone repeats after a failover to an asynchronous standby
/// that has not received it (rules M10, M11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token {
    /// The timeline on which the claim was made or to which it was carried.
    pub timeline: Timeline,
    /// The epoch of the claim.
    pub epoch: Epoch,
    /// The claim itself.
    pub claim: ClaimId,
}

/// Written as `timeline.epoch.claim`, the form of `COORDINATOR_FENCE`.
impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.timeline.0, self.epoch, self.claim)
    }
}

/// The values that a compare-and-set compares: if they are equal, the lease is unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version {
    /// The store's own timeline when the lease was read.
    pub current: Timeline,
    /// The token of the lease.
    pub token: Token,
    /// The number of writes. With the epoch alone, a late claim could win against a renewal (rule M3).
    pub seq: Seq,
}

/// The latest write to a lease that is known to have been carried out. It reveals an older copy of the lease: a
/// backup was restored, or the database lost commits when it crashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reached {
    claim: ClaimId,
    seq: Seq,
    /// True if the lease's `forgot_ms` is known: from the claim, or from the first renewal if the claim had no
    /// answer.
    is_compared: bool,
    forgot_ms: Option<i64>,
}

impl Default for Reached {
    fn default() -> Self {
        Self { claim: ClaimId::NIL, seq: Seq(0), is_compared: false, forgot_ms: None }
    }
}

impl Reached {
    /// Takes in an acknowledged claim, with the lease's `forgot_ms`.
    pub fn claimed(&mut self, token: &Token, forgot_ms: Option<i64>) {
        *self = Self { claim: token.claim, seq: Seq(0), is_compared: true, forgot_ms };
    }

    /// Takes in an acknowledged renewal: the lease has this `seq` and `forgot_ms`. Returns true if the store has
    /// forgotten since the claim. `found` means that this renewal itself found an older copy of the lease. Once true,
    /// the result stays true for every later renewal of the claim, because an answer may be lost.
    pub fn renewed(&mut self, token: &Token, seq: Seq, forgot_ms: Option<i64>, found: bool) -> bool {
        let seq = seq.max(self.of(token));
        if !(self.claim == token.claim && self.is_compared) {
            // The claim had no answer: its first renewal can compare only what it found itself.
            let before = if found { None } else { forgot_ms };
            *self = Self { claim: token.claim, seq, is_compared: true, forgot_ms: before };
        }
        self.seq = seq;
        found || self.forgot_ms != forgot_ms
    }

    /// The seq that the lease has reached under this token; 0 if the token is unknown.
    pub fn of(&self, token: &Token) -> Seq {
        if self.claim == token.claim { self.seq } else { Seq(0) }
    }
}

/// The lease and the store's timeline, read in one statement.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Observation {
    /// Every value that a claim compares.
    pub version: Version,
    /// The last holder released the lease, and no instance holds it.
    pub released: bool,
    /// The ttl that the last holder was granted.
    pub ttl: Duration,
    /// The present or last holder; `None` before the first claim. For display: no rule reads it.
    pub holder: Option<InstanceId>,
    /// The reason of a request to hand over, if the holder has one.
    pub resign: Option<String>,
    /// The instance to which the holder was requested to hand over. Once the lease is released, other instances leave it
    /// to this one for the time of a lease (M25).
    pub successor: Option<InstanceId>,
    /// The highest epoch that an instance reported when it found that the store has forgotten; 0 before the first
    /// report. Every claim exceeds it (M22).
    pub floor: Epoch,
    /// Version of the database's schema.
    pub schema: u32,
}

impl Observation {
    /// True if the lease was last written on the store's present timeline.
    pub fn on_current_timeline(&self) -> bool {
        self.version.token.timeline == self.version.current
    }
}
