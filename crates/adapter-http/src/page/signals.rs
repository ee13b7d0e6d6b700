//! The signals, newest first. Filters, pages and the audit of a signal are links, so they work without scripts.

use super::listing::{Audit, Choice, Listing};
use super::seen::Seen;
use super::tree::{Element, Node, el, of_class};
use super::words::{Level, command, dim, icon, rupees, status, table, unbroken};
use crate::json::raw::{self, Plain};
use domain::ledger::{AuditEntry, Signal, StateName};

/// Characters of an id, unless two signals on the page would look the same.
const SHORT: usize = 8;
/// The filters, in the order of urgency.
const FILTERS: [StateName; 7] = [
    StateName::InDoubt,
    StateName::Received,
    StateName::Claimed,
    StateName::Sent,
    StateName::Done,
    StateName::Rejected,
    StateName::Expired,
];

/// The section.
pub(crate) fn section(seen: &Seen, listing: &Listing) -> Vec<Node> {
    let mut heading = el("h2").attr("id", "h-signals").attr("tabindex", "-1").with("Signals");
    if let Some(read_ms) = listing.as_of_ms {
        let words = el("span").with("as of ").with(Node::Time(read_ms));
        heading = heading.with(words.with(format!("; {} does not answer", seen.facts.state_store)));
    }
    let mut nodes = vec![heading.into(), filters(seen, &listing.choice).into()];
    nodes.push(if listing.rows.is_empty() {
        empty(listing, seen).into()
    } else {
        rows(seen, listing).into()
    });
    nodes.push(pager(listing).into());
    nodes
}

fn empty(listing: &Listing, seen: &Seen) -> Element {
    let text = if seen.last.signals.last().is_none() && listing.is_partial {
        "The signals have not been read yet."
    } else if listing.is_partial {
        "Unknown: this instance had not read these signals when the store stopped answering."
    } else if listing.choice.state.is_none() {
        "There is no signal yet."
    } else {
        "No signal is in this state."
    };
    of_class("p", "empty").with(text)
}

/// A link to another choice.
fn to(choice: &Choice) -> Element {
    let mut parts = Vec::new();
    parts.extend(choice.state.map(|state| format!("state={}", state.as_str())));
    parts.extend(choice.before.map(|before| format!("before={before}")));
    // The characters of an id need no escape in an address.
    parts.extend(choice.open.as_ref().map(|id| format!("open={id}")));
    el("a").attr("data-choice", "").href(format!("?{}#signals", parts.join("&")))
}

fn filters(seen: &Seen, choice: &Choice) -> Element {
    let link = |state: Option<StateName>| {
        let link = to(&Choice { state, ..Choice::default() });
        let link = if choice.state == state { link.attr("aria-current", "true") } else { link };
        let count = state.and_then(|state| count(seen, state)).filter(|count| *count > 0);
        link.with(state.map_or("All", word)).maybe(count.map(|count| el("b").with(count.to_string())))
    };
    let all = std::iter::once(None).chain(FILTERS.into_iter().map(Some));
    of_class("nav", "filters").attr("aria-label", "Signals by state").all(all.map(link))
}

/// The count of a state, while it is known.
fn count(seen: &Seen, state: StateName) -> Option<u64> {
    let totals = seen.facts.totals.current()?;
    match state {
        StateName::InDoubt => Some(totals.in_doubt),
        StateName::Received => Some(totals.received),
        StateName::Claimed => Some(totals.claimed),
        StateName::Sent => Some(totals.sent),
        StateName::Done | StateName::Rejected | StateName::Expired => None,
    }
}

fn word(state: StateName) -> &'static str {
    match state {
        StateName::InDoubt => "In doubt",
        StateName::Received => "Waiting",
        StateName::Claimed => "Claimed",
        StateName::Sent => "Sent",
        StateName::Done => "Done",
        StateName::Rejected => "Rejected",
        StateName::Expired => "Expired",
    }
}

fn sign(state: StateName) -> Element {
    let name = match state {
        StateName::InDoubt => return status(Level::Critical, word(state)),
        StateName::Expired => return status(Level::Warning, word(state)),
        StateName::Received => "standby",
        StateName::Claimed | StateName::Sent => "recovering",
        StateName::Done => "ok",
        StateName::Rejected => "rejected",
    };
    super::words::state(name, word(state))
}

fn rows(seen: &Seen, listing: &Listing) -> Element {
    let length = short(&listing.rows);
    let mut rows = Vec::new();
    for signal in &listing.rows {
        let is_open = listing.choice.open.as_ref() == Some(&signal.id);
        rows.push(line(signal, is_open, length, seen, listing));
        if is_open {
            let cell = el("td").attr("role", "cell").attr("colspan", "9").with(audit(signal, listing, seen));
            rows.push(of_class("tr", "audit").attr("role", "row").with(cell));
        }
    }
    let heads =
        ["Signal", "State", "Instrument", "Type", "Position", ">Price", ">At risk", "Received", "Note"];
    table("signals", &heads, rows)
}

fn line(signal: &Signal, is_open: bool, length: usize, seen: &Seen, listing: &Listing) -> Element {
    let state = signal.state.name();
    let open = (!is_open).then(|| signal.id.clone());
    let expand = to(&Choice { open, ..listing.choice.clone() })
        .attr("class", "expand")
        .attr("aria-expanded", if is_open { "true" } else { "false" })
        .with(icon("chevron"))
        .with(el("code").with(signal.id.as_str().get(..length).unwrap_or(signal.id.as_str())));
    let class = match (state, is_open) {
        (StateName::InDoubt, _) => "critical",
        (_, true) => "open",
        (_, false) => "",
    };
    let at_risk = matches!(state, StateName::InDoubt | StateName::Claimed | StateName::Sent)
        .then(|| rupees(seen.facts.signal_value));
    let order = &signal.instruction;
    super::words::row(class)
        .attr("data-signal", signal.id.as_str())
        .attr("data-state", state.as_str())
        .with(el("th").attr("role", "rowheader").attr("scope", "row").with(expand))
        .with(td("", vec![sign(state).into()]))
        .with(td("", unbroken(order.instrument.as_str())))
        .with(td("", unbroken(order.signal_type.as_str())))
        .with(td("", unbroken(order.position.as_str())))
        .with(or_none("num", price(&order.payload)))
        .with(or_none("num", at_risk))
        .with(td("", vec![Node::Time(signal.received_ms)]))
        .with(or_none("note", signal.note.clone()))
}

fn td(class: &str, content: Vec<Node>) -> Element {
    let cell = el("td").attr("role", "cell").all(content);
    if class.is_empty() { cell } else { cell.attr("class", class) }
}

fn or_none(class: &str, text: Option<String>) -> Element {
    match text {
        Some(text) => td(class, vec![text.into()]),
        None => td(&format!("{class} nothing"), vec![dim("–").into()]),
    }
}

/// The member `price` of the payload, as it was written. The payload belongs to the handler, so it may have none.
fn price(payload: &str) -> Option<String> {
    let members = raw::members(payload).ok()?;
    let (_, value) = members.into_iter().find(|(name, _)| name == "price")?;
    match Plain::of(value) {
        Plain::Number(text) | Plain::Text(text) => Some(text.chars().take(24).collect()),
        Plain::Null | Plain::Other => None,
    }
}

/// The fewest characters, from eight on, by which the ids differ.
fn short(signals: &[Signal]) -> usize {
    let ids: Vec<&str> = signals.iter().map(|signal| signal.id.as_str()).collect();
    let longest = ids.iter().map(|id| id.len()).max().unwrap_or(SHORT);
    let is_unique = |length: &usize| {
        let mut shown: Vec<&str> = ids.iter().map(|id| id.get(..*length).unwrap_or(id)).collect();
        shown.sort_unstable();
        shown.windows(2).all(|pair| pair[0] != pair[1])
    };
    (SHORT..=longest).find(is_unique).unwrap_or(longest)
}

fn audit(signal: &Signal, listing: &Listing, seen: &Seen) -> Element {
    let heading = el("h3").with("Audit of ").with(el("code").with(signal.id.as_str()));
    let bare = of_class("div", "auditbox").with(heading.with(format!(", attempt {}", signal.attempt)));
    let bare = match &listing.audit {
        Audit::Read(found) => bare.with(el("ol").all(found.1.iter().map(entry))),
        Audit::Closed | Audit::Unread => {
            bare.with(el("p").with(format!("Unknown: {} does not answer.", seen.facts.state_store)))
        }
        Audit::Absent => bare.with(el("p").with("The ledger has no such signal any more.")),
    };
    let resolve = (signal.state.name() == StateName::InDoubt).then(|| {
        of_class("p", "do").with(command(&format!(
            "coordinator signals resolve {} --attempt {} --executed --reason REASON",
            signal.id, signal.attempt
        )))
    });
    let all = format!("{}/signals/{}", seen.prefix, signal.id);
    bare.maybe(resolve).with(el("p").with(el("a").href(all).with("Everything about this signal, as JSON")))
}

fn entry(line: &AuditEntry) -> Element {
    let what = StateName::parse(&line.what).map_or_else(|| line.what.as_str(), |state| word(state));
    let epoch = line.epoch.map(|epoch| format!(", epoch {epoch}")).unwrap_or_default();
    let note = line.note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
    let by = format!("by {} from {}{epoch}{note}", line.actor.who, line.actor.origin);
    el("li").with(Node::Time(line.at_ms)).with(el("b").with(what)).with(el("span").all(unbroken(&by)))
}

fn pager(listing: &Listing) -> Element {
    let shown = match listing.rows.len() {
        0 => String::new(),
        1 => "1 signal".to_owned(),
        count => format!("{count} signals, newest first"),
    };
    let choice = &listing.choice;
    let newest =
        choice.before.map(|_| to(&Choice { state: choice.state, ..Choice::default() }).with("Newest"));
    let last = listing.rows.last().filter(|_| listing.has_more);
    let older = last.map(|last| {
        to(&Choice { state: choice.state, before: Some(last.arrival), open: None }).with("Older")
    });
    of_class("p", "pager").with(el("span").with(shown)).maybe(newest).maybe(older)
}
