//! Cases of the alerts about instances that do not answer, and about the monitoring itself.

use super::case::{
    Case, Check, Firing, Series, UNKNOWN_LEADERS, UNKNOWN_RUPEES, all_quiet, case, each, everywhere, fires,
    fires_for, fires_for_a, labelled, quiet,
};
use monitoring::rules::JOB;

const OTHER_A: &[(&str, &str)] = &[("job", "other"), ("instance", "a:5000")];
const OF_DESK: &[(&str, &str)] = &[("job", "trading"), ("group", "desk"), ("instance", "d:5000")];
const OF_DESK_2: &[(&str, &str)] = &[("job", "trading"), ("group", "desk"), ("instance", "d:5001")];
const SECOND: &[(&str, &str)] = &[("job", JOB), ("group", "desk"), ("instance", "d:5000")];
/// A database that another team scrapes, with its own label `group`.
const FOREIGN: &[(&str, &str)] = &[("job", "postgres"), ("group", "storage"), ("instance", "db:9187")];
const WATCHDOG: &str = "Watchdog";

pub fn cases() -> Vec<Case> {
    let mut all = vec![healthy()];
    all.extend(overall());
    all.extend(down());
    all.extend(down_among_others());
    all.extend(restarting());
    all.extend(absent());
    all.push(watchdog());
    all
}

fn answers(values: &str) -> Vec<Series> {
    each("up", [values, "1+0x60"])
}

/// The same on every instance of another group.
fn other(metric: &str, values: &str) -> Vec<Series> {
    vec![labelled(metric, &[("job", "other"), ("instance", "a:5000")], values)]
}

/// A condition warns, and an update was rolled back: two starts. A program of another job keeps restarting.
fn healthy() -> Case {
    let quiet = all_quiet("monitoring", &[1, 5, 12, 30]).into_iter().filter(|check| check.alert != WATCHDOG);
    case(
        "a healthy system exactly at every threshold is quiet, except for the watchdog",
        [
            everywhere("up", "1+0x60"),
            each("portfolio_manager_is_leader", ["1+0x60", "0+0x60"]),
            everywhere("portfolio_manager_overall_alert_status", "1+0x60"),
            everywhere("process_start_time_seconds", "-3600+0x9 300+0x9 600+0x50"),
            other("process_start_time_seconds", "0+30x60"),
            other("up", "0+0x60"),
        ],
        quiet.chain([always(5)]).collect::<Vec<_>>(),
    )
}

fn always(at_minutes: u32) -> Check {
    Check {
        at_minutes,
        alert: WATCHDOG,
        fires: vec![Firing { labels: &[], value: "1", rupees: UNKNOWN_RUPEES, leaders: UNKNOWN_LEADERS }],
    }
}

fn watchdog() -> Case {
    case("the watchdog fires without any series", [], [always(0), always(30)])
}

fn overall() -> [Case; 6] {
    let alert = "OverallStatusCritical";
    let status = |values| each("portfolio_manager_overall_alert_status", [values, "0+0x60"]);
    let critical = || status("2+0x60");
    let reports = |condition, values| {
        let name = if condition == "split_brain" { "portfolio_manager" } else { "coordinator" };
        let labels = [("job", JOB), ("instance", "a:5000"), ("alert", condition)];
        vec![labelled(&format!("{name}_alert_status"), &labels, values)]
    };
    let fires_about = |name, condition, instance: Option<&'static str>, values| {
        let mut labels = vec![("job", JOB), ("alertname", name), ("condition", condition)];
        labels.extend([("severity", "critical"), ("alertstate", "firing")]);
        labels.extend(instance.map(|instance| ("instance", instance)));
        vec![labelled("ALERTS", &labels, values)]
    };
    [
        case(
            "a critical alert of an instance itself fires after a minute",
            [status("0+0x3 2+0x20 0+0x30")],
            [quiet(2, alert), fires_for_a(3, alert, "2"), fires_for_a(12, alert, "2"), quiet(13, alert)],
        ),
        case("a warning is not", [status("1+0x60")], [quiet(10, alert)]),
        case(
            "an alert about the same condition of the group explains it, also while an instance cannot be measured",
            [
                critical(),
                reports("signals_expired", "2+0x60"),
                fires_about("SignalExpired", "signals_expired", None, "1+0x60"),
            ],
            [quiet(5, alert), quiet(30, alert)],
        ),
        case(
            "a signal that expired does not hide another condition that has no alert",
            [
                critical(),
                reports("signals_expired", "2+0x60"),
                reports("heartbeat_staleness", "0+0x19 2+0x20 0+0x20"),
                fires_about("SignalExpired", "signals_expired", None, "1+0x60"),
            ],
            [quiet(9, alert), fires_for_a(12, alert, "2"), quiet(22, alert)],
        ),
        case(
            "an alert about another instance explains nothing, one about this instance does",
            [
                critical(),
                reports("sync_latency_p99", "2+0x60"),
                fires_about("CriticalDBSyncLatencyP99", "sync_latency_p99", Some("b:5000"), "1+0x60"),
                fires_about("CriticalDBSyncLatencyP99", "sync_latency_p99", Some("a:5000"), "_x20 1+0x39"),
            ],
            [fires_for_a(5, alert, "2"), quiet(15, alert)],
        ),
        case(
            "the alert about the reason of a failed recovery explains it, and one about the two leaders explains that",
            [
                critical(),
                reports("recovery_failed", "2+0x60"),
                reports("split_brain", "2+0x60"),
                fires_about("RecoveryDataCorrupt", "recovery_data_corrupt", Some("a:5000"), "1+0x60"),
                fires_about("SplitBrainDetected", "split_brain", None, "_x20 1+0x39"),
            ],
            [fires_for_a(5, alert, "2"), quiet(15, alert)],
        ),
    ]
}

const A: &[(&str, &str)] = &[("job", JOB), ("instance", "a:5000")];
const REMOVED_A: &[(&str, &str)] =
    &[("job", JOB), ("instance", "a:5000"), ("instance_id", "a-1"), ("version", "1")];
const REMOVED_BY_B: &[(&str, &str)] = &[("job", JOB), ("instance", "b:5000"), ("instance_id", "a-1")];

fn down() -> [Case; 4] {
    let alert = "InstanceDown";
    [
        case(
            "an instance that does not answer fires after a minute, while it is a target",
            [answers("1+0x3 0+0x40 stale")],
            [quiet(2, alert), fires_for_a(3, alert, "0"), fires_for_a(22, alert, "0"), quiet(23, alert)],
        ),
        case(
            "an instance that an operator removed is quiet, until a process starts there again",
            [
                answers("1+0x3 0+0x40"),
                vec![
                    labelled("portfolio_manager_instance_info", REMOVED_A, "1+0x3 stale"),
                    labelled("process_start_time_seconds", A, "-50+0x3 _x30 900+0x2 stale"),
                    labelled(
                        "coordinator_instance_removed_start_time_seconds",
                        REMOVED_BY_B,
                        "_x10 -50+0x60",
                    ),
                ],
            ],
            [fires_for_a(4, alert, "0"), quiet(6, alert), quiet(16, alert), fires_for_a(18, alert, "0")],
        ),
        case(
            "a removed instance that remains a target fires again a day after its last scrape",
            [
                answers("1+0x3 0+0x3000"),
                vec![
                    labelled("portfolio_manager_instance_info", REMOVED_A, "1+0x3 stale"),
                    labelled("process_start_time_seconds", A, "-50+0x3 stale"),
                    labelled(
                        "coordinator_instance_removed_start_time_seconds",
                        REMOVED_BY_B,
                        "_x10 -50+0x3000",
                    ),
                ],
            ],
            [
                fires_for_a(4, alert, "0"),
                quiet(6, alert),
                quiet(1_438, alert),
                fires_for_a(1_446, alert, "0"),
            ],
        ),
        case(
            "a scrape that fails once is quiet",
            [answers("1+0x3 0 1+0x40")],
            [quiet(2, alert), quiet(3, alert)],
        ),
    ]
}

/// Which targets are instances.
fn down_among_others() -> [Case; 4] {
    let alert = "InstanceDown";
    [
        case(
            "a program of another job does not fire",
            [answers("1+0x60"), other("up", "0+0x60")],
            [quiet(10, alert)],
        ),
        case(
            "an instance of a job of any name fires once it has exported its metrics",
            [other("portfolio_manager_is_leader", "0+0x10 stale"), other("up", "1+0x10 0+0x60")],
            [quiet(5, alert), fires_for(OTHER_A, 8, alert, "0"), fires_for(OTHER_A, 30, alert, "0")],
        ),
        case(
            "a target of a known group of another job fires before it has answered",
            [vec![
                labelled("portfolio_manager_is_leader", OF_DESK_2, "0+0x60"),
                labelled("up", OF_DESK_2, "1+0x60"),
                labelled("up", OF_DESK, "0+0x60"),
            ]],
            [fires_for(OF_DESK, 1, alert, "0")],
        ),
        case(
            "a foreign target with a label group does not fire",
            [answers("1+0x60"), vec![labelled("up", FOREIGN, "0+0x60")]],
            [quiet(10, alert)],
        ),
    ]
}

fn restarting() -> [Case; 6] {
    let alert = "InstanceRestarting";
    let started = |values| each("process_start_time_seconds", [values, "-3600+0x60"]);
    [
        case(
            "the third start within fifteen minutes fires",
            [started("-3600+0x9 300+0x3 stale 450+0x3 stale 600+0x60")],
            [quiet(9, alert), fires_for_a(11, alert, "3"), fires_for_a(19, alert, "3"), quiet(21, alert)],
        ),
        case(
            "the first process counts when it is young",
            [started("0+0x3 120+0x3 240+0x60")],
            [quiet(3, alert), fires_for_a(4, alert, "3")],
        ),
        case(
            "two starts are quiet",
            [started("-3600+0x9 300+0x9 600+0x60")],
            [quiet(10, alert), quiet(14, alert)],
        ),
        case(
            "three within an hour are quiet",
            [started("-3600+0x9 300+0x29 1200+0x29 2100+0x60")],
            [quiet(10, alert), quiet(20, alert), quiet(36, alert)],
        ),
        case(
            "a program of another job does not fire",
            [started("-3600+0x60"), other("process_start_time_seconds", "0+30x60")],
            [quiet(10, alert)],
        ),
        case(
            "a foreign target with a label group that keeps restarting does not fire",
            [started("-3600+0x60"), vec![labelled("process_start_time_seconds", FOREIGN, "0+30x60")]],
            [quiet(10, alert)],
        ),
    ]
}

fn absent() -> [Case; 10] {
    let alert = "CoordinatorMetricsAbsent";
    let leads = |values| each("portfolio_manager_is_leader", [values, values]);
    [
        case("a job without targets fires after two minutes", [], [quiet(1, alert), fires(2, alert, "1")]),
        case(
            "a job whose targets all lost their metrics fires",
            [everywhere("up", "1+0x60"), leads("0+0x10 stale")],
            [quiet(5, alert), quiet(7, alert), fires(8, alert, "1")],
        ),
        case(
            "a job whose targets were all removed fires",
            [everywhere("up", "1+0x10 stale"), leads("0+0x10 stale")],
            [quiet(7, alert), fires(8, alert, "1")],
        ),
        case(
            "one instance that exports its metrics is enough",
            [answers("0+0x60"), each("portfolio_manager_is_leader", ["_x60", "0+0x60"])],
            [quiet(10, alert)],
        ),
        case(
            "another group does not stand in for it",
            [other("up", "1+0x60"), other("portfolio_manager_is_leader", "1+0x60")],
            [fires(5, alert, "1")],
        ),
        case(
            "groups that are scraped as another job with the label group are enough",
            [
                vec![labelled("up", OF_DESK, "1+0x60")],
                vec![labelled("portfolio_manager_is_leader", OF_DESK, "1+0x60")],
            ],
            [quiet(5, alert), quiet(20, alert)],
        ),
        case(
            "a second group that exports nothing fires, and the first does not stand in for it",
            [everywhere("up", "1+0x60"), leads("1+0x60"), vec![labelled("up", SECOND, "0+0x60")]],
            [quiet(1, alert), fires_for(&[("job", JOB), ("group", "desk")], 2, alert, "1")],
        ),
        case(
            "a foreign target with a label group does not fire",
            [everywhere("up", "1+0x60"), leads("1+0x60"), vec![labelled("up", FOREIGN, "1+0x60")]],
            [quiet(5, alert)],
        ),
        case(
            "a foreign target with a label group does not stand in for a job without targets",
            [vec![labelled("up", FOREIGN, "1+0x60")]],
            [fires(5, alert, "1")],
        ),
        case(
            "a program of another job that exports nothing of ours does not fire",
            [everywhere("up", "1+0x60"), leads("1+0x60"), other("up", "1+0x60")],
            [quiet(5, alert)],
        ),
    ]
}
