//! Alerts about signals.

use super::lookup::{critical, metric, warning};
use super::query::{above, grew, worst};
use super::{Component, ExportedRule, Group, Severity};
use alloc::format;
use alloc::string::String;
use core::time::Duration;
use domain::alert::REFUSED_SHOWN;

/// The table.
pub(super) const GROUP: Group = Group { name: "signals", records: &[], rules: &RULES };

/// As [`super::EXPOSURE`], to be put between other text. Without the metric, it says so.
macro_rules! exposure {
    () => {
        concat!(
            r#"{{ with printf "max(coordinator_signals_exposure_rupees{job=%q})" $labels.job | query }}"#,
            r#"{{ . | first | value | printf "%.0f" }}{{ else }}an unknown number of{{ end }} rupees"#,
        )
    };
}
pub(super) const EXPOSURE: &str = exposure!();

/// A refused write is told for this long: until somebody has looked, not until the next one.
const FENCED_WRITE_SHOWN: Duration = Duration::from_mins(10);

/// Twice the longest time of a handler that can be configured.
const CLAIMED_LONG: Duration = Duration::from_mins(10);

const SIGNALS: &str = metric("coordinator_signals");
const OLDEST_WAITING: &str = metric("coordinator_signals_oldest_waiting_seconds");
const PAUSED: &str = metric("coordinator_signals_paused");
const EXPIRED: &str = metric("coordinator_signals_expired_last_day");
const SENT_LAST_MINUTE: &str = metric("coordinator_signals_sent_last_minute");
const SENT_LAST_DAY: &str = metric("coordinator_signals_sent_last_day");
const LIMIT_PER_MINUTE: &str = metric("coordinator_signals_limit_per_minute");
const LIMIT_PER_DAY: &str = metric("coordinator_signals_limit_per_day");
const FENCED_WRITES: &str = metric("coordinator_fenced_writes_total");
const REFUSED: &str = metric("coordinator_signals_refused_total");
const NOT_EXECUTING: &str = metric("coordinator_handler_not_executing_seconds");
const IS_LEADER: &str = metric("portfolio_manager_is_leader");

const RULES: [ExportedRule; 11] = [
    ExportedRule {
        alert: "SignalsInDoubt",
        condition: "signals_in_doubt",
        severity: Severity::Critical,
        component: Component::Signals,
        expr: || above(&format!("{SIGNALS}{{state=\"in_doubt\"}}"), critical("signals_in_doubt")),
        held_for: Duration::ZERO,
        summary: "{{ $labels.job }}: signals in doubt: {{ $value }}",
        description: "Nobody knows whether they were executed: their leader was gone, or their handler gave no \
                      answer, between the claim and the result. They are not sent again, and nothing later for \
                      their instruments is sent, until somebody has asked the broker and decided.",
        impact: concat!(
            "Each is a trade that stands in the market unnoticed, or one that was missed. Claimed, sent or in \
             doubt are ",
            exposure!(),
            "."
        ),
    },
    ExportedRule {
        alert: "SignalsWaiting",
        condition: "signals_waiting",
        severity: Severity::Warning,
        component: Component::Signals,
        expr: || waiting_above(warning("signals_waiting")),
        held_for: Duration::from_mins(1),
        summary: "{{ $labels.job }}: a signal has waited for {{ $value | humanizeDuration }}",
        description: "It is durable and not sent. Nobody leads, the leader's handler is slow, a limit is used up, \
                      or an earlier signal of its instrument is not settled.",
        impact: "The price that it was meant for moves on; when it expires, the trade is missed.",
    },
    ExportedRule {
        alert: "SignalsWaitingLong",
        condition: "signals_waiting",
        severity: Severity::Critical,
        component: Component::Signals,
        expr: || waiting_above(critical("signals_waiting")),
        held_for: Duration::ZERO,
        summary: "{{ $labels.job }}: a signal has waited for {{ $value | humanizeDuration }}",
        description: "It is durable and not sent, for longer than a failover or a busy handler explains.",
        impact: "The price that it was meant for is gone. If it is an exit, its position is still open.",
    },
    ExportedRule {
        alert: "SignalsClaimedLong",
        condition: "signals_claimed",
        severity: Severity::Warning,
        component: Component::Signals,
        expr: || above(&format!("{SIGNALS}{{state=\"claimed\"}}"), 0.0),
        held_for: CLAIMED_LONG,
        summary: "{{ $labels.job }}: signals are claimed all the time: {{ $value }}",
        description: "For ten minutes there was always one that was handed out and has no result, for longer than a \
                      handler may take. A service that claims signals itself may have lost the answer to its claim, \
                      or have died with a signal in hand: nobody else is given it, and nothing later for its \
                      instrument is sent. Where signals come one upon the other this can be a busy day.",
        impact: "A trade that was perhaps never made, and whoever looks at doubts does not see it. If it is an exit, \
                 its position may still be open.",
    },
    ExportedRule {
        alert: "SignalsPaused",
        condition: "signals_paused",
        severity: Severity::Warning,
        component: Component::Signals,
        expr: || above(PAUSED, warning("signals_paused")),
        held_for: Duration::from_mins(5),
        summary: "{{ $labels.job }}: the kill switch is on, no signal is sent",
        description: "Somebody turned it on, and it stays on over restarts and failovers until somebody turns it \
                      off. Signals are accepted and wait.",
        impact: "Entries are missed when they expire, and exits leave their positions open.",
    },
    ExportedRule {
        alert: "SignalLimitReached",
        condition: "signals_limited",
        severity: Severity::Warning,
        component: Component::Signals,
        expr: limit_used_up,
        held_for: Duration::from_mins(1),
        summary: "{{ $labels.job }}: signals wait because a limit is used up: {{ $value }} were sent",
        description: "As many signals were sent within a minute or a day as the configuration allows. The others \
                      wait until the oldest of those is out of the window.",
        impact: "If the signals are meant, they are late, or missed when they expire. If they are not, the limit is \
                 what keeps the money.",
    },
    ExportedRule {
        alert: "SignalExpired",
        condition: "signals_expired",
        severity: Severity::Critical,
        component: Component::Signals,
        expr: || above(EXPIRED, critical("signals_expired")),
        held_for: Duration::ZERO,
        summary: "{{ $labels.job }}: signals that expired unsent in the last 24 hours: {{ $value }}",
        description: "They were accepted, and could not be sent before the time after which they must not be.",
        impact: "Each is a trade that was missed. If it was an exit, its position is still open.",
    },
    ExportedRule {
        alert: "SubmissionRefused",
        condition: "submission_refused",
        severity: Severity::Warning,
        component: Component::Signals,
        expr: || grew(REFUSED, REFUSED_SHOWN),
        held_for: Duration::ZERO,
        summary: "{{ $labels.job }}: a submitted signal was refused",
        description: "A client submitted a signal that an instance cannot accept: not JSON, a field that is missing or \
                      wrong, a placeholder that was not filled, another signal under its name, or a Host header of a \
                      proxy. The client may read no answer, and charts do not submit it again.",
        impact: "A trade that was missed. If it was an exit, its position is still open.",
    },
    ExportedRule {
        alert: "HandlerNotExecuting",
        condition: "handler_not_executing",
        severity: Severity::Warning,
        component: Component::Signals,
        expr: || above(NOT_EXECUTING, warning("handler_not_executing")),
        held_for: Duration::ZERO,
        summary: "{{ $labels.job }}: the handler has not executed a signal for {{ $value | humanizeDuration }}",
        description: "The handler answers each time that it did not execute the signal, or no connection to it can be \
                      made. The leader sends the signal again, at most every 30 seconds.",
        impact: "The trade is late and is missed when the signal expires. If it is an exit, its position is still open.",
    },
    ExportedRule {
        alert: "FencedWrite",
        condition: "fenced_write",
        severity: Severity::Warning,
        component: Component::Signals,
        expr: || grew(FENCED_WRITES, FENCED_WRITE_SHOWN),
        held_for: Duration::ZERO,
        summary: "{{ $labels.job }}: a write of a former leadership was refused",
        description: "An instance wrote to the ledger under a token that is not the lease row's any more, and the \
                      state store refused it: another one had taken over while it stood still, or the database \
                      was failed over.",
        impact: "None by this write: it changed nothing. A signal that this instance had in hand may be in doubt now.",
    },
    ExportedRule {
        alert: "SignalLedgerUncounted",
        condition: "signals_uncounted",
        severity: Severity::Warning,
        component: Component::Signals,
        expr: || worst(&format!("{IS_LEADER} == 1 unless on (job, instance) {SIGNALS}")),
        held_for: Duration::from_mins(5),
        summary: "{{ $labels.job }}: the leader does not count its signals",
        description: "It leads and cannot read the ledger, so that all other alerts about signals are blind.",
        impact: "A trade in doubt, held up or missed would not be told.",
    },
];

/// While the kill switch is on, waiting is what was asked for.
fn waiting_above(limit: f64) -> String {
    format!("{}\nunless on (job) {}", above(OLDEST_WAITING, limit), above(PAUSED, warning("signals_paused")))
}

/// An instance's limits and counts are compared with each other: while a new limit is rolled out, instances differ.
fn limit_used_up() -> String {
    worst(&format!(
        "\n  (\n    {SENT_LAST_MINUTE} >= {LIMIT_PER_MINUTE}\n    or {SENT_LAST_DAY} >= {LIMIT_PER_DAY}\n  )\n  \
         and on (job, instance) {SIGNALS}{{state=\"received\"}} > 0\n"
    ))
}
