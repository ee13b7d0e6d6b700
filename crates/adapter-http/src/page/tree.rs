//! [`Node`]: a small tree of elements. Every section of the page is one tree, written as HTML for the first paint and as
//! JSON for `/events`, so the two cannot differ.
//!
//! Invariant: every text is data. Only tags and the names of attributes are literals of this program.

use super::moment;
use serde_json::{Value, json};
use std::fmt::Write;

/// A part of the page. Two trees are equal if they show the same at every moment: an age is compared by its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    /// A text.
    Text(String),
    /// The time since a moment (unix milliseconds), which goes on counting in the browser.
    Age(i64),
    /// A moment (unix milliseconds), which the browser shows in its own zone.
    Time(i64),
    /// An element.
    Element(Element),
}

/// An element with its attributes and children.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Element {
    tag: &'static str,
    attributes: Vec<(&'static str, String)>,
    children: Vec<Node>,
}

/// An element without attributes and children.
pub(crate) fn el(tag: &'static str) -> Element {
    Element { tag, attributes: Vec::new(), children: Vec::new() }
}

/// An element with a class.
pub(crate) fn of_class(tag: &'static str, class: impl Into<String>) -> Element {
    el(tag).attr("class", class)
}

impl Element {
    /// Adds an attribute.
    pub(crate) fn attr(mut self, name: &'static str, value: impl Into<String>) -> Self {
        let value: String = value.into();
        self.attributes.push((name, visible(&value)));
        self
    }

    /// Adds a link target. A target that could run code, such as `javascript:`, is left out: the addresses of other
    /// instances come from the instance table. So is a path that names a host (`//host`; browsers read `\` as `/`).
    pub(crate) fn href(self, target: impl Into<String>) -> Self {
        let target: String = target.into();
        let is_safe = ["http://", "https://", "/", "?", "#"].iter().any(|start| target.starts_with(start))
            && !["//", "/\\"].iter().any(|start| target.starts_with(start));
        if is_safe { self.attr("href", target) } else { self }
    }

    /// Adds a child.
    pub(crate) fn with(mut self, child: impl Into<Node>) -> Self {
        self.children.push(child.into());
        self
    }

    /// Adds a child if there is one.
    pub(crate) fn maybe(self, child: Option<impl Into<Node>>) -> Self {
        match child {
            Some(child) => self.with(child),
            None => self,
        }
    }

    /// Adds children.
    pub(crate) fn all<N: Into<Node>>(mut self, children: impl IntoIterator<Item = N>) -> Self {
        self.children.extend(children.into_iter().map(Into::into));
        self
    }
}

impl From<Element> for Node {
    fn from(element: Element) -> Self {
        Self::Element(element)
    }
}

impl From<&str> for Node {
    fn from(text: &str) -> Self {
        Self::Text(visible(text))
    }
}

impl From<String> for Node {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

/// The text with a visible sign in place of each control character.
fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Ages and times as elements, with their text at `now_ms`.
fn resolved(node: &Node, now_ms: i64) -> Option<Element> {
    match node {
        Node::Text(_) | Node::Element(_) => None,
        Node::Age(since_ms) => Some(
            of_class("span", "age")
                .attr("data-since", since_ms.to_string())
                .with(moment::age(*since_ms, now_ms)),
        ),
        Node::Time(at_ms) => {
            Some(el("time").attr("datetime", moment::machine(*at_ms)).with(moment::written(*at_ms)))
        }
    }
}

/// The trees as HTML, with ages as of `now_ms`.
pub(crate) fn html(nodes: &[Node], now_ms: i64) -> String {
    let mut text = String::new();
    for node in nodes {
        write(node, now_ms, &mut text);
    }
    text
}

fn write(node: &Node, now_ms: i64, into: &mut String) {
    match node {
        Node::Text(text) => escape(text, into),
        Node::Element(element) => write_element(element, now_ms, into),
        Node::Age(_) | Node::Time(_) => {
            if let Some(element) = resolved(node, now_ms) {
                write_element(&element, now_ms, into);
            }
        }
    }
}

fn write_element(element: &Element, now_ms: i64, into: &mut String) {
    let Element { tag, attributes, children } = element;
    into.push('<');
    into.push_str(tag);
    for (name, value) in attributes {
        write!(into, " {name}=\"").expect("a String takes everything");
        escape(value, into);
        into.push('"');
    }
    into.push('>');
    for child in children {
        write(child, now_ms, into);
    }
    write!(into, "</{tag}>").expect("a String takes everything");
}

/// Escapes a text for a place between tags or inside an attribute.
pub(crate) fn escape(text: &str, into: &mut String) {
    for c in text.chars() {
        match c {
            '&' => into.push_str("&amp;"),
            '<' => into.push_str("&lt;"),
            '>' => into.push_str("&gt;"),
            '"' => into.push_str("&quot;"),
            '\'' => into.push_str("&#39;"),
            c => into.push(c),
        }
    }
}

/// The trees as JSON: a text is a string, an element `["tag", {attributes}, children...]`.
pub(crate) fn json(nodes: &[Node], now_ms: i64) -> Value {
    nodes.iter().map(|node| value(node, now_ms)).collect()
}

fn value(node: &Node, now_ms: i64) -> Value {
    let element = match node {
        Node::Text(text) => return json!(text),
        Node::Element(element) => element.clone(),
        Node::Age(_) | Node::Time(_) => match resolved(node, now_ms) {
            Some(element) => element,
            None => return Value::Null,
        },
    };
    let attributes: serde_json::Map<String, Value> =
        element.attributes.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let mut list = vec![json!(element.tag), Value::Object(attributes)];
    list.extend(element.children.iter().map(|child| value(child, now_ms)));
    Value::Array(list)
}

/// The text that a reader sees, with ages as of `now_ms`.
pub(crate) fn text(nodes: &[Node], now_ms: i64) -> String {
    nodes
        .iter()
        .map(|node| match node {
            Node::Text(text) => text.clone(),
            Node::Element(element) => text(&element.children, now_ms),
            Node::Age(since_ms) => moment::age(*since_ms, now_ms),
            Node::Time(at_ms) => moment::written(*at_ms),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_700_000_000_000;

    #[test]
    fn both_forms_show_one_tree() {
        let tree = [el("p").with("since ").with(Node::Time(NOW_MS)).with(Node::Age(NOW_MS - 44_000)).into()];
        assert_eq!(
            html(&tree, NOW_MS),
            "<p>since <time datetime=\"2023-11-14T22:13:20Z\">2023-11-14 22:13:20 UTC</time>\
             <span class=\"age\" data-since=\"1699999956000\">44 s</span></p>"
        );
        assert_eq!(
            json(&tree, NOW_MS),
            json!([["p", {}, "since ",
                ["time", { "datetime": "2023-11-14T22:13:20Z" }, "2023-11-14 22:13:20 UTC"],
                ["span", { "class": "age", "data-since": "1699999956000" }, "44 s"]]])
        );
        assert_eq!(text(&tree, NOW_MS), "since 2023-11-14 22:13:20 UTC44 s");
    }

    #[test]
    fn foreign_text_stays_text() {
        let hostile = "<img src=x onerror=\"a('&')\">\u{1b}\n";
        let tree = [el("p").attr("data-x", hostile).with(hostile).into()];
        let escaped = "&lt;img src=x onerror=&quot;a(&#39;&amp;&#39;)&quot;&gt;\u{fffd}\u{fffd}";
        assert_eq!(html(&tree, 0), format!("<p data-x=\"{escaped}\">{escaped}</p>"));
        assert_eq!(json(&tree, 0)[0][2], "<img src=x onerror=\"a('&')\">\u{fffd}\u{fffd}");
    }

    #[test]
    fn a_target_that_could_run_code_is_no_target() {
        for bad in [
            "javascript:alert(1)",
            " javascript:alert(1)",
            "data:text/html,x",
            "JavaScript:x",
            "",
            "//host",
            "/\\host",
            "///",
        ] {
            assert_eq!(html(&[el("a").href(bad).into()], 0), "<a></a>", "{bad}");
        }
        for good in ["http://10.0.0.7:5000", "https://a/", "/", "/signals", "?state=done", "#signals"] {
            assert!(html(&[el("a").href(good).into()], 0).contains("href="), "{good}");
        }
    }
}
