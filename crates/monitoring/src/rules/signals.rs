//! Alerts about signals.

use super::lookup::{critical, metric, warning};
use super::query::{above, grew, last_known_above, uncounted, worst};
use super::{Component, ExportedRule, Group, Severity};
use alloc::format;
use alloc::string::String;
use core::time::Duration;
use domain::alert::REFUSED_SHOWN;

/// The group of these rules.
pub(super) const GROUP: Group = Group { name: "signals", records: &[], rules: &RULES };

/// Like [`super::EXPOSURE`], for use inside other text. It has a text for a missing metric.
macro_rules! exposure {
    () => {
        concat!(
            r#"{{ $group := "" }}{{ with $labels.group }}{{ $group = . }}{{ end }}"#,
            r#"{{ with printf "max(coordinator_signals_exposure_rupees{job=%q,group=%q})" $labels.job $group | query }}"#,
            r#"{{ . | first | value | printf "%.0f" }}{{ else }}an unknown number of{{ end }} rupees"#,
        )
    };
}
pub(super) const EXPOSURE: &str = exposure!();

/// The time for which the alert about a refused write fires, so that an operator sees it.
const FENCED_WRITE_SHOWN: Duration = Duration::from_mins(10);

/// Twice the largest timeout of a handler that can be configured.
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
        expr: || last_known_above(&format!("{SIGNALS}{{state=\"in_doubt\"}}"), critical("signals_in_doubt")),
        held_for: Duration::ZERO,
        summary: "{{ $labels.job }}: signals in doubt: {{ $value }}",
        description: "They may have been executed: their leader was gone, or their handler gave no answer, \
            between the claim and the result. They are not sent again, and no later signal for their \
            instruments is sent, until an operator has checked the broker and resolved them. While the ledger \
            does not answer, this is the last known number.",
        impact: concat!(
            "Each is an unnoticed trade in the market, or a missed one. Claimed, sent or in doubt are ",
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
        description: "It is durable and not sent. Either no instance leads, or the leader's handler is slow, \
            a limit is used up, or an earlier signal of its instrument has no result.",
        impact: "Its price moves on; when it expires, the trade is missed.",
    },
    ExportedRule {
        alert: "SignalsWaitingLong",
        condition: "signals_waiting",
        severity: Severity::Critical,
        component: Component::Signals,
        expr: || waiting_above(critical("signals_waiting")),
        held_for: Duration::ZERO,
        summary: "{{ $labels.job }}: a signal has waited for {{ $value | humanizeDuration }}",
        description: "It is durable and not sent. A failover or a busy handler does not explain such a long \
            wait.",
        impact: "Its price is gone. If it is an exit, its position is still open.",
    },
    ExportedRule {
        alert: "SignalsClaimedLong",
        condition: "signals_claimed",
        severity: Severity::Warning,
        component: Component::Signals,
        expr: || last_known_above(&format!("{SIGNALS}{{state=\"claimed\"}}"), 0.0),
        held_for: CLAIMED_LONG,
        summary: "{{ $labels.job }}: signals have been claimed without a result: {{ $value }}",
        description: "For ten minutes there was always a claimed signal without a result, which is longer \
            than a handler may take. A service that claims signals itself may have lost the answer to its \
            claim, or may have died after its claim: no other service gets the signal, and no later signal \
            for its instrument is sent. On a day with many signals this can be normal.",
        impact: "A trade that was perhaps never made, and that the list of signals in doubt does not show. \
            If it is an exit, its position may still be open.",
    },
    ExportedRule {
        alert: "SignalsPaused",
        condition: "signals_paused",
        severity: Severity::Warning,
        component: Component::Signals,
        expr: || last_known_above(PAUSED, warning("signals_paused")),
        held_for: Duration::from_mins(5),
        summary: "{{ $labels.job }}: the kill switch is on, no signal is sent",
        description: "An operator turned it on, and it stays on over restarts and failovers until an \
            operator turns it off. Signals are accepted and wait.",
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
        description: "The number of signals sent within a minute or a day has reached the configured limit. \
            The others wait until the oldest of those is out of the window.",
        impact: "If the signals are intended, they are late, or missed when they expire. If they are not, \
            the limit protects the money.",
    },
    ExportedRule {
        alert: "SignalExpired",
        condition: "signals_expired",
        severity: Severity::Critical,
        component: Component::Signals,
        expr: || last_known_above(EXPIRED, critical("signals_expired")),
        held_for: Duration::ZERO,
        summary: "{{ $labels.job }}: signals that expired unsent in the last 24 hours: {{ $value }}",
        description: "They were accepted and expired before they could be sent. The alert ends when an operator has \
            acknowledged each of them, or after 24 hours. While the ledger does not answer, this is the last known \
            number.",
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
        description: "A client submitted a signal that an instance cannot accept: not JSON, a field that is \
            missing or wrong, a placeholder that was not filled, another signal with its id, or a Host \
            header of a proxy. The client may not read the answer, and charts do not submit a signal again.",
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
        description: "The handler answers each time that it did not execute the signal, or the leader cannot \
            connect to it. The leader sends the signal again, at most every 30 seconds.",
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
        description: "An instance wrote to the ledger under a superseded token, and the state store refused \
            it: another instance had taken over while it was paused, or the database had failed over.",
        impact: "None by this write: it changed nothing. A signal that this instance was sending may be in \
            doubt now.",
    },
    ExportedRule {
        alert: "SignalLedgerUncounted",
        condition: "signals_uncounted",
        severity: Severity::Warning,
        component: Component::Signals,
        expr: not_counted,
        held_for: Duration::from_mins(5),
        summary: "{{ $labels.job }}: the leader does not count its signals",
        description: "It leads and cannot read the ledger. The other alerts about signals keep their last known \
            state.",
        impact: "No alert would fire for a trade that is in doubt, held up or missed since then.",
    },
];

/// A leader that has never counted, or whose last count is old.
fn not_counted() -> String {
    worst(&format!(
        "{IS_LEADER} == 1 unless on (job, group, instance) ({SIGNALS} unless on (job, group, instance) {})",
        uncounted()
    ))
}

/// While the kill switch is on, the operator wants signals to wait.
fn waiting_above(limit: f64) -> String {
    let paused = last_known_above(PAUSED, warning("signals_paused"));
    format!("{}\nunless on (job, group) {paused}", last_known_above(OLDEST_WAITING, limit))
}

/// An instance's limits are compared with its own counts: while a new limit is rolled out, instances differ.
fn limit_used_up() -> String {
    worst(&format!(
        "\n  (\n    {SENT_LAST_MINUTE} >= {LIMIT_PER_MINUTE}\n    or {SENT_LAST_DAY} >= {LIMIT_PER_DAY}\n  )\n  \
         and on (job, group, instance) {SIGNALS}{{state=\"received\"}} > 0\n"
    ))
}
