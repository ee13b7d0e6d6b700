//! Each state as text: the level of the page, and a line for each section, row and problem. `BLESS=1 cargo test` writes
//! the files anew; read the difference before you commit it.

use super::fixture::{self, ago, group, id, lease, member, seen, signal, sync, term};
use crate::page::document;
use crate::page::listing::{Choice, Listing};
use crate::page::seen::Seen;
use crate::page::tree;
use domain::lease::Epoch;
use domain::ledger::{Paused, SignalState, Totals};
use domain::member::MemberState;
use std::path::Path;
use std::time::Duration;

/// The sections as a reader sees them: one line for each row, cells between bars, signs in brackets.
fn shown(seen: &Seen) -> String {
    let mut text = format!("level: {}\n", document::level(seen).name());
    let mut sections = document::sections(seen);
    let listing = Listing::from_memory(seen, &Choice::default());
    sections.push((document::SIGNALS, document::signals_section(seen, &listing)));
    for (id, nodes) in sections {
        text.push_str(&["\n== ", id, "\n", &plain(&tree::html(&nodes, seen.now_ms)), "\n"].concat());
    }
    text
}

/// HTML as plain text: block elements become lines, cells are separated by bars, signs are named.
fn plain(html: &str) -> String {
    let mut text = String::new();
    for part in html.split('<') {
        let (tag, after) = part.split_once('>').unwrap_or(("", part));
        let name = tag.split(' ').next().unwrap_or_default();
        match name {
            "/tr" | "/li" | "/p" | "/h2" | "/h3" | "/figcaption" | "/dl" => text.push('\n'),
            "/td" | "/th" | "/dt" | "/dd" | "/span" | "/small" | "/b" | "/a" | "small" => text.push(' '),
            "td" | "div" => text.push_str("| "),
            "use" => {
                let sign = tag.rsplit('#').next().unwrap_or_default().trim_end_matches('"');
                text.push_str(&["[", sign, "] "].concat());
            }
            _ => {}
        }
        text.push_str(after);
    }
    let lines =
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ").replace("| |", "|"));
    let text: Vec<String> = lines.filter(|line| !line.is_empty()).collect();
    text.join("\n").replace("&#39;", "'").replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">")
}

#[track_caller]
fn check(name: &str, seen: &Seen) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/page/tests/golden/{name}.txt"));
    let present = shown(seen);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, present).expect("the file can be written");
        return;
    }
    let expected = std::fs::read_to_string(&path).expect("the file is there");
    assert_eq!(present, expected, "{name}: the page differs from {}", path.display());
}

#[test]
fn healthy() {
    check("healthy", &group(|_| ()));
}

#[test]
fn failover() {
    check(
        "failover",
        &group(|last| {
            let mut recovering = member("desk-3", MemberState::Recovering, 1);
            recovering.member.epoch = Epoch(42);
            let members = vec![
                member("desk-1", MemberState::Standby, 2),
                member("desk-2", MemberState::Active, 31),
                recovering,
            ];
            let terms = vec![term(42, "desk-3", 2, None), term(41, "desk-2", 9_196, Some((12, "expired")))];
            last.state_store_answered((lease("desk-3", 42, 2, 1), members, terms), fixture::NOW_MS);
            let totals =
                Totals { received: 1, oldest_received: Some(Duration::from_secs(3)), ..Totals::default() };
            last.facts.totals.answered(totals, fixture::NOW_MS);
        }),
    );
}

#[test]
fn database_away() {
    let seen = group(|last| {
        let totals = Totals { claimed: 1, ..Totals::default() };
        last.facts.totals.answered(totals, ago(48));
        last.state_store_failed(ago(48));
    });
    check("database-away", &seen);
    let text = shown(&seen);
    for never in ["₹0\n", "[i-ok] OK Redis and", "Nothing is wrong", "| [i-leader] Active", " 0 claimed"] {
        assert!(!text.contains(never), "{never}");
    }
}

#[test]
fn redis_away() {
    check("redis-away", &group(|last| last.facts.ticket.as_mut().expect("Redis").failed(ago(12))));
}

#[test]
fn in_doubt() {
    check(
        "in-doubt",
        &group(|last| {
            let totals =
                Totals { in_doubt: 2, oldest_in_doubt: Some(Duration::from_secs(259)), ..Totals::default() };
            last.facts.totals.answered(totals, fixture::NOW_MS);
            let doubtful = [
                signal("c97c0d8fa055d728", 16, SignalState::InDoubt, 268),
                signal("8a34320f1aeb1b50", 15, SignalState::InDoubt, 269),
            ];
            last.signals.answered(doubtful.into(), fixture::NOW_MS);
        }),
    );
}

#[test]
fn halted() {
    check(
        "halted",
        &group(|last| {
            let members =
                vec![member("desk-1", MemberState::Standby, 2), member("desk-2", MemberState::Halted, 4)];
            let terms = vec![term(41, "desk-2", 341, None)];
            last.state_store_answered((lease("desk-2", 41, 341, 1), members, terms), fixture::NOW_MS);
        }),
    );
}

#[test]
fn instance_stale() {
    check(
        "instance-stale",
        &group(|last| {
            let mut old = member("desk-3", MemberState::Standby, 44);
            old.member.version = "0.1.9".to_owned();
            let members = vec![
                member("desk-1", MemberState::Standby, 2),
                member("desk-2", MemberState::Active, 4),
                old,
            ];
            let terms = vec![term(41, "desk-2", 9_196, None)];
            last.state_store_answered((lease("desk-2", 41, 9_196, 1), members, terms), fixture::NOW_MS);
        }),
    );
}

#[test]
fn kill_switch() {
    check(
        "kill-switch",
        &group(|last| {
            let paused =
                Paused { reason: "margin call".to_owned(), who: "arun".to_owned(), since_ms: ago(1_041) };
            let totals = Totals {
                received: 2,
                oldest_received: Some(Duration::from_mins(14)),
                paused: Some(paused),
                ..Totals::default()
            };
            last.facts.totals.answered(totals, fixture::NOW_MS);
        }),
    );
}

/// Before the first answers everything is unknown, and nothing is OK.
#[test]
fn not_read_yet() {
    let seen = group(|last| {
        let facts = domain::overview::Facts {
            lease: domain::overview::Known::default(),
            members: domain::overview::Known::default(),
            ticket: Some(domain::overview::Known::default()),
            totals: domain::overview::Known::default(),
            ..last.facts.clone()
        };
        *last = domain::overview::LastAnswers::none(facts);
    });
    check("not-read-yet", &seen);
}

/// An alert that only this instance evaluates is a problem of the page too, with its runbook.
#[test]
fn an_alert_of_this_instance_is_listed() {
    let slow = |metrics: &mut domain::metrics::Metrics| {
        for n in 100..300 {
            metrics.record(sync(n, Duration::from_millis(700)));
        }
    };
    let seen = seen(|_| (), slow);
    let text = shown(&seen);
    assert!(text.starts_with("level: critical"), "{text}");
    assert!(
        text.contains("Runbook: CriticalDBSyncLatencyP99") && text.contains("Runbook: HighDBSyncLatencyP95"),
        "{text}"
    );
}

#[test]
fn a_failed_recovery_of_this_instance_has_its_runbook() {
    use domain::metrics::Fact;
    use domain::recovery::RecoveryCode;
    let failed = |metrics: &mut domain::metrics::Metrics| {
        let outcome = Err(RecoveryCode::DataCorrupt);
        metrics.record(Fact::Recovery { outcome, took: Duration::from_millis(5), at_ms: ago(9) });
    };
    let text = shown(&seen(|_| (), failed));
    assert!(text.starts_with("level: critical") && text.contains("Runbook: RecoveryFailed"), "{text}");
    assert!(text.contains("Failed: DATA_CORRUPT"), "{text}");
}

/// This instance sends no heartbeat any more, which the instance table does not show yet.
#[test]
fn an_alert_of_this_instance_is_hidden_only_by_a_problem_about_this_instance() {
    let late = |metrics: &mut domain::metrics::Metrics| {
        metrics.record(domain::metrics::Fact::Heartbeat { at_ms: ago(45) });
    };
    let silent = |name: &'static str| {
        move |last: &mut domain::overview::LastAnswers| {
            let age = |id: &str| if id == name { 45 } else { 2 };
            let members = vec![
                member("desk-1", MemberState::Standby, age("desk-1")),
                member("desk-2", MemberState::Active, age("desk-2")),
                member("desk-3", MemberState::Standby, age("desk-3")),
            ];
            last.state_store_answered((lease("desk-2", 41, 9_196, 1), members, Vec::new()), fixture::NOW_MS);
        }
    };
    let named =
        |seen: &Seen| -> Vec<&'static str> { seen.own_alerts().iter().map(|alert| alert.name).collect() };
    assert_eq!(named(&seen(silent("none"), late)), ["heartbeat_staleness"]);
    assert_eq!(named(&seen(silent("desk-3"), late)), ["heartbeat_staleness"]);
    assert_eq!(named(&seen(silent("desk-1"), late)), [""; 0]);
}

/// The last count of this instance is newer than the one of the overview.
#[test]
fn signals_that_wait_are_shown_although_the_overview_has_no_such_problem() {
    let waiting =
        Totals { received: 1, oldest_received: Some(Duration::from_secs(400)), ..Totals::default() };
    let totals = waiting.clone();
    let counted = |metrics: &mut domain::metrics::Metrics| {
        metrics.record(domain::metrics::Fact::Ledger { totals, at_ms: fixture::NOW_MS });
    };
    let only_here = seen(|_| (), counted);
    assert!(shown(&only_here).starts_with("level: critical"), "{}", shown(&only_here));
    assert_eq!(
        only_here.own_alerts().iter().map(|alert| alert.name).collect::<Vec<_>>(),
        ["signals_waiting"]
    );
    let both = group(|last| last.facts.totals.answered(waiting, fixture::NOW_MS));
    assert!(both.own_alerts().is_empty(), "{:?}", both.own_alerts());
}

#[test]
fn an_alert_of_another_instance_refers_to_its_page() {
    let seen = group(|last| {
        let mut other = member("desk-3", MemberState::Standby, 2);
        other.member.alerts = domain::member::Health::Critical;
        let members =
            vec![member("desk-1", MemberState::Standby, 2), member("desk-2", MemberState::Active, 4), other];
        last.state_store_answered((lease("desk-2", 41, 9_196, 1), members, Vec::new()), fixture::NOW_MS);
    });
    let text = shown(&seen);
    assert!(
        text.contains("desk-3 reports a critical alert") && text.contains("http://desk-3.lan:5000"),
        "{text}"
    );
    assert!(text.starts_with("level: critical"), "{text}");
    assert_eq!(seen.instance(), Some(&id("desk-1")));
}
