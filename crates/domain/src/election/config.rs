//! Settings of an elector, and the epochs that it remembers.

use crate::id::{ClaimId, InstanceId, Nonce};
use crate::lease::{Epoch, Seq, TTL_MAX, TTL_MIN, Token, margin};
use core::cmp::Ordering;
use core::time::Duration;

/// Heartbeats in a lease: two may fail before the third one decides.
const HEARTBEATS_PER_TTL: u32 = 3;
/// Retries in a heartbeat while a store fails: frequent enough to notice its return, rare enough to add no load.
const RETRIES_PER_HEARTBEAT: u32 = 8;
/// After a step-down, the instance does not contend for this number of heartbeats, so that another instance can take
/// over.
const KEEP_OUT_HEARTBEATS: u32 = 3;
/// Interval at which a halted leader checks whether the portfolio was repaired.
pub(super) const HALTED_RECHECK: Duration = Duration::from_secs(30);

/// Use of a leader store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TicketUse {
    /// The state store alone: no ticket, never in fallback.
    None,
    /// A candidate acquires a ticket before it claims the lease.
    Redis,
}

/// Settings of one elector. `ttl` is between 1 s and 300 s, `heartbeat` at most a third of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Config {
    pub(super) id: InstanceId,
    pub(super) nonce: Nonce,
    pub(super) ttl: Duration,
    pub(super) heartbeat: Duration,
    pub(super) ticket: TicketUse,
    pub(super) schema: u32,
    pub(super) remembered: Epochs,
}

/// The memory of an instance about the lease, even if its store has forgotten it (M22, M23).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epochs {
    /// The highest epoch with which the group's lease was read. A lease with a lower epoch comes from an older copy
    /// of the store.
    pub seen: Epoch,
    /// The claim of the first lease that was read with that epoch; [`ClaimId::NIL`] when it is not known. A lease
    /// with the same epoch under another claim comes from an older copy of the store, or was claimed after one was
    /// restored.
    pub claim: ClaimId,
    /// The highest seq that was read with that epoch and claim.
    pub seq: Seq,
    /// The highest epoch that this instance has tried to claim. The claim may or may not have been granted.
    pub asked: Epoch,
}

impl Default for Epochs {
    fn default() -> Self {
        Self::NONE
    }
}

impl Epochs {
    /// The epochs of an instance that has never read the lease.
    pub const NONE: Self = Self { seen: Epoch(0), claim: ClaimId::NIL, seq: Seq(0), asked: Epoch(0) };

    /// The epoch that the next claim must exceed.
    pub fn floor(self) -> Epoch {
        self.seen.max(self.asked)
    }

    /// Takes in a lease that was read with this token and `seq`.
    pub(super) fn saw(&mut self, token: Token, seq: Seq) {
        *self = self.and(Self { seen: token.epoch, claim: token.claim, seq, ..Self::NONE });
    }

    /// True if the instance has read another lease that is later than one with this token and `seq`, or as late. Then
    /// this lease is an older copy or was claimed on top of one: a backup was restored, a standby was promoted, or
    /// the database lost commits when it crashed.
    pub fn are_beyond(self, token: Token, seq: Seq) -> bool {
        let same_claim = self.claim == token.claim || self.claim == ClaimId::NIL;
        token.epoch < self.seen || token.epoch == self.seen && (!same_claim || seq < self.seq)
    }

    /// The later lease and the higher epoch of the two values. For two leases with one epoch under different claims,
    /// the one of `self`.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let asked = self.asked.max(other.asked);
        let later = match self.seen.cmp(&other.seen) {
            Ordering::Less => other,
            Ordering::Equal if self.claim == ClaimId::NIL => Self { seq: self.seq.max(other.seq), ..other },
            Ordering::Equal if self.claim == other.claim => Self { seq: self.seq.max(other.seq), ..self },
            Ordering::Greater | Ordering::Equal => self,
        };
        Self { asked, ..later }
    }
}

/// A setting that would break a guarantee.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfig {
    /// LEADER_TTL is out of range.
    #[error("LEADER_TTL is {0:?}; it must be 1 s to 300 s")]
    Ttl(Duration),
    /// The heartbeat leaves too little of the lease for a retry.
    #[error(
        "the heartbeat is {heartbeat:?}; it must be above zero and at most a third of LEADER_TTL ({ttl:?})"
    )]
    Heartbeat {
        /// The configured heartbeat.
        heartbeat: Duration,
        /// The configured LEADER_TTL.
        ttl: Duration,
    },
}

impl Config {
    /// Settings with `heartbeat = ttl / 3`. `schema` is the schema version that this binary needs. `nonce` must have
    /// been drawn for this start of the process.
    pub fn new(
        id: InstanceId,
        nonce: Nonce,
        ttl: Duration,
        ticket: TicketUse,
        schema: u32,
    ) -> Result<Self, InvalidConfig> {
        if !(TTL_MIN..=TTL_MAX).contains(&ttl) {
            return Err(InvalidConfig::Ttl(ttl));
        }
        Ok(Self {
            id,
            nonce,
            ttl,
            heartbeat: ttl / HEARTBEATS_PER_TTL,
            ticket,
            schema,
            remembered: Epochs::NONE,
        })
    }

    /// The same settings with another heartbeat.
    pub fn with_heartbeat(mut self, heartbeat: Duration) -> Result<Self, InvalidConfig> {
        if heartbeat.is_zero() || heartbeat > self.ttl / HEARTBEATS_PER_TTL {
            return Err(InvalidConfig::Heartbeat { heartbeat, ttl: self.ttl });
        }
        self.heartbeat = heartbeat;
        Ok(self)
    }

    /// The same settings for an instance that remembers these epochs from an earlier run of its process (M22).
    #[must_use]
    pub fn remembering(mut self, epochs: Epochs) -> Self {
        self.remembered = epochs;
        self
    }

    /// The id of this instance.
    pub fn id(&self) -> &InstanceId {
        &self.id
    }

    /// The nonce of this start of the process.
    pub fn nonce(&self) -> Nonce {
        self.nonce
    }

    /// LEADER_TTL.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// The interval between renewals; also the timeout of one request.
    pub fn heartbeat(&self) -> Duration {
        self.heartbeat
    }

    /// The time for which a grant is valid, counted from the send: `ttl - margin`.
    pub(super) fn trust_window(&self) -> Duration {
        self.ttl.saturating_sub(margin(self.ttl))
    }

    pub(super) fn retry(&self) -> Duration {
        self.heartbeat / RETRIES_PER_HEARTBEAT
    }

    /// The interval at which a follower reads the lease without a hint. It is longer than the leader's heartbeat, so
    /// that working hints make polling unnecessary.
    pub(super) fn slow_poll(&self) -> Duration {
        self.heartbeat * 3 / 2
    }

    pub(super) fn keep_out(&self) -> Duration {
        self.heartbeat * KEEP_OUT_HEARTBEATS
    }

    /// The time that the leader's work may take to stop before the lease is released anyway.
    pub(super) fn drain(&self) -> Duration {
        self.heartbeat
    }
}
