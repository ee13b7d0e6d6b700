//! The instances of the group: the state as the lease and the heartbeats show it, and values that differ.

use super::moment::before;
use super::seen::Seen;
use super::tree::{Element, Node, el, of_class};
use super::words::{Level, cell, differs, dim, head, icon, name, row, table};
use domain::lease::Epoch;
use domain::member::Health;
use domain::metrics::unit;
use domain::overview::{InstanceState, InstanceView, LeaderView};
use std::collections::BTreeMap;

/// Heartbeats that an instance may miss before its age is shown as late, and as critical.
const LATE: (u32, u32) = (3, 6);

/// The count next to the heading.
pub(crate) fn count(seen: &Seen) -> Vec<Node> {
    let views = &seen.overview.instances;
    let all = views.len();
    if seen.facts.members.current().is_none() {
        return vec![if all == 0 {
            "not read yet".into()
        } else {
            format!("the state of {all} is unknown").into()
        }];
    }
    let dead = [InstanceState::Stale, InstanceState::Gone];
    let alive = views.iter().filter(|view| !dead.contains(&view.state)).count();
    vec![format!("{alive} of {all} alive").into()]
}

/// The table.
pub(crate) fn section(seen: &Seen) -> Vec<Node> {
    let views = &seen.overview.instances;
    if views.is_empty() {
        return vec![of_class("p", "empty").with("The instance table has not been read yet.").into()];
    }
    let fresh = |view: &&InstanceView| !matches!(view.state, InstanceState::Gone | InstanceState::Stale);
    let usual = most(views.iter().filter(fresh).map(|view| view.version.as_str()));
    let epoch = match seen.facts.lease.last() {
        Some((lease, _)) => lease.epoch,
        None => Epoch(0),
    };
    let rows = views.iter().map(|view| line(view, seen, usual, epoch)).collect();
    let heads = ["Instance", "State", "Heartbeat", "Database p95", "Epoch read", "Version", "Address"];
    vec![table("instances", &heads, rows).into()]
}

fn line(view: &InstanceView, seen: &Seen, usual: Option<&str>, epoch: Epoch) -> Element {
    let is_self = seen.instance() == Some(&view.id);
    let class = match view.state {
        InstanceState::Active => "leads",
        InstanceState::Unknown => "unknown",
        _ => "",
    };
    let mut title: Vec<Node> = vec![el("b").with(name(&view.id)).into()];
    title.extend(is_self.then(|| of_class("span", "tag").with("this page").into()));
    let is_down = matches!(view.state, InstanceState::Gone | InstanceState::Stale | InstanceState::Unknown);
    let behind = view.epoch < epoch && !is_down;
    let epoch_read = match (behind, view.epoch) {
        (true, read) => {
            vec![differs(Level::Unknown, vec![read.to_string().into()], &format!("group: {epoch}")).into()]
        }
        (false, Epoch(0)) => vec![dim("none yet").into()],
        (false, read) => vec![read.to_string().into()],
    };
    let version = match usual {
        Some(usual) if usual != view.version => {
            vec![
                differs(Level::Unknown, vec![view.version.clone().into()], &format!("others: {usual}"))
                    .into(),
            ]
        }
        _ => vec![view.version.clone().into()],
    };
    row(class)
        .attr("data-instance", view.id.as_str())
        .attr("data-state", view.state.as_str())
        .with(head("Instance", title))
        .with(cell("State", vec![state(view, seen).into()]))
        .with(cell("Heartbeat", heartbeat(view, seen)))
        .with(cell("Database p95", lag(view, is_self, seen)))
        .with(cell("Epoch read", epoch_read))
        .with(cell("Version", version))
        .with(cell("Address", address(view, is_self)))
}

fn state(view: &InstanceView, seen: &Seen) -> Element {
    let (sign, word, level) = match view.state {
        InstanceState::Active => ("leader", "Active", None),
        InstanceState::Standby => ("standby", "Standby", None),
        InstanceState::Recovering => ("recovering", "Recovering", None),
        InstanceState::Starting => ("recovering", "Starting", None),
        InstanceState::Halted => ("critical", "Halted", Some(Level::Critical)),
        InstanceState::Stale => ("warning", "Stale", Some(Level::Warning)),
        InstanceState::Gone => ("critical", "Gone", Some(Level::Critical)),
        InstanceState::Unknown => ("unknown", "Unknown", Some(Level::Unknown)),
    };
    let class = level.map_or("status".to_owned(), |level| format!("status {}", level.name()));
    let is_past = matches!(view.state, InstanceState::Stale | InstanceState::Gone | InstanceState::Unknown);
    let was = (is_past && !is_outdated(view, seen)).then(|| format!("was {}", view.said));
    let unable = view.cannot_lead.as_ref().map(|_| "cannot lead".to_owned());
    let reports = (view.fallback && !is_past).then(|| "without Redis".to_owned());
    let alerts = alerts_of(view, seen).filter(|_| !is_past);
    of_class("span", class)
        .with(icon(sign))
        .with(word)
        .all([was, unable, reports, alerts].into_iter().flatten().map(|note| el("small").with(note)))
}

/// True if the instance reported that it leads, but the last known lease belongs to another one.
fn is_outdated(view: &InstanceView, seen: &Seen) -> bool {
    let LeaderView::Unknown { last, .. } = &seen.overview.leader else { return false };
    view.said.leads() && last.as_ref().is_none_or(|(id, epoch)| *id != view.id || *epoch != view.epoch)
}

/// The level of its worst alert, unless the problems of the page explain it.
fn alerts_of(view: &InstanceView, seen: &Seen) -> Option<String> {
    let (_, health) = seen.others_alerts().find(|(id, _)| **id == view.id)?;
    Some(if health == Health::Critical { "reports a critical alert" } else { "reports a warning" }.to_owned())
}

fn heartbeat(view: &InstanceView, seen: &Seen) -> Vec<Node> {
    let since_ms = before(seen.now_ms, view.heartbeat_age);
    let ago = vec![Node::Age(since_ms), " ago".into()];
    if view.state == InstanceState::Unknown {
        return std::iter::once(dim("last known: ").into()).chain(ago).collect();
    }
    let (warning, critical) = LATE;
    let level = if view.heartbeat_age > seen.facts.heartbeat * critical {
        Some((Level::Critical, critical))
    } else if view.heartbeat_age > seen.facts.heartbeat * warning {
        Some((Level::Warning, warning))
    } else {
        None
    };
    match level {
        Some((level, missed)) => {
            let limit = (seen.facts.heartbeat * missed).as_secs_f64();
            vec![differs(level, ago, &format!("above {limit} s")).into()]
        }
        None => ago,
    }
}

/// The latency of the instance that serves the page is of now, that of another one is in its last heartbeat. Without a
/// recent heartbeat it is only the last known one.
fn lag(view: &InstanceView, is_self: bool, seen: &Seen) -> Vec<Node> {
    let own = seen.report.as_ref().filter(|_| is_self).and_then(|report| report.snapshot.window.latency);
    let p95 = if is_self { own.and_then(|latency| latency.p95) } else { view.sync_p95 };
    let Some(p95) = p95 else { return vec![dim("no value").into()] };
    let written = format!("{:.1} ms", unit::millis(p95));
    match view.state {
        InstanceState::Stale | InstanceState::Gone | InstanceState::Unknown if !is_self => {
            vec![dim(&format!("last known: {written}")).into()]
        }
        _ => vec![written.into()],
    }
}

fn address(view: &InstanceView, is_self: bool) -> Vec<Node> {
    let shown = view.address.trim_start_matches("http://").trim_start_matches("https://").to_owned();
    let element =
        if is_self { of_class("span", "addr") } else { of_class("a", "addr").href(view.address.clone()) };
    vec![element.with(shown).into()]
}

/// The most frequent text; `None` if there is none.
fn most<'a>(texts: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for text in texts {
        *counts.entry(text).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(text, _)| text)
}
