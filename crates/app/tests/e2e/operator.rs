//! Plays the operator: twelve faults on real servers. For each, the page alone and the terminal alone name the cause and
//! the next step, in the words that an operator would search for.
//!
//! [`FAULTS`] is the table of expectations, from the runbooks. The words are compared without spaces and case: a page
//! breaks lines where it likes.

use crate::TTL;
use crate::command::Said;
use crate::database::Database;
use crate::group::Group;
use crate::servers::Servers;
use crate::signals::{accepted, post, submission};
use crate::wait::{block_on, until};
use serde_json::json;
use testkit::backend;
use testkit::broker::{Conduct, HttpBroker};
use testkit::process::Signal;

/// What the operator must find out.
struct Fault {
    name: &'static str,
    /// The problem on the page, by the name of its runbook.
    alert: &'static str,
    /// Words about the cause.
    cause: &'static [&'static str],
    /// Words about the next step.
    next: &'static [&'static str],
    /// Words of `coordinator status`, on either output, besides the name of the alert.
    status: &'static [&'static str],
}

const FAULTS: [Fault; 12] = [
    Fault {
        name: "the leader was killed",
        alert: "StaleHeartbeat",
        cause: &["a sends no heartbeat", "It was active"],
        next: &["Check its process", "on the host"],
        status: &["a sends no heartbeat", "b has led since"],
    },
    Fault {
        name: "the leader was stopped",
        alert: "DelayedHeartbeat",
        cause: &["a sends no heartbeat", "It was active"],
        next: &["Check its process", "on the host"],
        status: &["a sends no heartbeat", "b has led since"],
    },
    Fault {
        name: "PostgreSQL is away",
        alert: "NoLeader",
        cause: &["PostgreSQL does not answer", "the leader is unknown"],
        next: &["Check PostgreSQL and the connection to it", "within LEADER_TTL after it answers"],
        status: &["the state store:", "coordinator why"],
    },
    Fault {
        name: "Redis is away",
        alert: "FallbackModeActive",
        cause: &["Redis does not answer", "PostgreSQL alone decides the election", "continues to lead"],
        next: &["Restore Redis during working hours"],
        status: &["Redis does not answer"],
    },
    Fault {
        name: "Redis and PostgreSQL are away",
        alert: "NoLeader",
        cause: &["PostgreSQL does not answer", "the leader is unknown"],
        next: &["Check PostgreSQL and the connection to it"],
        status: &["the state store:", "coordinator why"],
    },
    Fault {
        name: "the handler did not answer",
        alert: "SignalsInDoubt",
        cause: &["1 signal is in doubt", "may be at the broker, or not"],
        next: &[
            "Look up each order at the broker, then resolve",
            "coordinator signals list --state in_doubt",
        ],
        status: &["1 signal is in doubt"],
    },
    Fault {
        name: "a signal expired",
        alert: "SignalExpired",
        cause: &["1 signal expired in the last 24 hours", "a trade that was missed"],
        next: &["acknowledge it", "coordinator signals list --state expired"],
        status: &["1 signal expired"],
    },
    Fault {
        name: "the kill switch is on",
        alert: "SignalsPaused",
        cause: &["The kill switch is on", "broker outage"],
        next: &["Turn it off when the reason is gone", "coordinator signals resume --reason"],
        status: &["kill switch", "broker outage"],
    },
    Fault {
        name: "the recovery finds a corrupt position",
        alert: "RecoveryFailed",
        cause: &["Trading is halted: crash recovery failed", "cannot be trusted"],
        next: &["correct it", "checks again every 30 s", "coordinator recovery check"],
        status: &["Trading is halted", "DATA_CORRUPT", "position \"P-1\"", "risk_amount"],
    },
    Fault {
        name: "instances have different settings",
        alert: "SettingsDiffer",
        cause: &["Instances have different values of signals.handler"],
        next: &["Give all instances the same settings", "coordinator config check"],
        status: &["different values of signals.handler"],
    },
    Fault {
        name: "the tables were dropped",
        alert: "NoLeader",
        cause: &["PostgreSQL answers, but its tables cannot be read", "coordinator_lease"],
        next: &["Restore the tables", "coordinator migrate --check"],
        status: &["coordinator_lease"],
    },
    Fault {
        name: "a standby was promoted",
        alert: "StoreForgot",
        cause: &[
            "PostgreSQL has forgotten acknowledged writes",
            "A standby was promoted or a backup restored",
        ],
        next: &["Compare the broker's orders with the ledger"],
        status: &["the store forgot", "has forgotten acknowledged writes"],
    },
];

fn fault(name: &str) -> &'static Fault {
    FAULTS.iter().find(|fault| fault.name == name).unwrap_or_else(|| panic!("{name} is not in the table"))
}

/// Waits until the page of the instance `seen_from`, and the commands, name the cause of the fault and the next step.
fn is_explained(group: &mut Group, seen_from: &str, name: &str) {
    let fault = fault(name);
    let mut last = Vec::new();
    until(&format!("the operator understands that {name}"), || {
        let missing = missing(group, seen_from, fault);
        let words: Vec<String> = missing.iter().map(|(words, _)| words.clone()).collect();
        if words != last {
            let missing: Vec<String> =
                missing.iter().map(|(words, text)| format!("{words}:\n{text}")).collect();
            eprintln!("{name}: {}", missing.join("\n"));
            last = words;
        }
        last.is_empty().then_some(())
    });
}

/// The words that are not there yet, and the text in which they are expected.
fn missing(group: &mut Group, seen_from: &str, fault: &Fault) -> Vec<(String, String)> {
    let page = group.process(seen_from).get("/").expect("the page answers, whatever is away");
    let problem = problem_on(&page.body, fault.alert);
    let why = group.command(&["why"]);
    let paragraph = problem_in(&why.stdout, fault.alert);
    let status = group.command(&["status"]);
    let status = format!("{}\n{}", status.stdout, status.stderr);
    let explained = || fault.cause.iter().chain(fault.next);
    // Without the state store, the status can only name the failure and the command that explains it.
    let named = [fault.alert].into_iter().filter(|_| !status.contains("the state store: "));
    let lacking = [
        lacks("the page", &text_of(&problem), &mut explained().copied()),
        lacks("why", &paragraph, &mut explained().copied()),
        lacks("status", &status, &mut named.chain(fault.status.iter().copied())),
    ];
    lacking.into_iter().flatten().collect()
}

/// The words that the text lacks, and the text; `None` if it has them all.
fn lacks(place: &str, text: &str, words: &mut dyn Iterator<Item = &'static str>) -> Option<(String, String)> {
    let squeezed = squeezed(text);
    let lacking: Vec<&str> = words.filter(|word| !squeezed.contains(&self::squeezed(word))).collect();
    (!lacking.is_empty()).then(|| (format!("{place} lacks {lacking:?}"), text.to_owned()))
}

/// Without spaces, in lower case.
fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<String>().to_lowercase()
}

/// The item of the page about this alert, as HTML; empty if there is none.
fn problem_on(html: &str, alert: &str) -> String {
    let marked = format!("data-alert=\"{alert}\"");
    let items = html.split("<li class=\"problem").skip(1);
    let item = items.filter_map(|item| item.split("</li>").next()).find(|item| item.contains(&marked));
    item.map_or_else(String::new, |item| format!("<li class=\"problem{item}"))
}

/// The paragraph of `coordinator why` about this alert, and the ones that belong to no alert.
fn problem_in(why: &str, alert: &str) -> String {
    let ends = format!("Runbook: {alert}");
    let of_another = |paragraph: &&str| paragraph.contains("Runbook: ") && !paragraph.contains(&ends);
    let paragraphs: Vec<&str> = why.split("\n\n").filter(|paragraph| !of_another(paragraph)).collect();
    paragraphs.join("\n\n")
}

/// The text of HTML as an operator reads it.
fn text_of(html: &str) -> String {
    let mut text = String::new();
    for part in html.split('<') {
        text.push_str(part.split_once('>').map_or(part, |(_, after)| after));
    }
    let entities =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&nbsp;", " "), ("&amp;", "&")];
    entities.iter().fold(text, |text, (entity, letter)| text.replace(entity, letter))
}

#[test]
fn a_leader_that_was_stopped_and_one_that_was_killed() {
    let servers = Servers::start();
    let mut group = servers.group(TTL);
    let lead = group.start_pair();
    group.freeze("a");
    let next = group.wait_lead(lead.epoch);
    assert_eq!(next.name, "b");
    is_explained(&mut group, "b", "the leader was stopped");
    group.process("a").kill();
    is_explained(&mut group, "b", "the leader was killed");
    group.finish();
}

#[test]
fn stores_that_are_away() {
    let servers = Servers::start();
    let mut group = servers.group(TTL);
    group.start_pair();
    group.wait_renewals("a");
    servers.redis.kill();
    is_explained(&mut group, "b", "Redis is away");
    servers.postgres.kill();
    is_explained(&mut group, "b", "Redis and PostgreSQL are away");
    servers.redis.start();
    is_explained(&mut group, "a", "PostgreSQL is away");
    servers.postgres.start();
    group.wait_current();
    group.finish();
}

#[test]
fn signals_that_are_held_up() {
    let broker = HttpBroker::with(|_| Conduct::ExecutesAndCuts, |_| false);
    let servers = Servers::start();
    let mut group = servers.group(TTL);
    group.set("COORDINATOR_SIGNALS_HANDLER", &broker.url());
    group.start_pair();
    accepted(&mut group, "b", "s-1", "NIFTY");
    is_explained(&mut group, "b", "the handler did not answer");
    let mut late = submission("s-2", "BANKNIFTY");
    late["expires_at"] = json!("2020-01-01T00:00:00Z");
    assert_eq!(post(&mut group, "b", &late).status, 201);
    is_explained(&mut group, "b", "a signal expired");
    group.carry_out(&["signals", "pause", "--reason", "broker outage"]);
    is_explained(&mut group, "b", "the kill switch is on");
    group.finish();
}

#[test]
fn a_portfolio_that_is_corrupt() {
    let servers = Servers::start();
    let mut group = servers.group(TTL);
    group.carry_out(&["migrate"]);
    let corrupt = "INSERT INTO portfolio_positions VALUES ('P-1', 'NIFTY', 'open', 1, 100, 'NaN', 5)";
    group.database.execute(corrupt);
    group.start("a");
    let lead = group.wait_lead(0);
    group.start("b");
    is_explained(&mut group, &lead.name, "the recovery finds a corrupt position");
    let page = text_of(&group.process(&lead.name).get("/").expect("the page").body);
    assert_eq!(lacks("the page", &page, &mut ["position \"P-1\"", "risk_amount"].into_iter()), None);
    let check: Said = group.command(&["recovery", "check"]);
    assert_eq!(lacks("check", &check.stdout, &mut ["position \"P-1\"", "risk_amount"].into_iter()), None);
    group.finish();
}

#[test]
fn instances_with_different_settings() {
    let servers = Servers::start();
    let mut group = servers.group(TTL);
    for (name, handler) in [("a", "http://127.0.0.1:9/orders"), ("b", "http://127.0.0.1:9/other")] {
        let launch = group.launch(name).environment("COORDINATOR_SIGNALS_HANDLER", handler);
        group.start_as(name, &launch);
        group.wait_ready(name);
    }
    is_explained(&mut group, "b", "instances have different settings");
    group.finish();
}

#[test]
fn tables_that_were_dropped() {
    let servers = Servers::start();
    let mut group = servers.group(TTL);
    group.start_pair();
    group.database.execute("ALTER SCHEMA public RENAME TO kept; CREATE SCHEMA public");
    is_explained(&mut group, "b", "the tables were dropped");
    group.database.execute("DROP SCHEMA public CASCADE; ALTER SCHEMA kept RENAME TO public");
    // Either instance may lead now: the lease names the former leader until the other one has acquired it.
    until("an instance leads and acts", || {
        group.alive().iter().any(|name| group.status_of(name, "/leader") == Some(200)).then_some(())
    });
    group.finish();
}

#[test]
fn a_lagging_standby_that_was_promoted() {
    let primary = backend::native_postgres();
    let standby = primary.standby();
    let hosts = format!("{},{}", primary.address(), standby.address());
    let url = primary.url().replace(&primary.address(), &hosts) + "?target_session_attrs=read-write";
    let mut group = Group::new(TTL, |_| Database::Postgres(primary.url()), &["--postgres", &url]);
    let lead = group.start_pair();
    until("the standby has the claim", || {
        let holder = "SELECT holder FROM coordinator_lease";
        block_on(backend::text(&standby.url(), holder)).filter(|holder| *holder == lead.name)
    });
    block_on(backend::execute(&standby.url(), "SELECT pg_wal_replay_pause()")).expect("a standby");
    group.wait_renewals(&lead.name);
    group.process(&lead.name).signal(Signal::STOP);
    primary.kill();
    block_on(standby.promote());
    group.process(&lead.name).signal(Signal::CONT);
    group.database = Database::Postgres(standby.url());
    is_explained(&mut group, "b", "a standby was promoted");
    group.finish_across_timelines();
}

#[test]
fn every_fault_is_in_one_test() {
    let source = include_str!("operator.rs");
    for fault in &FAULTS {
        let used = source.matches(&format!(", \"{}\");", fault.name)).count();
        assert_eq!(used, 1, "{}", fault.name);
    }
}
