//! The sentence of an overview: the leader and the worst facts, in the order money, kill switch, leader (or state
//! store), Redis, instances.

use super::phrase::{before, rupees};
use super::problem::in_doubt_words;
use super::{Facts, InstanceState, InstanceView, Known, LeaderView, Phrase, Problem};
use crate::member::{Health, MemberSeen};
use alloc::format;
use alloc::vec::Vec;

pub(super) fn of(
    facts: &Facts,
    leader: &LeaderView,
    instances: &[InstanceView],
    problems: &[Problem],
) -> Phrase {
    let totals = facts.totals.last().map(|(totals, _)| totals);
    let mut sentence = Phrase::default();
    if let Some(totals) = totals.filter(|totals| totals.in_doubt > 0) {
        let at_risk = rupees(facts.signal_value.saturating_mul(totals.in_doubt.into()));
        sentence = sentence.then(Phrase::of(format!(
            "{}: {at_risk} is at risk until an operator resolves {}.",
            in_doubt_words(totals.in_doubt),
            if totals.in_doubt == 1 { "it" } else { "them" }
        )));
    }
    if let Some(paused) = totals.and_then(|totals| totals.paused.as_ref()) {
        sentence = sentence.then(
            Phrase::of("The kill switch has been on since ")
                .time(paused.since_ms)
                .text(": no signal is sent."),
        );
    }
    sentence = sentence.then(leads(facts, leader, instances));
    if let Some(since_ms) = facts.ticket.as_ref().and_then(Known::away_since_ms)
        && leader.holder().is_some()
    {
        // A command reads once, so it does not know since when.
        let away = if facts.now_ms > since_ms {
            Phrase::of("Redis has not answered for ").age(since_ms)
        } else {
            Phrase::of("Redis does not answer")
        };
        sentence = sentence.then(away.text("; the leader does not change."));
    }
    for view in instances.iter().filter(|view| !facts.is_recent(view.heartbeat_age)) {
        if matches!(view.state, InstanceState::Stale | InstanceState::Gone) {
            let since_ms = before(facts.now_ms, view.heartbeat_age);
            sentence = sentence
                .then(Phrase::of(format!("{} has sent no heartbeat for ", view.id)).age(since_ms).text("."));
        }
    }
    match problems {
        [] if leader.holder().is_some() && is_quiet(facts, instances) => {
            sentence.then(Phrase::of("Nothing is wrong."))
        }
        _ => sentence,
    }
}

/// True if everything was read, and every instance is active or on standby and reports no alert.
fn is_quiet(facts: &Facts, instances: &[InstanceView]) -> bool {
    let settled = |view: &InstanceView| matches!(view.state, InstanceState::Active | InstanceState::Standby);
    let no_alert = |members: &Vec<MemberSeen>| members.iter().all(|seen| seen.member.alerts == Health::Ok);
    let redis_answers = facts.ticket.as_ref().is_none_or(|ticket| ticket.current().is_some());
    facts.members.current().is_some_and(no_alert)
        && facts.totals.current().is_some()
        && redis_answers
        && instances.iter().all(settled)
}

fn leads(facts: &Facts, leader: &LeaderView, instances: &[InstanceView]) -> Phrase {
    match leader {
        LeaderView::Leads { id, epoch, since_ms } => {
            let state = instances.iter().find(|view| view.id == *id).map(|view| view.state);
            match state {
                Some(InstanceState::Active) => Phrase::of(format!("{id} has led since "))
                    .time(*since_ms)
                    .text(format!(" (epoch {epoch}).")),
                Some(InstanceState::Halted) => Phrase::of("Trading is halted: ")
                    .text(format!("{id} has led since "))
                    .time(*since_ms)
                    .text(format!(" (epoch {epoch}), but its crash recovery failed.")),
                Some(InstanceState::Recovering) => {
                    Phrase::of(format!("{id} has held the lease since ")).time(*since_ms).text(format!(
                        " (epoch {epoch}) and checks the portfolio. No signal is sent until it is active."
                    ))
                }
                _ => Phrase::of(format!("{id} has held the lease since "))
                    .time(*since_ms)
                    .text(format!(" (epoch {epoch}) and renews it. Whether it acts is unknown.")),
            }
        }
        LeaderView::Overdue { id, epoch, renewed_ms, ends_ms } => {
            Phrase::of(format!("{id} (epoch {epoch}) has not renewed its lease for "))
                .age(*renewed_ms)
                .text(". Another instance takes over after ")
                .time(*ends_ms)
                .text(" unless it does.")
        }
        LeaderView::Vacant { since_ms: None, .. } => {
            Phrase::of("No instance has led yet. No signal is sent.")
        }
        LeaderView::Vacant { since_ms: Some(since_ms), last, .. } => {
            let last = last.as_ref().map_or_else(alloc::string::String::new, |(id, epoch)| {
                format!(" (the last leader was {id}, epoch {epoch})")
            });
            Phrase::of("No instance has led since ")
                .time(*since_ms)
                .text(format!("{last}. No signal is sent."))
        }
        LeaderView::Unknown { since_ms, last } => {
            let last = last.as_ref().map_or_else(alloc::string::String::new, |(id, epoch)| {
                format!(" (last known: {id}, epoch {epoch})")
            });
            match since_ms {
                Some(_) if facts.state_store_fault.is_some() => Phrase::of(format!(
                    "The tables of {} cannot be read: the leader is unknown{last}.",
                    facts.state_store
                )),
                Some(since_ms) if facts.now_ms > *since_ms => {
                    Phrase::of(format!("{} has not answered for ", facts.state_store))
                        .age(*since_ms)
                        .text(format!(": the leader is unknown{last}."))
                }
                // A command reads once, so it does not know since when.
                Some(_) => {
                    Phrase::of(format!("{} does not answer: the leader is unknown{last}.", facts.state_store))
                }
                None => Phrase::of("The leader is not known yet."),
            }
        }
    }
}
