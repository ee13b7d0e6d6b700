//! `coordinator recovery check`: checks the portfolio as a new leader would. Read-only. `coordinator recovery
//! acknowledge`: an operator takes responsibility for the failed recoveries; no recovery and no alert about a present
//! failure depends on it.

use super::signals::operator;
use super::table::{date, visible};
use super::{ask, open, print_json};
use crate::command::status::Form;
use crate::config::Config;
use crate::failure::Failure;
use crate::output::line;
use adapter_http::rfc3339;
use domain::decision::{Decision, Subject};
use domain::ports::StoreError;
use domain::recovery::{Recovered, RecoveryCode, RecoveryFault};
use leader_coordinator::Stores;
use serde::Serialize;

/// Latest decisions in which an acknowledgement is looked for.
const DECISIONS_READ: u32 = 100;

/// Number of positions up to which recovery was validated. More are a warning, not a failure.
const POSITIONS_VALIDATED: u64 = 50;

#[derive(Serialize)]
struct CheckJson {
    verdict: &'static str,
    error_code: Option<&'static str>,
    positions: Option<u64>,
    total_risk_amount: Option<String>,
    margin_used: Option<String>,
    findings: Vec<String>,
    untold: usize,
    /// The last acknowledgement of failed recoveries.
    acknowledged: Option<AcknowledgedJson>,
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
pub async fn check_recovery(config: &Config, form: Form) -> Result<(), Failure> {
    let stores = open(config)?;
    let answer = recovered(&stores).await;
    // The check counts also when the decisions cannot be read: the tables may be older than this binary.
    let decisions = ask("the state store", stores.state.decisions(DECISIONS_READ)).await.unwrap_or_default();
    stores.close().await;
    let verdict = answer?;
    let acknowledged =
        decisions.iter().find(|one| matches!(one.subject, Subject::RecoveryAcknowledged { .. }));
    match form {
        Form::Json => print_json(&json(&verdict, acknowledged))?,
        Form::Table => {
            tell(&verdict)?;
            if let Some(Decision { at_ms, actor, reason, .. }) = acknowledged {
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
    verdict.map(drop).map_err(|fault| Failure {
        message: format!("recovery would fail with {}: a new leader would not trade", fault.code),
        exit_code: fault.code.as_number(),
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

fn tell(verdict: &Result<Recovered, RecoveryFault>) -> Result<(), Failure> {
    match verdict {
        Ok(recovered) => {
            if let Some(portfolio) = recovered.portfolio() {
                line(format_args!("positions          {}", portfolio.count))?;
                line(format_args!("total_risk_amount  {}", portfolio.total_risk_amount))?;
                line(format_args!("margin_used        {}", portfolio.margin_used))?;
                if portfolio.count > POSITIONS_VALIDATED {
                    line(format_args!(
                        "warning            more than the {POSITIONS_VALIDATED} positions that were validated"
                    ))?;
                }
            }
            line("verdict            OK: a new leader would become active")
        }
        Err(fault) => {
            for finding in &fault.findings {
                line(format_args!("finding            {finding}"))?;
            }
            if fault.omitted > 0 {
                line(format_args!("finding            and {} more", fault.omitted))?;
            }
            line(format_args!("verdict            {}", fault.code))
        }
    }
}

fn json(verdict: &Result<Recovered, RecoveryFault>, acknowledged: Option<&Decision>) -> CheckJson {
    let acknowledged = acknowledged.map(AcknowledgedJson::of);
    match verdict {
        Ok(recovered) => {
            let portfolio = recovered.portfolio();
            CheckJson {
                verdict: "OK",
                error_code: None,
                positions: portfolio.map(|portfolio| portfolio.count),
                total_risk_amount: portfolio.map(|portfolio| portfolio.total_risk_amount.to_string()),
                margin_used: portfolio.map(|portfolio| portfolio.margin_used.to_string()),
                findings: Vec::new(),
                untold: 0,
                acknowledged,
            }
        }
        Err(fault) => CheckJson {
            verdict: "FAILED",
            error_code: Some(fault.code.as_str()),
            positions: None,
            total_risk_amount: None,
            margin_used: None,
            findings: fault.findings.clone(),
            untold: fault.omitted,
            acknowledged,
        },
    }
}
