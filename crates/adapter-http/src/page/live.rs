//! [`Live`]: the latest state of everything that `/events` reports, and when each part changed last. It serves every
//! stream, so a stream costs no work while nothing changes, and a client that connects again gets what it missed.

use super::document::{self, Section};
use super::lead;
use super::seen::Seen;
use super::tree::{self, Node};
use crate::json::rfc3339;
use domain::member::Health;
use domain::overview::{InstanceState, LastAnswers, Money};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A state derived this recently is not derived again, unless a store has answered since.
const FRESH: Duration = Duration::from_millis(400);

/// Everything that streams report.
pub(crate) struct Live {
    /// Distinguishes the numbers of this process from those of another one.
    nonce: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The number of the latest change.
    number: u64,
    /// The state that was derived last, and when.
    seen: Option<(Instant, Arc<Seen>)>,
    /// Sections of the page, with the number of their last change.
    sections: BTreeMap<&'static str, (u64, Content)>,
    /// Facts about the group by kind and key, with the number of their last change.
    facts: BTreeMap<(&'static str, String), (u64, Fact)>,
}

/// The content of a section.
#[derive(Debug, Clone, PartialEq)]
enum Content {
    Text(String),
    Nodes(Vec<Node>),
}

/// A fact, and the time (unix milliseconds) at which this instance saw it change.
#[derive(Debug, Clone)]
struct Fact {
    value: Value,
    at_ms: i64,
}

/// An event for a client.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    pub(crate) event: &'static str,
    pub(crate) data: Value,
}

impl Default for Live {
    fn default() -> Self {
        let nonce = RandomState::new().build_hasher().finish();
        Self { nonce: format!("{nonce:016x}"), state: Mutex::default() }
    }
}

impl Live {
    /// Takes in the present state and numbers what changed. Many streams wake at the same time: the state is derived
    /// once for all of them.
    pub(crate) fn update(
        &self,
        last: &Arc<LastAnswers>,
        prefix: &str,
        read: impl FnOnce() -> Seen,
    ) -> Arc<Seen> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, seen)) = &state.seen
            && at.elapsed() < FRESH
            && Arc::ptr_eq(&seen.last, last)
            && seen.prefix == prefix
        {
            return Arc::clone(seen);
        }
        let seen = Arc::new(read());
        let next = state.number + 1;
        let changed = state.take_sections(&seen, next) | state.take_facts(&seen, next);
        if changed {
            state.number = next;
        }
        state.seen = Some((Instant::now(), Arc::clone(&seen)));
        seen
    }

    /// The id of an event that brings a client up to `number`.
    pub(crate) fn id(&self, number: u64) -> String {
        format!("{}-{number}", self.nonce)
    }

    /// The number in an id that a client has received; `None` if another process has written it.
    pub(crate) fn number(&self, id: &str) -> Option<u64> {
        id.strip_prefix(&self.nonce)?.strip_prefix('-')?.parse().ok()
    }

    /// The sections that changed after `number` (all for `None`), and the number of the latest change.
    pub(crate) fn sections_after(&self, number: Option<u64>, now_ms: i64) -> (u64, Map<String, Value>) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let new = state.sections.iter().filter(|(_, (at, _))| number.is_none_or(|number| *at > number));
        let sections = new.map(|(id, (_, content))| {
            let value = match content {
                Content::Text(text) => json!(text),
                Content::Nodes(nodes) => tree::json(nodes, now_ms),
            };
            ((*id).to_owned(), value)
        });
        (state.number, sections.collect())
    }

    /// The facts that changed after `number` (all for `None`), and the number of the latest change.
    pub(crate) fn facts_after(&self, number: Option<u64>) -> (u64, Vec<Change>) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let new = state.facts.iter().filter(|(_, (at, _))| number.is_none_or(|number| *at > number));
        let changes = new.map(|((event, _), (_, fact))| {
            let mut data = fact.value.clone();
            data["at"] = json!(rfc3339(fact.at_ms));
            Change { event, data }
        });
        (state.number, changes.collect())
    }
}

impl State {
    fn take_sections(&mut self, seen: &Seen, next: u64) -> bool {
        let mut contents: Vec<(&'static str, Content)> = document::sections(seen)
            .into_iter()
            .map(|(id, nodes): Section| (id, Content::Nodes(nodes)))
            .collect();
        contents.push(("level", Content::Text(seen.level().name().to_owned())));
        contents.push(("title", Content::Text(lead::title(seen))));
        let mut changed = false;
        for (id, content) in contents {
            if self.sections.get(id).is_none_or(|(_, before)| *before != content) {
                self.sections.insert(id, (next, content));
                changed = true;
            }
        }
        changed
    }

    fn take_facts(&mut self, seen: &Seen, next: u64) -> bool {
        let mut changed = false;
        let present = facts(seen);
        // An alert that does not fire any more is OK; an instance or a signal that is gone is forgotten.
        for (key, (at, fact)) in &mut self.facts {
            if key.0 == "alert" && !present.contains_key(key) && fact.value["status"] != Health::Ok.as_str() {
                fact.value =
                    json!({ "name": key.1, "status": Health::Ok.as_str(), "since": null, "rupees": null });
                (*at, fact.at_ms, changed) = (next, seen.now_ms, true);
            }
        }
        self.facts.retain(|key, _| key.0 == "alert" || present.contains_key(key));
        for (key, value) in present {
            if self.facts.get(&key).is_none_or(|(_, before)| before.value != value) {
                self.facts.insert(key, (next, Fact { value, at_ms: seen.now_ms }));
                changed = true;
            }
        }
        changed
    }
}

/// Role, alert, signal and store: the facts that programs follow.
fn facts(seen: &Seen) -> BTreeMap<(&'static str, String), Value> {
    let mut facts = BTreeMap::new();
    for view in &seen.overview.instances {
        let epoch = (view.state != InstanceState::Unknown).then_some(view.epoch.0);
        let value = json!({ "instance": view.id.as_str(), "state": view.state.as_str(), "epoch": epoch });
        facts.insert(("role", view.id.to_string()), value);
    }
    // The list is sorted: of two problems with one name, the worse stays.
    for problem in seen.overview.problems.iter().rev() {
        let rupees = match &problem.money {
            Money::None => Some("0".to_owned()),
            Money::AtRisk(amount) | Money::Waits(amount) => Some(amount.to_string()),
            Money::Unknown(_) => None,
        };
        let since = problem.since_ms.map(|ms| ms.div_euclid(1_000) * 1_000).and_then(rfc3339);
        let value = json!({ "name": problem.alert, "status": problem.level.as_str(), "since": since, "rupees": rupees });
        facts.insert(("alert", problem.alert.to_owned()), value);
    }
    for signal in seen.last.signals.last().into_iter().flat_map(|(signals, _)| signals.iter()) {
        let state = seen.last.signals.current().map(|_| signal.state.name().as_str());
        let value = json!({ "id": signal.id.as_str(), "state": state, "attempt": signal.attempt });
        facts.insert(("signal", signal.id.to_string()), value);
    }
    let since = |away_ms: Option<i64>| away_ms.and_then(rfc3339);
    let lease = &seen.facts.lease;
    let up = json!({ "name": seen.facts.state_store, "up": lease.current().is_some(), "since": since(lease.away_since_ms()) });
    facts.insert(("store", "state store".to_owned()), up);
    if let Some(ticket) = &seen.facts.ticket {
        let up = json!({ "name": "Redis", "up": ticket.current().is_some(), "since": since(ticket.away_since_ms()) });
        facts.insert(("store", "Redis".to_owned()), up);
    }
    facts
}
