//! Redis and the database side by side: which leader each names, and which instances reach them.

use super::seen::Seen;
use super::tree::{Element, Node, el};
use super::words::{Level, cell, differs, dim, head, name, row, sentence, state, status, table};
use domain::id::InstanceId;
use domain::overview::{InstanceState, InstanceView, Phrase};

/// The comparison in one sentence.
pub(crate) fn summary(seen: &Seen) -> Vec<Node> {
    let (level, phrase) = compared(seen);
    let mut nodes = vec![status(level, level.word()).into(), " ".into()];
    nodes.extend(sentence(&phrase));
    nodes
}

fn compared(seen: &Seen) -> (Level, Phrase) {
    let store = &seen.facts.state_store;
    let by_database = holder(seen);
    if let Some(since_ms) = seen.away_since_ms() {
        let redis = match seen.facts.ticket.as_ref().and_then(|ticket| ticket.current()) {
            Some(Some(id)) => format!(". Redis names {id}; Redis alone never decides."),
            _ => ".".to_owned(),
        };
        return (
            Level::Unknown,
            Phrase::of(format!("{store} has not answered since ")).time(since_ms).text(redis),
        );
    }
    if seen.facts.lease.current().is_none() {
        return (Level::Unknown, Phrase::of(format!("{store} has not answered yet.")));
    }
    let decides = match by_database {
        Some(id) => format!("{store} names {id}, and {store} decides."),
        None => format!("{store} names no leader, and {store} decides."),
    };
    let Some(ticket) = &seen.facts.ticket else {
        return (Level::Ok, Phrase::of(format!("{decides} Redis is not configured.")));
    };
    if let Some(since_ms) = ticket.away_since_ms() {
        return (
            Level::Unknown,
            Phrase::of("Redis has not answered since ").time(since_ms).text(format!(". {decides}")),
        );
    }
    match (ticket.current(), by_database) {
        (None, _) => (Level::Unknown, Phrase::of(format!("Redis has not answered yet. {decides}"))),
        (Some(Some(redis)), Some(id)) if redis == id => {
            (Level::Ok, Phrase::of(format!("Redis and {store} name {id}.")))
        }
        (Some(Some(redis)), _) => (Level::Warning, Phrase::of(format!("Redis names {redis}. {decides}"))),
        (Some(None), _) => (Level::Ok, Phrase::of(format!("Redis names no instance. {decides}"))),
    }
}

/// The holder of a valid lease.
fn holder(seen: &Seen) -> Option<&InstanceId> {
    seen.overview.leader.holder().map(|(id, _)| id)
}

/// A row for each instance.
pub(crate) fn section(seen: &Seen) -> Vec<Node> {
    let rows: Vec<Element> = seen.overview.instances.iter().map(|view| line(view, seen)).collect();
    if rows.is_empty() {
        return Vec::new();
    }
    let store = seen.facts.state_store.as_str();
    vec![table("stores", &["Instance", "Redis", store, "Match"], rows).into()]
}

fn line(view: &InstanceView, seen: &Seen) -> Element {
    let is_self = seen.instance() == Some(&view.id);
    let [redis, database, matches] = if is_self { own(seen) } else { reported(view, seen) };
    row("")
        .with(head("Instance", vec![el("b").with(name(&view.id)).into()]))
        .with(cell("Redis", vec![redis]))
        .with(cell(&seen.facts.state_store, vec![database]))
        .with(cell("Match", vec![matches]))
}

/// The answers that this instance received.
fn own(seen: &Seen) -> [Node; 3] {
    let named = |id: Option<&InstanceId>| match id {
        Some(id) => el("span").with("names ").with(name(id)),
        None => dim("names none"),
    };
    let database = match seen.facts.lease.current() {
        Some(_) => named(holder(seen)).into(),
        None => status(Level::Unknown, "Unknown").into(),
    };
    let redis = match &seen.facts.ticket {
        None => dim("not configured").into(),
        Some(ticket) => match ticket.current() {
            Some(id) => named(id.as_ref()).into(),
            None => status(Level::Unknown, "Unknown").into(),
        },
    };
    let ticket = seen.facts.ticket.as_ref().map(|ticket| ticket.current());
    let matches: Element = match (ticket, seen.facts.lease.current()) {
        (_, None) | (Some(None), _) => status(Level::Unknown, "Unknown"),
        (None, Some(_)) => dim("nothing to compare"),
        (Some(Some(redis)), Some(_)) if redis.as_ref() == holder(seen) => state("ok", "Same"),
        (Some(Some(None)), Some(_)) => state("differs", "Only the database"),
        (Some(Some(Some(_))), Some(_)) => {
            differs(Level::Warning, vec!["Different".into()], "the database decides")
        }
    };
    [redis, database, matches.into()]
}

/// What another instance wrote with its last heartbeat: whether it reaches Redis, and the epoch that it read.
fn reported(view: &InstanceView, seen: &Seen) -> [Node; 3] {
    let silent = matches!(view.state, InstanceState::Gone | InstanceState::Stale | InstanceState::Unknown);
    if silent {
        return [dim("–").into(), dim("–").into(), dim("not known").into()];
    }
    let redis: Node = match (&seen.facts.ticket, view.fallback) {
        (_, true) => differs(Level::Warning, vec!["does not answer".into()], "at its last heartbeat").into(),
        (None, false) => dim("not configured").into(),
        (Some(_), false) => "answers".into(),
    };
    let epoch = seen.facts.lease.last().map(|(lease, _)| lease.epoch);
    let matches: Element = if Some(view.epoch) == epoch {
        state("ok", "Same epoch")
    } else {
        differs(Level::Unknown, vec!["Older epoch".into()], "until its next heartbeat")
    };
    [redis, format!("epoch {}", view.epoch).into(), matches.into()]
}
