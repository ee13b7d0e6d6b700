//! The JSON of `/status`, `/history` and `/leader`.

use super::rfc3339;
use super::totals::TotalsJson;
use crate::backend::LeaderView;
use domain::alert::Report;
use domain::decision::{Decision, Subject};
use domain::id::InstanceId;
use domain::member::{LeaseSeen, MemberSeen, Term};
use domain::overview::{Facts, Gap, InstanceView, Known, Overview};
use domain::recovery::RecoveryCode;
use serde::Serialize;
use std::time::Duration;

/// The group as one instance sees it.
#[derive(Debug, Serialize)]
pub(crate) struct StatusJson<'a> {
    this_instance: &'a str,
    state: &'static str,
    state_store: &'a str,
    /// What is wrong with the tables of the state store, which answers; null if nothing is.
    state_store_fault: Option<&'a str>,
    heartbeat_ms: u64,
    lease: Option<LeaseJson<'a>>,
    is_leader: bool,
    leader_db: Option<&'a str>,
    leader_redis: Option<&'a str>,
    /// `answers` or `unreachable`; null without Redis. If it answers and `leader_redis` is null, no instance has the ticket.
    redis: Option<&'static str>,
    epoch: Option<u64>,
    fallback: bool,
    alerts: &'static str,
    signals: Option<TotalsJson<'a>>,
    store_forgot_at: Option<String>,
    #[serde(flatten)]
    read: ReadJson,
    instances: Vec<InstanceJson<'a>>,
}

impl<'a> StatusJson<'a> {
    /// `facts` has an instance table, of the present moment or the last known one.
    pub(crate) fn new(report: &'a Report, facts: &'a Facts) -> Self {
        let Report { snapshot, alerts } = report;
        let view = &snapshot.view;
        let members = facts.members.last().map_or(&[][..], |(members, _)| members);
        Self {
            read: ReadJson::of(&facts.members),
            this_instance: snapshot.instance.as_str(),
            state_store: &facts.state_store,
            state_store_fault: facts.state_store_fault.as_deref(),
            heartbeat_ms: ms(facts.heartbeat),
            lease: facts.lease.last().map(|(lease, _)| LeaseJson::from(lease)),
            state: view.state.as_str(),
            is_leader: view.is_leader,
            leader_db: view.leader_db.as_ref().map(InstanceId::as_str),
            leader_redis: view.leader_redis.as_ref().map(InstanceId::as_str),
            redis: view.uses_redis.then_some(if view.fallback { "unreachable" } else { "answers" }),
            epoch: view.epoch.map(|epoch| epoch.0),
            fallback: view.fallback,
            alerts: alerts.overall.as_str(),
            signals: TotalsJson::of(snapshot),
            store_forgot_at: snapshot.store_forgot_ms.and_then(rfc3339),
            instances: InstanceJson::all(members, &Overview::of(facts)),
        }
    }
}

/// The lease, by the clock of the state store.
#[derive(Debug, Serialize)]
pub(crate) struct LeaseJson<'a> {
    holder: Option<&'a str>,
    epoch: u64,
    released: bool,
    ttl_ms: u64,
    renewed_age_ms: u64,
    since: Option<String>,
    store_forgot_at: Option<String>,
}

impl<'a> From<&'a LeaseSeen> for LeaseJson<'a> {
    fn from(lease: &'a LeaseSeen) -> Self {
        Self {
            holder: lease.holder.as_ref().map(InstanceId::as_str),
            epoch: lease.epoch.0,
            released: lease.released,
            ttl_ms: ms(lease.ttl),
            renewed_age_ms: ms(lease.renewed_age),
            since: lease.since_ms.and_then(rfc3339),
            store_forgot_at: lease.forgot_ms.and_then(rfc3339),
        }
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// When the state store gave the answer. While it does not answer, this is its last answer, and the present state is
/// unknown.
#[derive(Debug, Serialize)]
pub(crate) struct ReadJson {
    read_at: Option<String>,
    /// Null while the state store answers.
    away_since: Option<String>,
}

impl ReadJson {
    pub(crate) fn of<T>(known: &Known<T>) -> Self {
        Self {
            read_at: known.last().and_then(|(_, read_ms)| rfc3339(read_ms)),
            away_since: known.away_since_ms().and_then(rfc3339),
        }
    }
}

/// A line of the instance table.
#[derive(Debug, Serialize)]
pub struct InstanceJson<'a> {
    id: &'a str,
    nonce: String,
    host: &'a str,
    address: &'a str,
    /// What it is, judged by its heartbeat and the lease.
    state: &'static str,
    /// What it was at its last heartbeat, by its own report.
    last_reported: &'static str,
    epoch: u64,
    fallback: bool,
    alerts: &'static str,
    version: &'a str,
    started: Option<String>,
    cannot_lead: Option<&'a str>,
    /// The 95th percentile of its latest syncs with the state store, in its last heartbeat.
    sync_p95_ms: Option<f64>,
    heartbeat_age_ms: u64,
    settings: String,
}

impl<'a> InstanceJson<'a> {
    /// `view` says what the instance is, which can differ from what its entry says.
    pub fn new(seen: &'a MemberSeen, view: &InstanceView) -> Self {
        let member = &seen.member;
        Self {
            id: member.id.as_str(),
            nonce: member.nonce.to_string(),
            host: &member.host,
            address: &member.address,
            state: view.state.as_str(),
            last_reported: member.state.as_str(),
            epoch: member.epoch.0,
            fallback: member.fallback,
            alerts: member.alerts.as_str(),
            version: &member.version,
            started: rfc3339(member.started_ms),
            cannot_lead: member.cannot_lead.as_deref(),
            sync_p95_ms: member.sync_p95.map(domain::metrics::unit::millis),
            heartbeat_age_ms: ms(view.heartbeat_age),
            settings: member.settings.written(),
        }
    }

    /// Every instance of the table, in its order.
    pub fn all(members: &'a [MemberSeen], overview: &Overview) -> Vec<Self> {
        let view_of = |seen: &MemberSeen| overview.instances.iter().find(|view| view.id == seen.member.id);
        members.iter().filter_map(|seen| Some(Self::new(seen, view_of(seen)?))).collect()
    }
}

/// The terms of the group's leaders.
#[derive(Debug, Serialize)]
pub(crate) struct HistoryJson<'a> {
    terms: Vec<TermJson<'a>>,
    /// The times without a leader, newest first.
    without_leader: Vec<GapJson>,
    /// Decisions of operators that concern no signal, newest first; null if they could not be read.
    decisions: Option<Vec<DecisionJson<'a>>>,
    store_forgot_at: Option<String>,
    #[serde(flatten)]
    read: ReadJson,
}

/// A time without a leader; `to` is null while it lasts.
#[derive(Debug, Serialize)]
struct GapJson {
    from: Option<String>,
    to: Option<String>,
}

impl<'a> HistoryJson<'a> {
    /// `report` is that of the instance that answers; `None` before start-up is done. `decisions` are `None` if they could
    /// not be read.
    pub(crate) fn new(
        terms: &'a [Term],
        decisions: Option<&'a [Decision]>,
        report: Option<&Report>,
        read: ReadJson,
    ) -> Self {
        let forgot_ms = report.and_then(|report| report.snapshot.store_forgot_ms);
        Self {
            terms: terms.iter().map(TermJson::from).collect(),
            without_leader: Gap::between(terms)
                .iter()
                .map(|gap| GapJson { from: rfc3339(gap.from_ms), to: gap.to_ms.and_then(rfc3339) })
                .collect(),
            decisions: decisions.map(|all| all.iter().map(DecisionJson::from).collect()),
            store_forgot_at: forgot_ms.and_then(rfc3339),
            read,
        }
    }
}

/// A decision of an operator that concerns no signal.
#[derive(Debug, Serialize)]
pub struct DecisionJson<'a> {
    at: Option<String>,
    who: &'a str,
    from: &'a str,
    /// `instance_removed` or `recovery_acknowledged`.
    decision: &'static str,
    /// The removed instance, and the start of its process.
    instance: Option<&'a str>,
    started: Option<String>,
    /// The error of the recovery check at the moment of an acknowledgement; null if it passed.
    error_code: Option<&'static str>,
    reason: &'a str,
}

impl<'a> From<&'a Decision> for DecisionJson<'a> {
    fn from(decision: &'a Decision) -> Self {
        let (name, instance, started, error_code) = match &decision.subject {
            Subject::InstanceRemoved { id, started_ms } => {
                ("instance_removed", Some(id.as_str()), rfc3339(*started_ms), None)
            }
            Subject::RecoveryAcknowledged { verdict } => {
                ("recovery_acknowledged", None, None, verdict.map(RecoveryCode::as_str))
            }
        };
        Self {
            at: rfc3339(decision.at_ms),
            who: &decision.actor.who,
            from: &decision.actor.origin,
            decision: name,
            instance,
            started,
            error_code,
            reason: &decision.reason,
        }
    }
}

/// One term; `to` and `reason` are null while it lasts.
#[derive(Debug, Serialize)]
pub struct TermJson<'a> {
    timeline: u32,
    epoch: u64,
    holder: &'a str,
    host: &'a str,
    from: Option<String>,
    to: Option<String>,
    reason: Option<&'a str>,
}

impl<'a> From<&'a Term> for TermJson<'a> {
    fn from(term: &'a Term) -> Self {
        Self {
            timeline: term.timeline.0,
            epoch: term.epoch.0,
            holder: term.holder.as_str(),
            host: &term.host,
            from: rfc3339(term.from_ms),
            to: term.to_ms.and_then(rfc3339),
            reason: term.reason.as_deref(),
        }
    }
}

/// The leader. The problem document of an instance that does not lead has the same members.
#[derive(Debug, Serialize)]
pub(crate) struct LeaderJson<'a> {
    active: bool,
    leader: Option<&'a str>,
    address: Option<&'a str>,
    epoch: Option<u64>,
    /// With the epoch, the fencing token.
    timeline: Option<u32>,
    claim: Option<String>,
    valid_for_ms: Option<u64>,
}

impl<'a> From<&'a LeaderView> for LeaderJson<'a> {
    fn from(view: &'a LeaderView) -> Self {
        Self {
            active: view.active,
            leader: view.id.as_ref().map(InstanceId::as_str),
            address: view.address.as_deref(),
            epoch: view.held.map(|held| held.token.epoch).or(view.epoch).map(|epoch| epoch.0),
            timeline: view.held.map(|held| held.token.timeline.0),
            claim: view.held.map(|held| held.token.claim.to_string()),
            valid_for_ms: view.held.map(|held| u64::try_from(held.valid_for.as_millis()).unwrap_or(u64::MAX)),
        }
    }
}
