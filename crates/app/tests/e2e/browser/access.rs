//! The page for readers with other eyes and other hands: names, headings, contrast, targets, keyboard. The checks are the
//! rules of axe-core that this page could break (see `library.js`).

use super::view::View;
use crate::TTL;
use crate::group::Group;
use crate::servers::Servers;
use crate::signals::accepted;
use serde_json::Value;
use std::collections::BTreeSet;
use testkit::broker::{Conduct, HttpBroker, Order};
use testkit::browser::{Browser, Scheme};

/// More presses of the Tab key than the page has stops.
const STOPS_MAX: usize = 300;
/// A phone, and a desk.
const WIDTHS: [u32; 2] = [390, 1440];

#[test]
fn for_every_eye_and_every_hand() {
    let cuts =
        |order: &Order| if order.id == "doubtful" { Conduct::ExecutesAndCuts } else { Conduct::done() };
    let broker = HttpBroker::with(cuts, |_| false);
    let servers = Servers::start();
    let mut group = servers.group(TTL);
    group.set("COORDINATOR_SIGNALS_HANDLER", &broker.url());
    let lead = group.start_three();
    let browser = Browser::start();
    let view = View::open(&browser, &group.process(&lead.name).address());
    for id in ["s-1", "s-2", "s-3"] {
        accepted(&mut group, &lead.name, id, id);
        view.wait(&format!("document.querySelector('[data-signal={id}][data-state=done]')"));
    }
    readable(&view, "healthy");

    accepted(&mut group, &lead.name, "doubtful", "NIFTY");
    view.wait("document.querySelector('[data-signal=doubtful][data-state=in_doubt]')");
    view.run("document.querySelector('[data-signal=doubtful] a[data-choice]').click()");
    view.wait("document.querySelector('.auditbox li')");
    readable(&view, "fault");

    keyboard(&view);
    focus_stays(&mut group, &view, &lead.name);
    view.assert_no_violation();
    group.finish();
}

/// Every rule, in both themes and on a phone; keeps the pictures.
fn readable(view: &View, state: &str) {
    for width in WIDTHS {
        view.browser().resize(width, 900);
        for (scheme, theme) in [(Scheme::Light, "light"), (Scheme::Dark, "dark")] {
            view.browser().prefer(scheme);
            let place = format!("{state}, {theme}, {width} pixels");
            assert_eq!(view.list("return accessibility()"), [""; 0], "{place}");
            let contrast = view.run("return contrast()");
            assert_eq!(contrast["found"], Value::Array(Vec::new()), "{place}");
            println!("{place}: the lowest contrast is {}", contrast["lowest"]);
            view.keep(&format!("{state}-{theme}-{width}"));
        }
    }
    // Only the system's colours are left, and every state still has its word.
    view.browser().prefer(Scheme::Forced);
    let wordless = view.list(
        "return [...document.querySelectorAll('.status')].filter(node => isShown(node) && !words(node)).map(name)",
    );
    assert_eq!(wordless, [""; 0], "{state}: a state is only a colour");
    view.keep(&format!("{state}-forced"));
    view.browser().prefer(Scheme::Light);
}

/// The Tab key reaches everything that a pointer can use, and the charts are read with the arrow keys.
fn keyboard(view: &View) {
    view.browser().resize(1440, 900);
    view.run("document.activeElement.blur(); scrollTo(0, 0); window.reached = new Set()");
    for _ in 0..STOPS_MAX {
        view.browser().press("Tab");
        let on = view.run(
            "const node = document.activeElement;
             if (node === document.body || (reached.size > 1 && node.matches('.skip'))) return null;
             const style = getComputedStyle(node), box = node.getBoundingClientRect();
             reached.add(identity(node));
             return { name: name(node), visible: box.bottom > 0 && box.top < innerHeight,
                      marked: style.outlineStyle !== 'none' || style.boxShadow !== 'none' };",
        );
        if on.is_null() {
            break;
        }
        assert_eq!((&on["visible"], &on["marked"]), (&Value::Bool(true), &Value::Bool(true)), "{on}");
    }
    let missed = view.list("return reachable().filter(one => !reached.has(one))");
    assert_eq!(missed, [""; 0], "not reached");

    view.run("document.querySelector('.plotbox').focus()");
    let value = || view.run("return document.activeElement.getAttribute('aria-valuetext')");
    let present = value();
    view.browser().press("ArrowLeft");
    let before = value();
    assert_ne!(present, before, "the arrow key reads another minute");
    view.browser().press("End");
    assert_eq!(value(), present);
    view.browser().press("Home");
    assert_eq!(view.run("return document.activeElement.getAttribute('aria-valuenow')"), "-60");

    // The minute that is read stays the same while the chart is written anew.
    view.run("document.querySelector('#c-latency .plotbox').focus()");
    view.browser().press("PageDown");
    view.run("window.plot = document.activeElement");
    view.wait("document.activeElement !== plot && document.activeElement.matches('#c-latency .plotbox')");
    assert_eq!(view.run("return document.activeElement.getAttribute('aria-valuenow')"), "-10");

    // A signal's audit opens and closes with the Enter key, and the link keeps the focus.
    view.run("document.querySelector('[data-signal=s-1] a[data-choice]').focus()");
    view.browser().press("Enter");
    view.wait(
        "document.querySelector('[data-signal=s-1] a[data-choice]').getAttribute('aria-expanded') === 'true'",
    );
    view.wait("document.activeElement === document.querySelector('[data-signal=s-1] a[data-choice]')");
    view.browser().press("Enter");
    view.wait("document.querySelector('[data-signal=s-1] a[data-choice]').getAttribute('aria-expanded') === 'false'");
    // A filter.
    view.run("document.querySelector(\"a[data-choice][href*='state=in_doubt']\").focus()");
    view.browser().press("Enter");
    view.wait("document.querySelectorAll('[data-signal]').length === 1");
    view.wait("document.activeElement.matches(\"[href*='state=in_doubt'][aria-current=true]\")");
    view.run("document.querySelector(\"a[data-choice][href='?#signals']\").focus()");
    view.browser().press("Enter");
    view.wait("document.querySelectorAll('[data-signal]').length === 4");
}

/// An update of a section leaves the focus on what has it.
fn focus_stays(group: &mut Group, view: &View, leader: &str) {
    let mut held = BTreeSet::new();
    let places = [
        ("wrong", "#wrong button[data-copy]"),
        ("signals", "[data-signal=s-2] a[data-choice]"),
        ("figures and filters", "a[data-choice][href*='state=received']"),
    ];
    for (number, (place, selector)) in places.into_iter().enumerate() {
        view.run(&format!("document.querySelector(\"{selector}\").focus()"));
        let before = view.run("return focused()");
        let id = format!("after-{number}");
        accepted(group, leader, &id, &id);
        view.wait(&format!("document.querySelector('[data-signal={id}][data-state=done]')"));
        assert_eq!(view.run("return focused()"), before, "{place}");
        held.insert(before.to_string());
    }
    assert_eq!(held.len(), places.len(), "{held:?}");
}
