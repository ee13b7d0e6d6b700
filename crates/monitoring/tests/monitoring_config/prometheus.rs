//! `docker/prometheus/prometheus.yml`.

use crate::HEAD;
use monitoring::rules::{GROUPS, JOB};

/// The instances of the group by their names in docker compose. The port stays in the label `instance`, so two
/// instances on one host are distinct.
const INSTANCES: [&str; 3] = ["coordinator-1:5000", "coordinator-2:5000", "coordinator-3:5000"];
/// The setting `group` of these instances.
const GROUP: &str = "default";
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
        "{HEAD}# The labels `job` and `group` together name a group of instances; the rules work for any number of groups. To add
# a group, add targets with another label `group`, here or in another job. Its value is the setting `group` of those
# instances. The label also marks a target as an instance, so that the alerts know it before it has answered. Delete
# the target of an instance that you have removed on purpose. Keep the target of one that is down: its alerts need it.
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
{instances}        labels:
          group: {GROUP}
"
    )
}
