//! Alerts, evaluated in process. Alerts only report; the fence protects.
//!
//! [`RULES`] is the only place where a limit is written. A rule names a condition, the numbers above which it warns
//! or is critical, and the function that reads it from a [`Snapshot`]; [`evaluate`] applies all rules. The crate
//! `monitoring` renders the rules that Prometheus evaluates for a group.
//! Readers get a [`Report`]: the snapshot and the alerts that it fires.

mod condition;
mod report;
mod rules;

pub use condition::Reading;
pub use report::Report;
pub use rules::{FORGOT_SHOWN, Limits, REFUSED_SHOWN, RULES, Rule, SAMPLES_MIN, SLOW_RECOVERY_SHOWN};

use crate::member::Health;
use crate::metrics::Snapshot;
use alloc::string::String;
use alloc::vec::Vec;

/// One condition at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// The rule's name.
    pub name: &'static str,
    /// The severity.
    pub status: Health,
    /// The number that is compared with the limits; `None` while it is unknown.
    pub value: Option<f64>,
    /// The alert warns above this number.
    pub threshold_warning: Option<f64>,
    /// The alert is critical above this number.
    pub threshold_critical: Option<f64>,
    /// The condition as a sentence for the operator.
    pub message: String,
}

/// Every alert at one moment, in the order of [`RULES`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Alerts {
    /// The worst status of all alerts.
    pub overall: Health,
    /// One alert for every rule.
    pub all: Vec<Alert>,
}

/// Applies every rule to `snapshot`.
pub fn evaluate(snapshot: &Snapshot) -> Alerts {
    let all: Vec<Alert> = RULES.iter().map(|rule| apply(rule, snapshot)).collect();
    let overall = all.iter().map(|alert| alert.status).max().unwrap_or_default();
    Alerts { overall, all }
}

fn apply(rule: &Rule, snapshot: &Snapshot) -> Alert {
    let (status, value, message) = match (rule.read)(snapshot) {
        Reading::Measured { value, message } => (rule.limits.judge(value), Some(value), message),
        Reading::Undecided { value, message } => (Health::Ok, value, message),
        Reading::Missing { message } => (Health::Critical, None, message),
    };
    Alert {
        name: rule.name,
        status,
        value,
        threshold_warning: rule.limits.warning,
        threshold_critical: rule.limits.critical,
        message,
    }
}

#[cfg(test)]
mod tests;
