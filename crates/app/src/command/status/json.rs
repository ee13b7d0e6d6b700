//! The status as JSON; docs/commands.md describes the fields.

use super::seen::{KillSwitch, Seen};
use crate::command::table::date;
use adapter_http::{InstanceJson, rfc3339};
use domain::member::Health;
use serde::Serialize;

#[derive(Serialize)]
pub struct StatusJson<'a> {
    at: Option<String>,
    exactly_one_leads: bool,
    sentence: String,
    leader_db: Option<&'a str>,
    leader_redis: Option<&'a str>,
    redis: Option<&'static str>,
    epoch: Option<u64>,
    store_forgot_at: Option<String>,
    kill_switch: Option<SwitchJson<'a>>,
    alerts: Vec<AlertJson<'a>>,
    instances: Vec<InstanceJson<'a>>,
    error: Option<&'a str>,
}

#[derive(Serialize)]
struct SwitchJson<'a> {
    on: bool,
    since: Option<String>,
    who: Option<&'a str>,
    reason: Option<&'a str>,
}

#[derive(Serialize)]
struct AlertJson<'a> {
    level: &'static str,
    alert: Option<&'a str>,
    instance: Option<&'a str>,
    message: String,
    since: Option<String>,
}

impl<'a> StatusJson<'a> {
    pub fn of(seen: &'a Seen) -> Self {
        let words = |phrase: &domain::overview::Phrase| {
            phrase.render(seen.now_ms(), |at_ms| format!("{} UTC", date(at_ms)))
        };
        let problems = seen.overview.problems.iter().filter(|problem| problem.level != Health::Ok);
        let problems = problems.map(|problem| AlertJson {
            level: problem.level.as_str(),
            alert: Some(problem.alert),
            instance: None,
            message: words(&problem.title),
            since: problem.since_ms.and_then(rfc3339),
        });
        let fires = seen.fires.iter().map(|fires| AlertJson {
            level: fires.level.as_str(),
            alert: fires.alert.as_deref(),
            instance: Some(fires.instance.as_str()),
            message: fires.message.clone(),
            since: None,
        });
        Self {
            at: rfc3339(seen.now_ms()),
            exactly_one_leads: seen.overview.acts(),
            sentence: words(&seen.overview.sentence),
            leader_db: seen.leader_db(),
            leader_redis: seen.leader_redis(),
            redis: seen.ticket.as_ref().map(|answer| if answer.is_ok() { "answers" } else { "unreachable" }),
            epoch: seen.lease().map(|lease| lease.epoch.0),
            store_forgot_at: seen.lease().and_then(|lease| lease.forgot_ms).and_then(rfc3339),
            kill_switch: match seen.kill_switch() {
                KillSwitch::Unknown => None,
                KillSwitch::Off => Some(SwitchJson { on: false, since: None, who: None, reason: None }),
                KillSwitch::On(paused) => Some(SwitchJson {
                    on: true,
                    since: rfc3339(paused.since_ms),
                    who: Some(&paused.who),
                    reason: Some(&paused.reason),
                }),
            },
            alerts: problems.chain(fires).collect(),
            instances: InstanceJson::all(seen.members(), &seen.overview),
            error: seen.failure.as_ref().map(|failure| failure.message.as_str()),
        }
    }
}
