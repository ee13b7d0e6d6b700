//! Cases of the operator's page over a real socket: the first paint, its files, and its links.

use crate::client::{get, request};
use crate::events::Stream;
use crate::fake::{self, Fake, Server};
use crate::ledger::{self, Ledger};
use adapter_http::Limits;
use domain::ledger::{Signal, SignalState, Totals};
use domain::member::MemberState;
use domain::ports::{ListQuery, StoreError};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

const NOW_MS: i64 = 1_700_000_011_000;

/// A healthy group with these signals, of which the instance remembers the newest.
fn with_signals(signals: Ledger) -> Fake {
    let fake = Fake { ledger: Arc::new(signals), ..Fake::default() };
    let mut member = fake::member("b-2");
    member.member.state = MemberState::Active;
    member.member.alerts = domain::member::Health::Ok;
    let query = ListQuery { state: None, instrument: None, before: None, limit: 100 };
    let kept = fake.ledger.list(&query);
    fake.last.send_modify(|last| {
        let last = Arc::make_mut(last);
        last.state_store_answered((fake::lease("b-2"), vec![member], Vec::new()), NOW_MS);
        last.facts.totals.answered(Totals::default(), NOW_MS);
        last.signals.answered(kept.into(), NOW_MS);
    });
    fake
}

fn in_state(id: &str, arrival: u64, state: SignalState) -> Signal {
    Signal { state, ..ledger::signal(id, "NIFTY", arrival) }
}

/// The HTML of a tree, written by this test alone.
fn html(tree: &Value) -> String {
    let escape = |text: &str| {
        text.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('"', "&quot;")
            .replace('\'', "&#39;")
    };
    match tree {
        Value::String(text) => escape(text),
        Value::Array(parts) => {
            let tag = parts[0].as_str().expect("a tag");
            let attributes = parts[1].as_object().expect("attributes").iter();
            let attributes: Vec<String> = attributes
                .map(|(name, value)| format!(" {name}=\"{}\"", escape(value.as_str().expect("text"))))
                .collect();
            let children: String = parts[2..].iter().map(html).collect();
            format!("<{tag}{}>{children}</{tag}>", attributes.concat())
        }
        other => panic!("no tree: {other}"),
    }
}

/// The page with the attributes of each element in the order of their names, as the JSON has them.
fn sorted(page: &str) -> String {
    let mut sorted = String::new();
    for part in page.split_inclusive('>') {
        let Some((text, tag)) = part.rsplit_once('<') else {
            sorted.push_str(part);
            continue;
        };
        let (name, attributes) =
            tag.trim_end_matches('>').split_once(' ').unwrap_or((tag.trim_end_matches('>'), ""));
        let mut attributes: Vec<&str> = attributes.split("\" ").filter(|one| !one.is_empty()).collect();
        attributes.sort_unstable();
        let attributes: Vec<String> =
            attributes.iter().map(|one| format!(" {}\"", one.trim_end_matches('"'))).collect();
        sorted.push_str(&[text, "<", name, &attributes.concat(), ">"].concat());
    }
    sorted
}

#[tokio::test]
async fn the_first_paint_equals_the_first_event() {
    let fake = with_signals(Ledger::of([in_state("s-1", 1, SignalState::Done)]));
    let server = Server::start(fake).await;
    let page = sorted(&server.ask(&get("/")).await.body);
    let mut stream = Stream::open(&server, "/events?page", None).await;
    stream.next().await.expect("hello");
    let mut sections = stream.next().await.expect("sections").data;
    let sections = sections.as_object_mut().expect("sections");
    let mut signals = stream.next().await.expect("the signals").data;
    sections.append(signals.as_object_mut().expect("sections"));
    assert!(sections.len() > 15, "{:?}", sections.keys());
    for (id, trees) in &*sections {
        match trees {
            Value::Array(trees) => {
                let shown = sorted(&trees.iter().map(html).collect::<String>());
                let place =
                    page.split_once(&format!("id=\"{id}\"")).unwrap_or_else(|| panic!("the place of {id}"));
                let (_, content) = place.1.split_once('>').expect("the place is an element");
                assert!(content.starts_with(&format!("{shown}</")), "{id}:\n{shown}\n{content}");
            }
            text => assert!(page.contains(text.as_str().expect("text")), "{id}: {text}"),
        }
    }
}

#[tokio::test]
async fn the_page_needs_nothing_but_its_own_files() {
    let server = Server::start(with_signals(Ledger::default())).await;
    let answer = server.ask(&get("/")).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert_eq!(
        answer.header("content-security-policy"),
        Some("default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'")
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(answer.body.contains("<title>b-2 has led since"), "{}", answer.body);
    let files: Vec<&str> = answer.body.split('"').filter(|text| text.starts_with("/page/")).collect();
    assert_eq!(files.len(), 3, "{files:?}");
    for (file, kind) in
        files.iter().zip(["image/svg+xml", "text/css; charset=utf-8", "text/javascript; charset=utf-8"])
    {
        let answer = server.ask(&get(file)).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(kind)), "{file}");
        assert_eq!(answer.header("cache-control"), Some("public, max-age=31536000, immutable"));
    }
    // During an upgrade, a page of another version asks for its own file: it gets this one and must not keep it.
    let other = server.ask(&get("/page/0123456789abcdef.css")).await;
    assert_eq!((other.status, other.header("cache-control")), (200, Some("no-store")));
    server.ask(&get("/page/secret.txt")).await.problem(404);
}

#[tokio::test]
async fn the_first_paint_has_the_chosen_theme() {
    let server = Server::start(Fake::default()).await;
    for (cookie, theme) in
        [("a=b; theme=dark", "dark"), ("theme=light", "light"), ("theme=\"><b>", "system"), ("", "system")]
    {
        let page = server.ask(&request("GET", "/", &[("Cookie", cookie)])).await.body;
        assert!(page.contains(&format!("data-theme=\"{theme}\"")), "{cookie}");
    }
}

#[tokio::test]
async fn filters_pages_and_audits_are_links() {
    let signals = (1..=40).map(|n| {
        let state = if n % 2 == 0 { SignalState::Done } else { SignalState::Rejected };
        in_state(&format!("s-{n}"), n, state)
    });
    let server = Server::start(with_signals(Ledger::of(signals))).await;
    let page = server.ask(&get("/?state=done")).await.body;
    assert_eq!(page.matches("data-signal=").count(), 10);
    assert!(page.contains("data-signal=\"s-40\"") && !page.contains("data-signal=\"s-39\""));
    assert!(page.contains("href=\"?state=done&amp;before=22#signals\">Older</a>"), "{page}");
    let older = server.ask(&get("/?state=done&before=12")).await.body;
    assert_eq!(older.matches("data-signal=").count(), 5);
    assert!(older.contains(">Newest</a>") && !older.contains(">Older</a>"));
    let open = server.ask(&get("/?open=s-40")).await.body;
    assert!(open.contains("Audit of <code>s-40</code>") && open.contains("aria-expanded=\"true\""), "{open}");
    // A malformed choice is no choice.
    for query in ["?state=nothing&before=x&open=%00", "?%%%", "?a=1&a=2"] {
        let answer = server.ask(&get(&format!("/{query}"))).await;
        assert_eq!((answer.status, answer.body.matches("data-signal=").count()), (200, 10), "{query}");
    }
}

#[tokio::test]
async fn while_the_ledger_is_away_the_page_shows_what_it_remembers_and_says_so() {
    let fake = with_signals(Ledger::of([in_state("s-1", 1, SignalState::InDoubt)]));
    fake.last.send_modify(|last| Arc::make_mut(last).state_store_failed(NOW_MS));
    let away = Fake { store: Err(StoreError::Unavailable("away".to_owned())), ..fake };
    let page = Server::start(away).await.ask(&get("/?open=s-1")).await.body;
    assert!(page.contains("data-signal=\"s-1\"") && page.contains("PostgreSQL does not answer"), "{page}");
    assert!(page.contains("Unknown: PostgreSQL does not answer."), "the audit: {page}");
    assert!(page.contains("data-level=\"critical\"") && !page.contains("Nothing is wrong"), "{page}");
}

/// Its limit is the only thing that ends the wait for this store; the answer has no other one.
#[tokio::test]
async fn the_page_is_answered_although_the_store_is_silent() {
    let (asked, mut was_asked) = mpsc::unbounded_channel();
    let signals = (1..=100).map(|n| in_state(&format!("s-{n}"), n, SignalState::Done));
    let fake = Fake { silent: Some(asked), ..with_signals(Ledger::of(signals)) };
    let limits = Limits { answer: Duration::from_hours(1), ..Limits::default() };
    let server = Server::start_within(limits, fake).await;
    let answer = server.ask(&get("/?state=done&open=s-100")).await;
    assert_eq!((answer.status, answer.body.matches("data-signal=").count()), (200, 10));
    assert!(answer.body.contains("Unknown: PostgreSQL does not answer."), "the audit: {}", answer.body);
    for request in ["the signals", "the audit"] {
        was_asked.try_recv().expect(request);
    }
}
