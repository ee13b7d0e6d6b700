//! The JSON of a check of crash recovery, and of its last acknowledgement by an operator.

use super::rfc3339;
use domain::decision::{Decision, Subject};
use domain::recovery::{Recovered, RecoveryCode, RecoveryFault};
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

/// Latest decisions among which an acknowledgement is searched.
pub const DECISIONS_SEARCHED: u32 = 100;

/// A check, and the last acknowledgement of failed recoveries.
#[derive(Debug, Serialize)]
pub struct CheckedJson<'a> {
    #[serde(flatten)]
    check: &'a CheckJson,
    #[serde(skip_serializing_if = "Acknowledged::is_unread")]
    acknowledged: Acknowledged,
}

/// The last acknowledgement, as far as it is known.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Acknowledged {
    /// The decisions could not be read: the member is missing.
    Unread,
    /// There is none: null.
    None,
    By(AcknowledgedJson),
}

impl Acknowledged {
    fn is_unread(&self) -> bool {
        matches!(self, Self::Unread)
    }
}

impl<'a> CheckedJson<'a> {
    /// `decisions` are the latest ones, newest first; `None` if they could not be read.
    pub fn new(check: &'a CheckJson, decisions: Option<&[Decision]>) -> Self {
        let acknowledged = match decisions.map(acknowledgement) {
            None => Acknowledged::Unread,
            Some(None) => Acknowledged::None,
            Some(Some(decision)) => Acknowledged::By(AcknowledgedJson::of(decision)),
        };
        Self { check, acknowledged }
    }
}

/// The last acknowledgement among the decisions, which are in order, newest first.
pub fn acknowledgement(decisions: &[Decision]) -> Option<&Decision> {
    decisions.iter().find(|one| matches!(one.subject, Subject::RecoveryAcknowledged { .. }))
}

/// An acknowledgement of failed recoveries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AcknowledgedJson {
    at: Option<String>,
    who: String,
    from: String,
    reason: String,
    /// The result of the check at that moment.
    error_code: Option<&'static str>,
}

impl AcknowledgedJson {
    /// The decision as JSON.
    pub fn of(decision: &Decision) -> Self {
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
