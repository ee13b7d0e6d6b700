//! Checks the model of one dashboard: missing parts of the dashboard and of its panels.

use super::known::Known;
use super::query::{self, Scope};
use promql_parser::util::parse_duration;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;

/// Grafana's grid.
const COLUMNS: u64 = 24;
/// Older models are migrated at every start, and lack features that the dashboards use.
const SCHEMA_VERSION_MIN: u64 = 36;
/// The variable that names the Prometheus to query.
const DATASOURCE: &str = "datasource";
/// Variables that the reader of every dashboard can choose.
const VARIABLES: [&str; 3] = [DATASOURCE, "job", "instance"];

/// Collects the faults.
pub struct Lint<'a> {
    known: &'a Known,
    variables: Vec<&'a str>,
    ids: BTreeSet<u64>,
    problems: Vec<String>,
}

impl<'a> Lint<'a> {
    /// The faults of `model`, with a sample every `interval`.
    pub fn of(model: &'a Value, known: &'a Known, interval: Duration) -> Vec<String> {
        if model.get("dashboard").is_some() {
            return vec!["is wrapped in `dashboard`, which Grafana does not read from a file".to_owned()];
        }
        let variables = list(&model["templating"]["list"]).filter_map(|variable| variable["name"].as_str());
        let variables = variables.collect();
        let mut lint = Self { known, variables, ids: BTreeSet::new(), problems: Vec::new() };
        lint.head(model);
        lint.refresh(model, interval);
        lint.variables(model);
        lint.annotations(model);
        lint.panels(&model["panels"]);
        lint.problems
    }

    fn must(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.problems.push(otherwise());
        }
    }

    fn head(&mut self, model: &Value) {
        for field in ["uid", "title"] {
            self.must(says(&model[field]), || format!("has no {field}"));
        }
        let schema = model["schemaVersion"].as_u64().unwrap_or(0);
        self.must(schema >= SCHEMA_VERSION_MIN, || {
            format!("schemaVersion {schema} is older than {SCHEMA_VERSION_MIN}")
        });
        self.must(model["id"].is_null(), || "has an id, which is another dashboard's elsewhere".to_owned());
        self.must(list(&model["panels"]).next().is_some(), || "has no panels".to_owned());
    }

    fn refresh(&mut self, model: &Value, interval: Duration) {
        let offered = list(&model["timepicker"]["refresh_intervals"]);
        for refresh in offered.chain([&model["refresh"]]) {
            let every = refresh.as_str().and_then(|every| parse_duration(every).ok());
            self.must(every.is_some_and(|every| every >= interval), || {
                format!("refresh {refresh} is not at least {} s, when samples come", interval.as_secs())
            });
        }
    }

    fn variables(&mut self, model: &Value) {
        for name in VARIABLES {
            self.must(self.variables.contains(&name), || format!("has no variable {name}"));
        }
        for variable in list(&model["templating"]["list"]).filter(|variable| variable["type"] == "query") {
            let what = format!("variable {}", variable["name"]);
            self.asks_the_chosen(variable, &what);
            let text = variable["query"]["query"].as_str().or(variable["query"].as_str()).unwrap_or_default();
            let values = text.strip_prefix("label_values(").and_then(|rest| rest.rsplit_once(','));
            match values {
                Some((series, label)) => {
                    let all = label.trim_end_matches(')').trim() == "job";
                    self.query(series, if all { Scope::AllJobs } else { Scope::Job }, &what);
                }
                None => self.problems.push(format!("{what}: `{text}` is not label_values(SERIES, LABEL)")),
            }
        }
    }

    fn annotations(&mut self, model: &Value) {
        for annotation in list(&model["annotations"]["list"]).filter(|annotation| annotation["builtIn"] != 1)
        {
            let what = format!("annotation {}", annotation["name"]);
            self.asks_the_chosen(annotation, &what);
            self.query(annotation["expr"].as_str().unwrap_or_default(), Scope::Job, &what);
        }
    }

    /// The panels of the dashboard, or of a folded row, which has a separate grid.
    fn panels(&mut self, panels: &Value) {
        let mut taken: Vec<(Area, String)> = Vec::new();
        for panel in list(panels) {
            let what = format!("panel {}", panel["title"]);
            self.must(says(&panel["title"]), || format!("panel with id {} has no title", panel["id"]));
            match panel["id"].as_u64() {
                Some(id) => {
                    let is_new = self.ids.insert(id);
                    self.must(is_new, || format!("{what}: id {id} is taken"));
                }
                None => self.problems.push(format!("{what}: has no id")),
            }
            match Area::of(&panel["gridPos"]) {
                Some(area) => {
                    for (_, other) in taken.iter().filter(|(other, _)| area.overlaps(other)) {
                        self.problems.push(format!("{what}: lies on {other}"));
                    }
                    taken.push((area, what.clone()));
                }
                None => self.problems.push(format!("{what}: has no gridPos within {COLUMNS} columns")),
            }
            if panel["type"] == "row" {
                self.panels(&panel["panels"]);
            } else {
                self.panel(panel, &what);
            }
        }
    }

    fn panel(&mut self, panel: &Value, what: &str) {
        self.must(says(&panel["type"]), || format!("{what}: has no type"));
        self.must(says(&panel["description"]), || format!("{what}: has no description"));
        self.must(says(&panel["fieldConfig"]["defaults"]["unit"]), || format!("{what}: has no unit"));
        self.asks_the_chosen(panel, what);
        self.must(list(&panel["targets"]).next().is_some(), || format!("{what}: asks for nothing"));
        let shows_now = panel["type"] == "stat" || panel["type"] == "table";
        let mut ids = BTreeSet::new();
        for target in list(&panel["targets"]) {
            let id = target["refId"].as_str().unwrap_or_default();
            let is_new = !id.is_empty() && ids.insert(id);
            self.must(is_new, || format!("{what}: refId {} is missing or taken", target["refId"]));
            self.asks_the_chosen(target, &format!("{what}, query {id}"));
            let instant = target["instant"] == true && target["range"] != true;
            self.must(instant || !shows_now, || format!("{what}, query {id}: is not instant"));
            self.query(
                target["expr"].as_str().unwrap_or_default(),
                Scope::Job,
                &format!("{what}, query {id}"),
            );
        }
    }

    fn asks_the_chosen(&mut self, part: &Value, what: &str) {
        let uid = part["datasource"]["uid"].as_str().unwrap_or_default();
        self.must(uid == format!("${{{DATASOURCE}}}"), || {
            format!("{what}: its data source is not ${{{DATASOURCE}}}")
        });
    }

    fn query(&mut self, expr: &str, scope: Scope, what: &str) {
        let problems = query::problems(expr, scope, &self.variables, self.known);
        self.problems.extend(problems.into_iter().map(|problem| format!("{what}: {problem}")));
    }
}

/// Place of a panel.
struct Area {
    left: u64,
    top: u64,
    right: u64,
    bottom: u64,
}

impl Area {
    fn of(grid: &Value) -> Option<Self> {
        let side = |name: &str| grid[name].as_u64();
        let (left, top, width, height) = (side("x")?, side("y")?, side("w")?, side("h")?);
        let area = Self { left, top, right: left + width, bottom: top + height };
        (width > 0 && height > 0 && area.right <= COLUMNS).then_some(area)
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.left < other.right
            && other.left < self.right
            && self.top < other.bottom
            && other.top < self.bottom
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn says(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.trim().is_empty())
}
