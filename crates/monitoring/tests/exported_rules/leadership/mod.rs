//! Cases of the alerts about the leadership.

use super::case::{
    Case, Check, Firing, INSTANCES, JOB, Series, UNKNOWN_RUPEES, all_quiet, case, each, everywhere, fires,
    fires_for, labelled, quiet,
};

mod slo;

const STAGING: &[(&str, &str)] = &[("job", "staging")];

pub fn cases() -> Vec<Case> {
    let mut all = vec![healthy()];
    all.extend(no_leader());
    all.extend(no_leader_of_one_group());
    all.extend(multiple_leaders());
    all.extend(split_brain());
    all.extend(episodes("SplitBrainEpisode", "portfolio_manager_split_brain_detected_total"));
    all.extend(episodes("TicketFault", "coordinator_ticket_faults_total"));
    all.extend(changes());
    all.extend(changes_that_are_hard_to_see());
    all.extend(forgot());
    all.extend(slo::cases());
    all
}

fn leads(values: [&str; 2]) -> Vec<Series> {
    each("portfolio_manager_is_leader", values)
}

fn epoch(values: &str) -> Vec<Series> {
    everywhere("portfolio_manager_leader_epoch", values)
}

/// A series of an instance of another group.
fn staging(metric: &str, values: &str) -> Vec<Series> {
    vec![labelled(metric, &[("job", "staging"), ("instance", "c:5000")], values)]
}

const DESK_2: &[(&str, &str)] = &[("job", JOB), ("group", "desk-2")];

/// A series of an instance of that group, a label of the target.
fn of_group(metric: &str, group: &str, values: &str) -> Vec<Series> {
    vec![labelled(metric, &[("job", JOB), ("group", group), ("instance", &format!("{group}:5000"))], values)]
}

/// The leader changed three times within an hour, and once no instance led at the time of a count. A split-brain and
/// a foreign ticket were long ago. At the first check, the store forgot exactly a day ago.
fn healthy() -> Case {
    case(
        "a healthy system exactly at every threshold is quiet",
        [
            leads(["1+0x130 0+0x41 1+0x130", "0+0x131 1+0x40 0+0x130"]),
            everywhere("up", "1+0x300"),
            epoch("5+0x130 6+0x20 7+0x20 8+0x130"),
            everywhere("portfolio_manager_leadership_changes", "5+0x130 6+0x20 7+0x20 8+0x130"),
            everywhere("portfolio_manager_current_leader_redis", "70+0x131 90+0x40 70+0x130"),
            everywhere("portfolio_manager_current_leader_db", "70+0x131 90+0x40 70+0x130"),
            everywhere("portfolio_manager_split_brain_detected_total", "3+0x300"),
            everywhere("coordinator_ticket_faults_total", "2+0x300"),
            everywhere("process_start_time_seconds", "-7200+0x300"),
            everywhere("coordinator_store_forgot_timestamp_seconds", "-86100+0x300"),
        ],
        all_quiet("leadership", &[5, 66, 68, 110, 140]),
    )
}

fn no_leader() -> [Case; 6] {
    let alert = "NoLeader";
    [
        case(
            "a group of followers fires after two minutes",
            [leads(["1+0x4 0+0x20", "0+0x30"]), everywhere("up", "1+0x30")],
            [quiet(2, alert), quiet(4, alert), fires(5, alert, "0"), fires(10, alert, "0")],
        ),
        case(
            "a group that is down fires",
            [leads(["1+0x10 stale", "0+0x10 stale"]), everywhere("up", "1+0x10 0+0x60")],
            [quiet(5, alert), quiet(7, alert), fires(8, alert, "0"), fires(30, alert, "0")],
        ),
        case(
            "a group that never answered fires",
            [everywhere("up", "0+0x20")],
            [quiet(1, alert), fires(2, alert, "0")],
        ),
        case(
            "a leader that does not answer does not count",
            [leads(["1+0x20", "0+0x20"]), each("up", ["0+0x20", "1+0x20"])],
            [fires(2, alert, "0")],
        ),
        case(
            "a leader of another group at the same address that is down is another one",
            [
                leads(["1+0x20", "0+0x20"]),
                everywhere("up", "1+0x20"),
                vec![labelled("up", &[("job", "staging"), ("instance", "a:5000")], "0+0x20")],
            ],
            [quiet(10, alert)],
        ),
        case(
            "a failover is quiet",
            [leads(["1+0x10 0+0x20", "0+0x13 1+0x20"]), everywhere("up", "1+0x30")],
            [quiet(6, alert), quiet(7, alert), quiet(8, alert)],
        ),
    ]
}

fn no_leader_of_one_group() -> [Case; 5] {
    let alert = "NoLeader";
    [
        case(
            "groups are independent",
            [leads(["1+0x20", "0+0x20"]), staging("portfolio_manager_is_leader", "0+0x20")],
            [fires_for(STAGING, 5, alert, "0")],
        ),
        case(
            "a second group of the same job that is entirely down fires, also if it never answered",
            [
                of_group("portfolio_manager_is_leader", "default", "1+0x30"),
                of_group("up", "default", "1+0x30"),
                of_group("up", "desk-2", "0+0x30"),
            ],
            [quiet(1, alert), fires_for(DESK_2, 2, alert, "0"), fires_for(DESK_2, 15, alert, "0")],
        ),
        case(
            "a group of a job of any name that is entirely down fires for as long as it is a target",
            [
                staging("portfolio_manager_is_leader", "1+0x20 stale"),
                staging("up", "1+0x20 0+0x400"),
                leads(["1+0x430", "0+0x430"]),
                everywhere("up", "1+0x430"),
            ],
            [quiet(10, alert), fires_for(STAGING, 13, alert, "0"), fires_for(STAGING, 200, alert, "0")],
        ),
        case(
            "a leader in each of two groups of one job is one leader each",
            [
                of_group("portfolio_manager_is_leader", "default", "1+0x30"),
                of_group("portfolio_manager_is_leader", "desk-2", "1+0x30"),
            ],
            [quiet(5, alert), quiet(5, "MultipleLeaders")],
        ),
        case(
            "a group that was removed fires for an hour",
            [
                leads(["1+0x200", "0+0x200"]),
                everywhere("up", "1+0x200"),
                staging("portfolio_manager_is_leader", "1+0x10 stale"),
            ],
            [fires_for(STAGING, 8, alert, "0"), fires_for(STAGING, 64, alert, "0"), quiet(66, alert)],
        ),
    ]
}

fn multiple_leaders() -> [Case; 3] {
    let alert = "MultipleLeaders";
    [
        case(
            "two leaders fire after a minute",
            [leads(["1+0x20", "0+0x3 1+0x20"]), everywhere("up", "1+0x30")],
            [quiet(2, alert), fires(3, alert, "2"), fires(8, alert, "2")],
        ),
        case(
            "two leaders for half a minute are quiet",
            [leads(["1+0x20", "0+0x3 1 0+0x20"]), everywhere("up", "1+0x30")],
            [quiet(2, alert), quiet(3, alert), quiet(4, alert)],
        ),
        case(
            "a leader in each of two groups is one leader each",
            [leads(["1+0x20", "0+0x20"]), staging("portfolio_manager_is_leader", "1+0x20")],
            [quiet(5, alert)],
        ),
    ]
}

fn split_brain() -> [Case; 7] {
    let alert = "SplitBrainDetected";
    let (redis, db) = ("portfolio_manager_current_leader_redis", "portfolio_manager_current_leader_db");
    let stores =
        |in_redis, in_db| everywhere(redis, in_redis).into_iter().chain(everywhere(db, in_db)).collect();
    [
        case(
            "stores that name different leaders fire after a minute, once for the group",
            [stores("70+0x2 90+0x20", "70+0x30")],
            [quiet(1, alert), quiet(2, alert), fires(3, alert, "2")],
        ),
        case(
            "it fires when one of the instances sees it",
            [each(redis, ["90+0x20", "70+0x20"]), everywhere(db, "70+0x20")],
            [fires(1, alert, "1")],
        ),
        case(
            "the alert names both leaders",
            [
                stores("90+0x20", "70+0x20"),
                ["redis", "db"]
                    .map(|store| {
                        let leader = if store == "redis" { "desk-1" } else { "desk-2" };
                        let labels =
                            [("job", JOB), ("instance", "a:5000"), ("store", store), ("leader", leader)];
                        labelled("portfolio_manager_leader_info", &labels, "1+0x20")
                    })
                    .into(),
            ],
            [Check {
                at_minutes: 2,
                alert,
                fires: vec![Firing {
                    labels: &[("job", JOB)],
                    value: "2",
                    rupees: UNKNOWN_RUPEES,
                    leaders: "Redis names desk-1 and the database desk-2",
                }],
            }],
        ),
        case(
            "it does not resolve because Redis does not answer any more",
            [
                stores("90+0x4 stale", "70+0x40"),
                INSTANCES
                    .map(|instance| {
                        let labels = [("job", JOB), ("instance", instance), ("alert", "split_brain")];
                        labelled("coordinator_alert_status", &labels, "2+0x20 0+0x20")
                    })
                    .into(),
            ],
            [fires(2, alert, "2"), fires(5, alert, "2"), quiet(12, alert)],
        ),
        case("no leader in Redis is no split-brain", [stores("0+0x20", "70+0x20")], [quiet(5, alert)]),
        case("no leader in the database is no split-brain", [stores("70+0x20", "0+0x20")], [quiet(5, alert)]),
        case(
            "groups have separate leaders",
            [stores("70+0x20", "70+0x20"), staging(redis, "90+0x20"), staging(db, "90+0x20")],
            [quiet(5, alert)],
        ),
    ]
}

/// A counter of short events.
fn episodes(alert: &'static str, counter: &'static str) -> [Case; 3] {
    let counts = |values| each(counter, [values, "4+0x60"]);
    let started = |values| each("process_start_time_seconds", [values, "-3600+0x60"]);
    [
        case(
            "one event fires for ten minutes",
            [counts("0+0x10 1+0x50"), started("-3600+0x60")],
            [quiet(5, alert), fires(6, alert, "1"), fires(14, alert, "1"), quiet(16, alert)],
        ),
        case(
            "an event long ago does not fire",
            [counts("9+0x60"), started("-3600+0x60")],
            [quiet(0, alert), quiet(30, alert)],
        ),
        case(
            "the counts of a restarted process are new",
            [counts("1+0x9 0+0x9 1+0x40"), started("-3600+0x9 300+0x50")],
            [quiet(9, alert), fires(10, alert, "1"), fires(14, alert, "1"), quiet(25, alert)],
        ),
    ]
}

/// Times are seconds since the beginning, which is 1970 in a test of rules. 1441 minutes are a day and a minute.
fn forgot() -> [Case; 3] {
    let alert = "StoreForgot";
    let moment = |values| each("coordinator_store_forgot_timestamp_seconds", values);
    [
        case(
            "a store that forgot fires at once and for a day, once for the group",
            [moment(["_x2 60+0x2900", "_x4 60+0x2900"])],
            [
                quiet(0, alert),
                fires(1, alert, "1970-01-01 00:01:00 +0000 UTC"),
                fires(1440, alert, "1970-01-01 00:01:00 +0000 UTC"),
                quiet(1441, alert),
            ],
        ),
        case(
            "the latest time counts, whatever an instance exports that is cut off",
            [moment(["60+0x2900", "60+0x20 600+0x2900"])],
            [
                fires(5, alert, "1970-01-01 00:01:00 +0000 UTC"),
                fires(15, alert, "1970-01-01 00:10:00 +0000 UTC"),
                fires(1449, alert, "1970-01-01 00:10:00 +0000 UTC"),
                quiet(1450, alert),
            ],
        ),
        case(
            "groups have separate stores",
            [staging("coordinator_store_forgot_timestamp_seconds", "60+0x20")],
            [fires_for(STAGING, 5, alert, "1970-01-01 00:01:00 +0000 UTC")],
        ),
    ]
}

/// Changes half a minute apart, after 65 minutes with one leader.
fn changes() -> [Case; 4] {
    let (warns, critical) = ("LeadershipFlapping", "ExcessiveLeadershipFlapping");
    [
        case(
            "three changes within an hour are quiet",
            [epoch("5+0x130 6+1x2 8+0x200")],
            [quiet(77, warns), quiet(100, warns), quiet(124, warns)],
        ),
        case(
            "four warn for as long as they are within the hour",
            [epoch("5+0x130 6+1x3 9+0x200")],
            [quiet(76, warns), fires(77, warns, "4"), fires(124, warns, "4"), quiet(127, warns)],
        ),
        case(
            "ten warn and are not critical",
            [epoch("5+0x130 6+1x9 15+0x200")],
            [fires(85, warns, "10"), quiet(85, critical), quiet(110, critical)],
        ),
        case(
            "eleven are critical",
            [epoch("5+0x130 6+1x10 16+0x200")],
            [fires(85, warns, "11"), quiet(75, critical), fires(76, critical, "11")],
        ),
    ]
}

fn changes_that_are_hard_to_see() -> [Case; 8] {
    let (warns, critical) = ("LeadershipFlapping", "ExcessiveLeadershipFlapping");
    let counter = |values| everywhere("portfolio_manager_leadership_changes", values);
    let started = |values| everywhere("process_start_time_seconds", values);
    [
        case(
            "changes with processes that crash, each of which observed one",
            [
                epoch("5+0x9 6+0x3 stale 7+0x3 stale 8+0x3 stale 9+0x60"),
                counter("0+0x9 1+0x3 stale 1+0x3 stale 1+0x3 stale 1+0x60"),
                started("0+0x9 300+0x3 stale 450+0x3 stale 600+0x3 stale 750+0x60"),
            ],
            [quiet(20, warns), fires(25, warns, "4"), quiet(30, critical)],
        ),
        case(
            "changes while every instance was down",
            [epoch("5+0x130 stale _x60 9+0x100")],
            [quiet(95, warns), fires(107, warns, "4")],
        ),
        case(
            "a restarted counter is no change",
            [
                epoch("30+0x400"),
                counter("25+0x140 0+0x10 stale _x4 0+0x100"),
                started("-90000+0x140 4230+0x10 stale _x4 4680+0x100"),
            ],
            [quiet(82, warns), quiet(100, warns)],
        ),
        case(
            "an instance that is cut off from the database exports the epoch that it knew",
            [each("portfolio_manager_leader_epoch", ["50+0x400", "30+0x400"])],
            [quiet(30, warns), quiet(59, critical), quiet(90, warns), quiet(90, critical)],
        ),
        case(
            "it hides no change that others export",
            [each("portfolio_manager_leader_epoch", ["50+0x130 51+1x3 54+0x100", "30+0x400"])],
            [quiet(70, warns), fires(80, warns, "4"), quiet(80, critical)],
        ),
        case(
            "when it is back, it observes the changes of hours at once",
            [
                each("portfolio_manager_leader_epoch", ["50+0x400", "30+0x140 50+0x100"]),
                each("portfolio_manager_leadership_changes", ["45+0x400", "25+0x140 45+0x100"]),
                started("-90000+0x400"),
            ],
            [quiet(82, warns), quiet(82, critical), quiet(100, critical)],
        ),
        case(
            "a database that was set back, after which the leader changes as often as processes observe it",
            [
                epoch("90+0x130 40+0x20 41+1x3 44+0x100"),
                each("portfolio_manager_leadership_changes", ["7+0x150 8+1x3 11+0x100", "6+0x400"]),
                started("-90000+0x400"),
            ],
            [quiet(75, warns), fires(88, warns, "4"), quiet(88, critical)],
        ),
        case(
            "groups have separate epochs",
            [epoch("5+0x400"), staging("portfolio_manager_leader_epoch", "70+0x130 71+1x3 74+0x100")],
            [fires_for(STAGING, 80, warns, "4"), quiet(80, critical)],
        ),
    ]
}
