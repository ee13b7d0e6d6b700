//! The state store of the model: one lease and one signal, by the rules of the ports, and a standby that may lag.
//! Every statement is atomic, as in the real stores; the contract suites test the real ones against the same rules.

use crate::rule::Rule;
use domain::election::{LeaseAnswer, LeaseRequest};
use domain::id::{ClaimId, InstanceId};
use domain::lease::{Epoch, Observation, Seq, Timeline, Token, Version};
use domain::ports::{Claim, ClaimRequest, Noted, Release, Renewal};
use std::time::Duration;

/// Version of the schema in the model.
pub const SCHEMA: u32 = 1;

/// The change that one statement of the election made, for the judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    Nothing,
    Claimed(Token),
    Renewed,
    Released,
    /// A write that no rule allows: the lease went back to an earlier state under one claim.
    Backwards,
}

/// The state of the signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignalState {
    Received,
    Claimed(ClaimId),
    InDoubt,
    Done,
}

/// The data that a failover keeps or loses.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Tables {
    token: Token,
    seq: Seq,
    released: bool,
    ttl: Duration,
    holder: Option<InstanceId>,
    /// The requested successor (M25), and the time of the release that left the lease to it.
    successor: Option<InstanceId>,
    left_at: Option<u64>,
    signal: SignalState,
    floor: Epoch,
    /// Number of times that the store was found to have forgotten; kept in sets in which a backup may be restored.
    forgot_ms: Option<i64>,
    /// The signal was set to in doubt since then.
    asked: bool,
}

/// A primary, and its standby as of the end of replication.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Database {
    current: Timeline,
    tables: Tables,
    standby: Option<Box<Tables>>,
    backup: Option<Box<Tables>>,
    /// Number of promotions so far.
    pub promotions: u8,
    /// Number of promotions, or of restores that no instance could notice, that lost the record of the signal's
    /// claim.
    pub lost_claims: u8,
    /// The time of the last write of the lease by the database's own clock, in nanoseconds. Kept only if a broken
    /// rule reads it, so that it does not make equal states differ.
    written_at: Option<i128>,
    /// Offset by which the database's clock was set forward, in nanoseconds.
    pub clock_offset: i64,
}

impl Database {
    /// A lease that no instance has claimed yet.
    pub fn new(ttl: Duration) -> Self {
        let token = Token { timeline: Timeline(1), epoch: Epoch(0), claim: ClaimId::NIL };
        let tables = Tables {
            token,
            seq: Seq(0),
            released: true,
            ttl,
            holder: None,
            successor: None,
            left_at: None,
            signal: SignalState::Received,
            floor: Epoch(0),
            forgot_ms: None,
            asked: false,
        };
        Self {
            current: Timeline(1),
            tables,
            standby: None,
            backup: None,
            promotions: 0,
            lost_claims: 0,
            written_at: None,
            clock_offset: 0,
        }
    }

    /// A lease whose holder died long ago and had a shorter LEADER_TTL than every present instance.
    pub fn left_by(holder: InstanceId, claim: ClaimId, ttl: Duration) -> Self {
        let mut database = Self::new(ttl);
        database.tables.token = Token { timeline: Timeline(1), epoch: Epoch(1), claim };
        database.tables.released = false;
        database.tables.holder = Some(holder);
        database
    }

    pub fn token(&self) -> Token {
        self.tables.token
    }

    pub fn released(&self) -> bool {
        self.tables.released
    }

    /// The epoch and seq of the lease.
    pub fn lease(&self) -> (Epoch, Seq) {
        (self.tables.token.epoch, self.tables.seq)
    }

    pub fn forgot_ms(&self) -> Option<i64> {
        self.tables.forgot_ms
    }

    /// Takes a backup.
    pub fn back_up(&mut self) {
        self.backup = Some(Box::new(self.tables.clone()));
    }

    /// `None` without a backup, else true if the backup differs from the present data.
    pub fn backup_differs(&self) -> Option<bool> {
        self.backup.as_ref().map(|backup| **backup != self.tables)
    }

    /// Replaces the present data with the backup, on the same timeline. Returns true if the backup lacks the signal's
    /// claim.
    pub fn restore(&mut self) -> bool {
        let Some(backup) = self.backup.clone() else { return false };
        let lost = backup.signal == SignalState::Received && self.tables.signal != SignalState::Received;
        self.tables = *backup;
        lost
    }

    fn forgot(&mut self) {
        self.tables.forgot_ms = Some(self.tables.forgot_ms.unwrap_or(0) + 1);
        self.tables.asked = false;
    }

    /// The standby stops receiving: it misses all later writes.
    pub fn standby_lags(&mut self) {
        self.standby = Some(Box::new(self.tables.clone()));
    }

    pub fn lags(&self) -> bool {
        self.standby.is_some()
    }

    /// The standby becomes the primary, on a new timeline, with the data that it has.
    pub fn promote(&mut self) {
        self.current = Timeline(self.current.0 + 1);
        self.promotions += 1;
        if let Some(standby) = self.standby.take() {
            let lost = standby.signal == SignalState::Received && self.tables.signal != SignalState::Received;
            self.lost_claims += u8::from(lost);
            self.tables = *standby;
        }
    }

    pub fn observe(&self, now: u64, broken: Option<Rule>) -> Observation {
        let lease = &self.tables;
        let by_its_clock = broken == Some(Rule::ExpiryIsJudgedByFollowers)
            && self.written_at.is_some_and(|at| {
                self.clock(now) - at >= i128::try_from(lease.ttl.as_nanos()).unwrap_or(i128::MAX)
            });
        Observation {
            version: Version { current: self.current, token: lease.token, seq: lease.seq },
            released: lease.released || by_its_clock,
            ttl: lease.ttl,
            holder: lease.holder.clone(),
            resign: None,
            successor: lease.successor.clone(),
            floor: lease.floor,
            schema: SCHEMA,
        }
    }

    /// The operator requests a handover to that instance.
    pub fn hand_over_to(&mut self, successor: InstanceId) {
        self.tables.successor = Some(successor);
    }

    /// True if the request is the claim of an instance for which the holder has not left the lease, within a lease of
    /// the release.
    pub fn is_too_soon(&self, now: u64, request: &LeaseRequest) -> bool {
        let (Some(successor), Some(left_at)) = (&self.tables.successor, self.tables.left_at) else {
            return false;
        };
        let ttl = u64::try_from(self.tables.ttl.as_nanos()).unwrap_or(u64::MAX);
        matches!(request, LeaseRequest::Claim(claim) if claim.holder != *successor && now < left_at + ttl)
    }

    fn clock(&self, now: u64) -> i128 {
        i128::from(now) + i128::from(self.clock_offset)
    }

    /// Carries `request` out. Its sender knows that the lease has reached at least `reached` under its token.
    pub fn serve(
        &mut self,
        now: u64,
        (request, reached): (&LeaseRequest, Seq),
        broken: Option<Rule>,
    ) -> (LeaseAnswer, Written) {
        let before = (self.tables.token, self.tables.seq, self.tables.released);
        let (answer, written) = match request {
            LeaseRequest::Observe => (LeaseAnswer::Observed(self.observe(now, broken)), Written::Nothing),
            LeaseRequest::Claim(request) => {
                let (claim, written) = self.claim(request, broken);
                (LeaseAnswer::Claim(claim), written)
            }
            LeaseRequest::Renew { current, .. }
                if *current != self.current && broken != Some(Rule::RenewalComparesTimeline) =>
            {
                (LeaseAnswer::Renewal(Renewal::OtherTimeline(self.current)), Written::Nothing)
            }
            LeaseRequest::Renew { token, seq, .. } => {
                let done = self.holds(token, *seq, WriteKind::Renewal, broken);
                let older = self.tables.seq < reached && broken != Some(Rule::RenewalNotesOlderLease);
                let forgotten = self.tables.token.timeline != self.current
                    || older
                    || self.tables.floor >= self.tables.token.epoch;
                if done {
                    if older {
                        self.forgot();
                    }
                    self.tables.seq = *seq;
                    self.tables.released = false;
                    self.tables.token.timeline = self.current;
                }
                let renewed = Renewal::Renewed { timeline: self.current, resign: None, forgotten };
                let answer = if done { renewed } else { Renewal::Superseded };
                (LeaseAnswer::Renewal(answer), if done { Written::Renewed } else { Written::Nothing })
            }
            LeaseRequest::Release { token, seq, .. } => {
                let done = self.holds(token, *seq, WriteKind::Release, broken);
                if done {
                    if self.tables.seq < reached {
                        self.forgot();
                    }
                    self.tables.seq = *seq;
                    self.tables.released = true;
                    self.tables.left_at = self.tables.successor.as_ref().map(|_| now);
                }
                let answer = if done { Release::Released } else { Release::Superseded };
                (LeaseAnswer::Release(answer), if done { Written::Released } else { Written::Nothing })
            }
            LeaseRequest::Note { found, known } => {
                let lease = &mut self.tables;
                let noted = if lease.token == *found && !lease.released {
                    lease.floor = lease.floor.max(*known);
                    self.forgot();
                    Noted::Noted
                } else {
                    Noted::Superseded
                };
                (LeaseAnswer::Note(noted), Written::Nothing)
            }
        };
        if written != Written::Nothing && broken == Some(Rule::ExpiryIsJudgedByFollowers) {
            self.written_at = Some(self.clock(now));
        }
        let backwards = before.0.claim == self.tables.token.claim
            && (self.tables.seq < before.1 || (before.2 && !self.tables.released));
        (answer, if backwards { Written::Backwards } else { written })
    }

    fn claim(&mut self, request: &ClaimRequest, broken: Option<Rule>) -> (Claim, Written) {
        let lease = &self.tables;
        let observed = request.observed;
        let same_seq = observed.seq == lease.seq || broken == Some(Rule::ClaimComparesSeq);
        let same_timeline = observed.current == self.current || broken == Some(Rule::ClaimComparesTimeline);
        let same_token = observed.token == lease.token || broken == Some(Rule::ClaimComparesToken);
        if !(same_seq && same_timeline && same_token) {
            return (Claim::Lost, Written::Nothing);
        }
        let next = if broken == Some(Rule::ClaimRaisesEpoch) { lease.token.epoch } else { request.epoch() };
        let token = Token { timeline: self.current, epoch: next, claim: request.claim };
        self.tables.token = token;
        self.tables.seq = Seq(0);
        self.tables.released = false;
        self.tables.ttl = request.ttl;
        self.tables.holder = Some(request.holder.clone());
        self.tables.successor = None;
        self.tables.left_at = None;
        // A promotion counts as forgetting too; `lost_claims` covers it.
        if request.forgotten && observed.current == observed.token.timeline {
            self.forgot();
        }
        (Claim::Granted(token), Written::Claimed(token))
    }

    fn holds(&self, token: &Token, seq: Seq, kind: WriteKind, broken: Option<Rule>) -> bool {
        let lease = &self.tables;
        let any_claim = kind == WriteKind::Release && broken == Some(Rule::ReleaseComparesClaim);
        let any_seq = kind == WriteKind::Renewal && broken == Some(Rule::RenewalComparesSeq);
        (lease.token == *token || any_claim) && (lease.seq < seq || any_seq) && !lease.released
    }

    /// The fence: true if it accepts an effect under `token` now.
    pub fn admits(&self, token: &Token, reached: Seq, broken: Option<Rule>) -> bool {
        let lease = &self.tables;
        let same = if broken == Some(Rule::EffectComparesClaim) {
            lease.token.epoch == token.epoch
        } else {
            lease.token == *token
        };
        let current = lease.token.timeline == self.current || broken == Some(Rule::EffectComparesTimeline);
        let held = !lease.released || broken == Some(Rule::EffectRefusesReleased);
        let as_far = lease.seq >= reached || broken == Some(Rule::EffectComparesReached);
        same && current && held && as_far
    }

    /// A new leader's first effect: signals that other leaders claimed become in doubt, then it claims the signal if
    /// it waits.
    pub fn take_over_and_claim(&mut self, token: &Token, broken: Option<Rule>) -> SignalState {
        if matches!(self.tables.signal, SignalState::Claimed(_)) {
            let blindly = broken == Some(Rule::TakeOverDoubts);
            self.tables.signal = if blindly { SignalState::Received } else { SignalState::InDoubt };
        }
        if self.tables.signal == SignalState::Received
            && self.tables.forgot_ms.is_some()
            && !self.tables.asked
        {
            // It may have been sent before the store forgot it.
            self.tables.signal = SignalState::InDoubt;
        }
        self.tables.asked = self.tables.forgot_ms.is_some();
        if self.tables.signal == SignalState::Received {
            self.tables.signal = SignalState::Claimed(token.claim);
        }
        self.tables.signal
    }

    /// Records the result of the send, under the claim that sent it.
    pub fn record(&mut self, claim: ClaimId) {
        if self.tables.signal == SignalState::Claimed(claim) {
            self.tables.signal = SignalState::Done;
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WriteKind {
    Renewal,
    Release,
}
