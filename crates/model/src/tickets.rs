//! The leader store of the model: one key that expires by its host's clock, which may jump.

use crate::rule::Rule;
use domain::election::{TicketAnswer, TicketRequest};
use domain::id::{ClaimId, InstanceId};
use domain::ports::{Acquire, Ticket, TicketFault, TicketRenewal};
use std::time::Duration;

/// The low bits of a claim count a process's attempts; the others are the process's nonce.
const COUNTER_BITS: u32 = 32;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    holder: InstanceId,
    claim: ClaimId,
    /// Expiry by real time, in nanoseconds; a jump of the clock moves it. `None`: never.
    expires: Option<u64>,
    /// A process that does not lead renews it continuously.
    kept: bool,
}

/// The kind of a stuck ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stuck {
    /// Never renewed; expires at that real time, in nanoseconds.
    Until(u64),
    /// Renewed continuously.
    Kept,
    /// The key has no expiry.
    WithoutExpiry,
}

/// The data of one Redis.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Tickets {
    key: Option<Key>,
    /// The data of a lagging replica, which a failover makes current.
    replica: Option<Box<Option<Key>>>,
}

impl Tickets {
    /// Redis is restarted without persistence, or flushed.
    pub fn flush(&mut self) {
        self.key = None;
    }

    pub fn replica_lags(&mut self) {
        self.replica = Some(Box::new(self.key.clone()));
    }

    pub fn lags(&self) -> bool {
        self.replica.is_some()
    }

    pub fn fail_over(&mut self) {
        if let Some(replica) = self.replica.take() {
            self.key = *replica;
        }
    }

    /// The clock of its host is set forward: every key with an expiry has expired.
    pub fn clock_forward(&mut self) {
        self.key.take_if(|key| key.expires.is_some());
    }

    /// The clock of its host is set back by `by`: the key lasts longer by the same time.
    pub fn clock_back(&mut self, by: Duration) {
        if let Some(Key { expires: Some(expires), .. }) = &mut self.key {
            *expires += u64::try_from(by.as_nanos()).unwrap_or(u64::MAX / 2);
        }
    }

    /// A process that does not lead has the ticket and does not release it.
    pub fn stuck(&mut self, holder: InstanceId, claim: ClaimId, how: Stuck) {
        let expires = match how {
            Stuck::Until(time) => Some(time),
            Stuck::Kept | Stuck::WithoutExpiry => None,
        };
        self.key = Some(Key { holder, claim, expires, kept: how == Stuck::Kept });
    }

    pub fn is_free(&self) -> bool {
        self.key.is_none()
    }

    /// Carries `request` out. The second value is true if it deleted the ticket of another claim.
    pub fn serve(
        &mut self,
        now: u64,
        who: (&InstanceId, Duration),
        request: TicketRequest,
        broken: Option<Rule>,
    ) -> (TicketAnswer, bool) {
        self.key.take_if(|key| key.expires.is_some_and(|at| at <= now));
        let (holder, ttl) = who;
        let expires = Some(now + u64::try_from(ttl.as_nanos()).unwrap_or(u64::MAX / 2));
        let same = |a: ClaimId, b: ClaimId| match broken {
            Some(Rule::TicketIsPerClaim) => a.as_u128() >> COUNTER_BITS == b.as_u128() >> COUNTER_BITS,
            _ => a == b,
        };
        let mine = |key: &Option<Key>, claim| key.as_ref().is_some_and(|key| same(key.claim, claim));
        match request {
            TicketRequest::Acquire { claim, superseded } => {
                let free =
                    self.key.is_none() || superseded.is_some_and(|superseded| mine(&self.key, superseded));
                if free || mine(&self.key, claim) {
                    let holder = holder.clone();
                    self.key = Some(Key { holder, claim, expires, kept: false });
                    return (TicketAnswer::Acquire(Acquire::Granted), false);
                }
                let held = self.shown(now, ttl).map(Acquire::Held);
                (TicketAnswer::Acquire(held.unwrap_or(Acquire::Granted)), false)
            }
            TicketRequest::Renew(claim) => {
                if mine(&self.key, claim) {
                    if let Some(key) = &mut self.key {
                        key.expires = expires;
                    }
                    return (TicketAnswer::Renewal(TicketRenewal::Renewed), false);
                }
                (TicketAnswer::Renewal(TicketRenewal::Lost(self.shown(now, ttl))), false)
            }
            TicketRequest::Release(claim) => {
                let any = broken == Some(Rule::TicketReleaseComparesClaim);
                let deleted = self.key.take_if(|key| any || same(key.claim, claim));
                (TicketAnswer::Released, deleted.is_some_and(|key| key.claim != claim))
            }
            TicketRequest::Inspect => (TicketAnswer::Inspected(self.shown(now, ttl)), false),
        }
    }

    fn shown(&self, now: u64, ttl: Duration) -> Option<Ticket> {
        self.key.as_ref().map(|key| {
            let remaining = match key.expires.map(|at| Duration::from_nanos(at.saturating_sub(now))) {
                None if key.kept => Ok(ttl),
                None => Err(TicketFault::NoExpiry),
                Some(remaining) if remaining > ttl => Err(TicketFault::TooLong),
                Some(remaining) => Ok(remaining),
            };
            Ticket { holder: key.holder.clone(), claim: Some(key.claim), remaining }
        })
    }
}
