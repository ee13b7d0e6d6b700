//! Alerts about crash recovery.

use super::lookup::{critical, metric, warning};
use super::query::growth;
use super::{Component, ExportedRule, Group, Severity};
use alloc::format;
use alloc::string::String;
use core::time::Duration;
use domain::alert::SLOW_RECOVERY_SHOWN;
use domain::recovery::RecoveryCode;

/// The group of these rules.
pub(super) const GROUP: Group = Group { name: "recovery", records: &[], rules: &RULES };

/// Period for failures: repeated failures are counted in it, and a failure before a success is forgotten after it.
const LOOKED_BACK: Duration = Duration::from_hours(1);

/// Number of failures within [`LOOKED_BACK`] above which a failure is not an exception.
const REPEATED: u8 = 2;

const TIME_MS: &str = metric("portfolio_manager_recovery_time_ms");
const FAILURES: &str = metric("portfolio_manager_recovery_failure_count");
const ERROR_CODE: &str = metric("portfolio_manager_recovery_error_code");
const POSITIONS: &str = metric("portfolio_manager_positions_recovered");
const FAILED: &str = metric("coordinator_recovery_last_failure_timestamp_seconds");
const ACKNOWLEDGED: &str = metric("coordinator_recovery_acknowledged_timestamp_seconds");
const ENDED: &str = metric("portfolio_manager_last_recovery_timestamp");

const RULES: [ExportedRule; 8] = [
    ExportedRule {
        alert: "RecoveryFailed",
        condition: "recovery_db_unavailable",
        severity: Severity::Critical,
        component: Component::CrashRecovery,
        expr: || failed_with(RecoveryCode::DbUnavailable),
        held_for: Duration::from_secs(30),
        summary: "{{ $labels.instance }}: the recovery failed with DB_UNAVAILABLE",
        description: "The instance was elected and cannot read its portfolio from the database. It tries \
            again, with growing pauses, and does not act before a recovery has passed.",
        impact: "Trading is halted: signals wait, and are missed when they expire. Exits leave their positions open.",
    },
    ExportedRule {
        alert: "RecoveryDataCorrupt",
        condition: "recovery_data_corrupt",
        severity: Severity::Critical,
        component: Component::CrashRecovery,
        expr: || failed_with(RecoveryCode::DataCorrupt),
        held_for: Duration::from_secs(30),
        summary: "{{ $labels.instance }}: the recovery failed with DATA_CORRUPT",
        description: "Rows of the portfolio in the database are impossible: a value is missing or invalid. \
            Every instance would fail in the same way, so the leader keeps the lease, halted.",
        impact: "Trading is halted until an operator has corrected the rows. The true positions are unknown.",
    },
    ExportedRule {
        alert: "RecoveryValidationFailed",
        condition: "recovery_validation_failed",
        severity: Severity::Critical,
        component: Component::CrashRecovery,
        expr: || failed_with(RecoveryCode::ValidationFailed),
        held_for: Duration::from_mins(1),
        summary: "{{ $labels.instance }}: the recovery failed with VALIDATION_FAILED",
        description: "The sums of risk or margin of the positions differ from the portfolio's totals. Every \
            instance would fail in the same way, so the leader keeps the lease, halted.",
        impact: "Trading is halted until an operator has found out which of the two sums is true and has \
            taken responsibility for it.",
    },
    ExportedRule {
        alert: "RecoveryFailures",
        condition: "recovery_failures",
        severity: Severity::Warning,
        component: Component::CrashRecovery,
        expr: failed_lately,
        held_for: Duration::from_mins(5),
        summary: "{{ $labels.instance }}: recoveries that failed since its start: {{ $value }}",
        description: "The alert fires until a recovery has passed and either one more hour is over or an operator has \
            acknowledged the failures.",
        impact: "None, if a recovery has passed since. Until then no instance trades.",
    },
    ExportedRule {
        alert: "RepeatedRecoveryFailures",
        condition: "recovery_failures",
        severity: Severity::Critical,
        component: Component::CrashRecovery,
        expr: || {
            let unacknowledged = format!("unless on (job, group, instance) (\n  {}\n)", acknowledged());
            format!("(\n{}\n) >= {REPEATED}\n{unacknowledged}", growth(FAILURES, LOOKED_BACK))
        },
        held_for: Duration::ZERO,
        summary: "{{ $labels.instance }}: recoveries that failed within an hour: {{ $value }}",
        description: "Retries do not help: the database stays unreachable, or the portfolio in it is corrupt \
            or inconsistent.",
        impact: "If the last recovery failed, trading is halted: signals wait, and are missed when they expire. Exits \
            leave their positions open. If it passed, signals are sent again, and the next failover may fail the same way.",
    },
    ExportedRule {
        alert: "SlowRecovery",
        condition: "recovery_time",
        severity: Severity::Warning,
        component: Component::CrashRecovery,
        expr: || took_more_than(warning("recovery_time")),
        held_for: Duration::from_mins(1),
        summary: "{{ $labels.instance }}: the last recovery took {{ $value | printf \"%.0f\" }} ms",
        description: "A usual portfolio takes less than 100 ms. The alert fires for 15 minutes after the \
            recovery.",
        impact: "Signals waited for that time after the change of leader.",
    },
    ExportedRule {
        alert: "CriticalRecoveryTime",
        condition: "recovery_time",
        severity: Severity::Critical,
        component: Component::CrashRecovery,
        expr: || took_more_than(critical("recovery_time")),
        held_for: Duration::from_mins(1),
        summary: "{{ $labels.instance }}: the last recovery took {{ $value | printf \"%.0f\" }} ms",
        description: "The database is too slow for a takeover in time. The alert fires for 15 minutes after \
            the recovery.",
        impact: "Signals waited for that time after the change of leader, and will wait after the next one: \
            their prices move on.",
    },
    ExportedRule {
        alert: "PositionsBeyondValidatedRange",
        condition: "positions_beyond_validated_range",
        severity: Severity::Warning,
        component: Component::CrashRecovery,
        expr: || format!("{POSITIONS} > {}", warning("positions_beyond_validated_range")),
        held_for: Duration::from_mins(1),
        summary: "{{ $labels.instance }}: {{ $value }} positions were recovered",
        description: "They were recovered in full. The duration of a recovery was measured up to 50 \
            positions.",
        impact: "None directly. If this number of positions was not intended, more money is in the market \
            than intended.",
    },
];

/// The code returns to 0 when a recovery passes.
fn failed_with(code: RecoveryCode) -> String {
    format!("{FAILURES} > 0\nand on (job, group, instance) {ERROR_CODE} == {}", code.as_number())
}

/// The instances whose last recovery passed, and whose last failure an operator has acknowledged since. A present
/// failure cannot be acknowledged away.
fn acknowledged() -> String {
    format!(
        "{ERROR_CODE} == 0 and on (job, group, instance) ({FAILED} < on (job, group, instance) {ACKNOWLEDGED})"
    )
}

/// The counter never falls while the process lives, so the alert ends when a recovery has passed.
fn failed_lately() -> String {
    let seconds = LOOKED_BACK.as_secs();
    format!(
        "{FAILURES} > 0\nunless on (job, group, instance) (\n  \
         {ERROR_CODE} == 0 and on (job, group, instance) {ENDED} < time() - {seconds}\n  or {}\n)",
        acknowledged()
    )
}

fn took_more_than(limit_ms: f64) -> String {
    let seconds = SLOW_RECOVERY_SHOWN.as_secs();
    format!("{TIME_MS} > {limit_ms}\nand on (job, group, instance) {ENDED} >= time() - {seconds}")
}
