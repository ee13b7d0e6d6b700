//! Cases of the alerts about heartbeats.
//!
//! A series is scraped every 30 seconds, so `-10+30x60` is a heartbeat that is always 10 seconds old.

use super::case::{
    Case, INSTANCES, JOB, Series, all_quiet, case, each, everywhere, fires_for, fires_for_a, labelled, quiet,
    series,
};

const STALE: &str = "StaleHeartbeat";
const DELAYED: &str = "DelayedHeartbeat";
const STAGING: &[(&str, &str)] = &[("job", "staging"), ("instance", "c:5000")];

pub fn cases() -> Vec<Case> {
    let mut all = vec![healthy()];
    all.extend(old());
    all.extend(dead());
    all.extend(removed_by_an_operator());
    all.extend(stopped());
    all.extend(skewed());
    all.push(differing());
    all
}

/// Heartbeats of `a`; the other instance's are recent.
fn heartbeats(values: &str) -> Vec<Series> {
    each("portfolio_manager_last_heartbeat_timestamp", [values, "-10+30x400"])
}

fn answers(values: &str) -> Vec<Series> {
    each("up", [values, "1+0x400"])
}

/// One instance's heartbeat has the maximum age, the other's is in the future by the maximum; the follower has no
/// heartbeat task.
fn healthy() -> Case {
    case(
        "a healthy system exactly at every threshold is quiet",
        [
            each("portfolio_manager_last_heartbeat_timestamp", ["-30+30x60", "5+30x60"]),
            everywhere("up", "1+0x60"),
            each("portfolio_manager_is_leader", ["1+0x60", "0+0x60"]),
            each("portfolio_manager_heartbeat_running", ["1+0x60", "0+0x60"]),
        ],
        all_quiet("heartbeat", &[0, 5, 30]),
    )
}

/// Both instances export the difference; there is one alert.
fn differing() -> Case {
    const DIFFERS: &[(&str, &str)] =
        &[("job", JOB), ("setting", "leader_ttl"), ("instances", "a: 10s; b: 20s")];
    let seen = |instance, values| {
        let labels = [
            ("job", JOB),
            ("instance", instance),
            ("setting", "leader_ttl"),
            ("instances", "a: 10s; b: 20s"),
        ];
        labelled("coordinator_settings_differ", &labels, values)
    };
    let [a, b] = INSTANCES;
    case(
        "settings that differ fire after two minutes, with the instances, until they agree",
        [vec![seen(a, "1+0x20 _x20"), seen(b, "1+0x20 _x20")]],
        [
            quiet(1, "SettingsDiffer"),
            fires_for(DIFFERS, 2, "SettingsDiffer", "1"),
            quiet(16, "SettingsDiffer"),
        ],
    )
}

fn old() -> [Case; 5] {
    [
        case(
            "a heartbeat that is older than half a minute fires after two minutes",
            [heartbeats("-31+30x60"), answers("1+0x60")],
            [quiet(1, DELAYED), fires_for_a(2, DELAYED, "31s"), quiet(20, STALE)],
        ),
        case(
            "a minute is not more than a minute",
            [heartbeats("-60+30x60"), answers("1+0x60")],
            [fires_for_a(20, DELAYED, "1m 0s"), quiet(20, STALE)],
        ),
        case(
            "an older one fires at both severities, so that one can silence the other",
            [heartbeats("-61+30x60"), answers("1+0x60")],
            [quiet(0, STALE), fires_for_a(1, STALE, "1m 1s"), fires_for_a(2, DELAYED, "1m 1s")],
        ),
        case(
            "an instance that answers without heartbeats fires",
            [heartbeats("-10+30x10 290+0x50"), answers("1+0x60")],
            [
                quiet(5, DELAYED),
                quiet(6, STALE),
                fires_for_a(8, STALE, "3m 10s"),
                fires_for_a(8, DELAYED, "3m 10s"),
            ],
        ),
        case(
            "before the first heartbeat there is no age",
            [heartbeats("_x60"), answers("1+0x60")],
            [quiet(1, STALE), quiet(20, STALE), quiet(20, DELAYED)],
        ),
    ]
}

fn dead() -> [Case; 8] {
    let metric = "portfolio_manager_last_heartbeat_timestamp";
    [
        case(
            "an instance that is down has an older heartbeat each minute, and a new one when it is back",
            [heartbeats("-10+30x20 stale _x20 1250+30x40"), answers("1+0x20 0+0x20 1+0x40")],
            [
                quiet(10, DELAYED),
                quiet(11, STALE),
                fires_for_a(12, STALE, "2m 10s"),
                fires_for_a(13, DELAYED, "3m 10s"),
                fires_for_a(20, STALE, "10m 10s"),
                quiet(22, STALE),
                quiet(22, DELAYED),
            ],
        ),
        case(
            "it is down, whatever samples Prometheus still has",
            [heartbeats("-10+30x20 _x60"), answers("1+0x20 0+0x60")],
            [fires_for_a(13, STALE, "3m 10s"), fires_for_a(14, DELAYED, "4m 10s")],
        ),
        case(
            "an instance that was removed from the targets of its group does not fire",
            [heartbeats("-10+30x20 stale"), answers("1+0x20 stale")],
            [quiet(11, STALE), quiet(13, STALE), quiet(14, DELAYED), quiet(70, STALE)],
        ),
        case(
            "an instance that crashed and was then removed stops firing",
            [heartbeats("-10+30x20 stale"), answers("1+0x20 0+0x20 stale")],
            [fires_for_a(13, STALE, "3m 10s"), quiet(21, STALE), quiet(60, STALE)],
        ),
        case(
            "an instance that crashed fires for as long as it is a target",
            [heartbeats("-10+30x20 stale"), answers("1+0x20 0+0x400")],
            [fires_for_a(13, STALE, "3m 10s"), fires_for_a(200, STALE, "3h 10m 10s")],
        ),
        case(
            "a group without any target fires for an hour: Prometheus may have lost its configuration",
            [heartbeats("-10+30x20 stale"), each("up", ["1+0x20 stale", "1+0x20 stale"])],
            [fires_for_a(13, STALE, "3m 10s"), fires_for_a(70, STALE, "1h 0m 10s"), quiet(71, STALE)],
        ),
        case(
            "a restart that is over within a minute is quiet",
            [heartbeats("-10+30x20 stale 650+30x40"), answers("1+0x20 0 1+0x40")],
            [quiet(11, STALE), quiet(12, STALE), quiet(13, DELAYED)],
        ),
        case(
            "groups are independent",
            [
                heartbeats("-10+30x60"),
                vec![labelled(metric, STAGING, "-10+30x20 stale"), labelled("up", STAGING, "1+0x20 0+0x40")],
                everywhere("up", "1+0x60"),
            ],
            [fires_for(STAGING, 13, STALE, "3m 10s"), fires_for(STAGING, 13, DELAYED, "3m 10s")],
        ),
    ]
}

fn removed_by_an_operator() -> [Case; 2] {
    [
        case(
            "an instance that an operator removed stops firing, also while it is a target",
            [
                heartbeats("-10+30x20 stale"),
                answers("1+0x20 0+0x400"),
                process("a-1", "-50+0x20 stale"),
                removed("a-1", "_x40 -50+0x400"),
            ],
            [
                fires_for_a(13, STALE, "3m 10s"),
                fires_for_a(19, STALE, "9m 10s"),
                quiet(21, STALE),
                quiet(60, STALE),
            ],
        ),
        case(
            "the removal of a former process there does not cover the process that crashed later",
            [
                heartbeats("-10+30x20 stale"),
                answers("1+0x20 0+0x400"),
                process("a-0", "-500+0x1 stale"),
                process("a-1", "_x3 -50+0x17 stale"),
                removed("a-0", "_x30 -500+0x400"),
            ],
            [fires_for_a(13, STALE, "3m 10s"), fires_for_a(60, STALE, "50m 10s")],
        ),
    ]
}

/// A process of `a`: its start, and the id that it exports.
fn process(id: &str, started: &str) -> Vec<Series> {
    let labels = [("job", JOB), ("instance", INSTANCES[0]), ("instance_id", id), ("version", "1")];
    let info: Vec<String> = started
        .split(' ')
        .map(|part| match part.split_once('+') {
            Some((_, times)) => format!("1+{times}"),
            None => part.to_owned(),
        })
        .collect();
    vec![
        labelled("portfolio_manager_instance_info", &labels, &info.join(" ")),
        series("process_start_time_seconds", INSTANCES[0], started),
    ]
}

/// The other instance exports that the process with that id was removed.
fn removed(id: &str, started: &str) -> Vec<Series> {
    let labels = [("job", JOB), ("instance", INSTANCES[1]), ("instance_id", id)];
    vec![labelled("coordinator_instance_removed_start_time_seconds", &labels, started)]
}

fn stopped() -> [Case; 3] {
    let alert = "LeaderHeartbeatStopped";
    let leads = |values| each("portfolio_manager_is_leader", [values, "0+0x60"]);
    let runs = |values| each("portfolio_manager_heartbeat_running", [values, "1+0x60"]);
    [
        case(
            "a leader whose heartbeat has stopped fires after half a minute",
            [leads("1+0x60"), runs("1+0x3 0+0x50")],
            [quiet(2, alert), fires_for_a(3, alert, "1")],
        ),
        case("a follower does not fire", [leads("0+0x60"), runs("0+0x60")], [quiet(5, alert)]),
        case(
            "a leader of one group and a follower of another are two",
            [
                leads("1+0x60"),
                runs("1+0x60"),
                vec![labelled(
                    "portfolio_manager_heartbeat_running",
                    &[("job", "staging"), ("instance", "a:5000")],
                    "0+0x60",
                )],
            ],
            [quiet(5, alert)],
        ),
    ]
}

fn skewed() -> [Case; 2] {
    let alert = "ClockSkew";
    [
        case(
            "a heartbeat more than five seconds in the future fires after a minute",
            [heartbeats("6+30x60"), answers("1+0x60")],
            [quiet(0, alert), fires_for_a(1, alert, "6s")],
        ),
        case(
            "an instance that is down has no clock, whatever its last heartbeat was",
            [heartbeats("10+30x20 stale"), answers("1+0x20 0+0x60")],
            [fires_for_a(10, alert, "10s"), quiet(12, alert), fires_for_a(13, STALE, "2m 50s")],
        ),
    ]
}
