//! Crash recovery: load, judge, remember.

use crate::clock;
use crate::shared::Shared;
use domain::metrics::Fact;
use domain::ports::StoreError;
use domain::recovery::{Judgement, Portfolio, RecoveryFault};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// A database that does not deliver a few rows in this time is not available. Well above the 2 s that
/// already count as critical, so that a slow recovery is seen as slow and not as failed.
const RECOVERY_TIME_MAX: Duration = Duration::from_secs(10);

/// Why the portfolio is recovered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To act: a leader recovers after its claim, because the leader before it could write until then.
    Lead,
    /// To find out whether this instance could take over.
    Readiness,
}

/// Recovers once, and remembers the outcome for metrics, readiness and the next leader's work.
/// Cancellation safe: it only reads.
pub(crate) async fn recover(shared: &Shared, purpose: Purpose) -> Result<Arc<Portfolio>, RecoveryFault> {
    let started = Instant::now();
    let mut judgement = Judgement::default();
    let answer = timeout(RECOVERY_TIME_MAX, shared.state_store.portfolio(&mut judgement)).await;
    let answer = answer.unwrap_or_else(|_| {
        Err(StoreError::Unknown(format!("the portfolio was not read within {RECOVERY_TIME_MAX:?}")))
    });
    let outcome = answer.map_err(RecoveryFault::from).and_then(|()| judgement.verdict()).map(Arc::new);
    remember(shared, purpose, &outcome, started.elapsed());
    outcome
}

fn remember(
    shared: &Shared,
    purpose: Purpose,
    outcome: &Result<Arc<Portfolio>, RecoveryFault>,
    took: Duration,
) {
    let counted = match outcome {
        Ok(portfolio) => {
            let positions = u32::try_from(portfolio.count).unwrap_or(u32::MAX);
            match purpose {
                Purpose::Lead => tracing::info!(positions, ?took, "portfolio recovered"),
                Purpose::Readiness => tracing::debug!(positions, ?took, "the portfolio can be recovered"),
            }
            Ok(positions)
        }
        Err(fault) => {
            tracing::error!("recovery failed: {fault}");
            Err(fault.code)
        }
    };
    shared.record(Fact::Recovery { outcome: counted, took, at_ms: clock::calendar_ms() });
    shared.recovered.send_replace(Some(outcome.clone()));
}
