//! `coordinator remove`: leaves an instance out of the instance table because it was removed on purpose.

use super::group::operator;
use super::ids::named;
use super::{Form, ask, open, print_json};
use crate::config::Config;
use crate::failure::Failure;
use crate::output::line;
use domain::id::InstanceId;
use domain::member::heartbeat_interval;
use domain::overview::stale_after;
use domain::ports::Removal;
use leader_coordinator::Stores;
use serde::Serialize;
use std::time::Duration;

/// Condition for a removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removable {
    /// Only if the heartbeat of the instance is late.
    Stale,
    /// Also if its last heartbeat is recent, because its process has just ended.
    Ended,
}

#[derive(Serialize)]
struct RemovedJson<'a> {
    id: &'a str,
    reason: &'a str,
}

/// Removes the instance that `text` names, and records the decision.
pub async fn remove(
    config: &Config,
    text: &str,
    reason: &str,
    removable: Removable,
    form: Form,
) -> Result<(), Failure> {
    let stores = open(config)?;
    let removed = removed(&stores, text, reason, removable).await;
    stores.close().await;
    let id = removed?;
    if form == Form::Json {
        return print_json(&RemovedJson { id: id.as_str(), reason });
    }
    line(format_args!("removed {id}: StaleHeartbeat about it ends"))?;
    line(
        "If it is a target of Prometheus, remove it there, too: InstanceDown fires again a day after its last scrape.",
    )
}

async fn removed(
    stores: &Stores,
    text: &str,
    reason: &str,
    removable: Removable,
) -> Result<InstanceId, Failure> {
    let members = ask("the state store", stores.state.members()).await?;
    let ids: Vec<InstanceId> = members.into_iter().map(|seen| seen.member.id).collect();
    let id = named(text, &ids).map_err(Failure::usage)?;
    let recent = match removable {
        Removable::Stale => {
            let ttl = ask("the state store", stores.state.lease()).await?.ttl;
            stale_after(heartbeat_interval(ttl))
        }
        Removable::Ended => Duration::ZERO,
    };
    let operator = operator();
    let answer = stores.state.remove_instance(id, recent, &operator, reason);
    match ask("the state store", answer).await? {
        Removal::Removed => Ok(id.clone()),
        Removal::Unknown => Err(Failure::other(format!("{id} has left the instance table just now"))),
        Removal::Alive { heartbeat_age } => Err(Failure::other(format!(
            "{id} may be alive: its last heartbeat was {:.1} s ago. Stop it first; an instance that stops cleanly needs no \
             removal. If its process has ended, wait {:.0} s, or use --force",
            heartbeat_age.as_secs_f64(),
            recent.saturating_sub(heartbeat_age).as_secs_f64().ceil()
        ))),
        Removal::Leads => Err(Failure::other(format!(
            "{id} holds the lease. If it is alive, run `coordinator step-down --reason TEXT` and stop it; an instance that \
             stops cleanly needs no removal. If its process has ended, wait until its lease has ended: see `coordinator \
             status`"
        ))),
    }
}
