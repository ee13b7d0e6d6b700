//! Cases of the alerts about signals.

use super::case::{
    Case, Check, Firing, INSTANCES, JOB, Series, UNKNOWN_LEADERS, UNKNOWN_RUPEES, all_quiet, case, each,
    everywhere, fires, labelled, quiet, series,
};

pub fn cases() -> Vec<Case> {
    let mut all = vec![healthy()];
    all.extend(in_doubt());
    all.extend(unknown());
    all.extend(waiting());
    all.push(claimed());
    all.extend(paused());
    all.extend(limited());
    all.extend(expired());
    all.extend(fenced_write());
    all.extend(refused());
    all.push(not_executing());
    all.extend(uncounted());
    all
}

/// Signals in a state, on every instance.
fn signals(state: &str, values: &str) -> Vec<Series> {
    let of = |instance| [("job", JOB), ("instance", instance), ("state", state)];
    INSTANCES.map(|instance| labelled("coordinator_signals", &of(instance), values)).into()
}

/// Signals come and go. The oldest waits exactly as long as allowed, each limit allows one more signal, and writes
/// were refused an hour ago.
fn healthy() -> Case {
    case(
        "a healthy system exactly at every threshold is quiet",
        [
            signals("received", "1+0x60"),
            signals("claimed", "0+0x9 2+0x8 0+0x60"),
            signals("sent", "3+0x60"),
            signals("in_doubt", "0+0x60"),
            everywhere("coordinator_signals_oldest_waiting_seconds", "60+0x60"),
            everywhere("coordinator_signals_exposure_rupees", "500000+0x60"),
            everywhere("coordinator_signals_expired_last_day", "0+0x60"),
            everywhere("coordinator_signals_sent_last_minute", "9+0x60"),
            everywhere("coordinator_signals_limit_per_minute", "10+0x60"),
            everywhere("coordinator_signals_sent_last_day", "99+0x60"),
            everywhere("coordinator_signals_limit_per_day", "100+0x60"),
            everywhere("coordinator_signals_paused", "0+0x60"),
            everywhere("coordinator_fenced_writes_total", "7+0x60"),
            everywhere("coordinator_signals_refused_total", "7+0x60"),
            everywhere("coordinator_handler_not_executing_seconds", "60+0x60"),
            everywhere("process_start_time_seconds", "-3600+0x60"),
            each("portfolio_manager_is_leader", ["1+0x60", "0+0x60"]),
        ],
        all_quiet("signals", &[5, 30]),
    )
}

fn in_doubt() -> [Case; 3] {
    let firing = |labels, rupees| Firing { labels, value: "2", rupees, leaders: UNKNOWN_LEADERS };
    let staging = [("job", "staging"), ("instance", "c:5000"), ("state", "in_doubt")];
    [
        case(
            "a signal in doubt fires at once, once for the group, with the exposure",
            [
                signals("in_doubt", "0 2+0x20"),
                everywhere("coordinator_signals_exposure_rupees", "0 300000+0x20"),
            ],
            [
                quiet(0, "SignalsInDoubt"),
                Check {
                    at_minutes: 1,
                    alert: "SignalsInDoubt",
                    fires: vec![firing(&[("job", JOB)], "300000 rupees")],
                },
            ],
        ),
        case(
            "groups are independent",
            [signals("in_doubt", "0+0x20"), vec![labelled("coordinator_signals", &staging, "2+0x20")]],
            [Check {
                at_minutes: 1,
                alert: "SignalsInDoubt",
                fires: vec![firing(&[("job", "staging")], UNKNOWN_RUPEES)],
            }],
        ),
        case(
            "signals in other states, and one that is resolved, do not fire",
            [signals("received", "5+0x20"), signals("sent", "5+0x20"), signals("in_doubt", "1+0x4 0+0x20")],
            [fires(1, "SignalsInDoubt", "1"), quiet(5, "SignalsInDoubt")],
        ),
    ]
}

/// The ledger was counted at these times, in unix time, which begins at 0 in a case.
fn counted_at(values: [&str; 2]) -> Vec<Series> {
    each("coordinator_signals_counted_timestamp_seconds", values)
}

/// What cannot be counted is not resolved.
fn unknown() -> [Case; 6] {
    let alert = "SignalsInDoubt";
    let always = "0+30x60";
    let [a, b] = INSTANCES;
    let of = |instance, state, values| {
        labelled("coordinator_signals", &[("job", JOB), ("instance", instance), ("state", state)], values)
    };
    let oldest = "coordinator_signals_oldest_waiting_seconds";
    [
        case(
            "a signal in doubt stays in doubt while no instance can count the ledger",
            [signals("in_doubt", "1+0x60"), counted_at(["0+30x4 120+0x56", "0+30x4 120+0x56"])],
            [fires(1, alert, "1"), fires(5, alert, "1"), fires(30, alert, "1")],
        ),
        case(
            "an instance that is cut off keeps no alert firing while another one counts",
            [
                vec![of(a, "in_doubt", "1+0x60"), of(b, "in_doubt", "1+0x9 0+0x50")],
                counted_at(["0+30x4 120+0x56", always]),
            ],
            [fires(4, alert, "1"), quiet(5, alert), quiet(30, alert)],
        ),
        case(
            "a new signal in doubt is not hidden by an instance that is cut off",
            [
                vec![of(a, "in_doubt", "0+0x60"), of(b, "in_doubt", "0+0x9 1+0x50")],
                counted_at(["0+30x4 120+0x56", always]),
            ],
            [quiet(4, alert), fires(5, alert, "1")],
        ),
        case(
            "a signal in doubt stays in doubt for an hour when every instance is gone",
            [signals("in_doubt", "1+0x10 stale"), counted_at(["0+30x10 stale", "0+30x10 stale"])],
            [fires(5, alert, "1"), fires(30, alert, "1"), quiet(70, alert)],
        ),
        case(
            "a missed trade stays missed while no instance can count the ledger",
            [
                everywhere("coordinator_signals_expired_last_day", "1+0x60"),
                counted_at(["0+30x4 120+0x56", "0+30x4 120+0x56"]),
            ],
            [fires(1, "SignalExpired", "1"), fires(30, "SignalExpired", "1")],
        ),
        case(
            "a signal waits no longer if an instance that counts has none",
            [
                vec![series(oldest, a, "400+0x60"), of(a, "received", "1+0x60"), of(b, "received", "0+0x60")],
                counted_at(["0+0x60", always]),
            ],
            [quiet(5, "SignalsWaitingLong"), quiet(30, "SignalsWaiting")],
        ),
    ]
}

fn waiting() -> [Case; 5] {
    let oldest = |values| everywhere("coordinator_signals_oldest_waiting_seconds", values);
    let paused = |values| everywhere("coordinator_signals_paused", values);
    [
        case(
            "a signal that waits for more than a minute fires after another one",
            [oldest("61+0x20"), paused("0+0x20")],
            [quiet(0, "SignalsWaiting"), fires(1, "SignalsWaiting", "1m 1s"), quiet(1, "SignalsWaitingLong")],
        ),
        case(
            "five minutes are not more than five minutes",
            [oldest("300+0x20"), paused("0+0x20")],
            [fires(5, "SignalsWaiting", "5m 0s"), quiet(5, "SignalsWaitingLong")],
        ),
        case(
            "a signal that waits for longer fires at both severities, so that one can silence the other",
            [oldest("301+0x20"), paused("0+0x20")],
            [
                fires(0, "SignalsWaitingLong", "5m 1s"),
                fires(5, "SignalsWaiting", "5m 1s"),
                fires(5, "SignalsWaitingLong", "5m 1s"),
            ],
        ),
        case(
            "while the kill switch is on, signals wait without an alert",
            [oldest("301+0x40"), paused("1+0x20 0+0x20")],
            [
                quiet(5, "SignalsWaiting"),
                quiet(5, "SignalsWaitingLong"),
                fires(15, "SignalsWaiting", "5m 1s"),
                fires(15, "SignalsWaitingLong", "5m 1s"),
            ],
        ),
        case(
            "nothing waits",
            [signals("received", "0+0x20"), paused("0+0x20")],
            [quiet(5, "SignalsWaiting"), quiet(5, "SignalsWaitingLong")],
        ),
    ]
}

fn claimed() -> Case {
    case(
        "a signal that is claimed without a result fires after ten minutes, and not when it gets a result before",
        [signals("claimed", "1+0x18 0 1+0x40")],
        [
            quiet(9, "SignalsClaimedLong"),
            quiet(19, "SignalsClaimedLong"),
            fires(20, "SignalsClaimedLong", "1"),
        ],
    )
}

fn paused() -> [Case; 2] {
    let paused = |values| everywhere("coordinator_signals_paused", values);
    [
        case(
            "a kill switch that stays on fires after five minutes",
            [paused("1+0x20")],
            [quiet(4, "SignalsPaused"), fires(5, "SignalsPaused", "1")],
        ),
        case(
            "a kill switch that is turned on and off again does not fire",
            [paused("0+0x2 1+0x8 0+0x20")],
            [quiet(5, "SignalsPaused"), quiet(12, "SignalsPaused")],
        ),
    ]
}

fn limited() -> [Case; 5] {
    let alert = "SignalLimitReached";
    let sent = |minute, day| {
        let minute = everywhere("coordinator_signals_sent_last_minute", minute);
        minute.into_iter().chain(everywhere("coordinator_signals_sent_last_day", day)).collect()
    };
    let limits = || {
        let minute = everywhere("coordinator_signals_limit_per_minute", "10+0x20");
        minute.into_iter().chain(everywhere("coordinator_signals_limit_per_day", "100+0x20")).collect()
    };
    [
        case(
            "a signal that waits behind the limit of a minute fires",
            [signals("received", "1+0x20"), sent("10+0x20", "10+0x20"), limits()],
            [quiet(0, alert), fires(1, alert, "10")],
        ),
        case(
            "a signal that waits behind the limit of a day fires",
            [signals("received", "1+0x20"), sent("0+0x20", "100+0x20"), limits()],
            [quiet(0, alert), fires(1, alert, "100")],
        ),
        case(
            "a limit that is used up while no signal waits does not fire",
            [signals("received", "0+0x20"), sent("10+0x20", "100+0x20"), limits()],
            [quiet(5, alert)],
        ),
        case(
            "signals that wait while no limit is used up do not fire",
            [signals("received", "9+0x20"), sent("9+0x20", "99+0x20"), limits()],
            [quiet(5, alert)],
        ),
        case(
            "without a limit none is used up",
            [signals("received", "9+0x20"), sent("1000+0x20", "1000+0x20")],
            [quiet(5, alert)],
        ),
    ]
}

fn expired() -> [Case; 2] {
    let expired = |values| everywhere("coordinator_signals_expired_last_day", values);
    [
        case(
            "a missed trade fires at once",
            [expired("0 1+0x20")],
            [quiet(0, "SignalExpired"), fires(1, "SignalExpired", "1")],
        ),
        case(
            "it fires until a day has passed",
            [expired("3+0x8 0+0x8")],
            [fires(4, "SignalExpired", "3"), quiet(5, "SignalExpired")],
        ),
    ]
}

/// Only the counter of the second instance grows.
fn fenced_write() -> [Case; 7] {
    let alert = "FencedWrite";
    let counter = |values: &str| {
        let [other, this] = INSTANCES;
        let counter = "coordinator_fenced_writes_total";
        vec![series(counter, other, "4+0x60"), series(counter, this, values)]
    };
    let started = |values: &str| {
        let [other, this] = INSTANCES;
        let started = "process_start_time_seconds";
        vec![series(started, other, "-3600+0x60"), series(started, this, values)]
    };
    [
        case(
            "a refused write fires for ten minutes",
            [counter("0+0x10 1+0x50"), started("-3600+0x60")],
            [quiet(5, alert), fires(6, alert, "1"), fires(14, alert, "1"), quiet(16, alert)],
        ),
        case(
            "writes that were refused long ago do not fire",
            [counter("9+0x60"), started("-3600+0x60")],
            [quiet(0, alert), quiet(5, alert), quiet(30, alert)],
        ),
        case(
            "a counter that restarted with its process is no growth",
            [counter("9+0x19 0+0x40"), started("-3600+0x19 600+0x40")],
            [quiet(9, alert), quiet(10, alert), quiet(11, alert), quiet(20, alert)],
        ),
        case(
            "a counter that has the same value after a restart has grown",
            [counter("1+0x19 1+0x40"), started("-3600+0x19 600+0x40")],
            [quiet(9, alert), fires(10, alert, "1"), fires(19, alert, "1"), quiet(20, alert)],
        ),
        case(
            "a counter with a smaller value after a restart has grown too",
            [counter("9+0x19 0+0x9 2+0x30"), started("-3600+0x19 600+0x40")],
            [quiet(14, alert), fires(15, alert, "1"), fires(19, alert, "1")],
        ),
        case(
            "a process is first scraped after its first refused write",
            [counter("_x19 1+0x40"), started("_x19 570+0x40")],
            [quiet(9, alert), fires(10, alert, "1"), fires(19, alert, "1"), quiet(20, alert)],
        ),
        case(
            "a process that has long been running is first scraped",
            [counter("_x19 3+0x40"), started("_x19 -3600+0x40")],
            [quiet(10, alert), quiet(20, alert)],
        ),
    ]
}

/// The counter of the second instance, for one reason.
fn refused() -> [Case; 2] {
    let alert = "SubmissionRefused";
    let [_, b] = INSTANCES;
    let counter = |reason, values: &str| {
        labelled(
            "coordinator_signals_refused_total",
            &[("job", JOB), ("instance", b), ("reason", reason)],
            values,
        )
    };
    let started = |values: &str| vec![series("process_start_time_seconds", b, values)];
    [
        case(
            "a refused submission fires for ten minutes",
            [
                vec![counter("conflict", "0+0x10 1+0x50"), counter("malformed", "3+0x60")],
                started("-3600+0x60"),
            ],
            [quiet(5, alert), fires(6, alert, "1"), fires(14, alert, "1"), quiet(16, alert)],
        ),
        case(
            "a process is first scraped after its first refusal",
            [vec![counter("malformed", "_x19 2+0x40")], started("_x19 570+0x40")],
            [quiet(9, alert), fires(10, alert, "2"), quiet(20, alert)],
        ),
    ]
}

fn not_executing() -> Case {
    let alert = "HandlerNotExecuting";
    case(
        "a handler that has not executed a signal for more than a minute fires until it executes it",
        [vec![series("coordinator_handler_not_executing_seconds", INSTANCES[0], "60 61 400 _x20")]],
        [quiet(0, alert), fires(1, alert, "6m 40s"), quiet(8, alert)],
    )
}

fn uncounted() -> [Case; 5] {
    let alert = "SignalLedgerUncounted";
    let leader = |instance, values| vec![series("portfolio_manager_is_leader", instance, values)];
    let counted = |instance, values| {
        vec![labelled(
            "coordinator_signals",
            &[("job", JOB), ("instance", instance), ("state", "received")],
            values,
        )]
    };
    let [a, b] = INSTANCES;
    [
        case(
            "a leader that has not counted its signals for five minutes fires",
            [leader(a, "1+0x20"), leader(b, "0+0x20")],
            [quiet(4, alert), fires(5, alert, "1")],
        ),
        case(
            "it fires even if another instance counts them, because the leader's database may be unreachable",
            [leader(a, "1+0x20"), leader(b, "0+0x20"), counted(b, "0+0x20")],
            [fires(5, alert, "1")],
        ),
        case(
            "a leader that counts, and a follower that does not, are quiet",
            [leader(a, "1+0x20"), leader(b, "0+0x20"), counted(a, "0+0x20")],
            [quiet(8, alert)],
        ),
        case(
            "a leader whose last count is old fires although it exports that count",
            [leader(a, "1+0x30"), counted(a, "0+0x30"), counted_at(["0+30x4 120+0x26", "_x30"])],
            [quiet(8, alert), fires(9, alert, "1")],
        ),
        case(
            "without a leader this alert does not fire",
            [leader(a, "0+0x20"), leader(b, "0+0x20")],
            [quiet(8, alert)],
        ),
    ]
}
