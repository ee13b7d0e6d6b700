//! What a new leader did before it acted.

use crate::panel::{Panel, Says, lines, stat};
use crate::zones::{GREEN, RED, Zones};
use domain::recovery::RecoveryCode;

pub fn panels() -> Vec<Panel> {
    vec![
        stat("Recovery Error", "none")
            .says_of_itself(
                "Why the last crash recovery of each instance failed. An instance whose recovery failed trades nothing: \
                 every signal waits until it passes or another instance leads.",
            )
            .runbooks(&["RecoveryFailed", "RecoveryDataCorrupt", "RecoveryValidationFailed"])
            .query("{{instance}}", "max by (instance) (portfolio_manager_recovery_error_code{$here})")
            .mapped(codes()),
        stat("Recoveries", "short")
            .says_of_itself(
                "Crash recoveries of the instances since each of them started. Every failure is a leader that could not \
                 act and signals that waited.",
            )
            .runbooks(&["RecoveryFailures", "RepeatedRecoveryFailures"])
            .query("passed", "sum(portfolio_manager_recovery_success_count{$here})")
            .query("failed", "sum(portfolio_manager_recovery_failure_count{$here})"),
        stat("Last Recovery", "dateTimeFromNow")
            .absent("none has run")
            .says_of_itself("When each instance last recovered, which it does when it begins to lead.")
            .query(
                "{{instance}}",
                "1000 * max by (instance) (portfolio_manager_last_recovery_timestamp{$here})",
            ),
        stat("Positions Recovered", "short")
            .absent("none has run")
            .says_of_itself(
                "Positions of the last recovery that passed. Beyond the validated range a recovery may take longer than \
                 was measured, and signals wait for it. Each position risks about a lakh of rupees.",
            )
            .runbooks(&["PositionsBeyondValidatedRange"])
            .query("{{instance}}", "max by (instance) (portfolio_manager_positions_recovered{$here})")
            .zones(Zones::of_whole("positions_beyond_validated_range")),
        lines("Recovery Time", "ms")
            .sized(24, 8)
            .absent("none has run")
            .says_of_itself(
                "How long the last crash recovery of each instance took. Signals wait for it: an entry that comes too late \
                 is a missed trade.",
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
