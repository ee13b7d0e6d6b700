//! The group at one moment: the answers of the stores, and the alerts of its instances.

use crate::command::facts;
use crate::config::Config;
use crate::failure::Failure;
use adapter_http::alerts_of;
use coordinator::clock;
use domain::id::InstanceId;
use domain::ledger::Paused;
use domain::member::{Health, LeaseSeen, Member, MemberSeen};
use domain::overview::{Facts, InstanceState, Overview};
use domain::ports::Ticket;
use leader_coordinator::Stores;
use std::net::IpAddr;
use std::time::Duration;
use tokio::task::JoinSet;

/// Timeout of the page of an instance. It is on this host, and the operator waits.
const PAGE_TIME_MAX: Duration = Duration::from_millis(500);

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
    pub ticket: Option<Result<Option<Ticket>, Failure>>,
    pub overview: Overview,
    /// Alerts that instances report in addition to the problems of the overview.
    pub fires: Vec<Fires>,
    /// Why the state store does not answer; the facts are then the last known ones.
    pub failure: Option<Failure>,
}

impl Seen {
    /// Reads everything. `before` has the last known facts, if there are any.
    pub async fn read(config: &Config, stores: &Stores, before: Option<Self>) -> Self {
        let facts::Read { facts, ticket, failures } = facts::read(config, stores).await;
        let failure = failures.into_iter().next();
        let facts = match (&failure, before) {
            // Redis has its own answer.
            (Some(_), Some(before)) => Facts { ticket: facts.ticket, ..unanswered(before.facts) },
            _ => facts,
        };
        let overview = Overview::of(&facts);
        let fires = if failure.is_some() { Vec::new() } else { reported(&facts, &overview).await };
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
            Some(Ok(Some(ticket))) => Some(ticket.holder.as_str()),
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
async fn reported(facts: &Facts, overview: &Overview) -> Vec<Fires> {
    let mut queries = JoinSet::new();
    let members = facts.members.current().map_or(&[][..], Vec::as_slice);
    for seen in members.iter().filter(|seen| seen.member.alerts != Health::Ok) {
        let view = overview.instances.iter().find(|view| view.id == seen.member.id);
        if view.is_some_and(|view| !matches!(view.state, InstanceState::Gone | InstanceState::Unknown)) {
            queries.spawn(of_instance(seen.member.clone()));
        }
    }
    let mut fires: Vec<Fires> = queries.join_all().await.concat();
    fires.retain(|one| !overview.problems.iter().any(|problem| Some(problem.alert) == one.alert.as_deref()));
    fires.sort_by(|a, b| b.level.cmp(&a.level).then(a.instance.cmp(&b.instance)));
    fires
}

async fn of_instance(member: Member) -> Vec<Fires> {
    let answer = if on_this_host(&member.address) {
        alerts_of(&member.address, &member.id, PAGE_TIME_MAX).await
    } else {
        Err("its page is on another host or has TLS".to_owned())
    };
    match answer {
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

/// Whether a page is at a loopback address. The instance table is not trusted with requests to other hosts.
fn on_this_host(address: &str) -> bool {
    let authority = address.strip_prefix("http://").and_then(|rest| rest.split('/').next());
    let host = authority.and_then(|authority| authority.rsplit_once(':')).map(|(host, _)| host);
    let host = host.map(|host| host.trim_start_matches('[').trim_end_matches(']'));
    host.and_then(|host| host.parse::<IpAddr>().ok()).is_some_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_page_on_this_host_is_read() {
        for here in ["http://127.0.0.1:5000", "http://[::1]:5000/", "http://127.0.0.2:80"] {
            assert!(on_this_host(here), "{here}");
        }
        for elsewhere in [
            "http://10.0.0.7:5000",
            "https://127.0.0.1:5000",
            "http://127.0.0.1.example:80",
            "http://localhost:5000",
            "",
        ] {
            assert!(!on_this_host(elsewhere), "{elsewhere}");
        }
    }
}
