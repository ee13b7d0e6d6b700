//! The page follows what happens without being loaded again.

use super::view::View;
use crate::TTL;
use crate::group::{Group, THREE};
use crate::servers::Servers;
use crate::wait::{block_on, until};
use serde_json::Value;
use std::time::{SystemTime, UNIX_EPOCH};
use testkit::browser::Browser;
use testkit::process::Signal;
use testkit::proxy::{Mode, Proxy};

/// What every sentence begins with while PostgreSQL is away.
const AWAY: &str = "PostgreSQL does not answer";

#[test]
fn a_failover_an_outage_and_a_lost_connection() {
    let servers = Servers::start();
    let mut group = servers.group(TTL);
    let first = group.start_three();
    let browser = Browser::start();
    let others: Vec<&str> = THREE.into_iter().filter(|name| *name != first.name).collect();
    let link = block_on(Proxy::start(group.process(others[0]).address()));
    let standby = View::open(&browser, &link.address().to_string());
    let leader = View::open(&browser, &group.process(&first.name).address());
    for view in [&standby, &leader] {
        view.mark();
        view.wait(&format!("words($('sentence')).startsWith('{} leads since ')", first.name));
    }

    group.process(&first.name).signal(Signal::KILL);
    let next = group.wait_lead(first.epoch);
    standby.wait(&format!("words($('sentence')).startsWith('{} leads since ')", next.name));
    standby.wait(&format!("state().instances['{}'] === 'gone'", first.name));
    standby.assert_not_reloaded();
    // The page of the killed leader cannot know: it says that it is old, and which instances to ask.
    leader.wait("state().live === 'off'");
    let asked = leader.run("return [...document.querySelectorAll('#others a')].map(link => link.href)");
    for other in &others {
        let address = format!("http://{}/", group.process(other).address());
        assert!(
            asked.as_array().is_some_and(|links| links.contains(&Value::from(address.as_str()))),
            "{asked}"
        );
    }

    let former = View::open(&browser, &group.process(&next.name).address());
    former.mark();
    let (former_name, standby_name) = (next.name.clone(), others[0]);
    outage(&servers, &mut group, &[(&former, &former_name), (&standby, standby_name)]);

    lost_connection(&group, &standby, &link);
    for view in [&standby, &former] {
        view.wait_as_fresh();
        view.assert_not_reloaded();
        view.assert_no_violation();
    }
    group.finish();
}

/// PostgreSQL stops: every page shows that it does not know, and nothing that it cannot know.
fn outage(servers: &Servers, group: &mut Group, views: &[(&View, &str)]) {
    let lead = group.wait_current();
    for (view, _) in views {
        view.wait("Object.values(state().figures).every(figure => figure !== 'Unknown')");
        view.run("record()");
    }
    let stopped_ms = now_ms();
    servers.postgres.stop();
    let shown = format!(
        "{AWAY} for {{age}}: the leader is unknown (last known: {}, epoch {}).",
        lead.name, lead.epoch
    );
    for (view, _) in views {
        view.wait_sentence(&shown);
    }
    // The leader's lease ends while the pages are recorded.
    group.wait_event(&lead.name, contract::event::EventKind::Lost, lead.epoch);
    for (view, name) in views {
        let recorded = view.run("return recorded");
        let recorded = recorded.as_array().expect("a list");
        let unknown = recorded
            .iter()
            .position(|one| one["state"]["sentence"].as_str().is_some_and(|shown| shown.starts_with(AWAY)));
        let unknown = unknown.unwrap_or_else(|| panic!("never unknown: {recorded:?}"));
        let after_ms = recorded[unknown]["at"].as_f64().unwrap_or_default() - stopped_ms;
        println!("the page of {name} shows the outage {after_ms:.0} ms after PostgreSQL began to stop");
        for one in &recorded[unknown..] {
            assert_unknown(&one["state"], name);
        }
    }
    servers.postgres.start();
    let next =
        until("an instance leads again", || group.leads().pop().filter(|last| last.epoch > lead.epoch));
    group.wait_renewals(&next.name);
    let last = group.wait_current();
    for (view, _) in views {
        view.wait(&format!("words($('sentence')).startsWith('{} leads since ')", last.name));
        view.wait("Object.values(state().figures).every(figure => figure !== 'Unknown')");
        view.wait(&format!("state().instances['{}'] === 'active'", last.name));
        view.assert_not_reloaded();
    }
}

/// Nothing in this state of a page is a value that only PostgreSQL could confirm.
fn assert_unknown(state: &Value, name: &str) {
    assert_eq!(state["level"], "critical", "{name}: {state}");
    let sentence = state["sentence"].as_str().unwrap_or_default();
    assert!(sentence.starts_with(AWAY), "{name}: {state}");
    let figures = state["figures"].as_object().expect("figures");
    assert!(!figures.is_empty() && figures.values().all(|figure| figure == "Unknown"), "{name}: {state}");
    let instances = state["instances"].as_object().expect("instances");
    assert!(!instances.is_empty() && instances.values().all(|known| known == "unknown"), "{name}: {state}");
}

/// The connection between the browser and the instance is lost, and what happened in that time is shown afterwards.
fn lost_connection(group: &Group, view: &View, link: &Proxy) {
    block_on(link.set(Mode::Refuse));
    view.wait("state().live === 'off'");
    let lost = view.run("return words($('offline'))");
    assert!(lost.as_str().is_some_and(|text| text.starts_with("This page is not live since ")), "{lost}");
    group.carry_out(&["signals", "pause", "--reason", "while the page is cut off"]);
    block_on(link.set(Mode::Pass));
    view.wait("state().live === 'on' && $('offline').hidden");
    view.wait("state().figures.switch === 'On'");
    view.wait("words($('sentence')).startsWith('The kill switch is on since ')");
    // A connection that stays open and carries nothing is lost too.
    block_on(link.set(Mode::Swallow(testkit::proxy::Direction::Replies)));
    view.wait("state().live === 'off'");
    group.carry_out(&["signals", "resume", "--reason", "the page is cut off"]);
    block_on(link.set(Mode::Pass));
    view.wait("state().live === 'on' && state().figures.switch === 'Off'");
}

fn now_ms() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64() * 1_000.0
}
