//! [`StateStore`] in memory.

use super::database::{FakeDatabase, Lease, MEMBER_AGE_MAX, SCHEMA, Tables};
use super::faults::{Call, Faults};
use super::listeners::Hint;
use super::portfolio::{POSITION, Relation, TOTALS};
use crate::Opening;
use async_trait::async_trait;
use domain::id::{ClaimId, InstanceId, Nonce};
use domain::identity::Identity;
use domain::lease::{Epoch, Observation, Reached, Seq, Timeline, Token, Version};
use domain::member::{Heartbeat, LeaseSeen, Member, MemberSeen, Term};
use domain::ports::{
    Claim, ClaimRequest, LeaseStore, MEMBERS_READ_MAX, MemberStore, Migrate, Noted, PortfolioSource, Release,
    Renewal, Schema, StateStore, StoreError,
};
use domain::recovery::PortfolioRows;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Maximum number of characters of a reason that are kept.
const REASON_CHARS_MAX: usize = 256;
/// The period of recent changes of leader, in milliseconds.
const HOUR_MS: i64 = 3_600_000;

/// One process's stores on a [`FakeDatabase`]: [`StateStore`] and
/// [`SignalLedger`](domain::ports::SignalLedger).
#[derive(Debug)]
pub struct FakeStateStore {
    pub(super) database: FakeDatabase,
    pub(super) opening: Opening,
    pub(super) faults: Faults,
    pub(super) submitted: Hint,
    changed: Hint,
    has_beaten: AtomicBool,
    /// The last acknowledged write of the lease.
    reached: Mutex<Reached>,
}

impl FakeStateStore {
    pub(super) fn new(database: FakeDatabase, opening: &Opening) -> Self {
        let (changed, submitted) = {
            let mut tables = database.tables();
            (
                tables.lease_listeners.add(&opening.group, opening.nonce),
                tables.signal_listeners.add(&opening.group, opening.nonce),
            )
        };
        Self {
            database,
            opening: opening.clone(),
            faults: Faults::default(),
            submitted,
            changed,
            has_beaten: AtomicBool::new(false),
            reached: Mutex::default(),
        }
    }

    /// The injected faults of this process's calls.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The seq that the lease has certainly reached under this token.
    pub(super) fn reached(&self, token: &Token) -> Seq {
        self.known().of(token)
    }

    fn known(&self) -> MutexGuard<'_, Reached> {
        self.reached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wake_others(&self, tables: &mut Tables) {
        tables.lease_listeners.wake_others(&self.opening.group, self.opening.nonce);
    }

    fn do_migrate(&self, migrate: Migrate) -> Schema {
        let mut tables = self.database.tables();
        match (tables.schema, migrate) {
            (Some(found), _) if found > SCHEMA => return Schema::Newer { found },
            (Some(found), Migrate::Check) if found < SCHEMA => return Schema::Older { found },
            (None, Migrate::Check) => return Schema::Older { found: 0 },
            (Some(_), Migrate::Check) => return Schema::Current,
            (_, Migrate::Apply) => {}
        }
        tables.schema = Some(SCHEMA);
        tables.relations.entry("portfolio_positions".to_owned()).or_insert_with(|| Relation::new(&POSITION));
        tables.relations.entry("portfolio_state".to_owned()).or_insert_with(|| {
            let mut relation = Relation::new(&TOTALS);
            relation.insert(&TOTALS, &[vec![Some("0".to_owned()); TOTALS.len()]]);
            relation
        });
        tables.create_lease(&self.opening.group, self.opening.ttl);
        Schema::Current
    }

    fn do_observe(&self) -> Result<Observation, StoreError> {
        let tables = self.database.tables();
        let missing = || StoreError::Corrupt("coordinator_lease has no row of this group".to_owned());
        let schema = tables.schema.ok_or_else(missing)?;
        let lease = tables.leases.get(&self.opening.group).ok_or_else(missing)?;
        if let Some(column) = lease.corrupt {
            return Err(StoreError::Corrupt(format!("coordinator_lease.{} cannot be", column.name())));
        }
        Ok(Observation {
            version: Version { current: tables.timeline, token: lease.token, seq: lease.seq },
            released: lease.released,
            ttl: lease.ttl,
            holder: lease.holder.as_deref().map(InstanceId::from_stored),
            resign: lease.resign.as_deref().map(shortened),
            successor: lease.successor.clone(),
            floor: tables.forgotten.get(&self.opening.group).map_or(Epoch(0), |forgotten| forgotten.floor),
            schema,
        })
    }

    fn do_claim(&self, request: &ClaimRequest) -> Claim {
        let mut tables = self.database.tables();
        let (timeline, now_ms, group) = (tables.timeline, tables.now_ms(), &self.opening.group);
        let Some(lease) = tables.leases.get_mut(group) else { return Claim::Lost };
        if request.observed != (Version { current: timeline, token: lease.token, seq: lease.seq }) {
            return Claim::Lost;
        }
        let token = Token { timeline, epoch: request.epoch(), claim: request.claim };
        let ended_ms =
            lease.renewed_ms.saturating_add(i64::try_from(lease.ttl.as_millis()).unwrap_or(i64::MAX));
        *lease = Lease {
            token,
            seq: Seq(0),
            released: false,
            ttl: request.ttl,
            holder: Some(request.holder.as_str().to_owned()),
            resign: None,
            successor: None,
            renewed_ms: now_ms,
            corrupt: None,
        };
        if request.forgotten {
            tables.forgotten.entry(group.clone()).or_default().now(now_ms);
        }
        let terms = tables.terms.entry(group.clone()).or_default();
        close(terms, now_ms.min(ended_ms), request.former.reason());
        terms.push(Term {
            timeline,
            epoch: token.epoch,
            holder: request.holder.clone(),
            host: self.opening.host.clone(),
            from_ms: now_ms,
            to_ms: None,
            reason: None,
        });
        self.wake_others(&mut tables);
        Claim::Granted(token)
    }

    /// The answer, and the `forgot_ms` that the group's lease has then.
    fn do_renew(
        &self,
        token: &Token,
        seq: Seq,
        current: Timeline,
    ) -> Result<(Renewal, Option<i64>), StoreError> {
        let mut tables = self.database.tables();
        let timeline = tables.timeline;
        if current != timeline {
            return Ok((Renewal::OtherTimeline(timeline), None));
        }
        if !tables.leases.contains_key(&self.opening.group) {
            return Err(StoreError::Corrupt("coordinator_lease has no row of this group".to_owned()));
        }
        let now_ms = tables.now_ms();
        let Some(lease) = writable(&mut tables, self, token, Some(seq)) else {
            return Ok((Renewal::Superseded, None));
        };
        lease.renewed_ms = now_ms;
        let older = std::mem::replace(&mut lease.seq, seq) < self.reached(token);
        let carried = std::mem::replace(&mut lease.token.timeline, timeline) != timeline;
        let resign = lease.resign.as_deref().map(shortened);
        let noted = tables.forgotten.entry(self.opening.group.clone()).or_default();
        if carried || older {
            noted.now(now_ms);
        }
        // A claim exceeds the floor that it read, so a floor that is not below the epoch was reported since.
        let forgotten = carried || older || noted.floor >= token.epoch;
        let forgot_ms = noted.at_ms;
        self.wake_others(&mut tables);
        Ok((Renewal::Renewed { timeline, resign, forgotten }, forgot_ms))
    }

    fn do_release(&self, token: &Token, seq: Seq, reason: &str) -> Release {
        let mut tables = self.database.tables();
        let now_ms = tables.now_ms();
        let Some(lease) = writable(&mut tables, self, token, Some(seq)) else { return Release::Superseded };
        let older = std::mem::replace(&mut lease.seq, seq) < self.reached(token);
        let ttl_ms = i64::try_from(lease.ttl.as_millis()).unwrap_or(i64::MAX);
        let ended_ms = now_ms.min(lease.renewed_ms.saturating_add(ttl_ms));
        lease.released = true;
        lease.renewed_ms = now_ms;
        if older {
            tables.forgotten.entry(self.opening.group.clone()).or_default().now(now_ms);
        }
        close(tables.terms.entry(self.opening.group.clone()).or_default(), ended_ms, reason);
        self.wake_others(&mut tables);
        Release::Released
    }

    fn do_note_forgotten(&self, found: &Token, known: Epoch) -> Noted {
        let mut tables = self.database.tables();
        let now_ms = tables.now_ms();
        if writable(&mut tables, self, found, None).is_none() {
            return Noted::Superseded;
        }
        let forgotten = tables.forgotten.entry(self.opening.group.clone()).or_default();
        forgotten.now(now_ms);
        forgotten.floor = forgotten.floor.max(known);
        self.wake_others(&mut tables);
        Noted::Noted
    }

    fn do_beat(&self, member: &Member) -> Heartbeat {
        let mut tables = self.database.tables();
        let now_ms = tables.now_ms();
        let key = (self.opening.group.clone(), member.id.clone());
        let line = (member.clone(), tokio::time::Instant::now());
        let before = tables.members.insert(key, line).map(|(before, _)| before);
        let displaced = before
            .filter(|before| self.has_beaten.load(Relaxed) && before.nonce != member.nonce)
            .map(|other| (other.nonce, other.started_ms));
        self.has_beaten.store(true, Relaxed);
        let terms = tables.terms.get(&self.opening.group).into_iter().flatten();
        let recent = terms.filter(|term| term.from_ms > now_ms - HOUR_MS).count();
        let forgot_ms = tables.forgotten.get(&self.opening.group).and_then(|forgotten| forgotten.at_ms);
        Heartbeat { changes_last_hour: u32::try_from(recent).unwrap_or(u32::MAX), displaced, forgot_ms }
    }

    fn do_leave(&self, id: &InstanceId, nonce: Nonce) {
        let mut tables = self.database.tables();
        let key = (self.opening.group.clone(), id.clone());
        if tables.members.get(&key).is_some_and(|(line, _)| line.nonce == nonce) {
            tables.members.remove(&key);
        }
    }

    fn do_members(&self) -> Vec<MemberSeen> {
        let tables = self.database.tables();
        let now = tokio::time::Instant::now();
        let of_group = tables.members.iter().filter(|((group, _), _)| *group == self.opening.group);
        let mut seen: Vec<MemberSeen> = of_group
            .filter(|((_, id), (_, at))| !tables.is_removed(&self.opening.group, id, *at))
            .map(|(_, (member, at))| MemberSeen { member: member.clone(), heartbeat_age: now - *at })
            .filter(|seen| seen.heartbeat_age <= MEMBER_AGE_MAX)
            .collect();
        seen.sort_by_key(|seen| seen.heartbeat_age);
        seen.truncate(MEMBERS_READ_MAX as usize);
        seen.sort_by(|a, b| a.member.id.cmp(&b.member.id));
        seen
    }

    fn do_history(&self, limit: u32) -> Vec<Term> {
        let tables = self.database.tables();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        tables.terms.get(&self.opening.group).into_iter().flatten().rev().take(limit).cloned().collect()
    }

    fn do_lease(&self) -> Result<LeaseSeen, StoreError> {
        let tables = self.database.tables();
        let group = &self.opening.group;
        let missing = || StoreError::Corrupt("the schema or the group's lease is missing".into());
        let lease = tables.leases.get(group).ok_or_else(missing)?;
        let age_ms = tables.now_ms().saturating_sub(lease.renewed_ms);
        let of_claim = tables.terms.get(group).and_then(|terms| terms.last());
        Ok(LeaseSeen {
            holder: lease.holder.as_deref().map(InstanceId::from_stored),
            epoch: lease.token.epoch,
            released: lease.released,
            ttl: lease.ttl,
            renewed_age: Duration::from_millis(u64::try_from(age_ms).unwrap_or(0)),
            since_ms: of_claim.filter(|_| lease.token.claim != ClaimId::NIL).map(|term| term.from_ms),
            forgot_ms: tables.forgotten.get(group).and_then(|forgotten| forgotten.at_ms),
        })
    }

    fn do_forgot_ms(&self) -> Option<i64> {
        self.database.tables().forgotten.get(&self.opening.group)?.at_ms
    }

    fn do_portfolio(&self, to: &mut dyn PortfolioRows) -> Result<(), StoreError> {
        let tables = self.database.tables();
        let relation = |name: &str| {
            let missing = || StoreError::Corrupt(format!("there is no relation {name}"));
            tables.relations.get(name).ok_or_else(missing)
        };
        let (positions, portfolio) = (&self.opening.positions, &self.opening.portfolio);
        relation(positions)?.positions(positions, to)?;
        relation(portfolio)?.totals(portfolio, to)
    }
}

/// The lease if `token` holds it and, for a numbered write, its seq is smaller.
pub(super) fn writable<'a>(
    tables: &'a mut Tables,
    process: &FakeStateStore,
    token: &Token,
    seq: Option<Seq>,
) -> Option<&'a mut Lease> {
    let group = &process.opening.group;
    tables.holds(group, token)?;
    tables.leases.get_mut(group).filter(|lease| seq.is_none_or(|seq| lease.seq < seq))
}

fn close(terms: &mut [Term], now_ms: i64, reason: &str) {
    if let Some(open) = terms.last_mut().filter(|term| term.to_ms.is_none()) {
        open.to_ms = Some(now_ms.max(open.from_ms));
        open.reason = Some(reason.to_owned());
    }
}

pub(super) fn shortened(reason: &str) -> String {
    reason.chars().take(REASON_CHARS_MAX).collect()
}

#[async_trait]
impl StateStore for FakeStateStore {
    fn identity(&self) -> Identity {
        self.opening.identity()
    }

    async fn migrate(&self, apply: Migrate) -> Result<Schema, StoreError> {
        self.faults.around(Call::Migrate, || Ok(self.do_migrate(apply))).await
    }
}

#[async_trait]
impl LeaseStore for FakeStateStore {
    async fn observe(&self) -> Result<Observation, StoreError> {
        self.faults.around(Call::Observe, || self.do_observe()).await
    }

    async fn claim(&self, request: &ClaimRequest) -> Result<Claim, StoreError> {
        let claimed =
            self.faults.around(Call::Claim, || Ok((self.do_claim(request), self.do_forgot_ms()))).await?;
        if let (Claim::Granted(token), forgot_ms) = &claimed {
            self.known().claimed(token, *forgot_ms);
        }
        Ok(claimed.0)
    }

    async fn renew(&self, token: &Token, seq: Seq, current: Timeline) -> Result<Renewal, StoreError> {
        let renewed = self.faults.around(Call::Renew, || self.do_renew(token, seq, current)).await?;
        let (Renewal::Renewed { timeline, resign, forgotten }, forgot_ms) = renewed else {
            return Ok(renewed.0);
        };
        let forgotten = self.known().renewed(token, seq, forgot_ms, forgotten);
        Ok(Renewal::Renewed { timeline, resign, forgotten })
    }

    async fn release(&self, token: &Token, seq: Seq, reason: &str) -> Result<Release, StoreError> {
        self.faults.around(Call::Release, || Ok(self.do_release(token, seq, reason))).await
    }

    async fn note_forgotten(&self, found: &Token, known: Epoch) -> Result<Noted, StoreError> {
        self.faults.around(Call::NoteForgotten, || Ok(self.do_note_forgotten(found, known))).await
    }

    async fn changed(&self) {
        self.changed.notified().await;
    }
}

#[async_trait]
impl MemberStore for FakeStateStore {
    async fn heartbeat(&self, member: &Member) -> Result<Heartbeat, StoreError> {
        self.faults.around(Call::Heartbeat, || Ok(self.do_beat(member))).await
    }

    async fn leave(&self, id: &InstanceId, nonce: Nonce) -> Result<(), StoreError> {
        self.faults
            .around(Call::Leave, || {
                self.do_leave(id, nonce);
                Ok(())
            })
            .await
    }

    async fn members(&self) -> Result<Vec<MemberSeen>, StoreError> {
        self.faults.around(Call::Members, || Ok(self.do_members())).await
    }

    async fn history(&self, limit: u32) -> Result<Vec<Term>, StoreError> {
        self.faults.around(Call::History, || Ok(self.do_history(limit))).await
    }

    async fn lease(&self) -> Result<LeaseSeen, StoreError> {
        self.faults.around(Call::Lease, || self.do_lease()).await
    }
}

#[async_trait]
impl PortfolioSource for FakeStateStore {
    async fn portfolio(&self, rows: &mut dyn PortfolioRows) -> Result<(), StoreError> {
        self.faults.around(Call::Portfolio, || self.do_portfolio(rows)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::id::GroupId;
    use domain::ports::{InFlight, SignalLedger};

    #[tokio::test]
    async fn a_renewal_carries_the_lease_to_a_promoted_timeline_and_only_then_effects_pass() {
        let database = FakeDatabase::new();
        let process = database.process(&Opening::new(&GroupId::parse("g").unwrap(), "a"));
        process.migrate(Migrate::Apply).await.unwrap();
        let request = ClaimRequest {
            observed: process.observe().await.unwrap().version,
            claim: process.opening.nonce.claim(1),
            holder: process.opening.id.clone(),
            ttl: process.opening.ttl,
            floor: Epoch(0),
            forgotten: false,
            former: domain::ports::FormerTerm::Expired,
        };
        let Claim::Granted(old) = process.claim(&request).await.unwrap() else { panic!("the lease is open") };
        database.promote_to(Timeline(2));
        assert_eq!(process.take_over(&old, InFlight::All).await, Ok(None), "the lease is not carried yet");
        let renewed = Renewal::Renewed { timeline: Timeline(2), resign: None, forgotten: true };
        assert_eq!(process.renew(&old, Seq(1), Timeline(2)).await, Ok(renewed));
        assert_eq!(process.take_over(&old, InFlight::All).await, Ok(None), "the token is another one now");
        let carried = Token { timeline: Timeline(2), ..old };
        assert_eq!(process.take_over(&carried, InFlight::All).await, Ok(Some(vec![])));
    }

    #[tokio::test(start_paused = true)]
    async fn a_day_old_line_and_an_hour_old_term_are_left_out() {
        let database = FakeDatabase::new();
        let group = GroupId::parse("g").unwrap();
        let (a, b) =
            (database.process(&Opening::new(&group, "a")), database.process(&Opening::new(&group, "b")));
        a.migrate(Migrate::Apply).await.unwrap();
        let request = ClaimRequest {
            observed: a.observe().await.unwrap().version,
            claim: a.opening.nonce.claim(1),
            holder: a.opening.id.clone(),
            ttl: a.opening.ttl,
            floor: Epoch(0),
            forgotten: false,
            former: domain::ports::FormerTerm::Expired,
        };
        a.claim(&request).await.unwrap();
        let line = |process: &FakeStateStore| Member {
            id: process.opening.id.clone(),
            nonce: process.opening.nonce,
            host: String::new(),
            address: String::new(),
            state: domain::member::MemberState::Standby,
            epoch: Epoch(1),
            fallback: false,
            alerts: domain::member::Health::Ok,
            version: String::new(),
            started_ms: 0,
            settings: domain::settings::SharedSettings::default(),
            cannot_lead: None,
            sync_p95: None,
        };
        assert_eq!(a.heartbeat(&line(&a)).await.unwrap().changes_last_hour, 1);
        tokio::time::advance(MEMBER_AGE_MAX + Duration::from_secs(1)).await;
        assert_eq!(b.heartbeat(&line(&b)).await.unwrap().changes_last_hour, 0);
        let listed: Vec<Member> = b.members().await.unwrap().into_iter().map(|seen| seen.member).collect();
        assert_eq!(listed, [line(&b)]);
    }
}
