//! The catalog, compared with the contract of existing dashboards and rules.

use core::time::Duration;
use domain::alert::evaluate;
use domain::catalog::{CATALOG, Kind, Metric, Sample};
use domain::decision::{Decision, Subject};
use domain::id::InstanceId;
use domain::lease::{Epoch, TTL_DEFAULT, Timeline};
use domain::ledger::{Actor, Limits, Totals};
use domain::member::MemberState;
use domain::metrics::{
    Fact, Metrics, MetricsConfig, P99_SAMPLES_MIN, Refusal, SignalFact, SignalsConfig, Snapshot, SyncResult,
    View, WINDOW_DEFAULT,
};
use domain::overview::Known;
use domain::recovery::RecoveryCode;
use domain::settings::{Differing, SharedSettings};
use domain::time::Time;
use rust_decimal::Decimal;
use std::collections::BTreeSet;

const CONTRACT: &str = include_str!("../testdata/metric-contract.json");
/// Number of the contract's entries that are our metrics; the others are recording rules.
const METRICS: usize = 28;
const STARTED_MS: i64 = 1_700_000_000_000;

fn contract() -> serde_json::Map<String, serde_json::Value> {
    let all: serde_json::Map<_, _> = serde_json::from_str(CONTRACT).expect("the contract is JSON");
    all.into_iter().filter(|(_, metric)| metric["type"] != "recording rule").collect()
}

/// `store(redis|db), leader` names the labels `store` and `leader`.
fn label_names(labels: &str) -> Vec<&str> {
    labels.split(", ").filter_map(|label| label.split('(').next()).filter(|name| !name.is_empty()).collect()
}

fn find(name: &str) -> &'static Metric {
    CATALOG
        .iter()
        .find(|metric| metric.name == name)
        .unwrap_or_else(|| panic!("{name} is not in the catalog"))
}

fn me() -> InstanceId {
    InstanceId::parse("me").expect("an id")
}

fn metrics() -> Metrics {
    // Limits are exported only if there are some.
    metrics_of(SignalsConfig { limits: Limits::NONE, ..SignalsConfig::default() })
}

fn metrics_of(signals: SignalsConfig) -> Metrics {
    let version = "1.2.3".to_owned();
    Metrics::new(MetricsConfig {
        heartbeat: Duration::ZERO,
        window: WINDOW_DEFAULT,
        started_ms: STARTED_MS,
        instance: me(),
        version,
        signals,
    })
}

/// A process that has just started.
fn fresh() -> Snapshot {
    metrics().snapshot(
        View {
            state: MemberState::Starting,
            is_leader: false,
            leader_db: None,
            state_store_answers: true,
            leader_redis: None,
            uses_redis: false,
            disagreement: None,
            fallback: false,
            heartbeat_running: true,
            lease_left: None,
            ttl: TTL_DEFAULT,
            epoch: None,
        },
        STARTED_MS,
    )
}

fn differing() -> Vec<Differing> {
    let of = |ttl| SharedSettings::default().with("leader_ttl", ttl);
    SharedSettings::differing(&[(me(), of("10s")), (InstanceId::parse("other").expect("an id"), of("20s"))])
}

/// Different numbers everywhere, so that a mix-up shows.
fn totals() -> Totals {
    Totals {
        received: 5,
        claimed: 1,
        sent: 2,
        in_doubt: 3,
        oldest_received: Some(Duration::from_millis(7_250)),
        oldest_in_doubt: Some(Duration::from_secs(90)),
        expired_last_day: 4,
        sent_last_minute: 6,
        sent_last_day: 8,
        paused: None,
    }
}

/// Every kind of decision once.
fn decisions() -> Vec<Decision> {
    let id = InstanceId::parse("removed").expect("an id");
    let subjects = [
        Subject::InstanceRemoved { id, started_ms: STARTED_MS },
        Subject::RecoveryAcknowledged { verdict: None },
    ];
    let actor = Actor { who: "anna".into(), origin: "host".into() };
    let decision = |subject| Decision {
        at_ms: STARTED_MS + 1_000,
        actor: actor.clone(),
        subject,
        reason: "planned".into(),
    };
    subjects.map(decision).into()
}

/// A leader that has had every event once.
fn full() -> Snapshot {
    let limits = Limits { per_minute: Some(2), per_day: Some(15) };
    let mut metrics = metrics_of(SignalsConfig { limits, value: Decimal::new(25_000_050, 2) });
    for _ in 0..P99_SAMPLES_MIN {
        let took = Duration::from_millis(12);
        metrics.record(Fact::Sync { result: SyncResult::Succeeded, took, at: Time::ZERO });
    }
    for fact in [
        Fact::Epoch { timeline: Timeline(1), epoch: Epoch(41) },
        Fact::Epoch { timeline: Timeline(1), epoch: Epoch(42) },
        Fact::Recovery {
            outcome: Err(RecoveryCode::DbUnavailable),
            took: Duration::from_millis(5),
            at_ms: STARTED_MS + 250,
        },
        Fact::Recovery { outcome: Ok(3), took: Duration::from_millis(80), at_ms: STARTED_MS + 500 },
        Fact::Heartbeat { at_ms: STARTED_MS + 1_250 },
        Fact::ChangesLastHour(1),
        Fact::Ledger { totals: totals(), at_ms: STARTED_MS + 1_500 },
        Fact::Signal(SignalFact::Sent { waited: Duration::from_millis(40) }),
        Fact::Refused { why: Refusal::Conflict, at_ms: STARTED_MS + 1_000 },
        Fact::NotExecuting(Some(STARTED_MS + 500)),
        Fact::SettingsDiffer(differing()),
        Fact::StoreForgot(STARTED_MS + 1_750),
        Fact::Decisions(decisions()),
    ] {
        metrics.record(fact);
    }
    let view = View {
        state: MemberState::Active,
        is_leader: true,
        leader_db: Some(me()),
        leader_redis: Some(me()),
        lease_left: Some(Duration::from_millis(6_500)),
        epoch: Some(Epoch(42)),
        ..fresh().view
    };
    metrics.snapshot(view, STARTED_MS + 2_000)
}

fn is_exported(metric: &Metric, snapshot: &Snapshot) -> bool {
    match metric.kind {
        Kind::Counter(_) | Kind::Histogram(_) => true,
        Kind::Gauge(read) => read(snapshot).is_some(),
        Kind::LabelledGauge { .. } | Kind::LabelledCounter { .. } | Kind::AlertGauge { .. } => {
            !samples(metric, snapshot).is_empty()
        }
    }
}

/// The samples of a metric with labels; empty for the others.
fn samples(metric: &Metric, snapshot: &Snapshot) -> Vec<Sample> {
    match metric.kind {
        Kind::LabelledGauge { read, .. } | Kind::LabelledCounter { read, .. } => read(snapshot),
        Kind::AlertGauge { read, .. } => read(&evaluate(snapshot)),
        Kind::Counter(_) | Kind::Gauge(_) | Kind::Histogram(_) => Vec::new(),
    }
}

#[test]
fn the_catalog_has_every_metric_of_the_contract_unchanged() {
    let contract = contract();
    assert_eq!(contract.len(), METRICS);
    for (name, metric) in &contract {
        let ours = find(name);
        assert_eq!(ours.kind.as_str(), metric["type"], "type of {name}");
        assert_eq!(
            ours.labels(),
            label_names(metric["labels"].as_str().expect("a string")),
            "labels of {name}"
        );
        assert_eq!(ours.emitted(), metric["emitted"], "when {name} is exported");
    }
}

#[test]
fn metrics_beyond_the_contract_have_our_prefix() {
    let contract = contract();
    for metric in CATALOG.iter().filter(|metric| !contract.contains_key(metric.name)) {
        assert!(metric.name.starts_with("coordinator_"), "{}", metric.name);
    }
}

#[test]
fn names_are_unique_and_every_metric_has_a_help_text() {
    let names: BTreeSet<_> = CATALOG.iter().map(|metric| metric.name).collect();
    assert_eq!(names.len(), CATALOG.len());
    for metric in CATALOG {
        assert!(metric.help.ends_with('.') && !metric.unit.is_empty(), "{}", metric.name);
    }
}

#[test]
fn a_fresh_process_exports_exactly_the_metrics_that_are_always_exported() {
    let fresh = fresh();
    for metric in CATALOG {
        let always = matches!(metric.emitted(), "always" | "from 0");
        assert_eq!(is_exported(metric, &fresh), always, "{} is exported {}", metric.name, metric.emitted());
    }
}

#[test]
fn a_leader_with_a_history_exports_every_metric() {
    let full = full();
    for metric in CATALOG {
        assert!(is_exported(metric, &full), "{}", metric.name);
    }
}

#[test]
fn every_sample_has_a_value_for_every_label() {
    let full = full();
    for metric in CATALOG {
        for sample in samples(metric, &full) {
            assert_eq!(sample.labels.len(), metric.labels().len(), "{}", metric.name);
            assert!(sample.value.is_finite());
        }
    }
}

#[test]
fn the_alert_status_of_the_contract_has_its_alerts_and_ours_has_the_others() {
    let exported =
        |name| samples(find(name), &full()).into_iter().flat_map(|sample| sample.labels).collect::<Vec<_>>();
    let (contract, further) =
        (exported("portfolio_manager_alert_status"), exported("coordinator_alert_status"));
    assert_eq!(contract, ["db_sync_failure_rate", "leadership_changes", "heartbeat_staleness"]);
    let all: Vec<_> = evaluate(&full()).all.iter().map(|alert| alert.name.to_owned()).collect();
    assert_eq!([contract, further].concat(), all);
}

#[test]
fn values_are_in_the_unit_of_their_name() {
    let full = full();
    let value = |name| match find(name).kind {
        Kind::Gauge(read) => read(&full).expect("exported"),
        Kind::Counter(_)
        | Kind::LabelledCounter { .. }
        | Kind::LabelledGauge { .. }
        | Kind::AlertGauge { .. }
        | Kind::Histogram(_) => {
            panic!("{name} is not a gauge")
        }
    };
    for (name, expected) in [
        ("portfolio_manager_db_sync_p99_latency_ms", 12.0),
        ("portfolio_manager_recovery_time_ms", 80.0),
        ("portfolio_manager_last_heartbeat_timestamp", 1_700_000_001.25),
        ("portfolio_manager_last_recovery_timestamp", 1_700_000_000.5),
        ("process_start_time_seconds", 1_700_000_000.0),
        ("coordinator_lease_margin_seconds", 6.5),
        ("portfolio_manager_leader_epoch", 42.0),
        ("portfolio_manager_positions_recovered", 3.0),
        ("coordinator_signals_oldest_waiting_seconds", 7.25),
        ("coordinator_signals_oldest_in_doubt_seconds", 90.0),
        ("coordinator_signals_exposure_rupees", 1_500_003.0),
        ("coordinator_signals_expired_last_day", 4.0),
        ("coordinator_signals_sent_last_minute", 6.0),
        ("coordinator_signals_sent_last_day", 8.0),
        ("coordinator_signals_limit_per_minute", 2.0),
        ("coordinator_signals_limit_per_day", 15.0),
        ("coordinator_signals_paused", 0.0),
        ("coordinator_store_forgot_timestamp_seconds", 1_700_000_001.75),
        ("coordinator_signals_counted_timestamp_seconds", 1_700_000_001.5),
    ] {
        assert!((value(name) - expected).abs() < 1e-9, "{name} is {}", value(name));
    }
}

#[test]
fn an_epoch_of_zero_is_not_exported() {
    let mut nobody_led = fresh();
    nobody_led.view.epoch = Some(Epoch(0));
    assert!(!is_exported(find("portfolio_manager_leader_epoch"), &nobody_led));
}

/// Every kind of fact increments exactly one counter.
#[test]
fn every_counter_of_signals_counts_one_kind_of_fact() {
    use domain::ledger::Outcome::{Done, InDoubt, Received, Rejected};
    let facts = [
        ("coordinator_signals_received_total", SignalFact::Received),
        ("coordinator_signals_duplicates_prevented_total", SignalFact::DuplicatePrevented),
        ("coordinator_signals_folded_total", SignalFact::Folded),
        ("coordinator_signals_claimed_total", SignalFact::Claimed),
        ("coordinator_signals_sent_total", SignalFact::Sent { waited: Duration::ZERO }),
        ("coordinator_signals_done_total", SignalFact::Recorded(Done)),
        ("coordinator_signals_rejected_total", SignalFact::Recorded(Rejected)),
        ("coordinator_signals_doubted_total", SignalFact::Recorded(InDoubt)),
        ("coordinator_signals_not_executed_total", SignalFact::Recorded(Received)),
        ("coordinator_fenced_writes_total", SignalFact::FencedWrite),
    ];
    for (counted, fact) in facts {
        let mut metrics = metrics();
        metrics.record(Fact::Signal(fact));
        let snapshot = metrics.snapshot(fresh().view, STARTED_MS);
        for (name, _) in facts {
            let Kind::Counter(read) = find(name).kind else { panic!("{name} is not a counter") };
            assert_eq!(read(&snapshot), u64::from(name == counted), "{name} after {fact:?}");
        }
    }
}

#[test]
fn signals_are_exported_for_every_unfinished_state() {
    let Kind::LabelledGauge { read, .. } = find("coordinator_signals").kind else { panic!("it has a label") };
    let exported: Vec<_> =
        read(&full()).into_iter().map(|sample| (sample.labels.concat(), sample.value)).collect();
    let expected = [("received", 5.0), ("claimed", 1.0), ("sent", 2.0), ("in_doubt", 3.0)];
    assert_eq!(exported, expected.map(|(state, n)| (state.to_owned(), n)));
}

#[test]
fn an_age_is_exported_only_while_a_signal_has_that_age() {
    let mut settled = full();
    let none = Totals { oldest_received: None, oldest_in_doubt: None, ..totals() };
    settled.totals = Known::read(none, STARTED_MS);
    for name in ["coordinator_signals_oldest_waiting_seconds", "coordinator_signals_oldest_in_doubt_seconds"]
    {
        assert!(!is_exported(find(name), &settled), "{name}");
    }
}
