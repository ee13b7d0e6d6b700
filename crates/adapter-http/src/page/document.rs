//! The page as sections, and as one HTML document for the first paint.

use super::assets;
use super::listing::Listing;
use super::seen::Seen;
use super::tree::{self, Node, el};
use super::words::Level;
use super::{charts, figures, history, instances, lead, recovery, settings, signals, stores, wrong};
use crate::pages::SignalPages;

/// One section: the id of its place on the page, and its content.
pub(crate) type Section = (&'static str, Vec<Node>);

/// The id of the section that depends on the reader's choice.
pub(crate) const SIGNALS: &str = "signals";

/// Every section except the signals, in the order of the page.
pub(crate) fn sections(seen: &Seen) -> Vec<Section> {
    let figures = match seen.signals {
        SignalPages::Served => figures::section(seen),
        SignalPages::Absent => Vec::new(),
    };
    vec![
        ("sentence", lead::heading(seen)),
        ("seen", lead::seen_from(seen)),
        ("wrong", wrong::section(seen)),
        ("figures", figures),
        ("instances-count", instances::count(seen)),
        ("instances", instances::section(seen)),
        ("c-failure", charts::failures(seen)),
        ("c-latency", charts::latency(seen)),
        ("c-changes", charts::changes(seen)),
        ("c-heartbeats", charts::heartbeats(seen)),
        ("stores-text", stores::summary(seen)),
        ("stores", stores::section(seen)),
        ("history-asof", history::as_of(seen)),
        ("history", history::section(seen)),
        ("recovery", recovery::section(seen)),
        ("settings", settings::section(seen)),
    ]
}

/// The signals of the reader's choice.
pub(crate) fn signals_section(seen: &Seen, listing: &Listing) -> Vec<Node> {
    match seen.signals {
        SignalPages::Served => signals::section(seen, listing),
        SignalPages::Absent => Vec::new(),
    }
}

/// The level of the page, as its root has it.
pub(crate) fn level(seen: &Seen) -> Level {
    seen.level()
}

/// The whole page.
pub(crate) fn html(seen: &Seen, listing: &Listing, theme: &str) -> String {
    let mut sections = sections(seen);
    sections.push((SIGNALS, signals_section(seen, listing)));
    let mut page = String::new();
    // One pass over the template: a text of a section is never taken for a placeholder.
    for (at, part) in assets::HTML.split("{{").enumerate() {
        let (name, rest) = if at == 0 { ("", part) } else { part.split_once("}}").unwrap_or(("", part)) };
        match name {
            "" => {}
            "level" => page.push_str(level(seen).name()),
            "theme" => page.push_str(theme),
            "title" => tree::escape(&lead::title(seen), &mut page),
            "prefix" => tree::escape(&seen.prefix, &mut page),
            "css" => tree::escape(&assets::css(&seen.prefix), &mut page),
            "js" => tree::escape(&assets::js(&seen.prefix), &mut page),
            "icon" => tree::escape(&assets::icon(&seen.prefix), &mut page),
            "nav" => page.push_str(&tree::html(&nav(seen), seen.now_ms)),
            "footer" => page.push_str(&tree::html(&footer(seen), seen.now_ms)),
            name => {
                let found = sections.iter().find(|(id, _)| *id == name);
                let nodes = found.map(|(_, nodes)| nodes.as_slice()).unwrap_or_default();
                page.push_str(&tree::html(nodes, seen.now_ms));
            }
        }
        page.push_str(rest);
    }
    page
}

fn nav(seen: &Seen) -> Vec<Node> {
    let all = [
        ("signals", "Signals"),
        ("h-history", "History"),
        ("h-recovery", "Recovery"),
        ("h-settings", "Settings"),
    ];
    let is_shown = |id: &str| seen.signals == SignalPages::Served || id != SIGNALS;
    let shown = all.into_iter().filter(|(id, _)| is_shown(id));
    shown.map(|(id, name)| el("a").href(format!("#{id}")).with(name).into()).collect()
}

fn footer(seen: &Seen) -> Vec<Node> {
    let paths = [
        ("/status", "status"),
        ("/history", "history"),
        (crate::signals::PATH, "signals"),
        ("/coordinator/metrics", "metrics"),
        ("/metrics", "metrics for Prometheus"),
        ("/leader", "leader"),
        ("/readyz", "readiness"),
        ("/livez", "liveness"),
    ];
    let is_served = |path: &str| seen.signals == SignalPages::Served || path != crate::signals::PATH;
    let links = paths.into_iter().filter(|(path, _)| is_served(path));
    let links = links.flat_map(|(path, name)| {
        [el("a").href(format!("{}{path}", seen.prefix)).with(name).into(), Node::from(" ")]
    });
    let version = seen.report.as_ref().map(|report| format!(" Version {}.", report.snapshot.version));
    vec![
        el("p")
            .with("For programs: ")
            .all(links)
            .with("In a terminal: ")
            .with(el("code").with("coordinator why"))
            .with(".")
            .maybe(version)
            .into(),
    ]
}
