//! The rules about signals at their limits.

use super::*;
use crate::ledger::{Limits, Paused, Totals};
use crate::metrics::{MetricsConfig, SignalsConfig};

/// Ten signals a minute and a hundred a day.
const LIMITS: Limits = Limits { per_minute: Some(10), per_day: Some(100) };

fn evaluated(name: &str, totals: Totals) -> Alert {
    told_under(LIMITS, name, totals)
}

fn told_under(limits: Limits, name: &str, totals: Totals) -> Alert {
    let mut metrics = Metrics::new(MetricsConfig {
        heartbeat: Duration::ZERO,
        window: WINDOW_DEFAULT,
        started_ms: STARTED_MS,
        instance: id("me"),
        version: "1.2.3".into(),
        signals: SignalsConfig { limits, ..SignalsConfig::default() },
    });
    metrics.record(counted(totals));
    alert_of(name, &metrics, standby(), NOW_MS)
}

fn paused() -> Paused {
    Paused { reason: "broker is down".into(), who: "asha".into(), since_ms: NOW_MS - 1 }
}

fn counted(totals: Totals) -> Fact {
    Fact::Ledger { totals, at_ms: NOW_MS - 10_000 }
}

#[test]
fn no_rule_is_judged_before_the_ledger_was_counted() {
    for rule in RULES.iter().filter(|rule| rule.name.starts_with("signals_")) {
        for facts in [Vec::new(), [Fact::LedgerUnknown { at_ms: NOW_MS }].into()] {
            let unknown = alert(rule.name, facts);
            assert_eq!((unknown.status, unknown.value), (Fine, None), "{}", rule.name);
            assert_eq!(unknown.message, "the signals were not counted");
        }
    }
}

/// Everything is wrong, and then the ledger does not answer.
#[test]
fn no_alert_about_money_resolves_because_the_ledger_does_not_answer() {
    let totals = Totals {
        received: 1,
        in_doubt: 1,
        oldest_received: Some(Duration::from_mins(6)),
        expired_last_day: 1,
        sent_last_minute: 60,
        ..Totals::default()
    };
    for (totals, names) in [
        (totals.clone(), &["signals_in_doubt", "signals_waiting", "signals_limited", "signals_expired"][..]),
        (Totals { paused: Some(paused()), ..totals }, &["signals_paused"]),
        (Totals::default(), &["signals_in_doubt", "signals_expired"]),
    ] {
        for name in names {
            let known = alert(name, [counted(totals.clone())]);
            let lost = [counted(totals.clone()), Fact::LedgerUnknown { at_ms: NOW_MS - 4_000 }];
            let unknown = alert(name, lost);
            assert_eq!((unknown.status, unknown.value), (known.status, known.value), "{name}");
            let since = "; last known at 2023-11-14 23:13:10 UTC, unknown since 2023-11-14 23:13:16 UTC";
            assert_eq!(unknown.message, known.message + since, "{name}");
        }
    }
}

#[test]
fn a_signal_in_doubt_is_critical_and_the_message_has_its_age() {
    let in_doubt_totals =
        |in_doubt| Totals { in_doubt, received: 9, sent: 9, claimed: 9, ..Totals::default() };
    assert_eq!(evaluated("signals_in_doubt", in_doubt_totals(0)).status, Fine);
    let one = evaluated("signals_in_doubt", in_doubt_totals(1));
    assert_eq!((one.status, same(one.value, 1.0)), (Critical, true));
    assert_eq!(one.message, "1 signal may or may not have been executed");
    let aged = Totals { oldest_in_doubt: Some(Duration::from_secs(95)), ..in_doubt_totals(2) };
    let message = "2 signals may or may not have been executed; the oldest was claimed 95 s ago";
    assert_eq!(evaluated("signals_in_doubt", aged).message, message);
}

#[test]
fn waiting_signals_alert_above_60_and_above_300_seconds() {
    let above = Duration::from_millis(1);
    let (warning, critical) = (Duration::from_mins(1), Duration::from_mins(5));
    for (age, expected) in [
        (Duration::ZERO, Fine),
        (warning, Fine),
        (warning + above, Warning),
        (critical, Warning),
        (critical + above, Critical),
        (Duration::MAX, Critical),
    ] {
        let totals = Totals { received: 1, oldest_received: Some(age), ..Totals::default() };
        let waiting = evaluated("signals_waiting", totals.clone());
        assert_eq!((waiting.status, same(waiting.value, age.as_secs_f64())), (expected, true), "{age:?}");
        let held = evaluated("signals_waiting", Totals { paused: Some(paused()), ..totals });
        assert_eq!((held.status, held.value), (Fine, waiting.value), "the kill switch is on, {age:?}");
        assert!(held.message.ends_with("not judged while the kill switch is on"));
    }
    let nothing = evaluated("signals_waiting", Totals::default());
    assert_eq!((nothing.status, same(nothing.value, 0.0)), (Fine, true));
}

#[test]
fn the_kill_switch_warns_while_it_is_on_and_says_who_turned_it_and_why() {
    assert_eq!(evaluated("signals_paused", Totals::default()).status, Fine);
    let on = evaluated("signals_paused", Totals { paused: Some(paused()), ..Totals::default() });
    assert_eq!((on.status, same(on.value, 1.0)), (Warning, true));
    assert_eq!(on.message, "no signal is sent: asha turned the kill switch on: broker is down");
}

#[test]
fn a_limit_that_is_used_up_warns_when_something_waits() {
    for (sent_last_minute, sent_last_day, received, expected) in [
        (9, 99, 1, Fine),
        (10, 99, 0, Fine),
        (9, 100, 0, Fine),
        (10, 99, 1, Warning),
        (11, 99, 1, Warning),
        (9, 100, 1, Warning),
        (10, 100, 1, Warning),
    ] {
        let totals = Totals { received, sent_last_minute, sent_last_day, ..Totals::default() };
        assert_eq!(evaluated("signals_limited", totals.clone()).status, expected, "{totals:?}");
    }
    let both = Totals { received: 3, sent_last_minute: 10, sent_last_day: 100, ..Totals::default() };
    let message = "3 signals held up: the limit of 100 in 24 hours is used up";
    assert_eq!(evaluated("signals_limited", both).message, message);
}

#[test]
fn without_a_limit_none_is_used_up() {
    let many =
        Totals { received: 1, sent_last_minute: u32::MAX, sent_last_day: u32::MAX, ..Totals::default() };
    assert_eq!(told_under(Limits::NONE, "signals_limited", many).status, Fine);
}

#[test]
fn a_limit_of_zero_holds_up_every_signal() {
    let mut nothing = metrics(WINDOW_DEFAULT);
    nothing.record(counted(Totals { received: 1, ..Totals::default() }));
    let mut snapshot = nothing.snapshot(standby(), NOW_MS);
    snapshot.signal_limits = Limits { per_minute: Some(0), per_day: None };
    let limited = evaluate(&snapshot).all.into_iter().find(|alert| alert.name == "signals_limited").unwrap();
    assert_eq!(limited.status, Warning);
}

#[test]
fn a_missed_trade_is_critical_for_a_day() {
    assert_eq!(evaluated("signals_expired", Totals::default()).status, Fine);
    let missed = evaluated("signals_expired", Totals { expired_last_day: 1, ..Totals::default() });
    assert_eq!((missed.status, same(missed.value, 1.0)), (Critical, true));
    assert!(missed.message.starts_with("1 signal expired unsent"));
}

/// The totals of a group at every limit: the oldest signal has waited exactly as long as allowed, and each limit
/// allows one more signal.
pub(super) fn on_every_limit() -> Totals {
    Totals {
        received: 1,
        claimed: 1,
        sent: 1,
        oldest_received: Some(Duration::from_mins(1)),
        sent_last_minute: 9,
        sent_last_day: 99,
        ..Totals::default()
    }
}

#[test]
fn a_group_at_every_limit_fires_no_alert() {
    for rule in RULES.iter().filter(|rule| rule.name.starts_with("signals_")) {
        assert_eq!(evaluated(rule.name, on_every_limit()).status, Fine, "{}", rule.name);
    }
}
