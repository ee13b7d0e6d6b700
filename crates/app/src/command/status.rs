//! `coordinator status`: the instances, and the leader according to both stores.

use super::table::{date, table, visible};
use super::{ask, open, print_json};
use crate::config::Config;
use crate::failure::Failure;
use crate::output::line;
use adapter_http::{InstanceJson, rfc3339};
use coordinator::{clock, heartbeat_interval};
use domain::alert::FORGOT_SHOWN;
use domain::lease::Observation;
use domain::member::{Member, MemberSeen};
use domain::ports::Ticket;
use leader_coordinator::Stores;
use serde::Serialize;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Heartbeats that an instance may miss. The interval is known, and an instance that missed more is not
/// counted.
const HEARTBEATS_MISSED_MAX: u32 = 2;
/// Longest pause between two reads of `--watch`: ages grow although nothing happens.
const WATCH_PERIOD: Duration = Duration::from_secs(2);
/// Shortest pause between two reads, however many hints arrive.
const WATCH_PERIOD_MIN: Duration = Duration::from_millis(100);

/// Form of the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A table.
    Table,
    /// A JSON object on one line.
    Json,
}

/// Answers of the stores at one moment.
struct Seen {
    row: Observation,
    ticket: Option<Result<Option<Ticket>, Failure>>,
    members: Vec<MemberSeen>,
    forgot_ms: Option<i64>,
}

#[derive(Serialize)]
struct StatusJson<'a> {
    exactly_one_leads: bool,
    leader_db: Option<&'a str>,
    leader_redis: Option<&'a str>,
    redis: Option<&'static str>,
    epoch: u64,
    store_forgot_at: Option<String>,
    instances: Vec<InstanceJson<'a>>,
}

/// Prints the status once; an error unless exactly one instance leads.
pub async fn status(config: &Config, form: Form, watch: bool) -> Result<(), Failure> {
    let stores = open(config)?;
    let shown = if watch { follow(&stores, form).await } else { once(&stores, form).await };
    stores.close().await;
    shown
}

async fn once(stores: &Stores, form: Form) -> Result<(), Failure> {
    let seen = look(stores).await?;
    print(&seen, form)?;
    if seen.leaders() == 1 {
        Ok(())
    } else {
        Err(Failure::other(format!("{} instances lead; it should be exactly one", seen.leaders())))
    }
}

/// Prints the status until it is interrupted. If a store does not answer, that is printed and the store is
/// read again.
async fn follow(stores: &Stores, form: Form) -> Result<(), Failure> {
    loop {
        match look(stores).await {
            Ok(seen) => print(&seen, form)?,
            Err(failure) => eprintln!("{}", failure.message),
        }
        if form == Form::Table {
            line("")?;
        }
        sleep(WATCH_PERIOD_MIN).await;
        // Read again after a hint or after the period.
        let _ = timeout(WATCH_PERIOD, stores.state.changed()).await;
    }
}

async fn look(stores: &Stores) -> Result<Seen, Failure> {
    let row = ask("the state store", stores.state.observe()).await?;
    let members = ask("the state store", stores.state.members()).await?;
    let forgot_ms = ask("the state store", stores.state.lease()).await?.forgot_ms;
    let ticket = match &stores.leader {
        Some(leader) => Some(ask("Redis", leader.inspect()).await),
        None => None,
    };
    Ok(Seen { row, ticket, members, forgot_ms })
}

impl Seen {
    fn leader_db(&self) -> Option<&str> {
        let holder = self.row.holder.as_ref().filter(|_| !self.row.released);
        holder.map(domain::id::InstanceId::as_str)
    }

    fn leader_redis(&self) -> Option<&str> {
        match &self.ticket {
            Some(Ok(Some(ticket))) => Some(ticket.holder.as_str()),
            Some(Ok(None) | Err(_)) | None => None,
        }
    }

    /// Number of instances that report that they lead and whose heartbeat is fresh.
    fn leaders(&self) -> usize {
        let fresh = heartbeat_interval(self.row.ttl) * HEARTBEATS_MISSED_MAX;
        let leads = |seen: &&MemberSeen| seen.member.state.leads() && seen.heartbeat_age <= fresh;
        let held = self.members.iter().filter(leads);
        held.filter(|seen| self.leader_db() == Some(seen.member.id.as_str())).count()
    }
}

fn print(seen: &Seen, form: Form) -> Result<(), Failure> {
    match form {
        Form::Json => print_json(&StatusJson {
            exactly_one_leads: seen.leaders() == 1,
            leader_db: seen.leader_db(),
            leader_redis: seen.leader_redis(),
            redis: seen.ticket.as_ref().map(|answer| if answer.is_ok() { "answers" } else { "unreachable" }),
            epoch: seen.row.version.token.epoch.0,
            store_forgot_at: seen.forgot_ms.and_then(rfc3339),
            instances: seen.members.iter().map(InstanceJson::from).collect(),
        }),
        Form::Table => line(render(seen, clock::calendar_ms())),
    }
}

/// `now_ms` is unix milliseconds.
fn render(seen: &Seen, now_ms: i64) -> String {
    let rows: Vec<Vec<String>> = seen
        .members
        .iter()
        .map(|MemberSeen { member, heartbeat_age }| {
            vec![
                member.id.to_string(),
                role(member),
                member.epoch.to_string(),
                format!("{:.1} s", heartbeat_age.as_secs_f64()),
                if member.fallback { "yes" } else { "no" }.to_owned(),
                member.alerts.as_str().to_owned(),
                visible(&member.host),
                visible(&member.address),
            ]
        })
        .collect();
    let header = ["INSTANCE", "ROLE", "EPOCH", "HEARTBEAT", "FALLBACK", "ALERTS", "HOST", "PAGE"];
    let redis = match &seen.ticket {
        None => "not used".to_owned(),
        Some(Err(failure)) => failure.message.clone(),
        Some(Ok(_)) => seen.leader_redis().unwrap_or("none").to_owned(),
    };
    let held = seen.leader_db().unwrap_or("none");
    let forgot = store_forgot(seen.forgot_ms, now_ms).unwrap_or_default();
    let unable: Vec<String> = seen
        .members
        .iter()
        .filter_map(|seen| Some((&seen.member.id, seen.member.cannot_lead.as_deref()?)))
        .map(|(id, why)| format!("\n{id} cannot lead: {}", visible(why)))
        .collect();
    let unable = unable.concat();
    format!(
        "{}\n\nleader in the state store  {held} (epoch {})\nleader in Redis            {redis}{forgot}{unable}",
        table(&header, &rows),
        seen.row.version.token.epoch
    )
}

fn role(member: &Member) -> String {
    match member.cannot_lead {
        Some(_) => format!("{}, cannot lead", member.state),
        None => member.state.to_string(),
    }
}

/// The line about the loss, while the alert StoreForgot fires.
fn store_forgot(forgot_ms: Option<i64>, now_ms: i64) -> Option<String> {
    let at_ms = forgot_ms?;
    let ago_ms = u128::try_from(now_ms.saturating_sub(at_ms)).unwrap_or(0);
    let line = format!(
        "\nthe store forgot           {} UTC: a standby was promoted or a backup restored",
        date(at_ms)
    );
    (ago_ms < FORGOT_SHOWN.as_millis()).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_forgot_is_shown_for_a_day() {
        const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
        const AT_MS: i64 = 1_700_000_000_000;
        let shown = Some(
            "\nthe store forgot           2023-11-14 22:13:20 UTC: a standby was promoted or a backup restored".to_owned(),
        );
        // The store's clock may be ahead of this one's.
        for now_ms in [AT_MS - 1_000, AT_MS, AT_MS + DAY_MS - 1] {
            assert_eq!(store_forgot(Some(AT_MS), now_ms), shown, "{now_ms}");
        }
        assert_eq!(store_forgot(Some(AT_MS), AT_MS + DAY_MS), None);
        assert_eq!(store_forgot(None, AT_MS), None);
    }
}
