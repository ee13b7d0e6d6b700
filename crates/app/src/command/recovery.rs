//! `coordinator recovery check`: checks the portfolio as a new leader would. Read-only.

use super::{ask, open, print_json};
use crate::command::status::Form;
use crate::config::Config;
use crate::failure::Failure;
use crate::output::line;
use domain::recovery::{Recovered, RecoveryFault};
use serde::Serialize;

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
}

/// Prints positions, sums and verdict. The exit code is the error code of the recovery (1, 2, 3).
pub async fn check_recovery(config: &Config, form: Form) -> Result<(), Failure> {
    let stores = open(config)?;
    let answer = ask("the state store", async { Ok(stores.recovery.recover().await) }).await;
    stores.close().await;
    let verdict = answer?;
    match form {
        Form::Json => print_json(&json(&verdict))?,
        Form::Table => tell(&verdict)?,
    }
    verdict.map(drop).map_err(|fault| Failure {
        message: format!("recovery would fail with {}: a new leader would not trade", fault.code),
        exit_code: fault.code.as_number(),
    })
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

fn json(verdict: &Result<Recovered, RecoveryFault>) -> CheckJson {
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
        },
    }
}
