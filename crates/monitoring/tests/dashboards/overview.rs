//! The overview: the overall status, the leader, and the state of every instance.

use crate::panel::{Panel, Says, bars, lines, names, stat, table};
use crate::signals;
use crate::table::{label, label_of, value};
use crate::zones::{BLUE, GREEN, RED, YELLOW, Zones};
use domain::member::Health;

/// The three statuses as exported.
pub fn statuses() -> [Says; 3] {
    [(Health::Ok, GREEN), (Health::Warning, YELLOW), (Health::Critical, RED)]
        .map(|(status, colour)| Says(status.as_number(), status.as_str(), colour))
}

pub fn panels() -> Vec<Panel> {
    let mut panels = vec![state(), alerts_firing()];
    panels.extend(signals::now());
    panels.extend(now());
    panels.push(instance_health());
    panels.extend(over_time());
    panels.push(leader_status_comparison());
    panels
}

/// Each fact is a sentence; the facts that hold now are shown.
fn state() -> Panel {
    names("State")
        .sized(24, 3)
        .described(
            "The state in sentences: the leader, and every fact that costs speed or money now. `coordinator why` and the \
            page of an instance say more.",
        )
        .runbooks(&["NoLeader", "MultipleLeaders"])
        .query(
            "{{leader}} leads",
            "max by (leader) (portfolio_manager_leader_info{$group, store=\"db\"})\n\
             and on () sum(job:portfolio_manager_leaders:count{$group}) > 0",
        )
        .query("no instance leads: signals wait", "3 + max(job:portfolio_manager_leaders:count{$group}) == 3")
        .query("several instances report that they lead", "1 + max(job:portfolio_manager_leaders:count{$group}) > 2")
        .query("signals are in doubt: query the broker", "2 + max(coordinator_signals{$group, state=\"in_doubt\"}) > 2")
        .query("the kill switch is on: no signal is sent", "2 * max(coordinator_signals_paused{$group}) == 2")
        .query("Redis is away: a failover is slower", "2 * max(portfolio_manager_fallback_mode{$group}) == 2")
        .query("an instance does not answer", "2 + min(up{$here}) == 2")
        .zones(Zones::severities())
}

fn now() -> Vec<Panel> {
    vec![
        stat("Overall Alert Status", "none")
            .sized(8, 4)
            .described(
                "The worst status of the instances' own alerts and of the alerts that Prometheus fires, \
                which also cover an instance that is gone. CRITICAL: money is at risk now. \"Alerts Firing\" \
                above names the alert; its runbook has the steps.",
            )
            .runbooks(&["OverallStatusCritical", "CoordinatorMetricsAbsent"])
            .query(
                "",
                "max(\n  portfolio_manager_overall_alert_status{$here}\n  \
                 or 2 * ALERTS{$group, alertstate=\"firing\", severity=\"critical\"}\n  \
                 or 1 * ALERTS{$group, alertstate=\"firing\", severity=\"warning\"}\n)",
            )
            .mapped(statuses()),
        names("Current Leader")
            .sized(8, 4)
            .described(
                "The leader according to the database, whose lease decides; Redis only follows. While no \
                instance leads, no signal is sent, and a signal that expires in that time is a missed trade. \
                Two names mean a change of leader that not every instance has read yet.",
            )
            .runbooks(&["NoLeader"])
            .query("{{leader}}", "max by (leader) (portfolio_manager_leader_info{$group, store=\"db\"})")
            .query("no leader", "max(portfolio_manager_current_leader_db{$group}) == 0")
            .zones(Zones::exactly_one()),
        stat("Instance Status", "none")
            .sized(8, 4)
            .described(
                "One value for each instance. DOWN: the instance did not answer the last scrape. With one \
                instance left, the next failure leaves no leader, and every signal then is a missed trade.",
            )
            .runbooks(&["InstanceDown", "MultipleLeaders"])
            .query("{{instance}}", "1 + portfolio_manager_is_leader{$here} or up{$here} == 0")
            .mapped([Says(0, "DOWN", RED), Says(1, "follower", BLUE), Says(2, "LEADER", GREEN)]),
    ]
}

fn over_time() -> Vec<Panel> {
    vec![
        lines("DB Sync Failure Rate (%)", "percentunit")
            .described(
                "Share of the last syncs of each instance with the state store that failed. A leader that \
                cannot renew stops acting when its lease expires, so signals are late and may be missed. \
                There are no duplicates: the fence refuses an instance that lost the lease.",
            )
            .runbooks(&["HighDBSyncFailureRate", "ElevatedDBSyncFailureRate"])
            .query("{{instance}}", "portfolio_manager_db_sync_failure_rate{$here}")
            .zones(Zones::of("db_sync_failure_rate")),
        lines("DB Sync Latency (ms) - p50, p95, p99", "ms")
            .described(
                "Durations of the last syncs of each instance, failures included. The yellow line is for \
                p95, the red one for p99. Slow renewals use up the lease, and a leader that loses it sends \
                nothing until another instance has taken over.",
            )
            .runbooks(&["HighDBSyncLatencyP95", "CriticalDBSyncLatencyP99"])
            .query("p50 {{instance}}", "portfolio_manager_db_sync_p50_latency_ms{$here}")
            .query("p95 {{instance}}", "portfolio_manager_db_sync_p95_latency_ms{$here}")
            .query("p99 {{instance}}", "portfolio_manager_db_sync_p99_latency_ms{$here}")
            .zones(Zones::of_two("sync_latency_p95", "sync_latency_p99")),
        bars("Leadership Changes per Hour", "short")
            .described(
                "Changes of leader in the hour before each point, counted for the group and exact over \
                restarts. During every change signals wait, up to one lease after a crash; with too many \
                changes, signals are missed.",
            )
            .runbooks(&["ExcessiveLeadershipFlapping", "LeadershipFlapping"])
            .query("in the last hour", "job:portfolio_manager_leadership_changes:increase1h{$group}")
            .zones(Zones::of("leadership_changes")),
        lines("Heartbeat Staleness", "s")
            .described(
                "Time since the last heartbeat of each instance. It keeps growing while an instance is down. \
                A leader whose heartbeat is stale sends nothing, and its signals wait for another leader.",
            )
            .runbooks(&["StaleHeartbeat", "DelayedHeartbeat"])
            .query("{{instance}}", "instance:portfolio_manager_heartbeat_age:seconds{$here}")
            .zones(Zones::of("heartbeat_staleness")),
    ]
}

/// A store that names no leader contradicts no other store.
const MATCH: &str = "max by (instance) (\n  \
    portfolio_manager_current_leader_redis{$here} == bool portfolio_manager_current_leader_db{$here}\n  \
    and on (job, group, instance) portfolio_manager_current_leader_redis{$here} > 0\n  \
    and on (job, group, instance) portfolio_manager_current_leader_db{$here} > 0\n  \
    or on (job, group, instance) 2 + 0 * portfolio_manager_is_leader{$here}\n)";

fn leader_status_comparison() -> Panel {
    let leader = |named: &str, store: &str| {
        format!(
            "max by (instance, {named}) (label_replace(portfolio_manager_leader_info{{$here, store=\"{store}\"}}, \
             \"{named}\", \"$1\", \"leader\", \"(.*)\"))"
        )
    };
    table(
        "Leader Status Comparison (Redis vs DB)",
        vec![
            label("Instance", "instance"),
            label_of("Redis Leader", "redis_leader", &leader("redis_leader", "redis")),
            label_of("DB Leader", "db_leader", &leader("db_leader", "db")),
            value("Match", MATCH).mapped([
                Says(0, "NO", RED),
                Says(1, "yes", GREEN),
                Says(2, "a store names no leader", BLUE),
            ]),
        ],
    )
    .described(
        "The leader that each store names, as each instance reads it. NO for longer than a minute is a \
        split-brain: the instance that only Redis names does not hold the lease, and the fence refuses its \
        writes, so it cannot execute a trade twice. Until Redis follows, a client that queries Redis for the \
        leader gets the wrong one.",
    )
    .runbooks(&["SplitBrainDetected"])
}

fn instance_health() -> Panel {
    let each = |metric: &str| format!("max by (instance) ({metric}{{$here}})");
    let yes_or_no = |yes, no| [Says(0, "no", no), Says(1, "yes", yes)];
    table(
        "Instance Health Status",
        vec![
            label("Instance", "instance"),
            value("Answers", &each("up")).mapped(yes_or_no(GREEN, RED)),
            value("Is Leader", &each("portfolio_manager_is_leader")).mapped(yes_or_no(GREEN, BLUE)),
            value("Heartbeat Running", &each("portfolio_manager_heartbeat_running"))
                .mapped(yes_or_no(GREEN, RED)),
            value("Last Heartbeat", &each("instance:portfolio_manager_heartbeat_age:seconds"))
                .unit("s")
                .zones(Zones::of("heartbeat_staleness")),
            value("Fallback Mode", &each("portfolio_manager_fallback_mode")).mapped(yes_or_no(YELLOW, GREEN)),
        ],
    )
    .described(
        "One line for each instance, even for one that is down: then only the age of its last heartbeat is \
        known. In fallback mode the election of an instance uses only the database, which is as safe but \
        slower. A leader without a heartbeat is about to lose its lease, and signals wait until another \
        instance leads.",
    )
    .runbooks(&["InstanceDown", "LeaderHeartbeatStopped", "FallbackModeActive", "ClockSkew"])
}

fn alerts_firing() -> Panel {
    let firing = "max by (alertname, severity, condition, instance) \
                  (ALERTS{$group, alertstate=\"firing\", severity!=\"none\"})";
    table(
        "Alerts Firing",
        vec![
            label_of("Alert", "alertname", firing),
            label("Severity", "severity"),
            label("Condition", "condition"),
            label("Instance", "instance"),
        ],
    )
    .absent("none")
    .sized(24, 5)
    .described(
        "The alerts that Prometheus fires at this moment; empty without a problem. Each alert has a runbook \
        with the impact in money and the steps.",
    )
}
