//! The JSON of a check of crash recovery.

use domain::recovery::{Recovered, RecoveryFault};
use serde::{Deserialize, Serialize};

/// The verdict of a check. Rupees are texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckJson {
    /// `OK` or `FAILED`.
    pub verdict: String,
    /// The code of the error, if it failed.
    pub error_code: Option<String>,
    /// The number of open positions.
    pub positions: Option<u64>,
    /// The sum of the risk of all positions, in rupees.
    pub total_risk_amount: Option<String>,
    /// The sum of the margins, in rupees.
    pub margin_used: Option<String>,
    /// What is wrong with the portfolio.
    pub findings: Vec<String>,
    /// The number of further findings.
    pub untold: usize,
}

impl CheckJson {
    /// The verdict as JSON.
    pub fn of(verdict: &Result<Recovered, RecoveryFault>) -> Self {
        let ok = verdict.is_ok();
        let portfolio = verdict.as_ref().ok().and_then(Recovered::portfolio);
        let fault = verdict.as_ref().err();
        Self {
            verdict: if ok { "OK" } else { "FAILED" }.to_owned(),
            error_code: fault.map(|fault| fault.code.as_str().to_owned()),
            positions: portfolio.map(|portfolio| portfolio.count),
            total_risk_amount: portfolio.map(|portfolio| portfolio.total_risk_amount.to_string()),
            margin_used: portfolio.map(|portfolio| portfolio.margin_used.to_string()),
            findings: fault.map(|fault| fault.findings.clone()).unwrap_or_default(),
            untold: fault.map_or(0, |fault| fault.omitted),
        }
    }
}
