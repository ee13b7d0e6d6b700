//! Alerts about crash recovery.

use super::lookup::{critical, metric, warning};
use super::query::growth;
use super::{Component, ExportedRule, Group, Severity};
use alloc::format;
use alloc::string::String;
use core::time::Duration;
use domain::alert::SLOW_RECOVERY_SHOWN;
use domain::recovery::RecoveryCode;

/// The table.
pub(super) const GROUP: Group = Group { name: "recovery", records: &[], rules: &RULES };

/// Failures are looked back on for this long: those that repeat are counted in it, and one after which a recovery
/// passed is forgotten after it.
const LOOKED_BACK: Duration = Duration::from_hours(1);

/// So many failures within [`LOOKED_BACK`] are not bad luck.
const REPEATED: u8 = 2;

const TIME_MS: &str = metric("portfolio_manager_recovery_time_ms");
const FAILURES: &str = metric("portfolio_manager_recovery_failure_count");
const ERROR_CODE: &str = metric("portfolio_manager_recovery_error_code");
const POSITIONS: &str = metric("portfolio_manager_positions_recovered");
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
        description: "It was elected and cannot read its portfolio from the database. It tries again, with growing \
                      pauses, and does not act before it has passed.",
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
        description: "Rows of the portfolio in the database cannot be what was written: a value is missing, or is \
                      none. Every instance would fail in the same way, so the leader stays, and is halted.",
        impact: "Trading is halted until somebody has corrected the rows. What the positions are is not known.",
    },
    ExportedRule {
        alert: "RecoveryValidationFailed",
        condition: "recovery_validation_failed",
        severity: Severity::Critical,
        component: Component::CrashRecovery,
        expr: || failed_with(RecoveryCode::ValidationFailed),
        held_for: Duration::from_mins(1),
        summary: "{{ $labels.instance }}: the recovery failed with VALIDATION_FAILED",
        description: "Risk or margin of the positions do not add up to what the portfolio says. Every instance would \
                      fail in the same way, so the leader stays, and is halted.",
        impact: "Trading is halted until somebody has found out which of the two sums is true and taken \
                 responsibility for it.",
    },
    ExportedRule {
        alert: "RecoveryFailures",
        condition: "recovery_failures",
        severity: Severity::Warning,
        component: Component::CrashRecovery,
        expr: failed_lately,
        held_for: Duration::from_mins(5),
        summary: "{{ $labels.instance }}: recoveries that failed since its start: {{ $value }}",
        description: "It is told until a recovery has passed and an hour has gone by after that.",
        impact: "None any more, if one has passed since. Until then nothing is traded.",
    },
    ExportedRule {
        alert: "RepeatedRecoveryFailures",
        condition: "recovery_failures",
        severity: Severity::Critical,
        component: Component::CrashRecovery,
        expr: || format!("(\n{}\n) >= {REPEATED}", growth(FAILURES, LOOKED_BACK)),
        held_for: Duration::ZERO,
        summary: "{{ $labels.instance }}: recoveries that failed within an hour: {{ $value }}",
        description: "Trying again does not help: the database stays away, or the portfolio in it is not in order.",
        impact: "Trading is halted: signals wait, and are missed when they expire. Exits leave their positions open.",
    },
    ExportedRule {
        alert: "SlowRecovery",
        condition: "recovery_time",
        severity: Severity::Warning,
        component: Component::CrashRecovery,
        expr: || took_more_than(warning("recovery_time")),
        held_for: Duration::from_mins(1),
        summary: "{{ $labels.instance }}: the last recovery took {{ $value | printf \"%.0f\" }} ms",
        description: "A usual portfolio takes less than 100 ms. It is told for 15 minutes after the recovery.",
        impact: "Signals waited for that long after the change of leader.",
    },
    ExportedRule {
        alert: "CriticalRecoveryTime",
        condition: "recovery_time",
        severity: Severity::Critical,
        component: Component::CrashRecovery,
        expr: || took_more_than(critical("recovery_time")),
        held_for: Duration::from_mins(1),
        summary: "{{ $labels.instance }}: the last recovery took {{ $value | printf \"%.0f\" }} ms",
        description: "The database is too slow to take over in time. It is told for 15 minutes after the recovery.",
        impact: "Signals waited for that long after the change of leader, and will after the next: prices moved on.",
    },
    ExportedRule {
        alert: "PositionsBeyondValidatedRange",
        condition: "positions_beyond_validated_range",
        severity: Severity::Warning,
        component: Component::CrashRecovery,
        expr: || format!("{POSITIONS} > {}", warning("positions_beyond_validated_range")),
        held_for: Duration::from_mins(1),
        summary: "{{ $labels.instance }}: {{ $value }} positions were recovered",
        description: "They were recovered in full. How long that takes was measured up to 50 positions.",
        impact: "None by itself. If nobody meant to hold so many, more money is in the market than was meant.",
    },
];

/// The code goes back to 0 when a recovery passes.
fn failed_with(code: RecoveryCode) -> String {
    format!("{FAILURES} > 0\nand on (job, instance) {ERROR_CODE} == {}", code.as_number())
}

/// The counter never falls while the process lives, so what ends it is that a recovery has passed.
fn failed_lately() -> String {
    let seconds = LOOKED_BACK.as_secs();
    format!(
        "{FAILURES} > 0\nunless on (job, instance) (\n  \
         {ERROR_CODE} == 0 and on (job, instance) {ENDED} < time() - {seconds}\n)"
    )
}

fn took_more_than(limit_ms: f64) -> String {
    let seconds = SLOW_RECOVERY_SHOWN.as_secs();
    format!("{TIME_MS} > {limit_ms}\nand on (job, instance) {ENDED} >= time() - {seconds}")
}
