//! Alerts about instances that do not answer, and about being told at all.
//!
//! `up` and the start of a process are told by every program that Prometheus scrapes, so they are asked for of
//! [`JOB`] alone. The metrics of ours are asked for of every job.

use super::lookup::metric;
use super::{Component, ExportedRule, Group, JOB, Severity, written};
use alloc::format;
use alloc::string::String;
use core::time::Duration;
use domain::member::Health;

/// The table.
pub(super) const GROUP: Group = Group { name: "monitoring", records: &[], rules: &RULES };

/// Starts are counted over this time.
const STARTS_COUNTED: Duration = Duration::from_mins(15);

/// So many starts are an update that was taken back. More are a process that does not stay.
const STARTS_MAX: u8 = 2;

const IS_LEADER: &str = metric("portfolio_manager_is_leader");
const OVERALL: &str = metric("portfolio_manager_overall_alert_status");
const STARTED: &str = metric("process_start_time_seconds");

const RULES: [ExportedRule; 5] = [
    ExportedRule {
        alert: "OverallStatusCritical",
        condition: "overall_status",
        severity: Severity::Critical,
        component: Component::HaCoordination,
        expr: || format!("{OVERALL} == {}", Health::Critical.as_number()),
        held_for: Duration::from_mins(1),
        summary: "{{ $labels.instance }}: it says that something is critical",
        description: "The worst of the alerts that the instance evaluates itself is CRITICAL. Its own list says which \
                      one, and why.",
        impact: "As that alert's own. If Prometheus does not tell the same by another alert, it is something that \
                 only the instance sees, such as no heartbeat since its start.",
    },
    ExportedRule {
        alert: "InstanceDown",
        condition: "instance_down",
        severity: Severity::Critical,
        component: Component::Monitoring,
        expr: || format!("up{{job=\"{JOB}\"}} == 0"),
        held_for: Duration::from_mins(1),
        summary: "{{ $labels.instance }}: it does not answer",
        description: "Prometheus gets no metrics from it: it is dead, or cannot be reached, or cannot tell them.",
        impact: "If it led, another one leads by now, and a signal that it had in hand may be in doubt. There is one \
                 instance less to take over: when the last is gone, signals are missed.",
    },
    ExportedRule {
        alert: "InstanceRestarting",
        condition: "instance_restarting",
        severity: Severity::Warning,
        component: Component::Monitoring,
        expr: || format!("{} > {STARTS_MAX}", starts()),
        held_for: Duration::ZERO,
        summary: "{{ $labels.instance }}: starts within 15 minutes: {{ $value }}",
        description: "The process does not stay: it crashes, or something stops it. What it counts begins at 0 each \
                      time, so other alerts about it see less than there is.",
        impact: "Each time that it leads when it ends, signals wait for a new leader, and one that it had in hand may \
                 be in doubt.",
    },
    ExportedRule {
        alert: "CoordinatorMetricsAbsent",
        condition: "metrics_absent",
        severity: Severity::Critical,
        component: Component::Monitoring,
        expr: absent,
        held_for: Duration::from_mins(2),
        summary: "{{ $labels.job }}: there are no metrics of it",
        description: "Prometheus has no target of that job, or none that tells whether it leads. All other alerts \
                      about it are blind.",
        impact: "A trade in doubt, held up or missed would not be told. Whether anything is wrong is not known.",
    },
    ExportedRule {
        alert: "Watchdog",
        condition: "watchdog",
        severity: Severity::None,
        component: Component::Monitoring,
        expr: || String::from("vector(1)"),
        held_for: Duration::ZERO,
        summary: "Alerts are evaluated and sent",
        description: "It always fires. Who receives it raises the alarm when it does not come: then Prometheus, \
                      Alertmanager or the way from it is broken.",
        impact: "None while it comes. When it does not, no other alert would come either.",
    },
];

/// How many processes of an instance started lately: each follows another, except the first that was seen, which
/// counts if it is young.
fn starts() -> String {
    let started = format!("{STARTED}{{job=\"{JOB}\"}}[{}]", written(STARTS_COUNTED));
    let seconds = STARTS_COUNTED.as_secs();
    format!("changes({started})\n+ (min_over_time({started}) > bool time() - {seconds})\n")
}

fn absent() -> String {
    format!("absent(up{{job=\"{JOB}\"}})\nor absent({IS_LEADER}{{job=\"{JOB}\"}})")
}
