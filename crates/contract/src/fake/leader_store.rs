//! [`LeaderStore`] in memory.

use super::faults::{Call, Faults};
use super::listeners::{Hint, Listeners};
use crate::{LeaderStores, Opening, TicketTamper};
use async_trait::async_trait;
use domain::id::{ClaimId, GroupId, InstanceId};
use domain::identity::Identity;
use domain::ports::{Acquire, LeaderStore, StoreError, Ticket, TicketFault, TicketRenewal};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A leader store that several processes open. Clones are the same store.
#[derive(Debug, Clone, Default)]
pub struct FakeTickets(Arc<Mutex<Keys>>);

/// The data of a leader store at one moment.
#[derive(Debug, Clone)]
pub struct TicketSnapshot(BTreeMap<GroupId, Key>);

#[derive(Debug, Default)]
struct Keys {
    keys: BTreeMap<GroupId, Key>,
    listeners: Listeners,
}

#[derive(Debug, Clone)]
struct Key {
    value: Stored,
    expires: Option<Instant>,
}

#[derive(Debug, Clone)]
enum Stored {
    Ticket { claim: ClaimId, holder: InstanceId },
    Foreign(Vec<u8>),
    List,
}

impl FakeTickets {
    /// A store without a key.
    pub fn new() -> Self {
        Self::default()
    }

    /// The connection of one process, with separate faults.
    pub fn process(&self, opening: &Opening) -> Arc<FakeLeaderStore> {
        let changed = self.keys().listeners.add(&opening.group, opening.nonce);
        let (tickets, opening, faults) = (self.clone(), opening.clone(), Faults::default());
        Arc::new(FakeLeaderStore { tickets, opening, faults, changed })
    }

    /// Deletes every key, like a restart without persistence, a FLUSHALL or an eviction.
    pub fn flush(&self) {
        self.keys().keys.clear();
    }

    /// A copy of the present keys: the data of a replica that has received nothing since.
    pub fn snapshot(&self) -> TicketSnapshot {
        TicketSnapshot(self.keys().keys.clone())
    }

    /// Promotes a replica that has only `received`.
    pub fn fail_over(&self, received: TicketSnapshot) {
        self.keys().keys = received.0;
    }

    /// The clock of the store's host jumps forward: keys expire earlier by the same time.
    pub fn jump_clock_forward(&self, by: Duration) {
        self.move_expiries(|expires| expires.checked_sub(by).unwrap_or_else(Instant::now));
    }

    /// The clock of the store's host jumps back: keys last longer by the same time.
    pub fn jump_clock_back(&self, by: Duration) {
        self.move_expiries(|expires| expires + by);
    }

    fn move_expiries(&self, moved: impl Fn(Instant) -> Instant) {
        for key in self.keys().keys.values_mut() {
            key.expires = key.expires.map(&moved);
        }
    }

    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keys {
    /// The group's key, unless it has expired.
    fn live(&mut self, group: &GroupId) -> Option<&mut Key> {
        let now = Instant::now();
        if self.keys.get(group).is_some_and(|key| key.expires.is_some_and(|expires| expires <= now)) {
            self.keys.remove(group);
        }
        self.keys.get_mut(group)
    }
}

impl Key {
    fn claim(&self) -> Option<ClaimId> {
        match self.value {
            Stored::Ticket { claim, .. } => Some(claim),
            Stored::Foreign(_) | Stored::List => None,
        }
    }

    /// The ticket, as a process with that LEADER_TTL reads it.
    fn ticket(&self, ttl: Duration) -> Ticket {
        let remaining = match self.expires.map(|expires| expires.saturating_duration_since(Instant::now())) {
            None => Err(TicketFault::NoExpiry),
            Some(remaining) if remaining > ttl => Err(TicketFault::TooLong),
            Some(remaining) => Ok(remaining),
        };
        match &self.value {
            Stored::Ticket { claim, holder } => {
                Ticket { holder: holder.clone(), claim: Some(*claim), remaining }
            }
            Stored::Foreign(text) => Ticket {
                holder: InstanceId::from_stored(&String::from_utf8_lossy(text)),
                claim: None,
                remaining: Err(TicketFault::Malformed),
            },
            Stored::List => Ticket {
                holder: InstanceId::from_stored(""),
                claim: None,
                remaining: Err(TicketFault::WrongType),
            },
        }
    }
}

/// One process's [`LeaderStore`] on [`FakeTickets`].
#[derive(Debug)]
pub struct FakeLeaderStore {
    tickets: FakeTickets,
    opening: Opening,
    faults: Faults,
    changed: Hint,
}

impl FakeLeaderStore {
    /// The injected faults of this process's calls.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    fn key(&self, claim: ClaimId) -> Key {
        let value = Stored::Ticket { claim, holder: self.opening.id.clone() };
        Key { value, expires: Some(Instant::now() + self.opening.ttl) }
    }

    fn do_acquire(&self, claim: ClaimId, superseded: Option<ClaimId>) -> Acquire {
        let mut keys = self.tickets.keys();
        if let Some(key) = keys.live(&self.opening.group) {
            let mine = key.claim() == Some(claim);
            let is_superseded = superseded.is_some() && key.claim() == superseded;
            if !mine && !is_superseded {
                return Acquire::Held(key.ticket(self.opening.ttl));
            }
        }
        keys.keys.insert(self.opening.group.clone(), self.key(claim));
        Acquire::Granted
    }

    fn do_renew(&self, claim: ClaimId) -> TicketRenewal {
        let mut keys = self.tickets.keys();
        match keys.live(&self.opening.group) {
            Some(key) if key.claim() == Some(claim) => {
                *key = self.key(claim);
                TicketRenewal::Renewed
            }
            other => TicketRenewal::Lost(other.map(|key| key.ticket(self.opening.ttl))),
        }
    }

    fn do_release(&self, claim: ClaimId) {
        let mut keys = self.tickets.keys();
        if keys.live(&self.opening.group).is_some_and(|key| key.claim() == Some(claim)) {
            keys.keys.remove(&self.opening.group);
        }
        keys.listeners.wake_others(&self.opening.group, self.opening.nonce);
    }
}

#[async_trait]
impl LeaderStore for FakeLeaderStore {
    fn identity(&self) -> Identity {
        self.opening.identity()
    }

    async fn acquire(&self, claim: ClaimId, superseded: Option<ClaimId>) -> Result<Acquire, StoreError> {
        self.faults.around(Call::TicketAcquire, || Ok(self.do_acquire(claim, superseded))).await
    }

    async fn renew(&self, claim: ClaimId) -> Result<TicketRenewal, StoreError> {
        self.faults.around(Call::TicketRenew, || Ok(self.do_renew(claim))).await
    }

    async fn release(&self, claim: ClaimId) -> Result<(), StoreError> {
        self.faults
            .around(Call::TicketRelease, || {
                self.do_release(claim);
                Ok(())
            })
            .await
    }

    async fn inspect(&self) -> Result<Option<Ticket>, StoreError> {
        let inspect = || {
            let mut keys = self.tickets.keys();
            Ok(keys.live(&self.opening.group).map(|key| key.ticket(self.opening.ttl)))
        };
        self.faults.around(Call::TicketInspect, inspect).await
    }

    async fn changed(&self) {
        self.changed.notified().await;
    }
}

#[async_trait]
impl LeaderStores for FakeTickets {
    async fn open(&self, opening: &Opening) -> Arc<dyn LeaderStore> {
        self.process(opening)
    }

    async fn tamper(&self, group: &GroupId, what: &TicketTamper) {
        let mut keys = self.keys();
        let foreign = |value, after| Key { value, expires: Some(Instant::now() + after) };
        match what {
            TicketTamper::Persist => keys.live(group).expect("the case's ticket").expires = None,
            TicketTamper::Expire(after) => {
                keys.live(group).expect("the case's ticket").expires = Some(Instant::now() + *after);
            }
            TicketTamper::Text(text, after) => {
                keys.keys.insert(group.clone(), foreign(Stored::Foreign(text.clone()), *after));
            }
            TicketTamper::List => {
                keys.keys.insert(group.clone(), Key { value: Stored::List, expires: None });
            }
        }
    }
}
