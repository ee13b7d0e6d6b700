//! Checks the dashboards of Grafana without Grafana: what it would refuse, draw over another panel, or leave
//! empty.
//!
//! Grafana does not report a file that it refuses at its start: the dashboard is missing, or a panel shows
//! "No data" when an operator needs it. So this module checks everything, and reads queries with a parser of
//! PromQL.

mod known;
mod model;
mod query;

use crate::report::{Findings, listed};
use crate::workspace::{SourceFile, Workspace};
use known::Known;
use model::Lint;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

const DASHBOARDS: &str = "docker/grafana/dashboards/";
const METRICS: &str = "docs/metrics.md";
const PROMETHEUS: &str = "docker/prometheus/prometheus.yml";

/// Reads every dashboard.
pub fn check(workspace: &Workspace) -> Findings {
    let (known, interval) = context(workspace).map_err(|problem| vec![problem])?;
    let files = workspace.files(&["json"]).map_err(|problem| vec![problem])?;
    let files: Vec<_> = files.into_iter().filter(|file| file.path.starts_with(DASHBOARDS)).collect();
    if files.is_empty() {
        return Err(vec![format!("there is no dashboard in {DASHBOARDS}")]);
    }
    let mut problems = Vec::new();
    let mut uids: BTreeMap<String, &str> = BTreeMap::new();
    for file in &files {
        match serde_json::from_str::<Value>(&file.text) {
            Ok(model) => {
                problems.extend(judged(file, &model, &known, interval));
                let uid = model["uid"].as_str().unwrap_or_default().to_owned();
                if let Some(other) = uids.insert(uid, &file.path) {
                    problems.push(format!("{}: has the uid of {other}", file.path));
                }
            }
            Err(error) => problems.push(format!("{}: {error}", file.path)),
        }
    }
    listed(problems, format!("{} files", files.len()))
}

fn judged(file: &SourceFile, model: &Value, known: &Known, interval: Duration) -> Vec<String> {
    let problems = Lint::of(model, known, interval);
    problems.into_iter().map(|problem| format!("{}: {problem}", file.path)).collect()
}

/// The series that exist, and the interval of their samples.
fn context(workspace: &Workspace) -> Result<(Known, Duration), String> {
    let read = |path: &str| {
        fs::read_to_string(workspace.root().join(path)).map_err(|error| format!("{path}: {error}"))
    };
    let interval = scrape_interval(&read(PROMETHEUS)?)
        .ok_or_else(|| format!("{PROMETHEUS}: no scrape_interval that could be read"))?;
    Ok((Known::of(&read(METRICS)?), interval))
}

fn scrape_interval(prometheus: &str) -> Option<Duration> {
    let written = prometheus.lines().find_map(|line| line.trim().strip_prefix("scrape_interval:"))?;
    promql_parser::util::parse_duration(written.trim()).ok()
}

#[cfg(test)]
mod tests;
