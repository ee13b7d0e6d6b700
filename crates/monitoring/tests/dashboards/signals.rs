//! What the signals are doing, and what that is in money. What the group is, all instances tell: the largest counts. What
//! a process did, it tells alone: the sum counts.

use crate::panel::{Panel, Says, lines, stat, steps};
use crate::zones::{GREEN, YELLOW, Zones};

pub fn panels() -> Vec<Panel> {
    let mut panels = now();
    panels.extend(over_time());
    panels.extend(done());
    panels
}

fn now() -> Vec<Panel> {
    vec![
        stat("Exposure", "currencyINR")
            .says_of_itself(
                "The financial impact: rupees of the signals that were sent, or may have been, and have no result yet, at signals.value_rupees each. In \
                 good order it rises for the moments of a trade and falls back to nothing.",
            )
            .runbooks(&["SignalsInDoubt"])
            .query("", "max(coordinator_signals_exposure_rupees{$group})"),
        stat("Signals in Doubt", "short")
            .says_of_itself(
                "Signals of which nobody knows whether they were executed. Each is a trade that stands in the market \
                 unnoticed, or one that was missed, until a person has asked the broker and decided.",
            )
            .runbooks(&["SignalsInDoubt"])
            .query("", "max(coordinator_signals{$group, state=\"in_doubt\"})")
            .zones(Zones::of_whole("signals_in_doubt")),
        stat("Signals Expired in 24 Hours", "short")
            .says_of_itself(
                "Accepted, and not sent before the time after which they must not be. Each is a missed trade; of an exit \
                 the position is still open.",
            )
            .runbooks(&["SignalExpired"])
            .query("", "max(coordinator_signals_expired_last_day{$group})")
            .zones(Zones::of_whole("signals_expired")),
        stat("Kill Switch", "none")
            .says_of_itself(
                "While it is ON no signal is sent, on any instance: entries are missed when they expire, and exits leave \
                 their positions open.",
            )
            .runbooks(&["SignalsPaused"])
            .query("", "max(coordinator_signals_paused{$group})")
            .mapped([Says(0, "off", GREEN), Says(1, "ON", YELLOW)]),
    ]
}

fn over_time() -> Vec<Panel> {
    vec![
        steps("Signals by State", "short")
            .says_of_itself(
                "Signals of the group that are not finished: received ones wait, claimed and sent ones are on their way, and \
                 of those in doubt nobody knows. No line at all means that the ledger could not be counted.",
            )
            .runbooks(&["SignalLedgerUncounted"])
            .query("{{state}}", "max by (state) (coordinator_signals{$group})"),
        lines("Oldest Signal Waiting", "s")
            .says_of_itself(
                "How long the oldest signal has waited to be sent; no line while none waits. The price that it was meant \
                 for moves on meanwhile.",
            )
            .runbooks(&["SignalsWaiting", "SignalsWaitingLong"])
            .absent("none waits, or the ledger is not counted")
            .query("waiting", "max(coordinator_signals_oldest_waiting_seconds{$group})")
            .zones(Zones::of("signals_waiting")),
        lines("Handler Does Not Execute", "s")
            .says_of_itself(
                "How long the handler has answered for one and the same signal that it did not execute it; no line while \
                 there is no such signal. The trade is late.",
            )
            .runbooks(&["HandlerNotExecuting"])
            .absent("no signal is refused again and again")
            .query("refused", "max(coordinator_handler_not_executing_seconds{$group})")
            .zones(Zones::of("handler_not_executing")),
        lines("Oldest Doubt", "s")
            .says_of_itself(
                "How long ago the oldest signal in doubt was claimed; no line while there is no doubt. All that time its \
                 position may be open without anybody watching it.",
            )
            .runbooks(&["SignalsInDoubt"])
            .absent("none is in doubt, or the ledger is not counted")
            .query("in doubt", "max(coordinator_signals_oldest_in_doubt_seconds{$group})"),
        steps("Signals Sent, and the Limits", "short")
            .says_of_itself(
                "Signals sent in the last minute and day, and how many may be. A limit that is used up holds signals back: \
                 it keeps the money if they are not meant, and delays trades if they are.",
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
        // Of no signals there is no share: not a number is not shown.
        format!("histogram_quantile({share}, sum by (le) (increase({buckets}))) >= 0")
    };
    vec![
        stat("Signals Received", "short")
            .says_of_itself("Signals that the instances accepted, in the time that is shown.")
            .query("", &counted("received")),
        stat("Submissions Refused", "short")
            .says_of_itself(
                "Submissions that the instances refused, by reason, in the time that is shown. Each is a trade that was \
                 missed, and its client may not know.",
            )
            .runbooks(&["SubmissionRefused"])
            .query("{{reason}}", "round(sum by (reason) (increase(coordinator_signals_refused_total{$here}[$__range])))"),
        stat("Duplicates Prevented", "short")
            .says_of_itself(
                "Signals that were not executed a second time, in the time that is shown: submitted again, or in doubt and \
                 found to be executed. Each would have been about a lakh of rupees at risk twice.",
            )
            .query("", &counted("duplicates_prevented")),
        stat("What Became of Signals", "short")
            .sized(12, 4)
            .says_of_itself(
                "What the instances did with signals, in the time that is shown. Sent counts every attempt. Not executed \
                 are those that are sent again, rejected those that are not.",
            )
            .query("claimed", &counted("claimed"))
            .query("sent", &counted("sent"))
            .query("done", &counted("done"))
            .query("rejected", &counted("rejected"))
            .query("in doubt", &counted("doubted"))
            .query("not executed", &counted("not_executed")),
        stat("Time from Received to Sent", "s")
            .sized(24, 4)
            .says_of_itself(
                "How long signals waited before they were sent, in the time that is shown. Usually milliseconds; a lease \
                 when a leader died meanwhile. The market moves for as long.",
            )
            .runbooks(&["SignalsWaiting"])
            .absent("none was sent")
            .query("p50", &waited("0.5"))
            .query("p95", &waited("0.95"))
            .query("p99", &waited("0.99")),
    ]
}
