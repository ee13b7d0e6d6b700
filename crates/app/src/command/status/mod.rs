//! `coordinator status`: the instances, and the leader according to both stores.

use super::table::{date, table, visible};
use super::{facts, open, print_json};
use crate::config::Config;
use crate::failure::Failure;
use crate::output::line;
use adapter_http::{InstanceJson, rfc3339};
use domain::alert::FORGOT_SHOWN;
use domain::member::{LeaseSeen, MemberSeen};
use domain::overview::{Facts, InstanceView, Overview, Phrase};
use domain::ports::Ticket;
use leader_coordinator::Stores;
use serde::Serialize;
use std::time::Duration;
use tokio::time::{sleep, timeout};

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

/// Answers of the stores at one moment, and what follows from them.
struct Seen {
    lease: LeaseSeen,
    ticket: Option<Result<Option<Ticket>, Failure>>,
    members: Vec<MemberSeen>,
    /// The moment, unix milliseconds.
    now_ms: i64,
    overview: Overview,
}

#[derive(Serialize)]
struct StatusJson<'a> {
    exactly_one_leads: bool,
    sentence: String,
    leader_db: Option<&'a str>,
    leader_redis: Option<&'a str>,
    redis: Option<&'static str>,
    epoch: u64,
    store_forgot_at: Option<String>,
    instances: Vec<InstanceJson<'a>>,
}

/// Prints the status once; an error unless exactly one live instance leads and acts.
pub async fn status(config: &Config, form: Form, watch: bool) -> Result<(), Failure> {
    let stores = open(config)?;
    let shown = if watch { follow(config, &stores, form).await } else { once(config, &stores, form).await };
    stores.close().await;
    shown
}

async fn once(config: &Config, stores: &Stores, form: Form) -> Result<(), Failure> {
    let seen = read(config, stores).await?;
    print(&seen, form)?;
    match seen.overview.inactive() {
        None => Ok(()),
        Some(reason) => Err(Failure::other(reason)),
    }
}

/// Prints the status until it is interrupted. If a store does not answer, that is printed and the store is
/// read again.
async fn follow(config: &Config, stores: &Stores, form: Form) -> Result<(), Failure> {
    loop {
        match read(config, stores).await {
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

async fn read(config: &Config, stores: &Stores) -> Result<Seen, Failure> {
    let facts::Read { facts, ticket, failures } = facts::read(config, stores).await;
    if let Some(failure) = failures.into_iter().next() {
        return Err(failure);
    }
    let overview = Overview::of(&facts);
    let Facts { now_ms, lease, members, .. } = facts;
    let unknown = || Failure::other("the state store: no answer");
    let (lease, _) = lease.into_last().ok_or_else(unknown)?;
    let (members, _) = members.into_last().ok_or_else(unknown)?;
    Ok(Seen { lease, ticket, members, now_ms, overview })
}

impl Seen {
    fn leader_db(&self) -> Option<&str> {
        self.overview.leader.holder().map(|(id, _)| id.as_str())
    }

    fn leader_redis(&self) -> Option<&str> {
        match &self.ticket {
            Some(Ok(Some(ticket))) => Some(ticket.holder.as_str()),
            Some(Ok(None) | Err(_)) | None => None,
        }
    }

    fn in_words(&self, phrase: &Phrase) -> String {
        phrase.render(self.now_ms, |at_ms| format!("{} UTC", date(at_ms)))
    }
}

fn print(seen: &Seen, form: Form) -> Result<(), Failure> {
    match form {
        Form::Json => print_json(&StatusJson {
            exactly_one_leads: seen.overview.acts(),
            sentence: seen.in_words(&seen.overview.sentence),
            leader_db: seen.leader_db(),
            leader_redis: seen.leader_redis(),
            redis: seen.ticket.as_ref().map(|answer| if answer.is_ok() { "answers" } else { "unreachable" }),
            epoch: seen.lease.epoch.0,
            store_forgot_at: seen.lease.forgot_ms.and_then(rfc3339),
            instances: InstanceJson::all(&seen.members, &seen.overview),
        }),
        Form::Table => line(render(seen)),
    }
}

fn render(seen: &Seen) -> String {
    let alerts = |view: &InstanceView| {
        let member = seen.members.iter().find(|seen| seen.member.id == view.id);
        member.map_or("", |seen| seen.member.alerts.as_str()).to_owned()
    };
    let row = |view: &InstanceView| {
        vec![
            view.id.to_string(),
            role(view),
            view.epoch.to_string(),
            format!("{:.1} s", view.heartbeat_age.as_secs_f64()),
            if view.fallback { "yes" } else { "no" }.to_owned(),
            alerts(view),
            visible(&view.host),
            visible(&view.address),
        ]
    };
    let rows: Vec<Vec<String>> = seen.overview.instances.iter().map(row).collect();
    let header = ["INSTANCE", "ROLE", "EPOCH", "HEARTBEAT", "FALLBACK", "ALERTS", "HOST", "PAGE"];
    let redis = match &seen.ticket {
        None => "not used".to_owned(),
        Some(Err(failure)) => failure.message.clone(),
        Some(Ok(_)) => seen.leader_redis().unwrap_or("none").to_owned(),
    };
    let held = seen.leader_db().unwrap_or("none");
    let forgot = store_forgot(seen.lease.forgot_ms, seen.now_ms).unwrap_or_default();
    let unable = |view: &InstanceView| {
        let why = view.cannot_lead.as_deref()?;
        Some(format!("\n{} cannot lead: {}", view.id, visible(why)))
    };
    let unable: String = seen.overview.instances.iter().filter_map(unable).collect();
    format!(
        "{}\n\n{}\n\nleader in the state store  {held} (epoch {})\nleader in Redis            {redis}{forgot}{unable}",
        seen.in_words(&seen.overview.sentence),
        table(&header, &rows),
        seen.lease.epoch
    )
}

fn role(view: &InstanceView) -> String {
    match view.cannot_lead {
        Some(_) => format!("{}, cannot lead", view.state.as_str()),
        None => view.state.as_str().to_owned(),
    }
}

/// The line about a loss, for as long as the alert StoreForgot fires.
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
