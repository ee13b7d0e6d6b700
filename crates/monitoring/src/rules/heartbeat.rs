//! Alerts about heartbeats: of each instance, whether it leads or not.

use super::lookup::{critical, metric, warning};
use super::query::{REMEMBERED, answering};
use super::{Component, ExportedRule, Group, Recording, Severity, written};
use alloc::format;
use alloc::string::String;
use core::time::Duration;

/// The table.
pub(super) const GROUP: Group = Group { name: "heartbeat", records: &[AGE], rules: &RULES };

/// Clocks of machines that follow a time server differ by milliseconds. Above so many seconds, one of them does not.
const SKEW_MAX_S: u8 = 5;

/// New settings are rolled out instance by instance, and each may take a lease to be back.
const SETTINGS_ROLL_OUT: Duration = Duration::from_mins(2);

const SETTINGS_DIFFER: &str = metric("coordinator_settings_differ");
const LAST_HEARTBEAT: &str = metric("portfolio_manager_last_heartbeat_timestamp");
const IS_LEADER: &str = metric("portfolio_manager_is_leader");
const RUNNING: &str = metric("portfolio_manager_heartbeat_running");

const AGE: Recording = Recording { record: "instance:portfolio_manager_heartbeat_age:seconds", expr: age };

const RULES: [ExportedRule; 5] = [
    ExportedRule {
        alert: "StaleHeartbeat",
        condition: "heartbeat_staleness",
        severity: Severity::Critical,
        component: Component::HaCoordination,
        expr: || older_than(critical("heartbeat_staleness")),
        held_for: Duration::from_mins(1),
        summary: "{{ $labels.instance }}: the last heartbeat was {{ $value | humanizeDuration }} ago",
        description: "The instance is dead, stands still, or does not reach the database. One that was removed on \
                      purpose is told until it has not been seen for an hour.",
        impact: "If it led, another one leads by now, and a signal that it had in hand may be in doubt. There is one \
                 instance less to take over: when the last is gone, signals are missed.",
    },
    ExportedRule {
        alert: "DelayedHeartbeat",
        condition: "heartbeat_staleness",
        severity: Severity::Warning,
        component: Component::HaCoordination,
        expr: || older_than(warning("heartbeat_staleness")),
        held_for: Duration::from_mins(2),
        summary: "{{ $labels.instance }}: the last heartbeat was {{ $value | humanizeDuration }} ago",
        description: "Instances beat several times in that time, so some heartbeats were late or failed.",
        impact: "None yet. If it stops beating and leads, the leader changes, and signals wait meanwhile.",
    },
    ExportedRule {
        alert: "LeaderHeartbeatStopped",
        condition: "heartbeat_stopped",
        severity: Severity::Critical,
        component: Component::HaCoordination,
        expr: || format!("{IS_LEADER} == 1\nand on (job, instance) {RUNNING} == 0"),
        held_for: Duration::from_secs(30),
        summary: "{{ $labels.instance }}: it leads and its heartbeat does not run",
        description: "The task that beats has ended while the instance leads. A leader that works has one, so this \
                      process is broken, also if it seems to act.",
        impact: "Its lease will run out. Until another one leads, signals wait, and exits leave their positions open.",
    },
    ExportedRule {
        alert: "SettingsDiffer",
        condition: "settings_differ",
        severity: Severity::Warning,
        component: Component::HaCoordination,
        expr: || {
            format!("max by (job, setting, instances) ({SETTINGS_DIFFER}) > {}", warning("settings_differ"))
        },
        held_for: SETTINGS_ROLL_OUT,
        summary: "{{ $labels.job }}: instances have different values of {{ $labels.setting }}",
        description: "The instances and their values: {{ $labels.instances }}. A value that may hold credentials is \
                      shown as a hash. What the group does depends on which of them leads.",
        impact: "After the next change of leader signals may go to another service or to none, or more may be sent than \
                 is wanted.",
    },
    ExportedRule {
        alert: "ClockSkew",
        condition: "clock_skew",
        severity: Severity::Warning,
        component: Component::Monitoring,
        expr: || format!("-{} > {SKEW_MAX_S}", AGE.record),
        held_for: Duration::from_mins(1),
        summary: "{{ $labels.instance }}: its last heartbeat is {{ $value | humanizeDuration }} in the future",
        description: "The clock of the instance is ahead of Prometheus's, or Prometheus's is behind. Leases, and the \
                      time after which a signal is not sent, do not follow either of them.",
        impact: "None by itself. A dead instance is told that much later, and times on different machines cannot be \
                 compared when somebody has to find out what happened.",
    },
];

/// Seconds since the last heartbeat. While an instance answers, as of the moment when it was asked: by the time of
/// the evaluation, a heartbeat of ten seconds that is scraped twice a minute would look more than 30 seconds old.
/// While it does not answer, the age goes on growing. Before the first heartbeat there is none.
fn age() -> String {
    format!(
        "{}\nor\ntime() - last_over_time({LAST_HEARTBEAT}[{}])",
        answering(&format!("timestamp({LAST_HEARTBEAT}) - {LAST_HEARTBEAT}")),
        written(REMEMBERED),
    )
}

fn older_than(seconds: f64) -> String {
    format!("{} > {seconds}", AGE.record)
}
