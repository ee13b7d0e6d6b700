//! Alerts about heartbeats of each instance, leading or not.

use super::lookup::{critical, metric, warning};
use super::query::{REMEMBERED, TARGET_REMEMBERED, answering, removed};
use super::{Component, ExportedRule, Group, Recording, Severity, written};
use alloc::format;
use alloc::string::String;
use core::time::Duration;

/// The group of these rules.
pub(super) const GROUP: Group = Group { name: "heartbeat", records: &[AGE], rules: &RULES };

/// Maximum difference between the clocks of machines that follow a time server, in seconds; usually it is
/// milliseconds.
const SKEW_MAX_S: u8 = 5;

/// New settings are rolled out instance by instance, and each instance may need one lease to restart.
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
        description: "The instance is dead, is paused, or does not reach the database. The alert about an \
            instance that was removed on purpose ends after `coordinator remove ID`, and when it is no longer a \
            target of Prometheus.",
        impact: "If it led, another instance leads by now, and a signal that it was sending may be in doubt. \
            There is one instance less to take over: when the last one is gone, signals are missed.",
    },
    ExportedRule {
        alert: "DelayedHeartbeat",
        condition: "heartbeat_staleness",
        severity: Severity::Warning,
        component: Component::HaCoordination,
        expr: || older_than(warning("heartbeat_staleness")),
        held_for: Duration::from_mins(2),
        summary: "{{ $labels.instance }}: the last heartbeat was {{ $value | humanizeDuration }} ago",
        description: "Instances write several heartbeats in that time, so some were late or failed.",
        impact: "None yet. If the leader's heartbeats stop, the leader changes, and signals wait until \
            another instance leads.",
    },
    ExportedRule {
        alert: "LeaderHeartbeatStopped",
        condition: "heartbeat_stopped",
        severity: Severity::Critical,
        component: Component::HaCoordination,
        expr: || format!("{IS_LEADER} == 1\nand on (job, group, instance) {RUNNING} == 0"),
        held_for: Duration::from_secs(30),
        summary: "{{ $labels.instance }}: it leads and its heartbeat has stopped",
        description: "The heartbeat task has ended while the instance leads. A healthy leader has one, so \
            this process is broken even if it seems to act.",
        impact: "Its lease will expire. Until another instance leads, signals wait, and exits leave their \
            positions open.",
    },
    ExportedRule {
        alert: "SettingsDiffer",
        condition: "settings_differ",
        severity: Severity::Warning,
        component: Component::HaCoordination,
        expr: || {
            format!(
                "max by (job, group, setting, instances) ({SETTINGS_DIFFER}) > {}",
                warning("settings_differ")
            )
        },
        held_for: SETTINGS_ROLL_OUT,
        summary: "{{ $labels.job }}: instances have different values of {{ $labels.setting }}",
        description: "The instances and their values: {{ $labels.instances }}. A value that may hold \
            credentials is shown as a hash. The behaviour of the group depends on which of them leads.",
        impact: "After the next change of leader, signals may be sent to another service or to none, or more \
            signals may be sent than intended.",
    },
    ExportedRule {
        alert: "ClockSkew",
        condition: "clock_skew",
        severity: Severity::Warning,
        component: Component::Monitoring,
        expr: || format!("-{} > {SKEW_MAX_S}", AGE.record),
        held_for: Duration::from_mins(1),
        summary: "{{ $labels.instance }}: its last heartbeat is {{ $value | humanizeDuration }} in the future",
        description: "The clock of the instance is ahead of the clock of Prometheus, or the clock of \
            Prometheus is behind. Leases, and the time after which a signal is not sent, do not depend on \
            either clock.",
        impact: "None directly. The alert about a dead instance fires later by the same time, and times on \
            different machines cannot be compared during an investigation.",
    },
];

/// Seconds since the last heartbeat. While an instance answers, the age is measured at the time of the scrape:
/// measured at the time of the evaluation, a heartbeat of ten seconds that is scraped twice a minute would look more
/// than 30 seconds old. While the instance does not answer, the age keeps growing. Before the first heartbeat there
/// is none.
///
/// An instance that was removed on purpose has no age: it is no longer a target, while others of its group are, or an
/// operator removed it ([`removed`]). If the group has no target at all, Prometheus may have lost its configuration, so
/// ages grow for an hour.
fn age() -> String {
    format!(
        "{}\nor\ntime() - last_over_time({LAST_HEARTBEAT}[{}])\nand on (job, group, instance) up\n\
         unless on (job, group, instance) (\n  {}\n)\nor\ntime() - last_over_time({LAST_HEARTBEAT}[{}])\nunless on (job, group) up",
        answering(&format!("timestamp({LAST_HEARTBEAT}) - {LAST_HEARTBEAT}")),
        written(TARGET_REMEMBERED),
        removed(),
        written(REMEMBERED),
    )
}

fn older_than(seconds: f64) -> String {
    format!("{} > {seconds}", AGE.record)
}
