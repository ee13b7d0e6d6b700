//! `docker/prometheus/prometheus.yml`.

use crate::HEAD;
use monitoring::rules::{GROUPS, JOB};

/// The instances of the group by their names in docker compose. The port stays in the label `instance`, so two
/// instances on one host are distinct.
const INSTANCES: [&str; 3] = ["coordinator-1:5000", "coordinator-2:5000", "coordinator-3:5000"];
/// The address that receives alerts.
const ALERTMANAGER: &str = "alertmanager:9093";
/// The `for` and windows of the rules are written for this interval, and tested with it.
const INTERVAL: &str = "30s";
/// The timeout is below the interval. An instance answers in milliseconds; one that takes longer than this is down.
const TIMEOUT: &str = "10s";

/// The file.
pub fn file() -> String {
    let rules = GROUPS.map(|group| format!("  - rules/{}.yml\n", group.name)).concat();
    let instances = INSTANCES.map(|instance| format!("          - {instance}\n")).concat();
    format!(
        "{HEAD}# Alerts, dashboard and pages select the job `{JOB}`: one job is one group of instances. Add another
# group as another job.
global:
  scrape_interval: {INTERVAL}
  scrape_timeout: {TIMEOUT}
  evaluation_interval: {INTERVAL}
alerting:
  alertmanagers:
    - static_configs:
        - targets:
          - {ALERTMANAGER}
rule_files:
{rules}scrape_configs:
  - job_name: {JOB}
    metrics_path: /metrics
    static_configs:
      - targets:
{instances}"
    )
}
