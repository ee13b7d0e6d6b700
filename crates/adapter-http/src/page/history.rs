//! The terms of the leaders, as lanes on a time axis and as a table, with the time that no instance led.

use super::moment::span;
use super::seen::Seen;
use super::tree::{Element, Node, el, of_class};
use super::words::{Level, cell, dim, head, name, row, status, table, whole};
use domain::id::InstanceId;
use domain::member::Term;
use domain::overview::LeaderView;
use domain::ports::FormerTerm;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Spans of the axis, the step of its right end, and its labels.
const AXES: [(i64, i64, [&str; 5]); 3] = [
    (HOUR_MS, 60_000, ["60 min ago", "45 min", "30 min", "15 min", "now"]),
    (DAY_MS, 15 * 60_000, ["24 h ago", "18 h", "12 h", "6 h", "now"]),
    (8 * DAY_MS, HOUR_MS, ["8 days ago", "6 days", "4 days", "2 days", "now"]),
];
/// Most instances with a lane, and most rows of the table.
const LANES_MAX: usize = 8;
const ROWS_MAX: usize = 10;
/// A gap below this is a handover, not a time without a leader.
const GAP_MIN_MS: i64 = 1_000;

/// Since when the history is only the last known one.
pub(crate) fn as_of(seen: &Seen) -> Vec<Node> {
    match (seen.last.terms.current(), seen.last.terms.last()) {
        (None, Some((_, read_ms))) => vec!["as of ".into(), Node::Time(read_ms)],
        _ => Vec::new(),
    }
}

/// The lanes and the table.
pub(crate) fn section(seen: &Seen) -> Vec<Node> {
    let Some((terms, _)) = seen.last.terms.last() else {
        return vec![of_class("p", "empty").with("The history has not been read yet.").into()];
    };
    let mut terms = terms.to_vec();
    seen.overview.leader.close_ended(&mut terms);
    if terms.is_empty() {
        return vec![of_class("p", "empty").with("No instance has led yet.").into()];
    }
    let rows: Vec<Element> = terms
        .iter()
        .take(ROWS_MAX)
        .enumerate()
        .map(|(at, term)| line(term, terms.get(at + 1), seen))
        .collect();
    let heads = ["Epoch", "Leader", "From", "To", "Led for", "No leader before", "Ended because"];
    let shown = match terms.len().min(ROWS_MAX) {
        1 => "1 term".to_owned(),
        count => format!("{count} terms, latest first"),
    };
    let more = el("a").href(format!("{}/history", seen.prefix)).with("All terms as JSON");
    vec![
        el("div").attr("id", "lanes").all(lanes(&terms, seen)).into(),
        table("terms", &heads, rows).into(),
        of_class("p", "pager").with(el("span").with(shown)).with(more).into(),
    ]
}

fn lanes(terms: &[Term], seen: &Seen) -> Vec<Element> {
    let oldest_ms = terms.last().map_or(seen.now_ms, |term| term.from_ms);
    let age_ms = seen.now_ms.saturating_sub(oldest_ms);
    let (span_ms, step_ms, labels) =
        AXES.into_iter().find(|(span_ms, ..)| age_ms <= *span_ms).unwrap_or(AXES[AXES.len() - 1]);
    // The right end moves in steps, so that the lanes do not change every second.
    let end_ms = seen.now_ms.div_euclid(step_ms).saturating_add(1).saturating_mul(step_ms);
    let axis = Axis { from_ms: end_ms.saturating_sub(span_ms), end_ms };
    let mut ids: Vec<&InstanceId> = Vec::new();
    for term in terms.iter().filter(|term| term.to_ms.unwrap_or(end_ms) > axis.from_ms) {
        if !ids.contains(&&term.holder) && ids.len() < LANES_MAX {
            ids.push(&term.holder);
        }
    }
    ids.sort();
    let open_class = if seen.last.terms.current().is_some() { "term now" } else { "term unknown" };
    let of = |id: &InstanceId| {
        let held = terms.iter().filter(|term| term.holder == *id);
        held.filter_map(|term| {
            let class = if term.to_ms.is_none() { open_class } else { "term" };
            axis.bar(term.from_ms, term.to_ms.unwrap_or(end_ms), class)
        })
        .collect()
    };
    let mut lanes: Vec<Element> = ids.iter().map(|id| lane(name(id), of(id))).collect();
    let gaps: Vec<Element> =
        gaps(terms, seen, end_ms).into_iter().filter_map(|(from, to)| axis.bar(from, to, "gap")).collect();
    if !gaps.is_empty() {
        lanes.push(lane(whole("no leader"), gaps));
    }
    let ticks = labels.iter().map(|label| el("span").with(*label));
    lanes.push(
        of_class("div", "lane")
            .with(el("span"))
            .with(of_class("p", "axis").attr("aria-hidden", "true").all(ticks)),
    );
    lanes
}

/// The times in which no instance led.
fn gaps(terms: &[Term], seen: &Seen, end_ms: i64) -> Vec<(i64, i64)> {
    let between = terms.windows(2).filter_map(|pair| Some((pair[1].to_ms?, pair[0].from_ms)));
    let now = match &seen.overview.leader {
        LeaderView::Vacant { since_ms: Some(since_ms), .. } => Some((*since_ms, end_ms)),
        _ => None,
    };
    between.chain(now).filter(|(from, to)| to - from >= GAP_MIN_MS).collect()
}

fn lane(name: Element, bars: Vec<Element>) -> Element {
    let bars = el("svg").attr("width", "100%").attr("height", "16").attr("aria-hidden", "true").all(bars);
    of_class("div", "lane").with(name).with(bars)
}

struct Axis {
    from_ms: i64,
    end_ms: i64,
}

impl Axis {
    #[expect(clippy::cast_precision_loss, reason = "a place on the screen")]
    fn percent(&self, at_ms: i64) -> f64 {
        (at_ms - self.from_ms) as f64 / (self.end_ms - self.from_ms) as f64 * 100.0
    }

    fn bar(&self, from_ms: i64, to_ms: i64, class: &str) -> Option<Element> {
        let from = self.percent(from_ms).max(0.0);
        let to = self.percent(to_ms);
        // A short bar stays visible.
        (to > 0.0).then(|| {
            of_class("rect", class)
                .attr("x", format!("{from:.2}%"))
                .attr("width", format!("{:.2}%", (to - from - 0.1).max(0.25)))
                .attr("y", "1")
                .attr("height", "14")
                .attr("rx", "2")
        })
    }
}

/// `before` is the preceding term.
fn line(term: &Term, before: Option<&Term>, seen: &Seen) -> Element {
    let is_current = seen.last.terms.current().is_some();
    let to: Node = match term.to_ms {
        Some(to_ms) => Node::Time(to_ms),
        None if is_current => "leads now".into(),
        None => status(Level::Unknown, "Unknown").into(),
    };
    let led: Node = match term.to_ms {
        Some(to_ms) => span(to_ms.saturating_sub(term.from_ms)).into(),
        None if is_current => Node::Age(term.from_ms),
        None => dim("unknown").into(),
    };
    let gap: Node = match before.and_then(|before| before.to_ms) {
        Some(ended_ms) => gap(term.from_ms.saturating_sub(ended_ms)).into(),
        None => dim("–").into(),
    };
    let reason: Node = match term.reason.as_deref() {
        None => dim("–").into(),
        Some(reason) => ended_because(reason).into(),
    };
    row("")
        .attr("data-epoch", term.epoch.to_string())
        .with(head("Epoch", vec![term.epoch.to_string().into()]))
        .with(cell("Leader", vec![el("b").with(name(&term.holder)).into()]))
        .with(cell("From", vec![Node::Time(term.from_ms)]))
        .with(cell("To", vec![to]))
        .with(cell("Led for", vec![led]))
        .with(cell("No leader before", vec![gap]))
        .with(cell("Ended because", vec![reason]))
}

fn ended_because(reason: &str) -> String {
    match FormerTerm::named(reason) {
        Some(FormerTerm::Expired) => "The lease expired: the instance did not renew it in time".to_owned(),
        Some(FormerTerm::ProcessEnded) => "The process has ended without a handover".to_owned(),
        None => format!("Handover: {reason}"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
fn gap(ms: i64) -> String {
    match ms {
        ..1_000 => format!("{} ms", ms.max(0)),
        1_000..60_000 => format!("{:.1} s", ms as f64 / 1_000.0),
        _ => span(ms),
    }
}

#[cfg(test)]
mod tests {
    use super::ended_because;

    #[test]
    fn the_end_of_a_process_is_no_handover() {
        assert_eq!(ended_because("process ended"), "The process has ended without a handover");
        assert!(ended_because("expired").starts_with("The lease expired"));
        assert_eq!(ended_because("kernel update"), "Handover: kernel update");
    }
}
