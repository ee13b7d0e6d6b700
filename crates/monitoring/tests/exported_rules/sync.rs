//! Cases of the alerts about syncs with the state store.

use super::case::{
    Case, INSTANCES, Series, all_quiet, case, each, everywhere, fires, fires_for, fires_for_a, labelled,
    quiet,
};

pub fn cases() -> Vec<Case> {
    let mut all = vec![healthy()];
    all.extend(failure_rate());
    all.extend(latency());
    all.extend(stalled());
    all.extend(fallback());
    all
}

/// The series of `a`; the other instance has no problem.
fn of_a(metric: &str, values: &str) -> Vec<Series> {
    each(metric, [values, "0+0x60"])
}

fn syncs(values: &str) -> Vec<Series> {
    everywhere("portfolio_manager_db_sync_total", values)
}

/// An instance of another group at the same address that has only just started.
fn few_in_another_group() -> Vec<Series> {
    let labels = [("job", "staging"), ("instance", INSTANCES[0])];
    vec![labelled("portfolio_manager_db_sync_total", &labels, "3+0x60")]
}

/// Rates and latencies are at their limits, and the leader attempts a sync occasionally.
fn healthy() -> Case {
    case(
        "a healthy system exactly at every threshold is quiet",
        [
            everywhere("portfolio_manager_db_sync_failure_rate", "0.05+0x60"),
            everywhere("portfolio_manager_db_sync_p95_latency_ms", "100+0x60"),
            everywhere("portfolio_manager_db_sync_p99_latency_ms", "500+0x60"),
            each("portfolio_manager_db_sync_total", ["20+0x8 21+0x8 22+0x8 23+0x8 24+0x8 25+0x8", "20+0x60"]),
            each("portfolio_manager_is_leader", ["1+0x60", "0+0x60"]),
            everywhere("portfolio_manager_fallback_mode", "0+0x60"),
        ],
        all_quiet("sync", &[0, 5, 12, 22]),
    )
}

fn failure_rate() -> [Case; 6] {
    let (warns, critical) = ("ElevatedDBSyncFailureRate", "HighDBSyncFailureRate");
    let rate = |values| of_a("portfolio_manager_db_sync_failure_rate", values);
    [
        case(
            "more than one failure in twenty fires after five minutes",
            [rate("0.06+0x60"), syncs("100+3x60")],
            [quiet(4, warns), fires_for_a(5, warns, "6%"), quiet(20, critical)],
        ),
        case(
            "one in ten is not more than one in ten",
            [rate("0.1+0x60"), syncs("100+3x60")],
            [fires_for_a(5, warns, "10%"), quiet(20, critical)],
        ),
        case(
            "a higher rate is critical after two minutes",
            [rate("0.11+0x60"), syncs("100+3x60"), few_in_another_group()],
            [quiet(1, critical), fires_for_a(2, critical, "11%"), fires_for_a(5, warns, "11%")],
        ),
        case(
            "a process that has attempted few syncs is not judged",
            [rate("1+0x60"), syncs("3+0x10 19+0x9 20+0x40")],
            [quiet(5, critical), quiet(10, warns), fires_for_a(13, critical, "100%")],
        ),
        case(
            "heartbeats count and not attempts: failed syncs are repeated within one heartbeat",
            [
                rate("1+0x60"),
                syncs("100+3x60"),
                of_a("coordinator_db_sync_heartbeats_missing", "1+0x19 0+0x40"),
            ],
            [quiet(5, critical), quiet(9, warns), quiet(11, critical), fires_for_a(12, critical, "100%")],
        ),
        case(
            "it ends when the window is good again, even after earlier failures",
            [
                rate("0.5+0x10 0.01+0x50"),
                syncs("100+3x60"),
                of_a("portfolio_manager_db_sync_failure_total", "90+0x60"),
            ],
            [fires_for_a(5, critical, "50%"), quiet(6, critical), quiet(10, warns)],
        ),
    ]
}

fn latency() -> [Case; 4] {
    let (p95, p99) = ("portfolio_manager_db_sync_p95_latency_ms", "portfolio_manager_db_sync_p99_latency_ms");
    let (warns, critical) = ("HighDBSyncLatencyP95", "CriticalDBSyncLatencyP99");
    [
        case(
            "a 95th percentile above 100 ms fires after five minutes",
            [of_a(p95, "101+0x60"), syncs("100+3x60"), few_in_another_group()],
            [quiet(4, warns), fires_for_a(5, warns, "101")],
        ),
        case(
            "a 99th percentile above 500 ms fires after two minutes",
            [of_a(p99, "501+0x60"), syncs("100+3x60"), few_in_another_group()],
            [quiet(1, critical), fires_for_a(2, critical, "501")],
        ),
        case(
            "a slow first connection is quiet",
            [of_a(p95, "900+0x60"), of_a(p99, "900+0x60"), syncs("19+0x60")],
            [quiet(10, warns), quiet(10, critical)],
        ),
        case(
            "without a sync there is no latency",
            [of_a(p95, "_x60"), of_a(p99, "_x60"), syncs("0+0x60")],
            [quiet(10, warns), quiet(10, critical)],
        ),
    ]
}

fn stalled() -> [Case; 4] {
    let alert = "DBSyncStalled";
    let leads = |values| of_a("portfolio_manager_is_leader", values);
    let labels = [("job", "staging"), ("instance", INSTANCES[1])];
    let namesake = vec![labelled("portfolio_manager_db_sync_total", &labels, "100+0x60")];
    let attempts = |values| each("portfolio_manager_db_sync_total", [values, "100+3x60"]);
    [
        case(
            "a leader without a sync for five minutes fires after five more minutes",
            [leads("1+0x60"), attempts("70+3x10 100+0x50")],
            [quiet(9, alert), quiet(14, alert), fires_for_a(15, alert, "1")],
        ),
        case(
            "a follower does not fire, nor does an instance whose namesake in another group attempts none",
            [each("portfolio_manager_is_leader", ["0+0x60", "1+0x60"]), attempts("100+0x60"), namesake],
            [quiet(20, alert)],
        ),
        case(
            "failed attempts count as attempts",
            [leads("1+0x60"), attempts("100+1x60"), of_a("portfolio_manager_db_sync_failure_rate", "1+0x60")],
            [quiet(20, alert)],
        ),
        case(
            "a process that restarted counts from 0 and continues",
            [leads("1+0x60"), attempts("70+3x20 0+3x40")],
            [quiet(11, alert), quiet(20, alert)],
        ),
    ]
}

fn fallback() -> [Case; 3] {
    let alert = "FallbackModeActive";
    let metric = "portfolio_manager_fallback_mode";
    [
        case(
            "an unreachable Redis fires after a minute, once for the group",
            [everywhere(metric, "0+0x3 1+0x20")],
            [quiet(2, alert), fires(3, alert, "2")],
        ),
        case("it fires if one instance cannot reach it", [of_a(metric, "1+0x20")], [fires(1, alert, "1")]),
        case(
            "groups are independent",
            [
                everywhere(metric, "0+0x20"),
                vec![labelled(metric, &[("job", "staging"), ("instance", "c:5000")], "1+0x20")],
            ],
            [fires_for(&[("job", "staging")], 5, alert, "1")],
        ),
    ]
}
