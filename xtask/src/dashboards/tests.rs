//! Tests that a valid dashboard passes, and that each of its faults is found alone.

use super::*;
use serde_json::json;

const INTERVAL: Duration = Duration::from_secs(30);

fn known() -> Known {
    Known::of("| `up` | gauge | 1 |  |\n| `led` | gauge | 1 |  |\n")
}

fn found(model: &Value) -> Vec<String> {
    Lint::of(model, &known(), INTERVAL)
}

fn sound() -> Value {
    let datasource = json!({ "type": "prometheus", "uid": "${datasource}" });
    let variable = |name: &str, query: &str| json!({ "name": name, "type": "query", "datasource": datasource, "query": { "query": query, "refId": name } });
    let target = |id: &str| {
        json!({
            "refId": id, "datasource": datasource, "instant": true, "range": false,
            "expr": "led{job=\"$job\", instance=~\"$instance\"}",
        })
    };
    let panel = |id: u64, kind: &str, x: u64| {
        json!({
            "id": id, "type": kind, "title": format!("{kind} {id}"), "description": "Who leads.",
            "datasource": datasource, "gridPos": { "x": x, "y": 1, "w": 12, "h": 4 },
            "fieldConfig": { "defaults": { "unit": "none" } }, "targets": [target("A"), target("B")],
        })
    };
    json!({
        "uid": "u", "title": "T", "schemaVersion": 39, "refresh": "30s",
        "timepicker": { "refresh_intervals": ["30s", "1m"] },
        "templating": { "list": [
            { "name": "datasource", "type": "datasource", "query": "prometheus" },
            variable("job", "label_values(led, job)"),
            variable("instance", "label_values(up{job=\"$job\"}, instance)"),
        ] },
        "annotations": { "list": [
            { "builtIn": 1, "name": "Annotations & Alerts" },
            { "name": "changes", "datasource": datasource, "expr": "led{job=\"$job\"}" },
        ] },
        "panels": [
            { "id": 1, "type": "row", "title": "Row", "gridPos": { "x": 0, "y": 0, "w": 24, "h": 1 }, "panels": [] },
            panel(2, "stat", 0),
            panel(3, "table", 12),
        ],
    })
}

#[test]
fn a_sound_dashboard_passes() {
    assert_eq!(found(&sound()), Vec::<String>::new());
}

/// The changed place, its invalid value, and the reported problem.
fn slips() -> Vec<(&'static str, Value, &'static str)> {
    let elsewhere = json!({ "type": "prometheus", "uid": "prometheus" });
    vec![
        ("/uid", Value::Null, "has no uid"),
        ("/title", json!(" "), "has no title"),
        ("/schemaVersion", json!(16), "schemaVersion 16 is older than 36"),
        ("/refresh", json!("10s"), "refresh \"10s\" is not at least 30 s"),
        ("/refresh", Value::Null, "refresh null is not at least 30 s"),
        ("/timepicker/refresh_intervals/0", json!("5s"), "refresh \"5s\" is not at least 30 s"),
        ("/templating/list/0/name", json!("source"), "has no variable datasource"),
        ("/templating/list/1/datasource", elsewhere.clone(), "variable \"job\": its data source is not"),
        (
            "/templating/list/1/query/query",
            json!("label_values(job)"),
            "variable \"job\": `label_values(job)` is not",
        ),
        (
            "/templating/list/2/query/query",
            json!("label_values(up, instance)"),
            "variable \"instance\": `up` is asked",
        ),
        ("/annotations/list/1/datasource", Value::Null, "annotation \"changes\": its data source is not"),
        (
            "/annotations/list/1/expr",
            json!("lead{job=\"$job\"}"),
            "annotation \"changes\": nothing exports `lead`",
        ),
        ("/panels/0/title", json!(""), "panel with id 1 has no title"),
        ("/panels/1/id", json!(3), "panel \"table 3\": id 3 is taken"),
        ("/panels/1/id", Value::Null, "panel \"stat 2\": has no id"),
        ("/panels/1/type", Value::Null, "panel \"stat 2\": has no type"),
        ("/panels/1/description", json!(""), "panel \"stat 2\": has no description"),
        ("/panels/1/fieldConfig/defaults/unit", Value::Null, "panel \"stat 2\": has no unit"),
        ("/panels/1/datasource", elsewhere.clone(), "panel \"stat 2\": its data source is not ${datasource}"),
        ("/panels/1/gridPos", Value::Null, "panel \"stat 2\": has no gridPos"),
        ("/panels/1/gridPos/y", json!(0), "panel \"stat 2\": lies on panel \"Row\""),
        ("/panels/2/gridPos/x", json!(11), "panel \"table 3\": lies on panel \"stat 2\""),
        ("/panels/2/gridPos/x", json!(13), "panel \"table 3\": has no gridPos within 24 columns"),
        ("/panels/1/targets", json!([]), "panel \"stat 2\": asks for nothing"),
        ("/panels/1/targets/1/refId", json!("A"), "panel \"stat 2\": refId \"A\" is missing or taken"),
        ("/panels/1/targets/1/refId", Value::Null, "panel \"stat 2\": refId null is missing or taken"),
        ("/panels/1/targets/0/datasource", elsewhere, "panel \"stat 2\", query A: its data source is not"),
        ("/panels/1/targets/0/instant", json!(false), "panel \"stat 2\", query A: is not instant"),
        ("/panels/2/targets/1/range", json!(true), "panel \"table 3\", query B: is not instant"),
        ("/panels/1/targets/0/expr", json!(""), "panel \"stat 2\", query A: the query is empty"),
        ("/panels/1/targets/0/expr", json!("led{"), "panel \"stat 2\", query A: not PromQL"),
        (
            "/panels/1/targets/0/expr",
            json!("lead{job=\"$job\"}"),
            "panel \"stat 2\", query A: nothing exports `lead`",
        ),
    ]
}

#[test]
fn each_slip_is_found() {
    for (place, broken, expected) in slips() {
        let mut model = sound();
        *model.pointer_mut(place).expect(place) = broken;
        let found = found(&model);
        assert_eq!(found.len(), 1, "{place}: {found:?}");
        assert!(found[0].starts_with(expected), "{place}: {found:?}");
    }
}

#[test]
fn a_wrapper_and_an_id_are_found() {
    let wrapped = json!({ "dashboard": sound() });
    assert!(found(&wrapped)[0].starts_with("is wrapped"));
    let mut numbered = sound();
    numbered["id"] = 7.into();
    assert!(found(&numbered)[0].starts_with("has an id"));
    let mut empty = sound();
    empty["panels"] = json!([]);
    assert_eq!(found(&empty), ["has no panels"]);
}

/// A folded row contains its panels, on a separate grid.
#[test]
fn panels_in_a_folded_row_are_judged() {
    let mut model = sound();
    let mut folded = model["panels"][1].take();
    model["panels"].as_array_mut().expect("a list").remove(1);
    model["panels"][0]["panels"] = json!([folded.clone()]);
    assert_eq!(found(&model), Vec::<String>::new());
    folded["description"] = Value::Null;
    model["panels"][0]["panels"] = json!([folded]);
    assert_eq!(found(&model), ["panel \"stat 2\": has no description"]);
}

#[test]
fn the_interval_is_read() {
    assert_eq!(scrape_interval("global:\n  scrape_interval: 30s\n"), Some(INTERVAL));
    assert_eq!(scrape_interval("global: {}\n"), None);
}

/// Without files the checks would pass, so this test requires them.
#[test]
fn the_real_dashboards_are_read_and_pass() {
    let workspace = Workspace::find().expect("tests run under cargo");
    assert_eq!(check(&workspace), Ok("1 files".to_owned()));
}
