//! Panels about the crash recovery of new leaders.

use crate::panel::{Panel, Says, lines, stat};
use crate::zones::{GREEN, RED, Zones};
use domain::recovery::RecoveryCode;

pub fn panels() -> Vec<Panel> {
    vec![
        stat("Recovery Error", "none")
            .described(
                "The reason why the last crash recovery of each instance failed. A leader whose recovery \
                failed does not trade: every signal waits until a recovery passes or another instance leads.",
            )
            .runbooks(&["RecoveryFailed", "RecoveryDataCorrupt", "RecoveryValidationFailed"])
            .query("{{instance}}", "max by (instance) (portfolio_manager_recovery_error_code{$here})")
            .mapped(codes()),
        stat("Recoveries", "short")
            .described(
                "Crash recoveries of the instances since the start of each. Every failure means a leader \
                that could not act, and signals that waited.",
            )
            .runbooks(&["RecoveryFailures", "RepeatedRecoveryFailures"])
            .query("passed", "sum(portfolio_manager_recovery_success_count{$here})")
            .query("failed", "sum(portfolio_manager_recovery_failure_count{$here})"),
        stat("Last Recovery", "dateTimeFromNow")
            .absent("none has run")
            .described(
                "The time of each instance's last recovery, of its last one that failed, and of the operator's last \
                acknowledgement of failures. An instance recovers when it begins to lead.",
            )
            .query(
                "{{instance}}",
                "1000 * max by (instance) (portfolio_manager_last_recovery_timestamp{$here})",
            )
            .query(
                "{{instance}} failed",
                "1000 * max by (instance) (coordinator_recovery_last_failure_timestamp_seconds{$here})",
            )
            .query(
                "acknowledged",
                "1000 * max(coordinator_recovery_acknowledged_timestamp_seconds{$group})",
            ),
        stat("Positions Recovered", "short")
            .absent("none has run")
            .described(
                "Positions of the last recovery that passed. Beyond the validated range a recovery may take \
                longer than measured, and signals wait for it. Each position risks about one lakh (100,000) \
                rupees.",
            )
            .runbooks(&["PositionsBeyondValidatedRange"])
            .query("{{instance}}", "max by (instance) (portfolio_manager_positions_recovered{$here})")
            .zones(Zones::of_whole("positions_beyond_validated_range")),
        lines("Recovery Time", "ms")
            .sized(24, 8)
            .absent("none has run")
            .described(
                "Duration of the last crash recovery of each instance. Signals wait for it: an entry that \
                comes too late is a missed trade.",
            )
            .runbooks(&["SlowRecovery", "CriticalRecoveryTime"])
            .query("{{instance}}", "portfolio_manager_recovery_time_ms{$here}")
            .zones(Zones::of("recovery_time")),
    ]
}

fn codes() -> Vec<Says> {
    let failed = RecoveryCode::ALL.map(|code| Says(code.as_number(), code.as_str(), RED));
    [Says(0, "none", GREEN)].into_iter().chain(failed).collect()
}
