//! The dashboard of Grafana and its provisioning: the files in `docker/grafana`.
//!
//! `cargo xtask codegen` writes them, `cargo test` compares, and `cargo xtask check` lints the result. Every limit is
//! read from [`domain::alert::RULES`], every metric is in the catalog, and every linked page is the runbook of an
//! alert.

mod board;
mod detail;
mod fence;
#[path = "../../../domain/tests/generated/mod.rs"]
mod generated;
mod overview;
mod panel;
mod provisioning;
mod recovery;
mod signals;
mod table;
mod zones;

use domain::catalog::{CATALOG, Kind};
use generated::assert_fresh;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

/// Metrics that the dashboard shows by a rule: a recording rule, which outlives restarts and dead instances, or an alert
/// that takes them into account.
const SHOWN_BY_A_RULE: [&str; 4] = [
    "portfolio_manager_leadership_changes",
    "portfolio_manager_last_heartbeat_timestamp",
    "coordinator_instance_removed_start_time_seconds",
    "coordinator_db_sync_heartbeats_missing",
];

#[test]
fn the_files_match_the_tables() {
    let text = |model: &Value| serde_json::to_string_pretty(model).expect("a model is JSON") + "\n";
    let (dashboard, import) = (text(&board::dashboard()), text(&board::import()));
    assert_fresh([
        ("docker/grafana/dashboards/coordinator.json", dashboard.as_str()),
        ("docker/grafana/import/coordinator.json", import.as_str()),
        ("docker/grafana/provisioning/datasources/prometheus.yml", provisioning::DATASOURCES),
        ("docker/grafana/provisioning/dashboards/coordinator.yml", provisioning::DASHBOARDS),
    ]);
}

/// Every name in a query that could be ours, including the annotations and the variables.
fn named(model: &Value) -> BTreeSet<String> {
    match model {
        Value::String(text) => {
            let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
            let ours = ["coordinator_", "portfolio_manager_", "process_"];
            words.filter(|word| ours.iter().any(|ours| word.contains(ours))).map(str::to_owned).collect()
        }
        Value::Array(parts) => parts.iter().flat_map(named).collect(),
        Value::Object(fields) => fields.values().flat_map(named).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => BTreeSet::new(),
    }
}

/// The contract also names the recording rules.
fn recording_rules() -> BTreeSet<String> {
    let contract = Path::new(env!("CARGO_MANIFEST_DIR")).join("../domain/testdata/metric-contract.json");
    let contract = std::fs::read_to_string(contract).expect("the contract");
    let contract: Value = serde_json::from_str(&contract).expect("the contract is JSON");
    let entries = contract.as_object().expect("an object").iter();
    entries.filter(|(_, entry)| entry["type"] == "recording rule").map(|(name, _)| name.clone()).collect()
}

#[test]
fn every_name_is_in_the_catalog_or_a_recording_rule_of_the_contract() {
    let exported = CATALOG.iter().map(|metric| match metric.kind {
        Kind::Histogram(_) => format!("{}_bucket", metric.name),
        Kind::Counter(_)
        | Kind::LabelledCounter { .. }
        | Kind::Gauge(_)
        | Kind::LabelledGauge { .. }
        | Kind::AlertGauge { .. } => metric.name.to_owned(),
    });
    let recorded =
        monitoring::rules::GROUPS.iter().flat_map(|group| group.records).map(|rule| rule.record.to_owned());
    let known: BTreeSet<String> = exported.chain(recording_rules()).chain(recorded).collect();
    let unknown: Vec<_> = named(&board::dashboard()).difference(&known).cloned().collect();
    assert_eq!(unknown, Vec::<String>::new());
}

/// The page's nine panels and what is wrong now need no click; the rest is folded.
#[test]
fn the_first_row_is_open_and_the_others_are_folded() {
    let model = board::dashboard();
    let panels = model["panels"].as_array().expect("panels");
    let (rows, open): (Vec<&Value>, Vec<&Value>) = panels.iter().partition(|panel| panel["type"] == "row");
    assert_eq!(
        rows.iter().map(|row| row["collapsed"] == true).collect::<Vec<_>>(),
        [false, true, true, true, true]
    );
    assert!(rows[1..].iter().all(|row| row["panels"].as_array().is_some_and(|panels| !panels.is_empty())));
    let titles: Vec<&str> = open.iter().filter_map(|panel| panel["title"].as_str()).collect();
    assert_eq!(titles[..2], ["State", "Alerts Firing"]);
    for money in ["Exposure", "Signals in Doubt"] {
        let bottom = open.iter().find(|panel| panel["title"] == money).map(|panel| &panel["gridPos"]["y"]);
        assert!(bottom.and_then(Value::as_u64).is_some_and(|y| y <= 12), "{money} is on the first screen");
    }
    for drawn in [
        "Overall Alert Status",
        "Current Leader",
        "Instance Status",
        "DB Sync Failure Rate (%)",
        "DB Sync Latency (ms) - p50, p95, p99",
        "Leadership Changes per Hour",
        "Heartbeat Staleness",
        "Leader Status Comparison (Redis vs DB)",
        "Instance Health Status",
    ] {
        assert!(titles.contains(&drawn), "{drawn}");
    }
}

/// An import replaces the name of the input everywhere, and asks for it.
#[test]
fn an_import_asks_for_the_data_source() {
    let model = board::import();
    let name = model["__inputs"][0]["name"].as_str().expect("an input");
    let chosen = &model["templating"]["list"][0];
    assert_eq!(
        (&chosen["name"], &chosen["current"]["value"]),
        (&"datasource".into(), &format!("${{{name}}}").into())
    );
    assert!(board::dashboard().get("__inputs").is_none(), "a provisioned file has no inputs");
}

#[test]
fn every_metric_is_shown() {
    let shown = named(&board::dashboard());
    for metric in CATALOG.iter().filter(|metric| !SHOWN_BY_A_RULE.contains(&metric.name)) {
        let is_shown = shown.iter().any(|name| name.strip_suffix("_bucket").unwrap_or(name) == metric.name);
        assert!(is_shown, "{} is on no panel", metric.name);
    }
    for rule in recording_rules() {
        assert!(shown.contains(&rule), "{rule} is on no panel");
    }
}

/// A reader hovers over a panel in a hurry: it must have full sentences, without leftovers of a substitution.
#[test]
fn every_panel_has_a_description() {
    for panel in board::sections().iter().flat_map(|section| &section.panels) {
        let (title, about) = (panel.title(), panel.about());
        assert!(about.ends_with('.') && !about.contains("  "), "{title}: {about}");
    }
}
