//! Alerts about instances that do not answer, and about the monitoring itself.
//!
//! Every program that Prometheus scrapes exports `up` and its start time, so these queries select the [targets] that are
//! instances.

use super::lookup::metric;
use super::query::{TARGET_REMEMBERED, removed, targets};
use super::{Component, ExportedRule, Group, JOB, Severity, written};
use alloc::format;
use alloc::string::String;
use core::time::Duration;
use domain::member::Health;

/// The group of these rules.
pub(super) const GROUP: Group = Group { name: "monitoring", records: &[], rules: &RULES };

/// Period in which starts are counted.
const STARTS_COUNTED: Duration = Duration::from_mins(15);

/// Two starts can be an update that was rolled back. More starts mean a process that keeps ending.
const STARTS_MAX: u8 = 2;

const IS_LEADER: &str = metric("portfolio_manager_is_leader");
const OVERALL: &str = metric("portfolio_manager_overall_alert_status");
const MAIN_STATUS: &str = metric("portfolio_manager_alert_status");
const STATUS: &str = metric("coordinator_alert_status");
const STARTED: &str = metric("process_start_time_seconds");

const RULES: [ExportedRule; 5] = [
    ExportedRule {
        alert: "OverallStatusCritical",
        condition: "overall_status",
        severity: Severity::Critical,
        component: Component::HaCoordination,
        expr: unexplained,
        held_for: Duration::from_mins(1),
        summary: "{{ $labels.instance }}: it reports a critical condition",
        description: "The worst of the alerts that the instance evaluates itself is CRITICAL. Its list of \
            alerts says which one, and why.",
        impact: "The impact of that alert. Prometheus fires no alert about the same condition, so only the \
            instance can measure it, for example that there was no heartbeat since its start.",
    },
    ExportedRule {
        alert: "InstanceDown",
        condition: "instance_down",
        severity: Severity::Critical,
        component: Component::Monitoring,
        expr: || format!("(\n{}\n) == 0\nunless on (job, group, instance) (\n  {}\n)", targets(), removed()),
        held_for: Duration::from_mins(1),
        summary: "{{ $labels.instance }}: it does not answer",
        description: "Prometheus gets no metrics from it: the instance is dead, cannot be reached, or cannot \
            export its metrics.",
        impact: "If it led, another instance leads by now, and a signal that it was sending may be in doubt. \
            There is one instance less to take over: when the last one is gone, signals are missed.",
    },
    ExportedRule {
        alert: "InstanceRestarting",
        condition: "instance_restarting",
        severity: Severity::Warning,
        component: Component::Monitoring,
        expr: || format!("{} > {STARTS_MAX}", starts()),
        held_for: Duration::ZERO,
        summary: "{{ $labels.instance }}: starts within 15 minutes: {{ $value }}",
        description: "The process restarts repeatedly: it crashes, or another program stops it. Its counters \
            begin at 0 each time, so other alerts about it underestimate the problem.",
        impact: "Each time that it leads when it ends, signals wait for a new leader, and a signal that it \
            was sending may be in doubt.",
    },
    ExportedRule {
        alert: "CoordinatorMetricsAbsent",
        condition: "metrics_absent",
        severity: Severity::Critical,
        component: Component::Monitoring,
        expr: absent,
        held_for: Duration::from_mins(2),
        summary: "{{ $labels.job }}: Prometheus has no metrics of this job",
        description: "Prometheus has no target of that job, or no target that exports whether it leads. No \
            other alert about the job can fire.",
        impact: "No alert would fire for a trade in doubt, held up or missed. It is unknown whether there is \
            one.",
    },
    ExportedRule {
        alert: "Watchdog",
        condition: "watchdog",
        severity: Severity::None,
        component: Component::Monitoring,
        expr: || String::from("vector(1)"),
        held_for: Duration::ZERO,
        summary: "Alerts are evaluated and sent",
        description: "This alert always fires. Its receiver raises the alarm when the alert stops arriving: \
            then Prometheus, Alertmanager or the connection from them is broken.",
        impact: "None while the alert arrives. When it does not arrive, no other alert would arrive either.",
    },
];

/// The instances that report a critical status, unless Prometheus fires a critical alert about each of the conditions that
/// the instance reports as critical. So an alert that fires for a day hides no other condition.
fn unexplained() -> String {
    let critical = Health::Critical.as_number();
    let reported = format!(
        "label_replace({{__name__=~\"{MAIN_STATUS}|{STATUS}\"}} == {critical}, \"condition\", \"$1\", \"alert\", \"(.*)\")"
    );
    // Prometheus has an alert for each reason of a failed recovery.
    let fired = |instance: &str| {
        format!(
            "label_replace(ALERTS{{alertstate=\"firing\", severity=\"critical\", {instance}}}, \"condition\", \
             \"recovery_failed\", \"condition\", \"recovery_(db_unavailable|data_corrupt|validation_failed)\")"
        )
    };
    format!(
        "{OVERALL} == {critical}\nunless on (job, group, instance) (\n  {reported}\n  unless on (job, group, instance) (\n    \
         {reported}\n    unless on (job, group, condition) {}\n    \
         unless on (job, group, instance, condition) {}\n  )\n)",
        fired("instance=\"\""),
        fired("instance!=\"\""),
    )
}

/// Number of recent starts of an instance's processes. The first process that was scraped counts only if it is young.
fn starts() -> String {
    let range = written(STARTS_COUNTED);
    let started = format!("{STARTED}[{range}]");
    let seconds = STARTS_COUNTED.as_secs();
    format!(
        "(\nchanges({started})\n+ (min_over_time({started}) > bool time() - {seconds})\n\
         and on (job, group, instance) (\n\
         last_over_time({STARTED}{{job=\"{JOB}\"}}[{range}])\n\
         or last_over_time({IS_LEADER}[{range}])\n)\n)"
    )
}

/// Groups whose targets export nothing of ours, and [`JOB`] if Prometheus has no target of that job: unless a target of
/// another job exported our metrics within a day and has the label `group`, because then the groups are scraped as other
/// jobs.
fn absent() -> String {
    let (targets, remembered) = (targets(), written(TARGET_REMEMBERED));
    format!(
        "count by (job, group) (\n{targets}\n) unless on (job, group) {IS_LEADER}\n\
         or absent(up{{job=\"{JOB}\"}}) unless on () last_over_time({IS_LEADER}{{group!=\"\"}}[{remembered}])"
    )
}
