//! Panels about the signals and their value in money. All instances export the state of the group: the dashboard
//! takes the maximum. Each process exports its own actions: the dashboard takes the sum.

use crate::panel::{Panel, Says, lines, stat, steps};
use crate::zones::{GREEN, YELLOW, Zones};

pub fn panels() -> Vec<Panel> {
    let mut panels = over_time();
    panels.extend(done());
    panels
}

/// For the first screen: money that is in the market, and trades that are in doubt or missed.
pub fn now() -> Vec<Panel> {
    vec![
        stat("Exposure", "currencyINR")
            .described(
                "The financial impact: rupees of the signals that were or may have been sent and have no \
                result yet, at signals.value_rupees each. Normally it rises for the moments of a trade and \
                returns to zero.",
            )
            .runbooks(&["SignalsInDoubt"])
            .query("", "max(coordinator_signals_exposure_rupees{$group})"),
        stat("Signals in Doubt", "short")
            .described(
                "Signals that may have been executed. Each is an unnoticed trade in the market, or a missed \
                one, until an operator has checked the broker and resolved it.",
            )
            .runbooks(&["SignalsInDoubt"])
            .query("", "max(coordinator_signals{$group, state=\"in_doubt\"})")
            .zones(Zones::of_whole("signals_in_doubt")),
        stat("Signals Expired in 24 Hours", "short")
            .described(
                "Signals that were accepted and expired before they were sent. Each is a missed trade; for \
                an exit the position is still open.",
            )
            .runbooks(&["SignalExpired"])
            .query("", "max(coordinator_signals_expired_last_day{$group})")
            .zones(Zones::of_whole("signals_expired")),
        stat("Kill Switch", "none")
            .described(
                "While it is ON, no instance sends a signal: entries are missed when they expire, and exits \
                leave their positions open.",
            )
            .runbooks(&["SignalsPaused"])
            .query("", "max(coordinator_signals_paused{$group})")
            .mapped([Says(0, "off", GREEN), Says(1, "ON", YELLOW)]),
    ]
}

fn over_time() -> Vec<Panel> {
    vec![
        steps("Signals by State", "short")
            .described(
                "Signals of the group that are not finished: received ones wait, claimed and sent ones are \
                in progress, and those in doubt may have been executed. While the ledger does not answer, the \
                lines keep the last known numbers.",
            )
            .runbooks(&["SignalLedgerUncounted"])
            .query("{{state}}", "max by (state) (coordinator_signals{$group})"),
        lines("Oldest Signal Waiting", "s")
            .described(
                "Age of the oldest signal that waits to be sent; no line while none waits. Its price moves \
                on in that time.",
            )
            .runbooks(&["SignalsWaiting", "SignalsWaitingLong"])
            .absent("none waits, or the ledger was never counted")
            .query("waiting", "max(coordinator_signals_oldest_waiting_seconds{$group})")
            .zones(Zones::of("signals_waiting")),
        lines("Handler Does Not Execute", "s")
            .described(
                "How long the handler has answered for the same signal that it did not execute it; no line \
                without such a signal. The trade is late.",
            )
            .runbooks(&["HandlerNotExecuting"])
            .absent("no signal is refused repeatedly")
            .query("refused", "max(coordinator_handler_not_executing_seconds{$group})")
            .zones(Zones::of("handler_not_executing")),
        lines("Oldest Doubt", "s")
            .described(
                "Time since the claim of the oldest signal in doubt; no line while none is in doubt. In that \
                time its position may be open without supervision.",
            )
            .runbooks(&["SignalsInDoubt"])
            .absent("none is in doubt, or the ledger was never counted")
            .query("in doubt", "max(coordinator_signals_oldest_in_doubt_seconds{$group})"),
        lines("Age of the Signal Counts", "s")
            .described(
                "Time since an instance last counted the signals, normally a few seconds. While it grows, no \
                instance reads the ledger: all numbers of signals are the last known ones.",
            )
            .runbooks(&["SignalLedgerUncounted"])
            .query("last count", "time() - max(coordinator_signals_counted_timestamp_seconds{$group})"),
        steps("Signals Sent, and the Limits", "short")
            .described(
                "Signals sent in the last minute and day, and the limits. A limit that is used up holds \
                signals back: it protects the money if they are not intended, and delays trades if they are.",
            )
            .runbooks(&["SignalLimitReached"])
            .query("sent in a minute", "max(coordinator_signals_sent_last_minute{$group})")
            .query("limit of a minute", "min(coordinator_signals_limit_per_minute{$group})")
            .query("sent in a day", "max(coordinator_signals_sent_last_day{$group})")
            .query("limit of a day", "min(coordinator_signals_limit_per_day{$group})"),
    ]
}

fn done() -> Vec<Panel> {
    let counted =
        |did: &str| format!("round(sum(increase(coordinator_signals_{did}_total{{$here}}[$__range])))");
    let waited = |share: &str| {
        let buckets = "coordinator_signals_received_to_sent_seconds_bucket{$here}[$__range]";
        // Without signals the share is not a number, which is not shown.
        format!("histogram_quantile({share}, sum by (le) (increase({buckets}))) >= 0")
    };
    vec![
        stat("Signals Received", "short")
            .described("Signals that the instances accepted, in the displayed range.")
            .query("", &counted("received")),
        stat("Submissions Refused", "short")
            .described(
                "Submissions that the instances refused, by reason, in the displayed range. Each is a missed \
                trade, and its client may not know.",
            )
            .runbooks(&["SubmissionRefused"])
            .query(
                "{{reason}}",
                "round(sum by (reason) (increase(coordinator_signals_refused_total{$here}[$__range])))",
            ),
        stat("Duplicates Prevented", "short")
            .described(
                "Signals whose second execution was prevented, in the displayed range: submitted again, or \
                in doubt and found to be executed. Each would have risked about one lakh (100,000) rupees \
                twice.",
            )
            .query("", &counted("duplicates_prevented")),
        stat("Folded Alerts", "short")
            .described(
                "Alerts of hooks that were folded into an earlier signal, in the displayed range. A real alert \
                among them was not executed: compare it in the audit, and shorten duplicate_window.",
            )
            .query("", &counted("folded")),
        stat("What Became of Signals", "short")
            .sized(12, 4)
            .described(
                "Actions of the instances on signals, in the displayed range. Sent counts every attempt. Not \
                executed signals are sent again; rejected ones are not.",
            )
            .query("claimed", &counted("claimed"))
            .query("sent", &counted("sent"))
            .query("done", &counted("done"))
            .query("rejected", &counted("rejected"))
            .query("in doubt", &counted("doubted"))
            .query("not executed", &counted("not_executed")),
        stat("Time from Received to Sent", "s")
            .sized(24, 4)
            .described(
                "Time that signals waited before they were sent, in the displayed range. Usually \
                milliseconds, or one lease after a crash of the leader. The market moves in that time.",
            )
            .runbooks(&["SignalsWaiting"])
            .absent("none was sent")
            .query("p50", &waited("0.5"))
            .query("p95", &waited("0.95"))
            .query("p99", &waited("0.99")),
    ]
}
