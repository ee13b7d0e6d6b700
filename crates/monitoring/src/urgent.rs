//! The alert for an urgent event, posted before Prometheus has scraped it.

use crate::rules::{ExportedRule, GROUPS};
use domain::metrics::Urgent;
use domain::recovery::RecoveryCode;

/// The Prometheus alert about the same event, so that both are one alert in Alertmanager.
///
/// # Panics
/// If there is none; a test of the table prevents that.
pub fn rule(urgent: Urgent) -> &'static ExportedRule {
    let alert = match urgent {
        Urgent::SplitBrain => "SplitBrainEpisode",
        Urgent::FencedWrite => "FencedWrite",
        Urgent::RecoveryFailed(RecoveryCode::DbUnavailable) => "RecoveryFailed",
        Urgent::RecoveryFailed(RecoveryCode::DataCorrupt) => "RecoveryDataCorrupt",
        Urgent::RecoveryFailed(RecoveryCode::ValidationFailed) => "RecoveryValidationFailed",
    };
    let mut rules = GROUPS.iter().flat_map(|group| group.rules);
    rules.find(|rule| rule.alert == alert).expect("an urgent event has a rule")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_urgent_event_has_a_rule_whose_texts_need_no_prometheus() {
        let recoveries = RecoveryCode::ALL.map(Urgent::RecoveryFailed);
        for urgent in [Urgent::SplitBrain, Urgent::FencedWrite].into_iter().chain(recoveries) {
            assert!(!rule(urgent).impact.contains("{{"), "{urgent}");
        }
    }
}
