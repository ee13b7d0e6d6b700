//! `coordinator recovery check`: checks the portfolio as a new leader would. Read-only. `coordinator recovery
//! acknowledge`: an operator takes responsibility for the failed recoveries; no recovery and no alert about a present
//! failure depends on it.

use super::group::{Group, operator};
use super::table::{date, visible};
use super::{ask, open, print_json};
use crate::command::status::Form;
use crate::config::Config;
use crate::failure::Failure;
use crate::output::line;
use adapter_http::{CheckJson, rfc3339};
use domain::decision::{Decision, Subject};
use domain::ports::StoreError;
use domain::recovery::{Recovered, RecoveryCode, RecoveryFault};
use leader_coordinator::Stores;
use serde::Serialize;

/// Latest decisions in which an acknowledgement is looked for.
const DECISIONS_READ: u32 = 100;

/// Number of positions up to which recovery was validated. More are a warning, not a failure.
const POSITIONS_VALIDATED: u64 = 50;

/// The check, and the last acknowledgement of failed recoveries.
#[derive(Serialize)]
struct ShownJson<'a> {
    #[serde(flatten)]
    check: &'a CheckJson,
    /// Missing if the decisions could not be read; null if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    acknowledged: Option<Option<AcknowledgedJson>>,
}

#[derive(Serialize)]
struct AcknowledgedJson {
    at: Option<String>,
    who: String,
    from: String,
    reason: String,
    /// The result of the check at that moment.
    error_code: Option<&'static str>,
}

impl AcknowledgedJson {
    fn of(decision: &Decision) -> Self {
        Self {
            at: rfc3339(decision.at_ms),
            who: decision.actor.who.clone(),
            from: decision.actor.origin.clone(),
            reason: decision.reason.clone(),
            error_code: match &decision.subject {
                Subject::RecoveryAcknowledged { verdict } => verdict.map(RecoveryCode::as_str),
                Subject::InstanceRemoved { .. } => None,
            },
        }
    }
}

/// Prints positions, sums and verdict. The exit code is the error code of the recovery (1, 2, 3).
pub async fn check_recovery(group: &dyn Group, form: Form) -> Result<(), Failure> {
    let answer = group.check_recovery().await;
    let decisions = group.decisions(DECISIONS_READ).await;
    group.close().await;
    let check = answer?;
    let is_acknowledgement = |one: &&Decision| matches!(one.subject, Subject::RecoveryAcknowledged { .. });
    let acknowledged = decisions.as_ref().map(|all| all.iter().find(is_acknowledgement));
    match form {
        Form::Json => {
            let acknowledged = acknowledged.map(|decision| decision.map(AcknowledgedJson::of));
            print_json(&ShownJson { check: &check, acknowledged })?;
        }
        Form::Table => {
            tell(&check)?;
            if let Some(Decision { at_ms, actor, reason, .. }) = acknowledged.flatten() {
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
pub async fn acknowledge_recovery(config: &Config, reason: &str, form: Form) -> Result<(), Failure> {
    let stores = open(config)?;
    let outcome = acknowledge(&stores, reason).await;
    stores.close().await;
    let (verdict, decision) = outcome?;
    let code = verdict.as_ref().err().map(|fault| fault.code);
    if form == Form::Json {
        return print_json(&decision.as_ref().map(AcknowledgedJson::of));
    }
    match code {
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

type Acknowledged = (Result<Recovered, RecoveryFault>, Option<Decision>);

async fn acknowledge(stores: &Stores, reason: &str) -> Result<Acknowledged, Failure> {
    let verdict = recovered(stores).await?;
    let code = verdict.as_ref().err().map(|fault| fault.code);
    ask("the state store", stores.state.acknowledge_recovery(code, &operator(), reason)).await?;
    let decision = ask("the state store", stores.state.decisions(1)).await?.into_iter().next();
    Ok((verdict, decision))
}

async fn recovered(stores: &Stores) -> Result<Result<Recovered, RecoveryFault>, Failure> {
    ask("the state store", async { Ok::<_, StoreError>(stores.recovery.recover().await) }).await
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
