//! The group at one moment: the answers of the stores, and the alerts of its instances.

use crate::command::facts;
use crate::command::group::Group;
use crate::failure::Failure;
use coordinator::clock;
use domain::id::InstanceId;
use domain::ledger::Paused;
use domain::member::{Health, LeaseSeen, Member, MemberSeen};
use domain::overview::{Facts, InstanceState, Overview};
use futures_util::future::join_all;

/// An alert that one instance reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fires {
    /// The severity.
    pub level: Health,
    /// Its name; `None` if only its severity is known.
    pub alert: Option<String>,
    /// The instance.
    pub instance: InstanceId,
    /// The condition as a sentence.
    pub message: String,
}

/// The kill switch.
#[derive(Debug, Clone, Copy)]
pub enum KillSwitch<'a> {
    /// The ledger was never read.
    Unknown,
    /// Signals are sent.
    Off,
    /// No signal is sent.
    On(&'a Paused),
}

/// Answers of the stores at one moment, and what follows from them.
pub struct Seen {
    pub facts: Facts,
    pub ticket: Option<Result<Option<InstanceId>, Failure>>,
    pub overview: Overview,
    /// Alerts that instances report in addition to the problems of the overview.
    pub fires: Vec<Fires>,
    /// Why the state store does not answer; the facts are then the last known ones.
    pub failure: Option<Failure>,
}

impl Seen {
    /// Reads everything. `before` has the last known facts, if there are any.
    pub async fn read(group: &dyn Group, before: Option<Self>) -> Self {
        let facts::Read { facts, ticket, failures } = group.facts().await;
        let failure = failures.into_iter().next();
        let facts = match (&failure, before) {
            // Redis has its own answer.
            (Some(_), Some(before)) => Facts { ticket: facts.ticket, ..unanswered(before.facts) },
            _ => facts,
        };
        let overview = Overview::of(&facts);
        let fires = if failure.is_some() { Vec::new() } else { reported(group, &facts, &overview).await };
        Self { facts, ticket, overview, fires, failure }
    }

    /// The moment, unix milliseconds.
    pub fn now_ms(&self) -> i64 {
        self.facts.now_ms
    }

    /// The last known lease.
    pub fn lease(&self) -> Option<&LeaseSeen> {
        self.facts.lease.last().map(|(lease, _)| lease)
    }

    /// The last known instance table.
    pub fn members(&self) -> &[MemberSeen] {
        self.facts.members.last().map_or(&[], |(members, _)| members)
    }

    /// The last known position of the kill switch.
    pub fn kill_switch(&self) -> KillSwitch<'_> {
        match self.facts.totals.last() {
            None => KillSwitch::Unknown,
            Some((totals, _)) => totals.paused.as_ref().map_or(KillSwitch::Off, KillSwitch::On),
        }
    }

    /// The holder of a valid lease.
    pub fn leader_db(&self) -> Option<&str> {
        self.overview.leader.holder().map(|(id, _)| id.as_str())
    }

    /// The holder of the ticket in Redis.
    pub fn leader_redis(&self) -> Option<&str> {
        match &self.ticket {
            Some(Ok(Some(holder))) => Some(holder.as_str()),
            Some(Ok(None) | Err(_)) | None => None,
        }
    }
}

/// The same facts, now that the state store does not answer.
fn unanswered(mut facts: Facts) -> Facts {
    let now_ms = clock::calendar_ms();
    facts.now_ms = now_ms;
    facts.lease.failed(now_ms);
    facts.members.failed(now_ms);
    facts.totals.failed(now_ms);
    facts
}

/// The alerts of every live instance that reports one, without those that the overview has found.
async fn reported(group: &dyn Group, facts: &Facts, overview: &Overview) -> Vec<Fires> {
    let members = facts.members.current().map_or(&[][..], Vec::as_slice);
    let alive = members.iter().filter(|seen| seen.member.alerts != Health::Ok).filter(|seen| {
        let view = overview.instances.iter().find(|view| view.id == seen.member.id);
        view.is_some_and(|view| !matches!(view.state, InstanceState::Gone | InstanceState::Unknown))
    });
    let queries = alive.map(|seen| of_instance(group, seen.member.clone()));
    let mut fires: Vec<Fires> = join_all(queries).await.concat();
    fires.retain(|one| !overview.problems.iter().any(|problem| Some(problem.alert) == one.alert.as_deref()));
    fires.sort_by(|a, b| b.level.cmp(&a.level).then(a.instance.cmp(&b.instance)));
    fires
}

async fn of_instance(group: &dyn Group, member: Member) -> Vec<Fires> {
    match group.alerts_of(&member).await {
        Ok(alerts) => {
            let fires = |alert: adapter_http::InstanceAlert| Fires {
                level: alert.level,
                alert: Some(alert.alert),
                instance: member.id.clone(),
                message: alert.message,
            };
            alerts.into_iter().map(fires).collect()
        }
        Err(why) => vec![Fires {
            level: member.alerts,
            alert: None,
            message: format!("the names of its alerts are on {}/coordinator/metrics ({why})", member.address),
            instance: member.id,
        }],
    }
}
