//! One database in memory.

use super::decisions::Decided;
use super::listeners::Listeners;
use super::portfolio::Relation;
use super::state_store::FakeStateStore;
use crate::{LeaseColumn, Opened, Opening, Refused, StateStores, Tamper, Value};
use async_trait::async_trait;
use domain::id::{ClaimId, GroupId, InstanceId};
use domain::lease::{Epoch, Seq, TTL_MAX, TTL_MIN, Timeline, Token};
use domain::ledger::{AuditEntry, FromHook, Paused, Signal};
use domain::member::{Member, Term};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The schema version of the fakes.
pub(super) const SCHEMA: u32 = domain::SCHEMA_VERSION;
/// Entries of the instance table older than this are left out, and removed by a leader.
pub(super) const MEMBER_AGE_MAX: Duration = Duration::from_hours(24);
/// The store's clock when the database is created: a day in 2023.
const CREATED_MS: i64 = 1_700_000_000_000;

/// A database that several processes open. Clones are the same database.
#[derive(Debug, Clone)]
pub struct FakeDatabase(Arc<Mutex<Tables>>);

/// The data of a database at one moment: the data of a standby that has received nothing since.
#[derive(Debug, Clone)]
pub struct Snapshot(Tables);

/// The record of what the store may have forgotten about a group's signals.
#[derive(Debug, Clone)]
pub(super) struct Forgotten {
    /// The time when it was found to have forgotten; `None`: never.
    pub(super) at_ms: Option<i64>,
    /// Arrivals of signals that became in doubt since, or were submitted with a later timestamp.
    pub(super) asked: BTreeSet<u64>,
    /// The highest epoch that an instance has reported.
    pub(super) floor: Epoch,
}

impl Default for Forgotten {
    fn default() -> Self {
        Self { at_ms: None, asked: BTreeSet::new(), floor: Epoch(0) }
    }
}

impl Forgotten {
    pub(super) fn now(&mut self, now_ms: i64) {
        self.at_ms = Some(self.at_ms.map_or(now_ms, |at| now_ms.max(at + 1)));
        self.asked.clear();
    }

    /// Takes in a submission. A signal with a timestamp after that time was not executed before, nor was another alert of
    /// its window if that is after that time as a whole.
    pub(super) fn submitted(&mut self, signal: &Signal, window_s: u32) {
        let first_s = signal.instruction.timestamp_s - i64::from(window_s);
        if self.at_ms.is_some_and(|at| first_s > at / 1000) {
            self.asked.insert(signal.arrival);
        }
    }

    /// True if it may have been executed before and has not become in doubt since.
    pub(super) fn is_unasked(&self, signal: &Signal) -> bool {
        self.at_ms.is_some() && !self.asked.contains(&signal.arrival)
    }
}

#[derive(Debug, Clone)]
pub(super) struct Tables {
    created: Instant,
    /// The offset of the store's clock from the true time.
    clock_jump_ms: i64,
    pub(super) timeline: Timeline,
    /// `None`: not migrated yet.
    pub(super) schema: Option<u32>,
    pub(super) leases: BTreeMap<GroupId, Lease>,
    pub(super) terms: BTreeMap<GroupId, Vec<Term>>,
    pub(super) members: BTreeMap<(GroupId, InstanceId), (Member, Instant)>,
    pub(super) signals: BTreeMap<GroupId, Vec<Signal>>,
    pub(super) forgotten: BTreeMap<GroupId, Forgotten>,
    /// The hooks of signals that came through one, by group and arrival.
    pub(super) hooks: BTreeMap<(GroupId, u64), FromHook>,
    pub(super) paused: BTreeMap<GroupId, Paused>,
    pub(super) audit: Vec<(GroupId, AuditEntry)>,
    pub(super) decisions: Vec<(GroupId, Decided)>,
    pub(super) relations: BTreeMap<String, Relation>,
    pub(super) lease_listeners: Listeners,
    pub(super) signal_listeners: Listeners,
}

/// The lease.
#[derive(Debug, Clone)]
pub(super) struct Lease {
    pub(super) token: Token,
    pub(super) seq: Seq,
    pub(super) released: bool,
    pub(super) ttl: Duration,
    pub(super) holder: Option<String>,
    pub(super) resign: Option<String>,
    pub(super) successor: Option<InstanceId>,
    /// When it was claimed, renewed or released, unix milliseconds.
    pub(super) renewed_ms: i64,
    /// A column that was set to an impossible value.
    pub(super) corrupt: Option<LeaseColumn>,
}

impl FakeDatabase {
    /// An empty database, without a schema, on timeline 1.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Tables {
            created: Instant::now(),
            clock_jump_ms: 0,
            timeline: Timeline(1),
            schema: None,
            leases: BTreeMap::new(),
            terms: BTreeMap::new(),
            members: BTreeMap::new(),
            signals: BTreeMap::new(),
            forgotten: BTreeMap::new(),
            hooks: BTreeMap::new(),
            paused: BTreeMap::new(),
            audit: Vec::new(),
            decisions: Vec::new(),
            relations: BTreeMap::new(),
            lease_listeners: Listeners::default(),
            signal_listeners: Listeners::default(),
        })))
    }

    /// The connection of one process: both ports on one object, with separate faults.
    pub fn process(&self, opening: &Opening) -> Arc<FakeStateStore> {
        Arc::new(FakeStateStore::new(self.clone(), opening))
    }

    /// Promotes: from now on the store is on `timeline`; leases stay on theirs.
    pub fn promote_to(&self, timeline: Timeline) {
        self.tables().timeline = timeline;
    }

    /// A copy of the present data.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.tables().clone())
    }

    /// Promotes a standby that has only `received`: later writes are lost. Listeners stay.
    pub fn fail_over(&self, received: &Snapshot, timeline: Timeline) {
        let mut tables = self.tables();
        let standby = received.0.clone();
        let (lease_listeners, signal_listeners) =
            (std::mem::take(&mut tables.lease_listeners), std::mem::take(&mut tables.signal_listeners));
        *tables = Tables { timeline, lease_listeners, signal_listeners, ..standby };
    }

    /// Sets the store's clock forward, or back when `by_ms` is negative.
    pub fn jump_clock(&self, by_ms: i64) {
        let mut tables = self.tables();
        tables.clock_jump_ms = tables.clock_jump_ms.saturating_add(by_ms);
    }

    /// Deletes every row of `relation`.
    ///
    /// # Panics
    /// If there is no such relation.
    pub fn empty(&self, relation: &str) {
        self.tables().relations.get_mut(relation).expect("a relation that was created").delete_rows();
    }

    /// The group's signals, in order of arrival.
    pub fn signals(&self, group: &GroupId) -> Vec<Signal> {
        self.tables().signals.get(group).cloned().unwrap_or_default()
    }

    pub(super) fn tables(&self) -> MutexGuard<'_, Tables> {
        // A case that panicked inside reports that itself; the tables are consistent after every statement.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for FakeDatabase {
    fn default() -> Self {
        Self::new()
    }
}

impl Snapshot {
    /// The group's signals, in order of arrival.
    pub fn signals(&self, group: &GroupId) -> &[Signal] {
        self.0.signals.get(group).map_or(&[], Vec::as_slice)
    }
}

impl Tables {
    /// The store's clock, unix milliseconds.
    pub(super) fn now_ms(&self) -> i64 {
        let age = i64::try_from(self.created.elapsed().as_millis()).unwrap_or(i64::MAX);
        CREATED_MS.saturating_add(age).saturating_add(self.clock_jump_ms)
    }

    /// The fence: true if `token` holds the lease, which is not released and on the current timeline, and the lease
    /// has at least the seq that it has `reached`.
    pub(super) fn admits(&self, group: &GroupId, token: &Token, reached: Seq) -> bool {
        let lease = self.holds(group, token);
        token.timeline == self.timeline && lease.is_some_and(|lease| lease.seq >= reached)
    }

    /// The lease if `token` holds it.
    pub(super) fn holds(&self, group: &GroupId, token: &Token) -> Option<&Lease> {
        self.leases.get(group).filter(|lease| lease.token == *token && !lease.released)
    }

    /// Creates the group's open lease, at the highest epoch in the history.
    pub(super) fn create_lease(&mut self, group: &GroupId, ttl: Duration) {
        let renewed_ms = self.now_ms();
        let known = self.terms.get(group).into_iter().flatten().map(|term| term.epoch).max();
        let token = Token { timeline: self.timeline, epoch: known.unwrap_or(Epoch(0)), claim: ClaimId::NIL };
        self.leases.entry(group.clone()).or_insert(Lease {
            token,
            seq: Seq(0),
            released: true,
            ttl,
            holder: None,
            resign: None,
            successor: None,
            renewed_ms,
            corrupt: None,
        });
    }

    /// Removes the group's entries of the instance table that are older than a day; returns their number.
    pub(super) fn forget_old_members(&mut self, group: &GroupId) -> u64 {
        let before = self.members.len();
        self.members.retain(|(of, _), (_, at)| of != group || at.elapsed() <= MEMBER_AGE_MAX);
        (before - self.members.len()) as u64
    }

    fn tamper(&mut self, what: &Tamper) {
        match what {
            Tamper::Lease { group, column, value } => {
                self.leases.get_mut(group).expect("the case's lease").overwrite(*column, value);
            }
            Tamper::DeleteLease { group } => {
                self.leases.remove(group).expect("the case's lease");
            }
            Tamper::SchemaVersion(version) => self.schema = Some(*version),
            Tamper::CreateRelation { name, columns } => {
                let created = self.relations.insert(name.clone(), Relation::new(columns));
                assert!(created.is_none(), "{name} exists");
            }
            Tamper::Insert { relation, columns, rows } => {
                self.relations.get_mut(relation).expect("the case's relation").insert(columns, rows);
            }
        }
    }
}

impl Lease {
    fn overwrite(&mut self, column: LeaseColumn, value: &Value) {
        let number = match value {
            Value::Number(number) => u64::try_from(*number).ok(),
            Value::Null | Value::Text(_) => None,
        };
        let text = match value {
            Value::Text(text) => Some(text.clone()),
            Value::Null | Value::Number(_) => None,
        };
        let written = match column {
            LeaseColumn::Timeline => {
                number.and_then(|n| u32::try_from(n).ok()).map(|n| self.token.timeline = Timeline(n))
            }
            LeaseColumn::Epoch => number.map(|n| self.token.epoch = Epoch(n)),
            LeaseColumn::Seq => number.map(|n| self.seq = Seq(n)),
            LeaseColumn::TtlMs => number
                .map(Duration::from_millis)
                .filter(|ttl| (TTL_MIN..=TTL_MAX).contains(ttl))
                .map(|ttl| self.ttl = ttl),
            LeaseColumn::Holder => {
                self.holder = text;
                Some(())
            }
            LeaseColumn::Resign => {
                self.resign = text;
                Some(())
            }
            LeaseColumn::Claim | LeaseColumn::Released => None,
        };
        self.corrupt = written.is_none().then_some(column);
    }
}

#[async_trait]
impl StateStores for FakeDatabase {
    async fn fresh(&self) -> Arc<dyn StateStores> {
        Arc::new(Self::new())
    }

    async fn open(&self, opening: &Opening) -> Opened {
        let process = self.process(opening);
        Opened { state: process.clone(), ledger: process.clone(), portfolio: process }
    }

    async fn tamper(&self, what: &Tamper) -> Result<(), Refused> {
        self.tables().tamper(what);
        Ok(())
    }
}
