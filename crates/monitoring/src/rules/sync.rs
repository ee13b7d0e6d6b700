//! Alerts about the syncs with the state store, and about an unreachable Redis.

use super::lookup::{critical, metric, warning};
use super::{Component, ExportedRule, Group, Severity, written};
use alloc::format;
use alloc::string::String;
use core::time::Duration;
use domain::alert::SAMPLES_MIN;

/// The group of these rules.
pub(super) const GROUP: Group = Group { name: "sync", records: &[], rules: &RULES };

/// A leader renews every few seconds: without an attempt in this time, it does not try at all.
const STALLED_AFTER: Duration = Duration::from_mins(5);

const FAILURE_RATE: &str = metric("portfolio_manager_db_sync_failure_rate");
const P95: &str = metric("portfolio_manager_db_sync_p95_latency_ms");
const P99: &str = metric("portfolio_manager_db_sync_p99_latency_ms");
const SYNCS: &str = metric("portfolio_manager_db_sync_total");
const MISSING: &str = metric("coordinator_db_sync_heartbeats_missing");
const IS_LEADER: &str = metric("portfolio_manager_is_leader");
const FALLBACK: &str = metric("portfolio_manager_fallback_mode");

const RULES: [ExportedRule; 6] = [
    ExportedRule {
        alert: "HighDBSyncFailureRate",
        condition: "db_sync_failure_rate",
        severity: Severity::Critical,
        component: Component::HaCoordination,
        expr: || judged(FAILURE_RATE, critical("db_sync_failure_rate")),
        held_for: Duration::from_mins(2),
        summary: "{{ $labels.instance }}: syncs with the database fail in {{ $value | humanizePercentage }} of the heartbeats",
        description: "In this share of the last heartbeats of this instance (100 of them, 5.5 minutes at the \
            defaults) a sync failed or had no answer in time. A leader that cannot renew its lease stops acting before the lease expires.",
        impact: "Each change of leader delays signals for seconds. If no instance reaches the database, no \
            signal is sent: signals are missed when they expire.",
    },
    ExportedRule {
        alert: "ElevatedDBSyncFailureRate",
        condition: "db_sync_failure_rate",
        severity: Severity::Warning,
        component: Component::HaCoordination,
        expr: || judged(FAILURE_RATE, warning("db_sync_failure_rate")),
        held_for: Duration::from_mins(5),
        summary: "{{ $labels.instance }}: syncs with the database fail in {{ $value | humanizePercentage }} of the heartbeats",
        description: "In this share of the last heartbeats of this instance (100 of them, 5.5 minutes at the \
            defaults) a sync failed or had no answer in time. Other attempts still renew the lease.",
        impact: "None yet. If it gets worse, the leader changes, and signals wait until another instance \
            leads.",
    },
    ExportedRule {
        alert: "HighDBSyncLatencyP95",
        condition: "sync_latency_p95",
        severity: Severity::Warning,
        component: Component::HaCoordination,
        expr: || judged(P95, warning("sync_latency_p95")),
        held_for: Duration::from_mins(5),
        summary: "{{ $labels.instance }}: one sync in twenty takes {{ $value | printf \"%.0f\" }} ms or more",
        description: "The database, or the network to it, is slow for this instance. Failed syncs are \
            included.",
        impact: "None yet. Each signal waits longer by the same time.",
    },
    ExportedRule {
        alert: "CriticalDBSyncLatencyP99",
        condition: "sync_latency_p99",
        severity: Severity::Critical,
        component: Component::HaCoordination,
        expr: || judged(P99, critical("sync_latency_p99")),
        held_for: Duration::from_mins(2),
        summary: "{{ $labels.instance }}: one sync in a hundred takes {{ $value | printf \"%.0f\" }} ms or more",
        description: "The database, or the network to it, is so slow for this instance that renewals of the lease \
                      come close to their deadline.",
        impact: "If renewals come too late, the leader changes, and signals wait for a new one. Their prices move on.",
    },
    ExportedRule {
        alert: "DBSyncStalled",
        condition: "db_sync_stalled",
        severity: Severity::Warning,
        component: Component::HaCoordination,
        expr: stalled,
        held_for: Duration::from_mins(5),
        summary: "{{ $labels.instance }}: it leads and attempts no sync with the database",
        description: "It reports that it leads, and its count of syncs has not changed for five minutes. \
            Failure rate and latencies keep their old values, so no other alert fires.",
        impact: "The lease has expired by now, so another instance may already lead, and the fence refuses \
            every write of this one. If no other instance leads, signals are missed.",
    },
    ExportedRule {
        alert: "FallbackModeActive",
        condition: "fallback_mode",
        severity: Severity::Warning,
        component: Component::HaCoordination,
        expr: || format!("sum by (job, group) ({FALLBACK}) > {}", warning("fallback_mode")),
        held_for: Duration::from_mins(1),
        summary: "{{ $labels.job }}: instances that do not reach Redis: {{ $value }}",
        description: "For them the election uses the database alone. It is as safe but slower: a failover is \
            noticed when the lease has expired, not at once.",
        impact: "None while the leader lives. When it dies, signals wait some seconds longer.",
    },
];

/// As in process, a small number of heartbeats is not judged. A process of an earlier version does not export how many
/// are missing; if it has attempted fewer syncs, it has fewer heartbeats with a sync.
fn judged(series: &str, limit: f64) -> String {
    format!(
        "{series} > {limit}\nunless on (job, group, instance) (\n  {MISSING} > 0\n  \
         or {SYNCS} < {SAMPLES_MIN} unless on (job, group, instance) {MISSING}\n)"
    )
}

fn stalled() -> String {
    format!(
        "{IS_LEADER} == 1\nand on (job, group, instance) increase({SYNCS}[{}]) == 0",
        written(STALLED_AFTER)
    )
}
