//! Tests of Alertmanager's routes and inhibitions: the receiver of each alert, and the alerts that it
//! silences.

use crate::running::{Alert, Alertmanager};
use crate::{said, shipped};
use std::process::Command;
use testkit::monitor::ALERTMANAGER;

/// The output of amtool about the shipped file.
#[track_caller]
fn amtool(arguments: &[&str], labels: &[&str]) -> String {
    let file = shipped("alertmanager/alertmanager.yml");
    said(Command::new("amtool").args(arguments).arg(file).args(labels), ALERTMANAGER)
}

#[test]
fn amtool_takes_the_configuration() {
    let said = amtool(&["check-config"], &[]);
    assert!(said.contains("SUCCESS"), "{said}");
}

#[test]
fn every_severity_has_its_own_receiver() {
    for (labels, receiver) in [
        (["severity=critical", "alertname=NoLeader"], "critical"),
        (["severity=warning", "alertname=SignalsPaused"], "warning"),
        (["severity=none", "alertname=Watchdog"], "watchdog"),
        // A receiver gets alerts of other systems too.
        (["severity=page", "alertname=OfAnotherSystem"], "other"),
        (["component=signals", "alertname=WithoutSeverity"], "other"),
    ] {
        let expected = format!("--verify.receivers={receiver}");
        amtool(&["config", "routes", "test", &expected, "--config.file"], &labels);
    }
}

const JOB: (&str, &str) = ("job", "portfolio_manager");
const CRITICAL: (&str, &str) = ("severity", "critical");
const WARNING: (&str, &str) = ("severity", "warning");

fn alert<const N: usize>(name: &'static str, labels: [(&'static str, &'static str); N]) -> Alert {
    Alert::new(name, &labels)
}

/// The page's file compared `alertname`, which the two severities never share.
#[test]
fn a_critical_alert_silences_the_warning_about_the_same_condition_of_the_same_job_and_no_other() {
    let condition = ("condition", "signals_waiting");
    let critical = alert("SignalsWaitingLong", [JOB, condition, CRITICAL]);
    let warning = alert("SignalsWaiting", [JOB, condition, WARNING]);
    let of_another_job = alert("SignalsWaiting", [("job", "staging"), condition, WARNING]);
    let of_another_condition = alert("SignalsPaused", [JOB, ("condition", "signals_paused"), WARNING]);
    // Alerts of another system, which have no conditions.
    let others_critical = alert("DiskFull", [JOB, CRITICAL]);
    let others_warning = alert("DiskFilling", [JOB, WARNING]);
    let posted =
        [&critical, &warning, &of_another_job, &of_another_condition, &others_critical, &others_warning];

    let alertmanager = Alertmanager::start();
    alertmanager.post(&posted);
    let alerts = alertmanager.until_silenced(&warning, posted.len());

    assert_eq!(alerts.silenced_by(&warning), [alerts.fingerprint(&critical)]);
    for loud in [&critical, &of_another_job, &of_another_condition, &others_critical, &others_warning] {
        assert_eq!(alerts.silenced_by(loud), Vec::<&str>::new(), "{loud:?}");
    }
}

#[test]
fn an_instance_that_is_down_silences_its_other_alerts_and_no_others() {
    let instance = ("instance", "coordinator-1:5000");
    let stale = ("condition", "heartbeat_staleness");
    let down = alert("InstanceDown", [JOB, instance, ("condition", "instance_down"), CRITICAL]);
    let heartbeat = alert("StaleHeartbeat", [JOB, instance, stale, CRITICAL]);
    let of_another = alert("StaleHeartbeat", [JOB, ("instance", "coordinator-2:5000"), stale, CRITICAL]);
    let of_the_group = alert("NoLeader", [JOB, ("condition", "no_leader"), CRITICAL]);
    let of_another_job = alert("StaleHeartbeat", [("job", "staging"), instance, stale, CRITICAL]);
    let posted = [&down, &heartbeat, &of_another, &of_the_group, &of_another_job];

    let alertmanager = Alertmanager::start();
    alertmanager.post(&posted);
    let alerts = alertmanager.until_silenced(&heartbeat, posted.len());

    assert_eq!(alerts.silenced_by(&heartbeat), [alerts.fingerprint(&down)]);
    for loud in [&down, &of_another, &of_the_group, &of_another_job] {
        assert_eq!(alerts.silenced_by(loud), Vec::<&str>::new(), "{loud:?}");
    }
}

/// A signal that expired is reported for a day. It must not hide that an instance reports something else.
#[test]
fn no_critical_alert_silences_that_an_instance_reports_a_condition_without_an_alert() {
    const OURS: (&str, &str) = ("component", "ha_coordination");
    let (group, instance) = (("group", "default"), ("instance", "coordinator-1:5000"));
    let overall = ("condition", "overall_status");
    let reports = alert("OverallStatusCritical", [JOB, group, instance, overall, OURS, CRITICAL]);
    let expired = alert("SignalExpired", [JOB, group, ("condition", "signals_expired"), OURS, CRITICAL]);
    let down = alert("InstanceDown", [JOB, group, instance, ("condition", "instance_down"), OURS, CRITICAL]);
    // Evidence that Alertmanager has compared the alerts.
    let stale = ("condition", "heartbeat_staleness");
    let silenced = alert("StaleHeartbeat", [JOB, group, instance, stale, OURS, CRITICAL]);
    let posted = [&reports, &expired, &down, &silenced];

    let alertmanager = Alertmanager::start();
    alertmanager.post(&posted);
    let alerts = alertmanager.until_silenced(&silenced, posted.len());

    assert_eq!(alerts.silenced_by(&reports), Vec::<&str>::new());
}

/// The label `group` separates groups of one job, and alerts that have no such label are of one group.
#[test]
fn a_critical_alert_of_another_group_silences_nothing() {
    let condition = ("condition", "signals_waiting");
    let critical = alert("SignalsWaitingLong", [JOB, ("group", "default"), condition, CRITICAL]);
    let warning = alert("SignalsWaiting", [JOB, ("group", "default"), condition, WARNING]);
    let of_another = alert("SignalsWaiting", [JOB, ("group", "desk-2"), condition, WARNING]);
    let posted = [&critical, &warning, &of_another];
    let alertmanager = Alertmanager::start();
    alertmanager.post(&posted);
    let alerts = alertmanager.until_silenced(&warning, posted.len());
    assert_eq!(alerts.silenced_by(&of_another), Vec::<&str>::new());
}
