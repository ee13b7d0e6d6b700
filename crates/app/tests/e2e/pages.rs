//! Tests of the HTTP pages of a running pair.

use crate::TTL;
use crate::group::{Group, Lead};
use crate::servers::Servers;
use crate::wait::until;
use serde_json::Value;
use std::collections::BTreeSet;

const CONTRACT: &str = include_str!("../../../domain/testdata/metric-contract.json");
/// Percentiles, which are absent until the window has enough samples.
const NEED_SAMPLES: [&str; 2] =
    ["portfolio_manager_db_sync_p95_latency_ms", "portfolio_manager_db_sync_p99_latency_ms"];
/// Number of the contract's entries that are metrics; the others are recording rules.
const METRICS: usize = 28;

/// The keys of the source page's `get_metrics()`, and `recovery`.
const KEYS: [&str; 22] = [
    "db_sync_success",
    "db_sync_failure",
    "db_sync_total",
    "db_sync_failure_rate",
    "db_sync_avg_latency_ms",
    "db_sync_min_latency_ms",
    "db_sync_max_latency_ms",
    "db_sync_p50_latency_ms",
    "db_sync_p95_latency_ms",
    "db_sync_p99_latency_ms",
    "db_sync_latency_samples",
    "leadership_changes",
    "current_leader_redis",
    "current_leader_db",
    "this_instance",
    "is_leader",
    "heartbeat_running",
    "fallback_mode",
    "last_heartbeat",
    "recovery",
    "alerts",
    "overall_alert_status",
];
const RECOVERY_KEYS: [&str; 6] =
    ["time_ms", "success_count", "failure_count", "error_code", "positions_recovered", "last_recovery"];
/// The alerts of the page; there may be more.
const ALERTS: [&str; 3] = ["db_sync_failure_rate", "leadership_changes", "heartbeat_staleness"];
const ALERT_KEYS: [&str; 5] = ["status", "value", "threshold_warning", "threshold_critical", "message"];

#[test]
fn of_a_pair_on_redis_and_postgresql() {
    let servers = Servers::start();
    let mut group = servers.group(TTL);
    let lead = group.start_pair();
    group.expect_only_leader(&lead);
    cluster(&mut group, &lead);
    json_metrics(&mut group, &lead);
    text_metrics(&mut group, &lead);
    group.finish();
}

#[test]
fn an_instance_without_a_name_is_called_by_uuid_and_process_id() {
    let mut group = Group::embedded(TTL);
    group.start("a");
    group.wait_active("a");
    let unnamed = group.launch("unnamed").start();
    let id = until("it takes part", || {
        let metrics = unnamed.get("/coordinator/metrics").ok().filter(|answer| answer.status == 200)?;
        metrics.json()["this_instance"].as_str().map(str::to_owned)
    });
    let kept = std::fs::read_to_string(unnamed.data_dir().join("instance")).expect("the identity");
    let uuid = kept.lines().nth(1).expect("the uuid is the second line");
    let pid = id.strip_prefix(uuid).and_then(|rest| rest.strip_prefix('-'));
    let pid = pid.unwrap_or_else(|| panic!("{id} is not {uuid} and a number"));
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).expect("the number is that of a process");
    assert!(String::from_utf8_lossy(&command).contains(&unnamed.address()), "of that very process");
    drop(unnamed);
    group.finish();
}

fn cluster(group: &mut Group, lead: &Lead) {
    let leader = group.process("a").get("/leader").expect("it listens");
    assert_eq!((leader.status, leader.header("coordinator-leader")), (200, Some("a")));
    let address = format!("http://{}", group.process("a").address());
    let other = until("the address of the leader is known", || {
        let other = group.process("b").get("/leader").expect("it listens");
        (other.header("coordinator-leader-address") == Some(&address)).then_some(other)
    });
    assert_eq!(other.status, 503);
    assert_eq!(
        (&other.json()["leader"], &other.json()["address"]),
        (&Value::from("a"), &Value::from(address))
    );
    for name in ["a", "b"] {
        // An instance is ready before its first line in the instance table, and a renewal may be late.
        let status = until("both are listed", || {
            let status = group.json(name, "/status");
            let instances = status["instances"].as_array().expect("a list").iter();
            let listed: Vec<_> = instances.map(|one| (one["id"].as_str(), one["state"].as_str())).collect();
            (listed == [(Some("a"), Some("active")), (Some("b"), Some("standby"))]).then_some(status)
        });
        assert_eq!((&status["this_instance"], &status["leader_db"]), (&Value::from(name), &Value::from("a")));
        assert_eq!(status["epoch"], lead.epoch);
        let history = group.json(name, "/history");
        let terms = history["terms"].as_array().expect("a list");
        assert_eq!(terms.len(), 1, "{history}");
        assert_eq!((&terms[0]["holder"], &terms[0]["epoch"]), (&Value::from("a"), &Value::from(lead.epoch)));
        assert_eq!((&terms[0]["to"], &terms[0]["reason"]), (&Value::Null, &Value::Null));
        assert_eq!(group.status_of(name, "/livez"), Some(200));
        assert_eq!(group.status_of(name, "/readyz"), Some(200));
        let front = group.process(name).get("/").expect("it listens");
        assert_eq!(front.status, 200);
        assert!(front.header("content-security-policy").is_some_and(|policy| policy.contains("default-src")));
    }
}

fn json_metrics(group: &mut Group, lead: &Lead) {
    // The last values that are null at first: the heartbeat, and the leader in Redis as seen by other
    // instances.
    for name in ["a", "b"] {
        until("everything is known", || {
            let metrics = group.json(name, "/coordinator/metrics");
            let known = ["last_heartbeat", "current_leader_redis"].iter().all(|key| !metrics[key].is_null());
            known.then_some(())
        });
        let answer = group.process(name).get("/coordinator/metrics").expect("it listens");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let metrics = answer.json();
        assert_eq!(keys(&metrics), BTreeSet::from(KEYS));
        assert_eq!(keys(&metrics["recovery"]), BTreeSet::from(RECOVERY_KEYS));
        for alert in ALERTS {
            assert_eq!(keys(&metrics["alerts"][alert]), BTreeSet::from(ALERT_KEYS), "{alert}");
        }
        assert_eq!(metrics["alerts"]["overall_status"], metrics["overall_alert_status"]);
        for key in ["current_leader_redis", "current_leader_db"] {
            assert_eq!(metrics[key], *lead.name, "{key} of {name}");
        }
        assert_eq!(
            (&metrics["this_instance"], &metrics["is_leader"]),
            (&Value::from(name), &Value::from(name == "a"))
        );
    }
}

fn keys(object: &Value) -> BTreeSet<&str> {
    object
        .as_object()
        .unwrap_or_else(|| panic!("not an object: {object}"))
        .keys()
        .map(String::as_str)
        .collect()
}

/// Every metric of the contract with its type, on the leader; both paths return the same text.
fn text_metrics(group: &mut Group, lead: &Lead) {
    let address = group.process(&lead.name).address();
    let accept = [("Accept", "text/plain;version=0.0.4")];
    let pages = ["/metrics", "/coordinator/metrics"]
        .map(|path| testkit::http::request(&address, "GET", path, &accept, "").expect("it listens"));
    let contract: Value = serde_json::from_str(CONTRACT).expect("the contract is JSON");
    let contract = contract.as_object().expect("the contract is an object");
    let mut ours: Vec<_> = contract.iter().filter(|(_, metric)| metric["type"] != "recording rule").collect();
    assert_eq!(ours.len(), METRICS);
    // A young instance has too few samples for them; the exposition's own test has every metric.
    ours.retain(|(name, _)| !NEED_SAMPLES.contains(&name.as_str()));
    assert_eq!(ours.len(), METRICS - NEED_SAMPLES.len());
    for page in pages {
        assert_eq!(page.status, 200);
        assert!(
            page.header("content-type").is_some_and(|kind| kind.starts_with("text/plain; version=0.0.4"))
        );
        for (name, metric) in &ours {
            let kind = metric["type"].as_str().expect("a type");
            let declared = format!("# TYPE {name} {kind}");
            assert!(page.body.lines().any(|line| line == declared), "no {declared:?} in\n{}", page.body);
            let sample = if kind == "histogram" { format!("{name}_count") } else { (*name).clone() };
            let sampled =
                |line: &str| line.strip_prefix(&sample).is_some_and(|rest| rest.starts_with([' ', '{']));
            assert!(page.body.lines().any(sampled), "no sample of {name} in\n{}", page.body);
        }
        assert!(!page.body.contains("instance=\""), "the scraper names the instance");
    }
}
