//! The problems of the stores themselves: the state store does not answer or has forgotten, Redis does not answer.

use super::phrase::since;
use super::problem::{Money, Problem, exposed};
use super::{Facts, LeaderView, Phrase};
use crate::alert::FORGOT_SHOWN;
use crate::member::Health;
use alloc::format;
use alloc::string::{String, ToString};

pub(super) fn state_store(facts: &Facts, leader: &LeaderView) -> Option<Problem> {
    let LeaderView::Unknown { since_ms: Some(since_ms), .. } = leader else { return None };
    let last = facts.totals.last().map(|(totals, _)| exposed(totals, facts.signal_value));
    let store = &facts.state_store;
    let (title, meaning, next, command) = match &facts.state_store_fault {
        None => (
            format!("{store} does not answer"),
            "Only the state store decides which instance leads, so the leader is unknown here. If no instance reaches the \
             store, no signal is sent. A client that submits a signal gets 503 and submits it again."
                .to_string(),
            format!(
                "Check {store} and the connection to it. An instance leads within LEADER_TTL after it answers again."
            ),
            "coordinator status",
        ),
        Some(fault) => (
            format!("{store} answers, but its tables cannot be read"),
            format!(
                "{fault}. The leader is unknown here. If no instance can read the tables, no signal is sent. A client whose \
                 signal cannot be stored gets 503 and submits it again."
            ),
            "Restore the tables, or correct what the message names. An instance leads within LEADER_TTL afterwards."
                .to_string(),
            "coordinator migrate --check",
        ),
    };
    Some(Problem {
        level: Health::Critical,
        alert: "NoLeader",
        title: Phrase::of(title),
        meaning: Phrase::of(meaning),
        next,
        command: Some(command.into()),
        money: Money::Unknown(last),
        since_ms: Some(*since_ms),
    })
}

pub(super) fn redis(facts: &Facts, leader: &LeaderView) -> Option<Problem> {
    let ticket = facts.ticket.as_ref()?;
    let since_ms = ticket.away_since_ms()?;
    let leads_on = leader.holder().map_or_else(String::new, |(id, _)| format!(" {id} continues to lead."));
    Some(Problem {
        level: Health::Warning,
        alert: "FallbackModeActive",
        title: Phrase::of("Redis does not answer"),
        meaning: Phrase::of(format!(
            "{} alone decides the election.{leads_on} If the leader ends without a handover, signals wait up to LEADER_TTL for its successor.",
            facts.state_store
        )),
        next: "Restore Redis during working hours.".into(),
        command: None,
        money: Money::None,
        since_ms: Some(since_ms),
    })
}

pub(super) fn forgot(facts: &Facts) -> Option<Problem> {
    let at_ms = facts.lease.last()?.0.forgot_ms?;
    (since(at_ms, facts.now_ms) < FORGOT_SHOWN).then(|| Problem {
        level: Health::Critical,
        alert: "StoreForgot",
        title: Phrase::of(format!("{} has forgotten acknowledged writes", facts.state_store)),
        meaning: Phrase::of(
            "A standby was promoted or a backup restored. An order may have been executed without a record.",
        ),
        next: "Compare the broker's orders with the ledger.".into(),
        command: Some("coordinator history".into()),
        money: Money::None,
        since_ms: Some(at_ms),
    })
}
