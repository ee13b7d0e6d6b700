//! The first section: the condition of the group in one sentence, and which instance shows it.

use super::seen::Seen;
use super::tree::{Node, el, of_class, text};
use super::words::{icon, name, sentence};
use domain::member::Health;

/// The heading of the page: the same text as `coordinator why`.
pub(crate) fn heading(seen: &Seen) -> Vec<Node> {
    let level = seen.level();
    let words = el("span")
        .with(of_class("span", "vh").with(format!("{}. ", level.word())))
        .with(of_class("span", "words").all(sentence(&seen.overview.sentence)));
    vec![icon(level.name()).into(), words.into()]
}

/// The title of the window: the level and the first sentence.
pub(crate) fn title(seen: &Seen) -> String {
    let words = text(&sentence(&seen.overview.sentence), seen.now_ms);
    let first = words.split(". ").next().unwrap_or_default().trim_end_matches('.');
    match seen.level() {
        super::words::Level::Ok => format!("{first} · Coordinator"),
        level => format!("{}: {first} · Coordinator", level.word()),
    }
}

/// Which instance shows the page, and how old its knowledge is.
pub(crate) fn seen_from(seen: &Seen) -> Vec<Node> {
    let store = &seen.facts.state_store;
    let mut nodes: Vec<Node> = match seen.instance() {
        Some(id) => vec!["Seen from ".into(), el("b").with(name(id)).into(), ". ".into()],
        None => vec!["This instance is starting. ".into()],
    };
    match (seen.facts.lease.last(), seen.away_since_ms()) {
        (Some((_, read_ms)), Some(_)) => nodes.extend([
            format!("The last answer of {store} is ").into(),
            Node::Age(read_ms),
            " old; values marked Unknown are from then.".into(),
        ]),
        (None, _) => nodes.push(format!("{store} has not answered yet.").into()),
        (Some(_), None) => {
            nodes.push(format!("{store} answers. ").into());
            nodes.extend(checks(seen).map(Node::from));
        }
    }
    nodes
}

/// A check that cannot be measured does not pass.
fn checks(seen: &Seen) -> Option<String> {
    let all = &seen.report.as_ref()?.alerts.all;
    let passing = all.iter().filter(|alert| alert.status == Health::Ok && alert.value.is_some()).count();
    let unmeasured = all.iter().filter(|alert| alert.status == Health::Ok && alert.value.is_none()).count();
    let rest = match unmeasured {
        0 => String::new(),
        1 => ", 1 is not measured yet".to_owned(),
        count => format!(", {count} are not measured yet"),
    };
    Some(format!("{passing} of {} checks of this instance pass{rest}.", all.len()))
}
