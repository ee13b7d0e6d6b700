//! The parts that several sections share: signs, states with their word, sentences, tables, and links.

use super::tree::{Element, Node, el, of_class};
use domain::id::InstanceId;
use domain::member::Health;
use domain::overview::{Part, Phrase};

/// A longer word may break, so that it fits on a phone.
const UNBROKEN_MAX: usize = 24;

/// The level of a part of the page: a severity, or unknown, which is never shown as OK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Ok,
    Warning,
    Critical,
    Unknown,
}

impl Level {
    /// The name in classes and attributes.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Unknown => "unknown",
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "Warning",
            Self::Critical => "Critical",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<Health> for Level {
    fn from(health: Health) -> Self {
        match health {
            Health::Ok => Self::Ok,
            Health::Warning => Self::Warning,
            Health::Critical => Self::Critical,
        }
    }
}

/// A sign out of the page's own set.
pub(crate) fn icon(name: &str) -> Element {
    of_class("svg", "icon").attr("aria-hidden", "true").with(el("use").href(format!("#i-{name}")))
}

/// A level as a sign and a word, so that it can be read without colour.
pub(crate) fn status(level: Level, word: &str) -> Element {
    of_class("span", format!("status {}", level.name())).with(icon(level.name())).with(word)
}

/// A state without a severity: a sign and a word.
pub(crate) fn state(sign: &str, word: &str) -> Element {
    of_class("span", "status").with(icon(sign)).with(word)
}

/// A value that differs from what it should be, with the reason in small print.
pub(crate) fn differs(level: Level, value: Vec<Node>, why: &str) -> Element {
    let sign = if level == Level::Unknown { "differs" } else { level.name() };
    of_class("span", format!("differs {}", level.name()))
        .with(icon(sign))
        .all(value)
        .with(el("small").with(why))
}

/// A text of lesser importance.
pub(crate) fn dim(text: &str) -> Element {
    of_class("span", "dim").with(text)
}

/// The name of an instance. An id that the program made, UUID-PID, is shown as the first eight digits and the PID.
pub(crate) fn name(id: &InstanceId) -> Element {
    let short = short_name(id);
    let element = whole(&short);
    if short == id.as_str() { element } else { element.attr("title", id.as_str()) }
}

/// The text of [`name`].
pub(crate) fn short_name(id: &InstanceId) -> String {
    let id = id.as_str();
    let is_digit = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
    let parts = id.rsplit_once('-').filter(|(uuid, pid)| {
        uuid.len() == 36
            && uuid.bytes().all(is_digit)
            && uuid.matches('-').count() == 4
            && !pid.is_empty()
            && pid.bytes().all(|byte| byte.is_ascii_digit())
    });
    match parts {
        Some((uuid, pid)) => format!("{}…{pid}", &uuid[..8]),
        None => id.to_owned(),
    }
}

/// A text that may be cut off nowhere.
pub(crate) fn whole(text: &str) -> Element {
    of_class("span", "nb").with(text)
}

/// The parts of a sentence.
pub(crate) fn sentence(phrase: &Phrase) -> Vec<Node> {
    let part = |part: &Part| match part {
        Part::Text(text) => unbroken(text),
        Part::Time(at_ms) => vec![Node::Time(*at_ms)],
        Part::Age(since_ms) => vec![Node::Age(*since_ms)],
    };
    phrase.parts().iter().flat_map(part).collect()
}

/// A text in which no line breaks inside an id (`desk-2`) or between `epoch` and its number.
pub(crate) fn unbroken(text: &str) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut plain = String::new();
    let mut words = text.split_inclusive(' ').peekable();
    while let Some(word) = words.next() {
        let joins = word.trim_start_matches('(') == "epoch ";
        let next = if joins { words.next() } else { None };
        let both = format!("{word}{}", next.unwrap_or_default());
        let bare = both.trim_end_matches(' ');
        if joins || (bare.contains('-') && bare.len() <= UNBROKEN_MAX) {
            nodes.extend((!plain.is_empty()).then(|| Node::from(std::mem::take(&mut plain))));
            nodes.push(whole(bare).into());
            plain.push_str(&both[bare.len()..]);
        } else {
            plain.push_str(&both);
        }
    }
    nodes.extend((!plain.is_empty()).then(|| Node::from(plain)));
    nodes
}

/// A command to copy.
pub(crate) fn command(text: &str) -> Element {
    let words = text.split(' ').flat_map(|word| [Node::from(whole(word)), " ".into()]);
    let copy = of_class("button", "copy")
        .attr("type", "button")
        .attr("hidden", "")
        .attr("aria-label", format!("Copy the command {text}"))
        .attr("data-copy", text)
        .with("Copy");
    of_class("span", "cmd").with(el("code").attr("tabindex", "0").all(words)).with(copy)
}

/// A table in a panel. Roles are explicit, because the style sheet turns rows into blocks on phones.
pub(crate) fn table(class: &str, heads: &[&str], rows: Vec<Element>) -> Element {
    let head = |name: &&str| {
        let is_number = name.starts_with('>');
        let cell = el("th").attr("role", "columnheader").attr("scope", "col");
        let cell = if is_number { cell.attr("class", "num") } else { cell };
        cell.with(name.trim_start_matches('>'))
    };
    let head = el("tr").attr("role", "row").all(heads.iter().map(head));
    of_class("div", "panel").with(
        of_class("table", class)
            .attr("role", "table")
            .with(el("thead").attr("role", "rowgroup").with(head))
            .with(el("tbody").attr("role", "rowgroup").all(rows)),
    )
}

/// A row of a table.
pub(crate) fn row(class: &str) -> Element {
    let row = el("tr").attr("role", "row");
    if class.is_empty() { row } else { row.attr("class", class) }
}

/// The first cell of a row, which names it.
pub(crate) fn head(label: &str, content: Vec<Node>) -> Element {
    el("th")
        .attr("role", "rowheader")
        .attr("scope", "row")
        .attr("data-label", label)
        .with(el("div").all(content))
}

/// A further cell of a row.
pub(crate) fn cell(label: &str, content: Vec<Node>) -> Element {
    el("td").attr("role", "cell").attr("data-label", label).with(el("div").all(content))
}

/// An amount in rupees without its amount in lakh, for narrow places.
pub(crate) fn rupees(amount: rust_decimal::Decimal) -> String {
    let text = domain::overview::rupees(amount);
    text.split_once(" (").map_or_else(|| text.clone(), |(plain, _)| plain.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::tree::{html, text};
    use super::*;

    #[test]
    fn no_line_breaks_inside_an_id_or_an_epoch() {
        let nodes = unbroken("desk-2 leads (epoch 41). Nothing is wrong.");
        assert_eq!(text(&nodes, 0), "desk-2 leads (epoch 41). Nothing is wrong.");
        assert_eq!(
            html(&nodes, 0),
            "<span class=\"nb\">desk-2</span> leads <span class=\"nb\">(epoch 41).</span> Nothing is wrong."
        );
    }

    #[test]
    fn an_id_that_the_program_made_is_shown_in_short() {
        for (id, shown) in [
            ("d199b2d7-be07-4f9e-89db-1f412a3ad4e8-775", "d199b2d7…775"),
            ("d199b2d7-be07-4f9e-89db-1f412a3ad4e8-", "d199b2d7-be07-4f9e-89db-1f412a3ad4e8-"),
            ("desk-2", "desk-2"),
        ] {
            assert_eq!(short_name(&InstanceId::parse(id).expect("an id")), shown);
        }
    }

    #[test]
    fn every_level_has_a_sign_and_a_word() {
        for level in [Level::Ok, Level::Warning, Level::Critical, Level::Unknown] {
            let shown = html(&[status(level, level.word()).into()], 0);
            assert!(
                shown.contains(&format!("#i-{}", level.name())) && shown.contains(level.word()),
                "{shown}"
            );
        }
    }
}
