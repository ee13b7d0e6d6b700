//! `coordinator recovery check`: checks the portfolio as a new leader would. Read-only. `coordinator recovery
//! acknowledge`: an operator takes responsibility for the failed recoveries; no recovery and no alert about a present
//! failure depends on it.

use super::group::Group;
use super::print_json;
use super::table::{date, visible};
use crate::command::status::Form;
use crate::failure::Failure;
use crate::output::line;
use adapter_http::{AcknowledgedJson, CheckJson, CheckedJson, DECISIONS_SEARCHED, acknowledgement};
use domain::decision::Decision;
use domain::recovery::RecoveryCode;

/// Number of positions up to which recovery was validated. More are a warning, not a failure.
const POSITIONS_VALIDATED: u64 = 50;

/// Prints positions, sums and verdict. The exit code is the error code of the recovery (1, 2, 3).
pub async fn check_recovery(group: &dyn Group, form: Form) -> Result<(), Failure> {
    let answer = group.check_recovery().await;
    let decisions = group.decisions(DECISIONS_SEARCHED).await;
    group.close().await;
    let check = answer?;
    match form {
        Form::Json => print_json(&CheckedJson::new(&check, decisions.as_deref()))?,
        Form::Table => {
            tell(&check)?;
            if decisions.is_none() {
                line("acknowledged       unknown: the decisions of operators could not be read")?;
            }
            if let Some(Decision { at_ms, actor, reason, .. }) =
                decisions.as_deref().and_then(acknowledgement)
            {
                line(format_args!(
                    "acknowledged       {} UTC by {} ({}): {}",
                    date(*at_ms),
                    visible(&actor.who),
                    visible(&actor.origin),
                    visible(reason)
                ))?;
            }
        }
    }
    let Some(code) = &check.error_code else { return Ok(()) };
    let number =
        RecoveryCode::ALL.into_iter().find(|known| known.as_str() == code).map(RecoveryCode::as_number);
    Err(Failure {
        message: format!("recovery would fail with {code}: a new leader would not trade"),
        exit_code: number.unwrap_or(1),
    })
}

/// Records that the operator takes responsibility for the failed recoveries, with the present result of the check.
pub async fn acknowledge_recovery(group: &dyn Group, reason: &str, form: Form) -> Result<(), Failure> {
    let answer = group.acknowledge_recovery(reason).await;
    let decisions = match (&answer, form) {
        (Ok(_), Form::Json) => group.decisions(DECISIONS_SEARCHED).await,
        _ => None,
    };
    group.close().await;
    let check = answer?;
    if form == Form::Json {
        return print_json(&decisions.as_deref().and_then(acknowledgement).map(AcknowledgedJson::of));
    }
    match &check.error_code {
        None => line(
            "acknowledged: the check passes, so the alerts about past failures end within a heartbeat and a scrape",
        ),
        Some(code) => {
            line(
                "acknowledged: the decision is recorded, and it changes nothing else while the check fails",
            )?;
            line(format_args!(
                "A new leader would still not trade: {code}. `coordinator recovery check` names what must be corrected."
            ))
        }
    }
}

fn tell(check: &CheckJson) -> Result<(), Failure> {
    if let Some(code) = &check.error_code {
        for finding in &check.findings {
            line(format_args!("finding            {}", visible(finding)))?;
        }
        if check.untold > 0 {
            line(format_args!("finding            and {} more", check.untold))?;
        }
        return line(format_args!("verdict            {code}"));
    }
    if let Some(positions) = check.positions {
        let amount = |amount: &Option<String>| visible(amount.as_deref().unwrap_or("-"));
        line(format_args!("positions          {positions}"))?;
        line(format_args!("total_risk_amount  {}", amount(&check.total_risk_amount)))?;
        line(format_args!("margin_used        {}", amount(&check.margin_used)))?;
        if positions > POSITIONS_VALIDATED {
            line(format_args!(
                "warning            more than the {POSITIONS_VALIDATED} positions that were validated"
            ))?;
        }
    }
    line("verdict            OK: a new leader would become active")
}
