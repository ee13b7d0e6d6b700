//! What an elector is told once.

use crate::id::{ClaimId, InstanceId, Nonce};
use crate::lease::{Epoch, Seq, TTL_MAX, TTL_MIN, Token, margin};
use core::cmp::Ordering;
use core::time::Duration;

/// Heartbeats in a lease: two may fail before the third decides.
const HEARTBEATS_PER_TTL: u32 = 3;
/// Tries in a heartbeat when a store fails: quick enough to notice its return, slow enough not to be load.
const RETRIES_PER_HEARTBEAT: u32 = 8;
/// A step-down keeps the instance out for this many heartbeats, so that somebody else can take over.
const KEEP_OUT_HEARTBEATS: u32 = 3;
/// How often a halted leader looks whether the portfolio was put right.
pub(super) const HALTED_RECHECK: Duration = Duration::from_secs(30);

/// Whether a leader store takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TicketUse {
    /// The state store alone: no ticket, never in fallback.
    None,
    /// A ticket is taken before the row is claimed.
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

/// What an instance remembers of the lease row, whatever its store has forgotten (M22, M23).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epochs {
    /// The highest epoch that the group's row was seen with. A row below it is one that the store has brought back.
    pub seen: Epoch,
    /// The claim of the first row that was seen with that epoch; [`ClaimId::NIL`] when it is not known. A row with the same
    /// epoch under another claim is one that the store has brought back, or that was claimed after that.
    pub claim: ClaimId,
    /// The highest seq that a row with that epoch and claim was seen with.
    pub seq: Seq,
    /// The highest epoch that this instance has tried to claim. The claim may or may not have been granted.
    pub asked: Epoch,
}

impl Epochs {
    /// Of an instance that has never read the lease.
    pub const NONE: Self = Self { seen: Epoch(0), claim: ClaimId::NIL, seq: Seq(0), asked: Epoch(0) };

    /// What the next claim must be above.
    pub fn floor(self) -> Epoch {
        self.seen.max(self.asked)
    }

    /// The row was seen with this token and `seq`.
    pub(super) fn saw(&mut self, token: Token, seq: Seq) {
        *self = self.and(Self { seen: token.epoch, claim: token.claim, seq, ..Self::NONE });
    }

    /// Whether another row was seen that is later than one with this token and `seq`, or as late. This row is an older copy
    /// then, or follows one: of a backup that was restored, of a standby that was promoted, or of a database that lost
    /// commits when it crashed.
    pub fn are_beyond(self, token: Token, seq: Seq) -> bool {
        let same_claim = self.claim == token.claim || self.claim == ClaimId::NIL;
        token.epoch < self.seen || token.epoch == self.seen && (!same_claim || seq < self.seq)
    }

    /// The later row and the higher number of the two. Of two rows with one epoch under different claims it is this one's.
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

/// A setting that would break a promise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfig {
    /// LEADER_TTL out of range.
    #[error("LEADER_TTL is {0:?}; it must be 1 s to 300 s")]
    Ttl(Duration),
    /// The heartbeat leaves too little of the lease for a retry.
    #[error(
        "the heartbeat is {heartbeat:?}; it must be above zero and at most a third of LEADER_TTL ({ttl:?})"
    )]
    Heartbeat {
        /// As configured.
        heartbeat: Duration,
        /// As configured.
        ttl: Duration,
    },
}

impl Config {
    /// Settings with a heartbeat of a third of `ttl`. `schema` is the schema version this binary needs;
    /// `nonce` must have been drawn for this very process start.
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

    /// The same with another heartbeat.
    pub fn with_heartbeat(mut self, heartbeat: Duration) -> Result<Self, InvalidConfig> {
        if heartbeat.is_zero() || heartbeat > self.ttl / HEARTBEATS_PER_TTL {
            return Err(InvalidConfig::Heartbeat { heartbeat, ttl: self.ttl });
        }
        self.heartbeat = heartbeat;
        Ok(self)
    }

    /// The same for an instance that remembers these epochs from an earlier life of its process (M22).
    #[must_use]
    pub fn remembering(mut self, epochs: Epochs) -> Self {
        self.remembered = epochs;
        self
    }

    /// Who this is.
    pub fn id(&self) -> &InstanceId {
        &self.id
    }

    /// LEADER_TTL.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// How often the row is renewed; also the longest that one request may take.
    pub fn heartbeat(&self) -> Duration {
        self.heartbeat
    }

    /// How long a grant lets its holder believe, counted from the send.
    pub(super) fn belief(&self) -> Duration {
        self.ttl.saturating_sub(margin(self.ttl))
    }

    pub(super) fn retry(&self) -> Duration {
        self.heartbeat / RETRIES_PER_HEARTBEAT
    }

    /// A look at the row when no hint came: rarer than the leader's heartbeat, so that with hints working
    /// there is no polling.
    pub(super) fn slow_poll(&self) -> Duration {
        self.heartbeat * 3 / 2
    }

    pub(super) fn keep_out(&self) -> Duration {
        self.heartbeat * KEEP_OUT_HEARTBEATS
    }

    /// How long the leader's work may take to stop before the row is let go all the same.
    pub(super) fn drain(&self) -> Duration {
        self.heartbeat
    }
}
