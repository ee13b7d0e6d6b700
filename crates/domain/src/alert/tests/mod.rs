//! Every rule at its limits: a value equal to the limit does not fire, a value just above it does.

mod signals;

use super::*;
use crate::id::InstanceId;
use crate::metrics::tests::{STARTED_MS, id, leader, metrics, standby};
use crate::metrics::{BOUNDS, Disagreement, Fact, Metrics, SyncResult, View, WINDOW_DEFAULT, unit};
use crate::recovery::RecoveryCode;
use crate::time::Time;
use Health::{Critical, Ok as Fine, Warning};
use alloc::format;
use core::time::Duration;

const NOW_MS: i64 = STARTED_MS + 3_600_000;

/// The alert of that name after `facts`.
fn alert(name: &str, facts: impl IntoIterator<Item = Fact>) -> Alert {
    let mut metrics = metrics(WINDOW_DEFAULT);
    for fact in facts {
        metrics.record(fact);
    }
    alert_of(name, &metrics, standby(), NOW_MS)
}

fn alert_of(name: &str, metrics: &Metrics, view: View, now_ms: i64) -> Alert {
    let alerts = evaluate(&metrics.snapshot(view, now_ms));
    alerts.all.into_iter().find(|alert| alert.name == name).expect("a rule of that name")
}

fn status(name: &str, facts: impl IntoIterator<Item = Fact>) -> Health {
    alert(name, facts).status
}

fn syncs(succeeded: usize, failed: usize) -> Vec<Fact> {
    let sync = |result| Fact::Sync { result, took: Duration::from_millis(5), at: Time::ZERO };
    let mut facts = alloc::vec![sync(SyncResult::Succeeded); succeeded];
    facts.resize(succeeded + failed, sync(SyncResult::Failed));
    facts
}

fn slow_syncs(took: Duration, samples: usize) -> Vec<Fact> {
    alloc::vec![Fact::Sync { result: SyncResult::Succeeded, took, at: Time::ZERO }; samples]
}

fn recovery(outcome: Result<u32, RecoveryCode>, took: Duration) -> [Fact; 1] {
    [Fact::Recovery { outcome, took, at_ms: NOW_MS }]
}

fn same(value: Option<f64>, expected: f64) -> bool {
    value.is_some_and(|value| value.to_bits() == expected.to_bits())
}

#[test]
fn failure_rate_alerts_above_5_and_above_10_percent() {
    for (failed, expected) in
        [(0, Fine), (5, Fine), (6, Warning), (10, Warning), (11, Critical), (100, Critical)]
    {
        assert_eq!(status("db_sync_failure_rate", syncs(100 - failed, failed)), expected, "{failed} of 100");
    }
    // The same shares of another number of samples are the same floats.
    assert_eq!(status("db_sync_failure_rate", syncs(19, 1)), Fine, "1 of 20 is 5 %");
    assert_eq!(status("db_sync_failure_rate", syncs(18, 2)), Warning, "2 of 20 is 10 %");
    assert_eq!(status("db_sync_failure_rate", syncs(54, 6)), Warning, "6 of 60 is 10 %");
}

#[test]
fn failure_rate_needs_twenty_samples_and_says_so() {
    let early = alert("db_sync_failure_rate", syncs(0, SAMPLES_MIN - 1));
    assert_eq!((early.status, same(early.value, 1.0)), (Fine, true));
    assert_eq!(
        early.message,
        "a sync failed in 19 of the last 19 heartbeats (0 s); judged from 20 heartbeats on"
    );
    assert_eq!(status("db_sync_failure_rate", syncs(0, SAMPLES_MIN)), Critical);
    let none = alert("db_sync_failure_rate", []);
    assert_eq!((none.status, same(none.value, 0.0)), (Fine, true));
}

#[test]
fn a_window_below_twenty_is_judged_when_it_is_full() {
    let mut metrics = metrics(4);
    for (n, expected) in [(1, Fine), (2, Fine), (3, Fine), (4, Critical)] {
        metrics.record(Fact::Sync { result: SyncResult::Failed, took: Duration::ZERO, at: Time::ZERO });
        assert_eq!(
            alert_of("db_sync_failure_rate", &metrics, standby(), NOW_MS).status,
            expected,
            "sync {n}"
        );
    }
}

#[test]
fn a_total_outage_after_ten_thousand_good_syncs_is_a_rate_of_one() {
    let mut facts = syncs(10_000, 0);
    facts.extend(syncs(0, WINDOW_DEFAULT));
    let outage = alert("db_sync_failure_rate", facts);
    assert_eq!((outage.status, same(outage.value, 1.0)), (Critical, true));
}

#[test]
fn leadership_changes_alert_above_3_and_above_10_an_hour() {
    for (changes, expected) in [(0, Fine), (3, Fine), (4, Warning), (10, Warning), (11, Critical)] {
        let found = alert("leadership_changes", [Fact::ChangesLastHour(changes)]);
        assert_eq!((found.status, same(found.value, changes.into())), (expected, true));
    }
    let unknown = alert("leadership_changes", []);
    assert_eq!((unknown.status, unknown.value), (Fine, None));
}

#[test]
fn old_heartbeats_alert_above_30_and_above_60_seconds() {
    for (age_ms, expected) in [
        (0, Fine),
        (30_000, Fine),
        (30_001, Warning),
        (60_000, Warning),
        (60_001, Critical),
        (i64::MAX, Critical),
    ] {
        let heartbeat = Fact::Heartbeat { at_ms: NOW_MS.saturating_sub(age_ms) };
        assert_eq!(status("heartbeat_staleness", [heartbeat]), expected, "{age_ms} ms");
    }
    assert!(same(alert("heartbeat_staleness", [Fact::Heartbeat { at_ms: NOW_MS - 30_500 }]).value, 30.5));
}

#[test]
fn no_heartbeat_is_fine_for_one_lease_and_critical_after() {
    let metrics = metrics(WINDOW_DEFAULT);
    let ttl_ms = i64::try_from(standby().ttl.as_millis()).unwrap();
    for (up_ms, expected) in [(-1, Fine), (0, Fine), (ttl_ms, Fine), (ttl_ms + 1, Critical)] {
        let found = alert_of("heartbeat_staleness", &metrics, standby(), STARTED_MS + up_ms);
        assert_eq!((found.status, found.value), (expected, None), "up for {up_ms} ms");
        assert!(found.message.starts_with("no heartbeat"));
    }
}

#[test]
fn a_stopped_heartbeat_alerts_on_a_leader() {
    let metrics = metrics(WINDOW_DEFAULT);
    let of = |view| alert_of("heartbeat_stopped", &metrics, view, NOW_MS).status;
    assert_eq!(of(leader()), Fine);
    assert_eq!(of(View { heartbeat_running: false, ..leader() }), Critical);
    assert_eq!(of(View { heartbeat_running: false, ..standby() }), Fine);
}

#[test]
fn a_split_brain_is_two_known_leaders() {
    let metrics = metrics(WINDOW_DEFAULT);
    let of = |leader_redis: Option<InstanceId>, leader_db: Option<InstanceId>| {
        let view = View { leader_db, leader_redis, ..standby() };
        alert_of(
            "split_brain",
            &metrics,
            View { disagreement: view.disagreement(None, NOW_MS), ..view },
            NOW_MS,
        )
    };
    let (a, b) = (Some(id("a")), Some(id("b")));
    assert_eq!(of(a.clone(), a.clone()).status, Fine);
    assert_eq!(of(a.clone(), None).status, Fine);
    assert_eq!(of(None, b.clone()).status, Fine);
    assert_eq!(of(None, None).status, Fine);
    let split = of(a, b);
    assert_eq!((split.status, same(split.value, 1.0)), (Critical, true));
    assert_eq!(split.message, "Redis names a as leader and the database b");
}

/// Redis named a and the database b; then one of them, or both, does not answer.
#[test]
fn a_split_brain_does_not_resolve_because_a_store_is_away() {
    let (a, b, c) = (id("a"), id("b"), id("c"));
    let before = Disagreement { redis: a.clone(), db: b.clone(), at_ms: NOW_MS - 1_000 };
    let both = View { leader_redis: Some(a.clone()), leader_db: Some(b.clone()), ..standby() };
    let no_redis = View { leader_redis: None, fallback: true, ..both.clone() };
    let no_db = View { leader_db: None, state_store_answers: false, ..both.clone() };
    let neither = View { leader_redis: None, fallback: true, ..no_db.clone() };
    for view in [&no_redis, &no_db, &neither] {
        let disagreement = view.disagreement(Some(before.clone()), NOW_MS);
        assert_eq!(disagreement, Some(before.clone()), "{view:?}");
        let kept = alert_of("split_brain", &metrics(1), View { disagreement, ..view.clone() }, NOW_MS);
        assert_eq!(kept.status, Critical);
        assert!(kept.message.contains("last known at 2023-11-14 23:13:19 UTC"), "{}", kept.message);
    }
    for over in [
        View { leader_db: Some(a), ..both.clone() },
        View { leader_redis: None, ..both.clone() },
        View { leader_db: None, ..both },
        View { leader_db: Some(c), ..no_redis },
    ] {
        assert_eq!(over.disagreement(Some(before.clone()), NOW_MS), None, "{over:?}");
    }
}

#[test]
fn fallback_mode_warns() {
    let metrics = metrics(WINDOW_DEFAULT);
    let of = |fallback| alert_of("fallback_mode", &metrics, View { fallback, ..standby() }, NOW_MS).status;
    assert_eq!((of(false), of(true)), (Fine, Warning));
}

#[test]
fn latencies_alert_above_100_and_above_500_ms() {
    let above = Duration::from_nanos(1);
    for (name, limit, needed, expected) in [
        ("sync_latency_p95", Duration::from_millis(100), 20, Warning),
        ("sync_latency_p99", Duration::from_millis(500), 100, Critical),
    ] {
        assert_eq!(status(name, []), Fine);
        assert_eq!(status(name, slow_syncs(limit, needed)), Fine, "{name} on its limit");
        assert_eq!(status(name, slow_syncs(limit + above, needed)), expected, "{name} above its limit");
        let early = alert(name, slow_syncs(limit + above, needed - 1));
        assert_eq!((early.status, early.value), (Fine, None));
        assert_eq!(early.message, format!("judged from {needed} heartbeats with a sync on"));
    }
}

#[test]
fn a_small_window_is_judged_once_it_is_full() {
    let syncs = |n| slow_syncs(Duration::from_secs(1), n);
    for (name, expected) in [("sync_latency_p95", Warning), ("sync_latency_p99", Critical)] {
        let of = |samples| {
            let mut metrics = metrics(10);
            for fact in syncs(samples) {
                metrics.record(fact);
            }
            alert_of(name, &metrics, standby(), NOW_MS)
        };
        assert_eq!((of(9).status, &*of(9).message), (Fine, "judged from 10 heartbeats with a sync on"));
        assert_eq!(of(10).status, expected, "{name}");
    }
}

#[test]
fn a_failed_recovery_is_critical_until_one_passes() {
    let took = Duration::from_millis(10);
    assert_eq!(status("recovery_failed", []), Fine);
    for code in RecoveryCode::ALL {
        let failed = alert("recovery_failed", recovery(Err(code), took));
        assert_eq!((failed.status, same(failed.value, code.as_number().into())), (Critical, true));
        assert!(failed.message.contains(code.as_str()));
        let passed = recovery(Err(code), took).into_iter().chain(recovery(Ok(1), took));
        assert_eq!(status("recovery_failed", passed), Fine);
    }
}

#[test]
fn slow_recoveries_alert_above_500_and_above_2000_ms() {
    let (warning, critical) = (Duration::from_millis(500), Duration::from_secs(2));
    let above = Duration::from_nanos(1);
    for (took, expected) in
        [(warning, Fine), (warning + above, Warning), (critical, Warning), (critical + above, Critical)]
    {
        assert_eq!(status("recovery_time", recovery(Ok(1), took)), expected, "{took:?}");
    }
    let unknown = alert("recovery_time", []);
    assert_eq!((unknown.status, unknown.value), (Fine, None));
}

#[test]
fn a_slow_recovery_is_forgotten_after_fifteen_minutes() {
    let shown_ms = 15 * 60 * 1_000;
    for (ago_ms, expected) in [(-1, Critical), (shown_ms, Critical), (shown_ms + 1, Fine)] {
        let slow = Fact::Recovery { outcome: Ok(1), took: Duration::from_secs(3), at_ms: NOW_MS - ago_ms };
        let found = alert("recovery_time", [slow]);
        assert_eq!((found.status, same(found.value, 3_000.0)), (expected, true), "{ago_ms} ms ago");
    }
}

#[test]
fn a_store_that_forgot_is_critical_for_a_day() {
    let day_ms = 24 * 60 * 60 * 1_000;
    let never = alert("store_forgot", []);
    assert_eq!((never.status, same(never.value, 0.0)), (Fine, true));
    for (ago_ms, expected) in
        [(-5_000, Critical), (0, Critical), (day_ms - 1, Critical), (day_ms, Fine), (i64::MAX, Fine)]
    {
        let facts = [Fact::StoreForgot(NOW_MS.saturating_sub(ago_ms))];
        assert_eq!(status("store_forgot", facts), expected, "{ago_ms} ms ago");
    }
    let moment = alert("store_forgot", [Fact::StoreForgot(STARTED_MS)]);
    assert_eq!(
        moment.message,
        "the state store has forgotten (found at 2023-11-14 22:13:20 UTC): a standby was promoted or a backup restored; \
         compare the orders at the broker with `coordinator signals list` and resolve the signals in doubt"
    );
    let again = [Fact::StoreForgot(NOW_MS), Fact::StoreForgot(NOW_MS - day_ms)];
    assert_eq!(
        status("store_forgot", again),
        Critical,
        "an older backup does not take the later moment back"
    );
}

#[test]
fn more_than_50_positions_warn() {
    let took = Duration::from_millis(10);
    assert_eq!(status("positions_beyond_validated_range", []), Fine);
    assert_eq!(status("positions_beyond_validated_range", recovery(Ok(50), took)), Fine);
    assert_eq!(status("positions_beyond_validated_range", recovery(Ok(51), took)), Warning);
}

#[test]
fn the_worst_status_is_the_overall_status() {
    let mut metrics = metrics(WINDOW_DEFAULT);
    metrics.record(Fact::Heartbeat { at_ms: NOW_MS });
    let overall = |metrics: &Metrics| evaluate(&metrics.snapshot(leader(), NOW_MS)).overall;
    assert_eq!(overall(&metrics), Fine);
    metrics.record(Fact::ChangesLastHour(4));
    assert_eq!(overall(&metrics), Warning);
    metrics.record(Fact::Heartbeat { at_ms: NOW_MS - 60_001 });
    assert_eq!(overall(&metrics), Critical);
}

#[test]
fn a_system_at_every_limit_fires_no_alert() {
    let mut metrics = metrics(WINDOW_DEFAULT);
    // 100 syncs: ranks 94 and 95 take 100 ms, 98 and 99 take 500 ms, 5 failed.
    let (p95, p99) = (Duration::from_millis(100), Duration::from_millis(500));
    let failed = alloc::vec![Fact::Sync { result: SyncResult::Failed, took: p95, at: Time::ZERO }; 5];
    for fact in slow_syncs(p95, 93).into_iter().chain(failed).chain(slow_syncs(p99, 2)) {
        metrics.record(fact);
    }
    metrics.record(Fact::ChangesLastHour(3));
    metrics.record(Fact::Heartbeat { at_ms: NOW_MS - 30_000 });
    metrics.record(Fact::Recovery { outcome: Ok(50), took: Duration::from_millis(500), at_ms: NOW_MS });
    metrics.record(Fact::Ledger { totals: signals::on_every_limit(), at_ms: NOW_MS });
    let alerts = evaluate(&metrics.snapshot(leader(), NOW_MS));
    assert!(alerts.all.iter().all(|alert| alert.status == Fine), "{alerts:?}");
    assert_eq!(alerts.overall, Fine);
}

#[test]
fn every_rule_has_a_limit_and_a_unique_name() {
    for (n, rule) in RULES.iter().enumerate() {
        assert!(rule.limits.warning.is_some() || rule.limits.critical.is_some(), "{}", rule.name);
        assert!(RULES[..n].iter().all(|before| before.name != rule.name), "{} occurs twice", rule.name);
    }
}

#[test]
fn the_histogram_has_a_bucket_at_every_latency_limit() {
    for rule in RULES.iter().filter(|rule| rule.name.starts_with("sync_latency")) {
        for limit in [rule.limits.warning, rule.limits.critical].into_iter().flatten() {
            assert!(BOUNDS.iter().any(|bound| same(Some(unit::millis(*bound)), limit)), "{limit} ms");
        }
    }
}
