//! The page keeps its shape: at every width, with hostile texts, with many signals, and without scripts.

use super::view::View;
use crate::TTL;
use crate::group::Group;
use crate::servers::Servers;
use crate::signals::{post, submission};
use crate::wait::until;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use testkit::browser::{Browser, Scripts};

/// From a small phone to a wall screen. A zoom of 200 % halves the width: 720 and 1920.
const WIDTHS: [u32; 7] = [320, 390, 720, 768, 1440, 1920, 3840];
/// Most elements of a page, whatever the ledger has.
const NODES_MAX: u64 = 1_000;
/// Pages that are followed by the link `Older`.
const PAGES: usize = 4;
/// Runs if a page takes it for HTML.
const MARKUP: &str = "<img src=x onerror=hacked=1>";
/// Shows what follows it from right to left.
const REVERSED: &str = "\u{202e}desrever";
/// An id as long as a signal's may be.
const LONG: &str = "s-23456789-123456789-123456789-123456789-123456789-123456789-123";

/// Finished signals.
const MANY: &str = "
    INSERT INTO coordinator_signal (group_id, id, payload, instrument, signal_type, position, timestamp_s,
        fingerprint, changed_by, changed_from, state, attempt, claimed_at, settled_at)
    SELECT 'default', 'many-' || n, '{\"price\": 101.25}', 'NIFTY-' || n % 40, 'ENTRY', 'p-' || n, n,
           encode(sha256(n::text::bytea), 'hex'), 'test', 'test', 'done', 1,
           now() - interval '2 days', now() - interval '2 days'
    FROM generate_series(1, 10000) AS n";
/// An instance that is no program of ours wrote these; a column allows every text.
const HOSTILE_MEMBER: &str = "
    INSERT INTO coordinator_member (group_id, id, nonce, host, address, status, epoch, fallback, alerts, version,
        started_ms, beat_at)
    VALUES ('default', repeat('long-id-', 8), repeat('a', 24), '<script>hacked=1</script>', 'javascript:hacked=1',
        'standby', 1, false, 2, '<img src=x onerror=hacked=1>', 0, now() + interval '1 hour')";

#[test]
fn at_every_width_with_hostile_texts_many_signals_and_no_scripts() {
    let servers = Servers::start();
    let mut group = servers.group(TTL);
    let lead = group.start_pair();
    let address = group.process(&lead.name).address();
    let browser = Browser::start();
    let view = View::open(&browser, &address);

    // The first event built the page again; it is what the server had written.
    view.wait("state().live === 'on'");
    view.wait_as_fresh();
    view.assert_no_violation();
    policy(&view);

    hostile(&mut group, &view, &lead.name);
    for width in WIDTHS {
        view.browser().resize(width, 900);
        assert_eq!(view.list("return overflow()"), [""; 0], "{width} pixels");
    }
    view.browser().resize(1440, 900);

    many(&mut group, &view, &lead.name);
    without_scripts(&view, &address);
    group.finish();
}

/// What an attacker puts into the page does not run and does not load.
fn policy(view: &View) {
    view.run(
        "const script = document.createElement('script');
         script.textContent = 'window.ran = true';
         document.body.append(script);
         const styled = document.createElement('p');
         styled.setAttribute('style', 'position: fixed');
         document.body.append(styled);
         const picture = document.createElement('img');
         picture.src = 'http://127.0.0.1:9/picture';
         document.body.append(picture);
         window.injected = [script, styled, picture];",
    );
    view.wait("violations.length === 3");
    assert_eq!(view.run("return window.ran"), Value::Null);
    assert_eq!(view.run("return getComputedStyle(injected[1]).position"), "static");
    let blocked: BTreeSet<String> =
        view.list("return violations.map(text => text.split(' ')[0])").into_iter().collect();
    let expected = ["img-src", "script-src-elem", "style-src-attr"].map(str::to_owned);
    assert_eq!(blocked, BTreeSet::from(expected));
    view.run("for (const node of injected) node.remove(); violations.length = 0");
}

/// Texts from clients, operators and other instances stay texts.
fn hostile(group: &mut Group, view: &View, leader: &str) {
    let mut signal = submission(LONG, "NIFTY");
    signal["signal_type"] = json!("<b>ENTRY</b>");
    signal["position"] = json!("\"onclick=hacked=1 x=\"");
    signal["payload"] = json!({ "price": "<svg onload=hacked=1>" });
    let answer = post(group, leader, &signal);
    assert_eq!(answer.status, 201, "{answer:?}");
    group.database.execute(&format!(
        "UPDATE coordinator_signal SET note = '{MARKUP}{REVERSED}', changed_by = '{MARKUP}', changed_from = '{REVERSED}'"
    ));
    group.database.execute(HOSTILE_MEMBER);
    group.carry_out(&["signals", "pause", "--reason", MARKUP]);
    view.wait(&format!("document.querySelector('[data-signal=\"{LONG}\"]')"));
    view.wait("document.querySelector('[data-instance^=long-id-]')");
    view.wait("state().figures.switch === 'On'");
    // Its audit is open.
    view.run("document.querySelector('[data-signal] a[data-choice]').click()");
    view.wait("document.querySelector('.auditbox li')");
    for text in [MARKUP, REVERSED, "<b>ENTRY</b>", "\"onclick=hacked=1 x=\"", "<svg onload=hacked=1>", LONG] {
        let shown = view.run_with("return document.body.textContent.includes(arguments[0])", &[json!(text)]);
        assert_eq!(shown, true, "{text} is not shown");
    }
    assert_eq!(view.run("return window.hacked"), Value::Null);
    let active = view.list(
        "return [...document.querySelectorAll('img, iframe, object, embed, body script, [onerror], [onload], [onclick], [style], \
         a[href^=\"javascript\" i]')].map(name)",
    );
    assert_eq!(active, [""; 0]);
    // A text that turns the direction turns only itself.
    let open = view.list(
        "const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), open = [];
         while (texts.nextNode()) if (texts.currentNode.textContent.includes('\\u202e')) {
             let at = texts.currentNode.parentElement;
             while (at && !/isolate|plaintext/.test(getComputedStyle(at).unicodeBidi)) at = at.parentElement;
             if (!at || at.matches('table, section, main, body, html')) open.push(name(texts.currentNode.parentElement));
         }
         return open;",
    );
    assert_eq!(open, [""; 0], "these are not isolated");
    view.assert_no_violation();
    group.carry_out(&["signals", "resume", "--reason", "the page was read"]);
}

/// The page has the same size with any number of signals.
fn many(group: &mut Group, view: &View, leader: &str) {
    group.database.execute(MANY);
    let newest = group.json(leader, "/signals?limit=1");
    assert_eq!(newest["signals"][0]["id"], "many-10000", "{newest}");
    let address = group.process(leader).address();
    view.go(&format!("http://{address}/"));
    view.wait("document.querySelector('[data-signal=many-10000]')");
    let nodes = view.run("return document.querySelectorAll('*').length").as_u64();
    let took_ms = view.run("return performance.getEntriesByType('navigation')[0].responseEnd");
    println!("the page has {nodes:?} elements, and its answer took {took_ms} ms");
    assert!(nodes.is_some_and(|nodes| nodes < NODES_MAX), "{nodes:?} elements");
    let frames = view.run(
        "return new Promise(done => {
             let at = performance.now(), longest = 0, steps = 0;
             requestAnimationFrame(function step(now) {
                 longest = Math.max(longest, now - at); at = now;
                 scrollBy(0, 40);
                 if (++steps < 60) requestAnimationFrame(step); else done([longest, scrollY]);
             });
         })",
    );
    println!("while the page scrolls, the longest pause between two pictures is {} ms", frames[0]);
    assert!(frames[1].as_f64().is_some_and(|scrolled| scrolled > 0.0), "the page does not scroll: {frames}");
    view.assert_no_violation();
}

/// Everything that was shown is there without scripts, and the links work.
fn without_scripts(view: &View, address: &str) {
    let full = view.list("return SECTIONS.filter(id => $(id)?.textContent.trim())");
    let headings = view.list("return [...document.querySelectorAll('h2')].map(node => node.textContent)");
    view.reload_without_scripts();
    assert_eq!(view.list("return SECTIONS.filter(id => $(id)?.textContent.trim())"), full);
    let first = view.list("return [...document.querySelectorAll('h2')].map(node => node.textContent)");
    assert_eq!(first.len(), headings.len(), "{first:?} and {headings:?}");
    assert_eq!(view.run("return isShown($('theme'))"), false, "a button without an effect is shown");
    let mut seen = BTreeSet::new();
    for page in 1..=PAGES {
        let ids = view
            .list("return [...document.querySelectorAll('[data-signal]')].map(row => row.dataset.signal)");
        assert!(!ids.is_empty(), "page {page} is empty");
        for id in ids {
            assert!(seen.insert(id.clone()), "{id} is on two pages");
        }
        let nodes = view.run("return document.querySelectorAll('*').length").as_u64();
        assert!(nodes.is_some_and(|nodes| nodes < NODES_MAX), "page {page} has {nodes:?} elements");
        follow(view, "Older");
    }
    follow(view, "Newest");
    let audit =
        view.run("return document.querySelector('[data-signal] a[data-choice]').getAttribute('href')");
    view.browser().open(&format!("http://{address}/{}", audit.as_str().expect("a link")));
    assert_eq!(view.run("return document.querySelectorAll('.auditbox li').length > 0"), true, "no audit");
    view.browser().scripts(Scripts::Run);
}

/// Follows a link as a browser without scripts does.
fn follow(view: &View, text: &str) {
    let before = view.run("return location.href");
    view.run_with(
        "[...document.querySelectorAll('.pager a')].find(link => link.textContent === arguments[0]).click()",
        &[json!(text)],
    );
    until(&format!("{text} opens a page"), || {
        let opened = view.run("return document.readyState === 'complete' && location.href");
        (opened.is_string() && opened != before).then_some(())
    });
}
