//! Cases of the alerts about crash recovery.

use super::case::{Case, INSTANCES, Series, all_quiet, case, each, fires_for_a, labelled, quiet};

pub fn cases() -> Vec<Case> {
    let mut all = vec![healthy()];
    for (alert, code, others) in [
        ("RecoveryFailed", "1", ["2", "3"]),
        ("RecoveryDataCorrupt", "2", ["1", "3"]),
        ("RecoveryValidationFailed", "3", ["1", "2"]),
    ] {
        all.extend(failed(alert, code, others));
    }
    all.extend(failures());
    all.extend(repeated());
    all.extend(slow());
    all.extend(positions());
    all
}

/// The series of `a`; the other instance follows and has recovered nothing.
fn of_a(metric: &str, values: &str) -> Vec<Series> {
    each(metric, [values, "_x60"])
}

fn failure_count(values: &str) -> Vec<Series> {
    of_a("portfolio_manager_recovery_failure_count", values)
}

fn error_code(values: &str) -> Vec<Series> {
    of_a("portfolio_manager_recovery_error_code", values)
}

fn ended(values: &str) -> Vec<Series> {
    of_a("portfolio_manager_last_recovery_timestamp", values)
}

fn failed_at(values: &str) -> Vec<Series> {
    of_a("coordinator_recovery_last_failure_timestamp_seconds", values)
}

fn acknowledged(values: &str) -> Vec<Series> {
    of_a("coordinator_recovery_acknowledged_timestamp_seconds", values)
}

fn started(values: &str) -> Vec<Series> {
    of_a("process_start_time_seconds", values)
}

/// One instance leads; its recovery was as slow and its positions as many as the limits allow. Another failed once,
/// and passed more than an hour ago.
fn healthy() -> Case {
    case(
        "a healthy system that stands exactly on every threshold is quiet",
        [
            each("portfolio_manager_recovery_time_ms", ["500+0x60", "80+0x60"]),
            each("portfolio_manager_positions_recovered", ["50+0x60", "10+0x60"]),
            each("portfolio_manager_last_recovery_timestamp", ["0+0x60", "-3601+0x60"]),
            each("portfolio_manager_recovery_failure_count", ["0+0x60", "1+0x60"]),
            each("portfolio_manager_recovery_error_code", ["0+0x60", "0+0x60"]),
            each("process_start_time_seconds", ["-10+0x60", "-7200+0x60"]),
        ],
        all_quiet("recovery", &[0, 5, 10, 30]),
    )
}

/// A failure at minute 2, and later values.
fn failed(alert: &'static str, code: &'static str, others: [&'static str; 2]) -> [Case; 4] {
    let coded = |code: &str| error_code(&format!("0+0x3 {code}+0x60"));
    let [one, other] = others;
    let namesake = [("job", "staging"), ("instance", INSTANCES[0])];
    let namesake = labelled("portfolio_manager_recovery_error_code", &namesake, &format!("{code}+0x60"));
    [
        case(
            "a failed recovery fires until one passes",
            [failure_count("0+0x3 1+0x56"), error_code(&format!("0+0x3 {code}+0x16 0+0x40"))],
            [quiet(2, alert), fires_for_a(3, alert, "1"), fires_for_a(10, alert, "1"), quiet(11, alert)],
        ),
        case(
            "with another code it is another alert, independent of a namesake in another group",
            [failure_count("0+0x3 1+0x60"), coded(one), vec![namesake]],
            [quiet(20, alert)],
        ),
        case(
            "an error code without a failure does not fire",
            [failure_count("0+0x60"), coded(code)],
            [quiet(20, alert)],
        ),
        case("whichever other", [failure_count("0+0x3 1+0x60"), coded(other)], [quiet(20, alert)]),
    ]
}

fn failures() -> [Case; 5] {
    let alert = "RecoveryFailures";
    [
        case(
            "failures fire after five minutes, while no recovery has passed",
            [failure_count("0+0x3 1+0x400"), error_code("0+0x3 1+0x400"), ended("_x3 110+0x400")],
            [quiet(6, alert), fires_for_a(7, alert, "1"), fires_for_a(100, alert, "1")],
        ),
        case(
            "they fire until one has passed and an hour is over",
            [failure_count("1+0x400"), error_code("1+0x20 0+0x400"), ended("0+0x20 630+0x400")],
            [fires_for_a(5, alert, "1"), fires_for_a(70, alert, "1"), quiet(71, alert)],
        ),
        case(
            "an acknowledgement after the last failure ends them when a recovery has passed",
            [
                failure_count("1+0x400"),
                error_code("1+0x20 0+0x400"),
                ended("0+0x20 630+0x400"),
                failed_at("0+0x20 600+0x400"),
                acknowledged("_x30 615+0x400"),
            ],
            [fires_for_a(5, alert, "1"), fires_for_a(14, alert, "1"), quiet(15, alert)],
        ),
        case(
            "an acknowledgement of an earlier failure, or while the recovery fails, ends nothing",
            [
                failure_count("1+0x30 2+0x400"),
                error_code("1+0x30 0+0x400"),
                ended("0+0x30 930+0x400"),
                failed_at("0+0x30 900+0x400"),
                acknowledged("_x20 615+0x400"),
            ],
            [fires_for_a(11, alert, "1"), fires_for_a(20, alert, "2"), fires_for_a(70, alert, "2")],
        ),
        case(
            "a process that never failed is quiet",
            [failure_count("0+0x60"), error_code("0+0x60")],
            [quiet(20, alert)],
        ),
    ]
}

fn repeated() -> [Case; 6] {
    let alert = "RepeatedRecoveryFailures";
    [
        case(
            "the second failure within an hour fires",
            [failure_count("4+0x200 5+0x60 6+0x300"), started("-90000+0x600")],
            [
                quiet(105, alert),
                quiet(130, alert),
                fires_for_a(131, alert, "2"),
                fires_for_a(160, alert, "2"),
                quiet(161, alert),
            ],
        ),
        case(
            "an acknowledgement ends it when a recovery has passed, until the next failure",
            [
                failure_count("0+0x3 1+0x3 2+0x20 3+0x60"),
                started("0+0x100"),
                error_code("2+0x10 0+0x15 2+0x60"),
                failed_at("0+0x27 800+0x60"),
                acknowledged("_x14 430+0x80"),
            ],
            [
                fires_for_a(4, alert, "2"),
                fires_for_a(6, alert, "2"),
                quiet(8, alert),
                quiet(12, alert),
                fires_for_a(15, alert, "3"),
            ],
        ),
        case(
            "a second failure after an hour does not fire",
            [failure_count("4+0x200 5+0x130 6+0x200"), started("-90000+0x600")],
            [quiet(110, alert), quiet(166, alert), quiet(200, alert)],
        ),
        case(
            "a process that is young counts from its start",
            [failure_count("0+0x3 1+0x3 2+0x60"), started("0+0x60")],
            [quiet(3, alert), fires_for_a(4, alert, "2")],
        ),
        case(
            "what a process counted before it was first scraped may be long ago",
            [failure_count("7+0x60"), started("-90000+0x60")],
            [quiet(5, alert), quiet(25, alert)],
        ),
        case(
            "a restart is no failure",
            [failure_count("5+0x200 0+0x10 1+0x100"), started("-90000+0x200 6030+0x111")],
            [quiet(101, alert), quiet(110, alert), quiet(140, alert)],
        ),
    ]
}

fn slow() -> [Case; 4] {
    let (warns, critical) = ("SlowRecovery", "CriticalRecoveryTime");
    let took = |values| of_a("portfolio_manager_recovery_time_ms", values);
    [
        case(
            "a slow recovery fires for fifteen minutes",
            [took("_x3 501+0x60"), ended("_x3 120+0x60")],
            [
                quiet(2, warns),
                fires_for_a(3, warns, "501"),
                fires_for_a(17, warns, "501"),
                quiet(18, warns),
                quiet(5, critical),
            ],
        ),
        case(
            "two seconds are slow and not critical",
            [took("2000+0x60"), ended("0+0x60")],
            [fires_for_a(1, warns, "2000"), quiet(5, critical)],
        ),
        case(
            "a slower one is critical, for fifteen minutes",
            [took("2001+0x60"), ended("0+0x60")],
            [
                quiet(0, critical),
                fires_for_a(1, critical, "2001"),
                fires_for_a(15, critical, "2001"),
                quiet(16, critical),
                quiet(16, warns),
            ],
        ),
        case(
            "a fast recovery ends it",
            [took("2001+0x5 90+0x60"), ended("0+0x5 180+0x60")],
            [fires_for_a(2, critical, "2001"), quiet(4, critical), quiet(4, warns)],
        ),
    ]
}

fn positions() -> [Case; 2] {
    let alert = "PositionsBeyondValidatedRange";
    let recovered = |values| of_a("portfolio_manager_positions_recovered", values);
    [
        case(
            "more than fifty positions fire after a minute",
            [recovered("51+0x60")],
            [quiet(0, alert), fires_for_a(1, alert, "51")],
        ),
        case("before a recovery the number is unknown", [recovered("_x60")], [quiet(10, alert)]),
    ]
}
