//! The exposure in rupees and the counts of the signals. A count that is not current is unknown, never 0.

use super::moment::before;
use super::seen::Seen;
use super::tree::{Node, el, of_class};
use super::words::{icon, rupees};
use domain::ledger::Totals;
use domain::overview;
use rust_decimal::Decimal;

/// A signal that waits for longer than this is late; the alert `signals_waiting` warns at the same age.
const LATE_MS: i64 = 60_000;

/// A number with its name and a line about it.
struct Figure {
    id: &'static str,
    name: &'static str,
    value: String,
    about: Vec<Node>,
    class: &'static str,
}

/// The figures.
pub(crate) fn section(seen: &Seen) -> Vec<Node> {
    let Some((totals, read_ms)) = seen.totals() else {
        return NAMES.iter().map(|(id, name)| unknown(id, name, vec!["not counted yet".into()])).collect();
    };
    let is_current = seen.facts.totals.current().is_some();
    let figures = of(totals, read_ms, seen);
    let shown = figures.into_iter().map(|figure| {
        if !is_current {
            let was = vec![format!("was {} at ", figure.value).into(), Node::Time(read_ms)];
            return unknown(figure.id, figure.name, was);
        }
        of_class("div", figure.class)
            .attr("data-figure", figure.id)
            .with(el("dt").with(figure.name))
            .with(el("dd").with(el("b").with(figure.value)).with(el("small").all(figure.about)))
            .into()
    });
    shown.collect()
}

const NAMES: [(&str, &str); 7] = [
    ("exposure", "Exposure"),
    ("in_doubt", "In doubt"),
    ("waiting", "Waiting"),
    ("handler", "At the handler"),
    ("sent", "Sent in 24 h"),
    ("expired", "Expired in 24 h"),
    ("switch", "Kill switch"),
];

fn unknown(id: &str, name: &str, was: Vec<Node>) -> Node {
    of_class("div", "figure unknown")
        .attr("data-figure", id)
        .with(el("dt").with(name))
        .with(el("dd").with(el("b").with(icon("unknown")).with("Unknown")).with(el("small").all(was)))
        .into()
}

fn of(totals: &Totals, read_ms: i64, seen: &Seen) -> [Figure; 7] {
    let value = seen.facts.signal_value;
    let at_handler = totals.claimed.saturating_add(totals.sent);
    let open = at_handler.saturating_add(totals.in_doubt);
    let exposure = value.saturating_mul(Decimal::from(open));
    let limits = seen.report.as_ref().map(|report| report.snapshot.signal_limits).unwrap_or_default();
    let oldest = |age: Option<std::time::Duration>, none: &str| match age {
        Some(age) => vec!["oldest ".into(), Node::Age(before(read_ms, age))],
        None => vec![none.into()],
    };
    let each = if open == 0 {
        format!("{} per signal", overview::rupees(value))
    } else {
        format!("{open} × {}", overview::rupees(value))
    };
    let limited = match (limits.per_minute, limits.per_day) {
        (Some(most), _) if totals.sent_last_minute >= most => {
            format!("{} of {most} this minute", totals.sent_last_minute)
        }
        (_, Some(most)) => format!("of {} allowed", grouped(most)),
        (_, None) => "no limit".to_owned(),
    };
    let since = |of: &domain::ledger::Paused| {
        vec!["since ".into(), Node::Time(of.since_ms), format!(", by {}", of.who).into()]
    };
    let waited_ms = |age| seen.now_ms.saturating_sub(before(read_ms, age));
    let late = totals.oldest_received.is_some_and(|age| waited_ms(age) > LATE_MS);
    let figure = |at: usize, value: String, about: Vec<Node>, class: &'static str| {
        let (id, name) = NAMES[at];
        Figure { id, name, value, about, class }
    };
    let if_any = |any: bool, class: &'static str| if any { class } else { "figure" };
    [
        figure(0, rupees(exposure), vec![each.into()], if_any(totals.in_doubt > 0, "figure critical")),
        figure(
            1,
            totals.in_doubt.to_string(),
            oldest(totals.oldest_in_doubt, "nothing to resolve"),
            if_any(totals.in_doubt > 0, "figure critical"),
        ),
        figure(
            2,
            totals.received.to_string(),
            oldest(totals.oldest_received, "nothing to send"),
            if_any(late, "figure warning"),
        ),
        figure(
            3,
            at_handler.to_string(),
            vec![format!("{} claimed, {} sent", totals.claimed, totals.sent).into()],
            "figure",
        ),
        figure(4, totals.sent_last_day.to_string(), vec![limited.into()], "figure"),
        figure(
            5,
            totals.expired_last_day.to_string(),
            vec![
                if totals.expired_last_day == 0 { "no missed trade" } else { "each is a missed trade" }
                    .into(),
            ],
            if_any(totals.expired_last_day > 0, "figure critical"),
        ),
        match &totals.paused {
            Some(paused) => figure(6, "On".to_owned(), since(paused), "figure warning"),
            None => figure(6, "Off".to_owned(), vec!["signals are sent".into()], "figure"),
        },
    ]
}

/// A number with Indian grouping.
fn grouped(number: u32) -> String {
    rupees(number.into()).trim_start_matches('₹').to_owned()
}
