//! The runbooks as pages: `/runbooks` lists the alerts, `/runbooks/NAME` has the page of one. Every instance serves
//! them from its program, so that the link of an alert works whatever else is down.

use crate::page::{POLICY, escape_into};
use crate::pages::Prefix;
use crate::problem::Problem;
use axum::extract::Path;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use monitoring::rules::{ExportedRule, GROUPS};
use monitoring::runbooks::Runbook;
use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd, html};
use std::fmt::Write;

/// The path of the list; the pages are below it.
pub const RUNBOOKS: &str = "/runbooks";

/// The path of the style sheet.
const STYLE_PATH: &str = "/runbooks/style.css";
const STYLE_TYPE: HeaderValue = HeaderValue::from_static("text/css; charset=utf-8");

/// One column of text, wide blocks scroll, light or dark as the reader's system.
const STYLE: &str = "\
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 0 auto; padding: 1rem; }
h1 { line-height: 1.2; }
pre { overflow-x: auto; padding: .6rem .8rem; border: 1px solid #8888; border-radius: 4px; }
code { font-family: ui-monospace, monospace; font-size: .9em; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid #8886; }
li { margin: .25rem 0; }
";

/// The Markdown of the runbook with that name or about that alert: `signals-in-doubt` or `SignalsInDoubt`.
pub fn runbook(name: &str) -> Option<&'static str> {
    Runbook::find(name).map(|page| page.markdown)
}

/// Every alert with its severity and the name of its runbook, in the order of the rules.
pub fn runbooks() -> impl Iterator<Item = (&'static str, &'static str, String)> {
    rules().map(|rule| (rule.alert, rule.severity.as_str(), rule.page()))
}

pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route(RUNBOOKS, get(list))
        .route(STYLE_PATH, get(async || ([(CONTENT_TYPE, STYLE_TYPE)], STYLE)))
        .route("/runbooks/{name}", get(page))
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    escape_into(text, &mut escaped);
    escaped
}

fn rules() -> impl Iterator<Item = &'static ExportedRule> {
    GROUPS.iter().flat_map(|group| group.rules)
}

async fn list(Extension(prefix): Extension<Prefix>) -> Response {
    let mut body = String::from(
        "<h1>Runbooks</h1>\n<p>One page for each alert: what it means in money, the steps, and when to escalate.</p>\n",
    );
    let at = escape(&prefix.0);
    for group in &GROUPS {
        write!(body, "<h2>{}</h2>\n<ul>\n", escape(group.name)).expect("a String takes everything");
        for rule in group.rules {
            let (name, severity) = (rule.page(), rule.severity.as_str());
            let alert = escape(rule.alert);
            writeln!(body, "<li><a href=\"{at}{RUNBOOKS}/{name}\">{alert}</a> ({severity})</li>")
                .expect("a String takes everything");
        }
        body.push_str("</ul>\n");
    }
    shown("Runbooks", &prefix, &body)
}

async fn page(Path(name): Path<String>, Extension(prefix): Extension<Prefix>) -> Result<Response, Problem> {
    let Some(page) = Runbook::find(&name) else {
        let detail = format!("there is no such runbook; {}{RUNBOOKS} lists them", prefix.0);
        return Err(Problem::new(StatusCode::NOT_FOUND, detail));
    };
    let mut body = rendered(page.markdown, &prefix);
    writeln!(body, "<p><a href=\"{}{RUNBOOKS}\">All runbooks</a></p>", escape(&prefix.0))
        .expect("a String takes everything");
    Ok(shown(page.alert().alert, &prefix, &body))
}

fn shown(title: &str, prefix: &Prefix, body: &str) -> Response {
    let (title, at) = (escape(title), escape(&prefix.0));
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n\
         <link rel=\"stylesheet\" href=\"{at}{STYLE_PATH}\">\n</head>\n<body>\n{body}</body>\n</html>\n"
    );
    ([(CONTENT_SECURITY_POLICY, POLICY)], Html(page)).into_response()
}

/// The Markdown as HTML. HTML in it is shown as text. A link to another runbook leads to its page; the text of a link to
/// another document of the repository is shown without the link, because an instance does not serve it.
fn rendered(markdown: &str, prefix: &Prefix) -> String {
    let mut html = String::with_capacity(2 * markdown.len());
    let mut is_link = false;
    let events = Parser::new_ext(markdown, Options::ENABLE_TABLES).filter_map(|event| match event {
        Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
            let address = address(&dest_url, prefix);
            is_link = address.is_some();
            Some(Event::Start(Tag::Link { link_type, dest_url: address?, title, id }))
        }
        Event::End(TagEnd::Link) if !is_link => None,
        Event::Html(text) | Event::InlineHtml(text) => Some(Event::Text(text)),
        event => Some(event),
    });
    html::push_html(&mut html, events);
    html
}

/// The address of a link on a page; `None` if no instance serves it.
fn address(link: &str, prefix: &Prefix) -> Option<CowStr<'static>> {
    let name = link.strip_suffix(".md")?;
    Runbook::find(name).map(|page| format!("{}{RUNBOOKS}/{}", prefix.0, page.name).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use monitoring::runbooks::RUNBOOKS as ALL;

    #[test]
    fn text_stays_text_and_only_links_to_runbooks_stay_links() {
        let page = "# A <b>\n\n<script>alert(1)</script>\n\n[page](no-leader.md) [other](../signals.md) [x](javascript:alert(1))\n\n```sh\na < b\n```\n";
        let html = rendered(page, &Prefix("/at".to_owned()));
        assert!(!html.contains("<b>") && !html.contains("<script") && !html.contains("javascript"), "{html}");
        assert!(html.contains("<a href=\"/at/runbooks/no-leader\">page</a> other x"), "{html}");
        assert!(html.contains("a &lt; b"), "{html}");
    }

    /// The policy of the pages allows no inline style, and a table with aligned columns would have some.
    #[test]
    fn every_page_is_html_that_the_policy_allows() {
        for page in ALL {
            let html = rendered(page.markdown, &Prefix::default());
            assert!(html.contains("<h1>") && html.contains("<pre><code"), "{}", page.name);
            assert!(!html.contains("style=") && !html.contains(".md\""), "{}: {html}", page.name);
        }
    }
}
