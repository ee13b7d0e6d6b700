//! Tests of the text as a scraper reads it: by the contract, by promtool, and from scrape to scrape.

mod fixture;

use adapter_otel::Exposition;
use domain::alert::Report;
use domain::metrics::fingerprint;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

const CONTRACT: &str = include_str!("../../domain/testdata/metric-contract.json");

/// The two histograms.
const SYNC_DURATION: &str = "portfolio_manager_db_sync_duration_seconds";
const SENT_AFTER: &str = "coordinator_signals_received_to_sent_seconds";

/// One family of the text.
#[derive(Debug, Default, PartialEq)]
struct Family {
    kind: String,
    help: String,
    /// Text between the braces (empty without them), and the value.
    samples: BTreeMap<String, f64>,
}

type Families = BTreeMap<String, Family>;

fn render(exposition: &Exposition, report: &Report) -> Families {
    parse(&exposition.render(report).expect("a text"))
}

fn scrape(report: &Report) -> Families {
    render(&Exposition::new().expect("a pipeline"), report)
}

/// The families of a text. A series of a histogram belongs to the family whose `# TYPE` precedes it.
fn parse(text: &str) -> Families {
    let mut families = Families::new();
    let mut name = String::new();
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (of, help) = help.split_once(' ').expect("a name and a help");
            name = of.into();
            families.entry(name.clone()).or_default().help = help.into();
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (of, kind) = kind.split_once(' ').expect("a name and a type");
            assert_eq!(of, name, "HELP and TYPE belong together");
            families.get_mut(of).expect("HELP comes first").kind = kind.into();
        } else {
            let (series, value) = line.rsplit_once(' ').expect("a series and a value");
            let labels = series.strip_prefix(&name).expect("a series of the family").to_owned();
            let value = value.parse().expect("a number");
            let family = families.get_mut(&name).expect("HELP comes first");
            assert!(family.samples.insert(labels, value).is_none(), "{series} is there twice");
        }
    }
    families
}

/// The label names of `{store="db",leader="me"}`.
fn label_names(labels: &str) -> BTreeSet<&str> {
    let inside = labels.trim_start_matches('{').trim_end_matches('}');
    inside
        .split(',')
        .filter(|label| !label.is_empty())
        .map(|label| label.split('=').next().unwrap())
        .collect()
}

#[track_caller]
fn value(families: &Families, name: &str, labels: &str) -> Option<f64> {
    families.get(name).and_then(|family| family.samples.get(labels)).copied()
}

#[test]
fn names_types_and_labels_are_the_contract() {
    let families = scrape(&fixture::full());
    let contract: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(CONTRACT).expect("the contract is JSON");
    let metrics = contract.iter().filter(|(_, metric)| metric["type"] != "recording rule");
    assert_eq!(metrics.clone().count(), 28);
    for (name, metric) in metrics {
        let family = families.get(name).unwrap_or_else(|| panic!("{name} is missing"));
        assert_eq!(family.kind, metric["type"].as_str().unwrap(), "type of {name}");
        assert!(!family.help.is_empty());
        if family.kind == "histogram" {
            continue;
        }
        let labels = metric["labels"].as_str().unwrap();
        let labels: BTreeSet<_> = labels
            .split(", ")
            .filter_map(|label| label.split('(').next())
            .filter(|name| !name.is_empty())
            .collect();
        for sample in family.samples.keys() {
            assert_eq!(label_names(sample), labels, "labels of {name}");
        }
    }
    for name in families.keys().filter(|name| !contract.contains_key(*name)) {
        assert!(name.starts_with("coordinator_"), "{name} is neither in the contract nor ours");
    }
}

#[test]
fn no_series_says_where_it_is_from() {
    for family in scrape(&fixture::full()).values() {
        for labels in family.samples.keys() {
            let names = label_names(labels);
            assert!(!names.contains("instance") && !names.contains("job"), "{labels}");
            assert!(!names.iter().any(|name| name.starts_with("otel_")), "{labels}");
        }
    }
}

#[test]
fn a_fresh_process_counts_from_zero_and_is_silent_about_what_it_does_not_know() {
    let families = scrape(&fixture::fresh());
    for (name, family) in &families {
        if family.kind == "counter" {
            assert!(!family.samples.is_empty() && family.samples.values().all(|at| *at == 0.0), "{name}");
        }
    }
    for durations in [SYNC_DURATION, SENT_AFTER] {
        assert_eq!(value(&families, durations, "_count"), Some(0.0));
        assert_eq!(value(&families, durations, "_bucket{le=\"+Inf\"}"), Some(0.0));
    }
    assert_eq!(families.values().filter(|family| family.kind == "counter").count(), 20);
    for unknown in [
        "portfolio_manager_db_sync_p50_latency_ms",
        "portfolio_manager_db_sync_p95_latency_ms",
        "portfolio_manager_db_sync_p99_latency_ms",
        "portfolio_manager_leader_epoch",
        "portfolio_manager_leader_info",
        "portfolio_manager_last_heartbeat_timestamp",
        "portfolio_manager_recovery_time_ms",
        "portfolio_manager_positions_recovered",
        "portfolio_manager_last_recovery_timestamp",
        "coordinator_lease_margin_seconds",
        "coordinator_signals",
        "coordinator_signals_oldest_waiting_seconds",
        "coordinator_signals_oldest_in_doubt_seconds",
        "coordinator_signals_exposure_rupees",
        "coordinator_signals_paused",
        "coordinator_store_forgot_timestamp_seconds",
    ] {
        assert!(!families.contains_key(unknown), "{unknown}");
    }
    assert_eq!(value(&families, "portfolio_manager_current_leader_db", ""), Some(0.0));
}

#[test]
fn values_arrive_as_they_are_in_the_snapshot() {
    let families = scrape(&fixture::full());
    #[allow(clippy::cast_precision_loss)] // 48 bits fit.
    let me = fingerprint(&fixture::id("me")) as f64;
    for (name, labels, expected) in [
        ("portfolio_manager_db_sync_total", "", 2.0),
        ("portfolio_manager_db_sync_failure_rate", "", 0.5),
        ("portfolio_manager_leadership_changes", "", 1.0),
        ("portfolio_manager_current_leader_redis", "", me),
        ("portfolio_manager_last_heartbeat_timestamp", "", 1_700_000_001.25),
        ("portfolio_manager_instance_info", "{instance_id=\"me\",version=\"1.2.3\"}", 1.0),
        ("portfolio_manager_alert_status", "{alert=\"heartbeat_staleness\"}", 0.0),
        ("coordinator_signals", "{state=\"received\"}", 5.0),
        ("coordinator_signals_oldest_waiting_seconds", "", 7.25),
        ("coordinator_signals_exposure_rupees", "", 300_000.0),
        ("coordinator_signals_sent_total", "", 3.0),
        ("coordinator_lease_margin_seconds", "", 6.5),
        (SYNC_DURATION, "_bucket{le=\"0.01\"}", 0.0),
        (SYNC_DURATION, "_bucket{le=\"0.025\"}", 1.0),
        (SYNC_DURATION, "_bucket{le=\"10\"}", 1.0),
        (SYNC_DURATION, "_bucket{le=\"+Inf\"}", 2.0),
        (SYNC_DURATION, "_count", 2.0),
        (SYNC_DURATION, "_sum", 20.012),
        (SENT_AFTER, "_bucket{le=\"0.001\"}", 1.0),
        (SENT_AFTER, "_bucket{le=\"2.5\"}", 1.0),
        (SENT_AFTER, "_bucket{le=\"10\"}", 2.0),
        (SENT_AFTER, "_bucket{le=\"+Inf\"}", 3.0),
        (SENT_AFTER, "_sum", 64.001),
    ] {
        assert_eq!(value(&families, name, labels), Some(expected), "{name}{labels}");
    }
}

#[test]
fn what_is_no_longer_true_vanishes_at_the_next_scrape() {
    let exposition = Exposition::new().expect("a pipeline");
    let leaders = |report: &Report| -> Vec<String> {
        let families = render(&exposition, report);
        families
            .get("portfolio_manager_leader_info")
            .map_or(Vec::new(), |family| family.samples.keys().cloned().collect())
    };
    let mut report = fixture::full();
    let (db, redis) = ("{leader=\"me\",store=\"db\"}", "{leader=\"me\",store=\"redis\"}");
    assert_eq!(leaders(&report), [db, redis]);
    report.snapshot.view.leader_db = Some(fixture::id("other"));
    assert_eq!(leaders(&report), [redis, "{leader=\"other\",store=\"db\"}"]);
    report.snapshot.view.leader_redis = None;
    assert_eq!(leaders(&report), ["{leader=\"other\",store=\"db\"}"]);
    report.snapshot.view.leader_db = None;
    assert!(leaders(&report).is_empty());
    report.snapshot.view.leader_db = Some(fixture::id("me"));
    assert_eq!(leaders(&report), [db]);
    // A series without labels disappears too: an instance that is no longer leader has no margin.
    report.snapshot.view.is_leader = false;
    assert!(!render(&exposition, &report).contains_key("coordinator_lease_margin_seconds"));
}

#[test]
fn scrapes_at_the_same_time_do_not_mix() {
    const SCRAPES: usize = 50;
    let exposition = Exposition::new().expect("a pipeline");
    let reports = [fixture::fresh(), fixture::full()];
    let alone: Vec<_> = reports.iter().map(|report| exposition.render(report).expect("a text")).collect();
    std::thread::scope(|scope| {
        for (report, alone) in reports.iter().zip(&alone) {
            let exposition = &exposition;
            scope.spawn(move || {
                for _ in 0..SCRAPES {
                    assert_eq!(&exposition.render(report).expect("a text"), alone);
                }
            });
        }
    });
}

#[test]
fn a_hostile_version_cannot_break_out_of_its_label() {
    let mut report = fixture::full();
    report.snapshot.version = "1\"} 1\nup{x=\"\\".to_owned();
    let families = scrape(&report);
    let info = &families["portfolio_manager_instance_info"].samples;
    assert_eq!(info.keys().collect::<Vec<_>>(), [r#"{instance_id="me",version="1\"} 1\nup{x=\"\\"}"#]);
}

/// promtool may only complain about names that the contract fixes.
#[test]
fn promtool_prints_the_nine_lines_about_the_contracts_own_names() {
    let text = Exposition::new().expect("a pipeline").render(&fixture::full()).expect("a text");
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool has to be on PATH: it is in Debian's package `prometheus`");
    let mut stdin = promtool.stdin.take().expect("it is piped");
    stdin.write_all(text.as_bytes()).expect("promtool reads its input");
    drop(stdin);
    let output = promtool.wait_with_output().expect("promtool ends");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).expect("promtool writes UTF-8");
    let mut about: Vec<_> = said.lines().map(|line| line.split(' ').next().unwrap()).collect();
    about.sort_unstable();
    assert_eq!(
        about,
        [
            "portfolio_manager_db_sync_p50_latency_ms",
            "portfolio_manager_db_sync_p95_latency_ms",
            "portfolio_manager_db_sync_p99_latency_ms",
            "portfolio_manager_leadership_changes",
            "portfolio_manager_recovery_failure_count",
            "portfolio_manager_recovery_failure_count",
            "portfolio_manager_recovery_success_count",
            "portfolio_manager_recovery_success_count",
            "portfolio_manager_recovery_time_ms",
        ],
        "promtool said:\n{said}"
    );
}
