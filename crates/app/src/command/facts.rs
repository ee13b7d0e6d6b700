//! The facts about the group, read from its stores, for `status` and `why`.

use super::ask;
use crate::compose;
use crate::config::Config;
use crate::failure::Failure;
use coordinator::clock;
use domain::id::InstanceId;
use domain::member::heartbeat_interval;
use domain::overview::{Facts, Known};
use domain::ports::StoreError;
use leader_coordinator::Stores;

/// Answers of the stores, and the failures of those that did not answer.
pub struct Read {
    /// The facts; what a store did not answer is unknown.
    pub facts: Facts,
    /// The holder of the ticket in Redis; `None` without Redis.
    pub ticket: Option<Result<Option<InstanceId>, Failure>>,
    /// Failures of the state store.
    pub failures: Vec<Failure>,
}

/// Reads all facts. A store that does not answer leaves what it knows unknown.
pub async fn read(config: &Config, stores: &Stores) -> Read {
    let mut failures = Vec::new();
    let mut fault = None;
    let lease = answer(ask("the state store", noting(stores.state.lease(), &mut fault)).await, &mut failures);
    // If the first request failed, the operator should not wait for the next ones too.
    let (members, totals) = if failures.is_empty() {
        let members = ask("the state store", noting(stores.state.members(), &mut fault)).await;
        let totals = ask("the state store", stores.ledger.totals()).await;
        (answer(members, &mut failures), answer(totals, &mut failures))
    } else {
        (None, None)
    };
    let ticket = match &stores.leader {
        Some(leader) => {
            let ticket = ask("Redis", leader.inspect()).await;
            Some(ticket.map(|ticket| ticket.map(|ticket| ticket.holder)))
        }
        None => None,
    };
    // A command reads once, so it does not know since when a store is away: for all that it knows, since now.
    let now_ms = clock::calendar_ms();
    let (lease, members, totals) = (known(lease, now_ms), known(members, now_ms), known(totals, now_ms));
    let holder = |answer: &Result<Option<InstanceId>, Failure>| match answer {
        Ok(holder) => Known::read(holder.clone(), now_ms),
        Err(_) => Known::away(now_ms),
    };
    let ttl = lease.current().map_or(config.leader_ttl, |lease| lease.ttl);
    let facts = Facts {
        now_ms,
        state_store: compose::state_store(config).into(),
        state_store_fault: fault,
        heartbeat: heartbeat_interval(ttl),
        lease,
        members,
        ticket: ticket.as_ref().map(holder),
        totals,
        signal_value: config.signals.value_rupees,
    };
    Read { facts, ticket, failures }
}

/// The answer. Keeps why the tables cannot be read, if the store answers that.
async fn noting<T>(
    answer: impl Future<Output = Result<T, StoreError>>,
    fault: &mut Option<String>,
) -> Result<T, StoreError> {
    let answer = answer.await;
    if let Err(StoreError::Corrupt(text)) = &answer {
        *fault = Some(text.clone());
    }
    answer
}

/// The answer and when it was read (unix milliseconds); `None` if the store did not answer.
fn answer<T>(answer: Result<T, Failure>, failures: &mut Vec<Failure>) -> Option<(T, i64)> {
    match answer {
        Ok(value) => Some((value, clock::calendar_ms())),
        Err(failure) => {
            failures.push(failure);
            None
        }
    }
}

fn known<T>(answer: Option<(T, i64)>, now_ms: i64) -> Known<T> {
    match answer {
        Some((value, read_ms)) => Known::read(value, read_ms),
        None => Known::away(now_ms),
    }
}
