//! `docker/alertmanager/alertmanager.yml`.

use crate::HEAD;
use monitoring::rules::Severity;

/// Told when an instance cannot be scraped.
pub const INSTANCE_DOWN: &str = "InstanceDown";
/// What an instance that cannot be scraped is told for as well, because its heartbeat only grows older. What is told
/// of the group, that nobody leads for instance, is not among them.
pub const OF_A_DEAD_INSTANCE: [&str; 2] = ["DelayedHeartbeat", "StaleHeartbeat"];

/// Who hears of alerts of one severity, and when.
pub struct Route {
    /// Which alerts.
    pub severity: Severity,
    receiver: &'static str,
    /// Why it is so.
    reason: &'static str,
    /// How long the first alert of a group waits for others.
    wait: &'static str,
    /// How long a change of the group waits.
    interval: &'static str,
    /// When a group that has not changed is told again.
    repeat: &'static str,
}

/// A severity without a route goes to the receiver at the root.
pub const ROUTES: [Route; 3] = [
    Route {
        severity: Severity::Critical,
        receiver: "critical",
        reason: "At once: signals are lost or doubled while somebody waits.",
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
        reason: "The watchdog always fires. Who receives it raises the alarm when it has not come for 15 minutes.",
        wait: "0s",
        interval: "1m",
        repeat: "5m",
    },
];

/// The file.
pub fn file() -> String {
    let routes = ROUTES.each_ref().map(route).concat();
    let dead = OF_A_DEAD_INSTANCE.join("|");
    format!(
        "{HEAD}# Secrets are read from files when something is sent, so Alertmanager starts without them: put yours into
# /etc/alertmanager/secrets, and take out what you do not use. What fails is logged and tried again, and holds up nothing
# else. Version 0.25 reads no webhook's URL from a file: the webhooks' URLs stand here, and their token is the secret.
route:
  # An alert of no severity that is known.
  receiver: other
  group_by: [job, condition]
  group_wait: 0s
  group_interval: 5m
  repeat_interval: 12h
  routes:
{routes}inhibit_rules:
  # The worse one silences the other: two alerts about the same thing share the label `condition`. Labels that are
  # missing on both sides are equal to Alertmanager, so it has to be there.
  - source_matchers: ['severity = \"critical\"', 'condition =~ \".+\"']
    target_matchers: ['severity = \"warning\"']
    equal: [job, condition]
  # An instance that is down is told once. What is told of other instances, or of the group, is told all the same.
  - source_matchers: ['alertname = \"{INSTANCE_DOWN}\"', 'instance =~ \".+\"']
    target_matchers: ['alertname =~ \"{dead}\"']
    equal: [job, instance]
{RECEIVERS}"
    )
}

fn route(route: &Route) -> String {
    let Route { severity, receiver, reason, wait, interval, repeat } = route;
    format!(
        "    # {reason}
    - matchers: ['severity = \"{}\"']
      receiver: {receiver}
      group_by: [job, condition]
      group_wait: {wait}
      group_interval: {interval}
      repeat_interval: {repeat}
",
        severity.as_str()
    )
}

/// To a person's telephone, to a channel that all read, and to programs.
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
