//! The facts about the group, read from its stores, for `status` and `why`.

use super::ask;
use crate::compose;
use crate::config::Config;
use crate::failure::Failure;
use coordinator::clock;
use domain::member::heartbeat_interval;
use domain::overview::{Facts, Known};
use domain::ports::Ticket;
use leader_coordinator::Stores;

/// Answers of the stores, and the failures of those that did not answer.
pub struct Read {
    /// The facts; what a store did not answer is unknown.
    pub facts: Facts,
    /// The ticket in Redis; `None` without Redis.
    pub ticket: Option<Result<Option<Ticket>, Failure>>,
    /// Failures of the state store.
    pub failures: Vec<Failure>,
}

/// Reads all facts. A store that does not answer leaves what it knows unknown.
pub async fn read(config: &Config, stores: &Stores) -> Read {
    let mut failures = Vec::new();
    let lease = known(ask("the state store", stores.state.lease()).await, &mut failures);
    // If the first request failed, the operator should not wait for the next ones too.
    let (members, totals) = if failures.is_empty() {
        let members = ask("the state store", stores.state.members()).await;
        let totals = ask("the state store", stores.ledger.totals()).await;
        (known(members, &mut failures), known(totals, &mut failures))
    } else {
        let now_ms = clock::calendar_ms();
        (Known::away(now_ms), Known::away(now_ms))
    };
    let ticket = match &stores.leader {
        Some(leader) => Some(ask("Redis", leader.inspect()).await),
        None => None,
    };
    let now_ms = clock::calendar_ms();
    let holder = |answer: &Result<Option<Ticket>, Failure>| match answer {
        Ok(ticket) => Known::read(ticket.as_ref().map(|ticket| ticket.holder.clone()), now_ms),
        Err(_) => Known::away(now_ms),
    };
    let ttl = lease.current().map_or(config.leader_ttl, |lease| lease.ttl);
    let facts = Facts {
        now_ms,
        state_store: compose::state_store(config).into(),
        heartbeat: heartbeat_interval(ttl),
        lease,
        members,
        ticket: ticket.as_ref().map(holder),
        totals,
        signal_value: config.signals.value_rupees,
    };
    Read { facts, ticket, failures }
}

fn known<T>(answer: Result<T, Failure>, failures: &mut Vec<Failure>) -> Known<T> {
    let now_ms = clock::calendar_ms();
    match answer {
        Ok(value) => Known::read(value, now_ms),
        Err(failure) => {
            failures.push(failure);
            Known::away(now_ms)
        }
    }
}
