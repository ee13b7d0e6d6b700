//! `docker/alertmanager/alertmanager.yml`.

use crate::{HEAD, rules};
use monitoring::rules::{Severity, written};
use std::time::Duration;

/// The alert about an instance that cannot be scraped.
pub const INSTANCE_DOWN: &str = "InstanceDown";
/// Further alerts that a dead instance causes, because its heartbeat only grows older. Alerts about the group, such
/// as that no instance leads, are not among them.
pub const OF_A_DEAD_INSTANCE: [&str; 2] = ["DelayedHeartbeat", "StaleHeartbeat"];

/// The alert that an instance reports a critical condition about which Prometheus fires no alert.
pub const OVERALL: &str = "OverallStatusCritical";

/// The route of one severity: the receiver and the times.
pub struct Route {
    /// The severity.
    pub severity: Severity,
    receiver: &'static str,
    /// The reason, a comment in the file.
    reason: &'static str,
    /// The time for which the first alert of a group waits for others.
    wait: &'static str,
    /// The time for which a change of the group waits.
    interval: &'static str,
    /// The interval after which an unchanged group is sent again.
    repeat: &'static str,
}

/// A severity without a route goes to the receiver at the root.
pub const ROUTES: [Route; 3] = [
    Route {
        severity: Severity::Critical,
        receiver: "critical",
        reason: "At once: signals may be lost or executed twice.",
        wait: "0s",
        interval: "1m",
        repeat: "1h",
    },
    Route {
        severity: Severity::Warning,
        receiver: "warning",
        reason: "Grouped, and late enough that a critical one about the same condition silences it first.",
        wait: "1m",
        interval: "5m",
        repeat: "12h",
    },
    Route {
        severity: Severity::None,
        receiver: "watchdog",
        reason: "The watchdog always fires. Its receiver raises the alarm when it has not arrived for 15 minutes.",
        wait: "0s",
        interval: "1m",
        repeat: "5m",
    },
];

/// The file as text.
pub fn file() -> String {
    let routes = ROUTES.each_ref().map(route).concat();
    let dead = OF_A_DEAD_INSTANCE.join("|");
    let overall_wait = written(overall_wait());
    format!(
        "{HEAD}# Secrets are read from files when something is sent, so Alertmanager starts without them: put yours into
# /etc/alertmanager/secrets, and take out what you do not use. What fails is logged and tried again, and holds up nothing
# else. Version 0.25 reads no webhook's URL from a file: the webhooks' URLs stand here, and their token is the secret.
route:
  # An alert of no severity that is known.
  receiver: other
  group_by: [job, group, condition]
  group_wait: 0s
  group_interval: 5m
  repeat_interval: 12h
  routes:
    # Late enough that the alert about the condition itself fires first, which ends this one.
    - matchers: ['alertname = \"{OVERALL}\"']
      receiver: critical
      group_by: [job, group, condition]
      group_wait: {overall_wait}
      group_interval: 5m
      repeat_interval: 1h
{routes}inhibit_rules:
  # The worse alert silences the other: two alerts about the same condition share the label `condition`. Alertmanager
  # treats labels that both alerts lack as equal, so the label must be present.
  - source_matchers: ['severity = \"critical\"', 'condition =~ \".+\"']
    target_matchers: ['severity = \"warning\"']
    equal: [job, group, condition]
  # A dead instance gives only one alert. Alerts about other instances, or about the group, are sent regardless.
  - source_matchers: ['alertname = \"{INSTANCE_DOWN}\"', 'instance =~ \".+\"']
    target_matchers: ['alertname =~ \"{dead}\"']
    equal: [job, group, instance]
{RECEIVERS}"
    )
}

/// The time after which every other critical alert about a condition fires that began with [`OVERALL`], with two
/// evaluations to spare.
fn overall_wait() -> Duration {
    let critical = || rules().filter(|rule| rule.severity == Severity::Critical);
    let overall = critical().find(|rule| rule.alert == OVERALL).expect("it is critical");
    let longest = critical().map(|rule| rule.held_for).max().expect("alerts");
    longest.saturating_sub(overall.held_for) + Duration::from_mins(1)
}

fn route(route: &Route) -> String {
    let Route { severity, receiver, reason, wait, interval, repeat } = route;
    format!(
        "    # {reason}
    - matchers: ['severity = \"{}\"']
      receiver: {receiver}
      group_by: [job, group, condition]
      group_wait: {wait}
      group_interval: {interval}
      repeat_interval: {repeat}
",
        severity.as_str()
    )
}

/// The receivers: an operator's telephone, a shared channel, and programs.
const RECEIVERS: &str = r"receivers:
  - name: critical
    pagerduty_configs:
      - routing_key_file: /etc/alertmanager/secrets/pagerduty_routing_key
        description: '{{ .CommonLabels.job }}: {{ range .Alerts }}{{ .Annotations.summary }} {{ end }}'
    slack_configs:
      - api_url_file: /etc/alertmanager/secrets/slack_url
        channel: '#trading-alerts-critical'
        send_resolved: true
        title: 'CRITICAL {{ .Status }}: {{ .CommonLabels.condition }} of {{ .CommonLabels.job }}'
        text: &text |-
          {{ range .Alerts }}*{{ .Labels.alertname }}*: {{ .Annotations.summary }}
          {{ .Annotations.description }}
          Money: {{ .Annotations.impact }}
          What to do: {{ .Annotations.runbook_url }}
          {{ end }}
    webhook_configs:
      - url: http://alert-receiver:8080/critical
        http_config: &token
          authorization:
            credentials_file: /etc/alertmanager/secrets/webhook_token
  - name: warning
    slack_configs:
      - api_url_file: /etc/alertmanager/secrets/slack_url
        channel: '#trading-alerts-warnings'
        send_resolved: true
        title: 'WARNING {{ .Status }}: {{ .CommonLabels.condition }} of {{ .CommonLabels.job }}'
        text: *text
    webhook_configs:
      - url: http://alert-receiver:8080/warning
        http_config: *token
  - name: watchdog
    webhook_configs:
      - url: http://alert-receiver:8080/watchdog
        send_resolved: false
        http_config: *token
  - name: other
    webhook_configs:
      - url: http://alert-receiver:8080/other
        http_config: *token
";
