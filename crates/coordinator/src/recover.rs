//! Crash recovery: one call of the port with a time limit, and the record of its outcome. Used by the driver for a new
//! leader and by the heartbeat of a standby; the outcome of the last call is what readiness and the next leader's work get.

use crate::clock;
use crate::shared::Shared;
use domain::metrics::Fact;
use domain::ports::StoreError;
use domain::recovery::{Recovered, RecoveryFault};
use std::sync::PoisonError;
use std::time::Duration;
use tokio::time::{Instant, timeout};
use tracing::Instrument;

/// A database that does not deliver a few rows in this time is not available. Well above the 2 s that
/// already count as critical, so that a slow recovery is reported as slow and not as failed.
const RECOVERY_TIME_MAX: Duration = Duration::from_secs(10);

/// The reason for a recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To act: a leader recovers after its claim, because the leader before it could write until then.
    Lead,
    /// To find out whether this instance could take over.
    Readiness,
}

/// Recovers once, and remembers the outcome for metrics, readiness and the next leader's work.
/// Cancellation safe: it only reads.
pub(crate) async fn recover(shared: &Shared, purpose: Purpose) -> Result<Recovered, RecoveryFault> {
    let started = Instant::now();
    let span = tracing::info_span!("recovery", ?purpose);
    let answer = timeout(RECOVERY_TIME_MAX, shared.recovery.recover()).instrument(span).await;
    let outcome = answer.unwrap_or_else(|_| {
        Err(StoreError::Unknown(format!("the recovery did not end within {RECOVERY_TIME_MAX:?}")).into())
    });
    let took = match purpose {
        Purpose::Lead => whole(shared, started, outcome.is_ok()),
        Purpose::Readiness => started.elapsed(),
    };
    remember(shared, purpose, &outcome, took);
    outcome
}

/// The time since the first attempt of this leadership: signals wait for all of them.
fn whole(shared: &Shared, started: Instant, passed: bool) -> Duration {
    let epoch = shared.leadership.borrow().epoch;
    let mut began = shared.recovering.lock().unwrap_or_else(PoisonError::into_inner);
    let first = began.filter(|(of, _)| *of == epoch).map_or(started, |(_, first)| first);
    *began = (!passed).then_some((epoch, first));
    first.elapsed()
}

fn remember(shared: &Shared, purpose: Purpose, outcome: &Result<Recovered, RecoveryFault>, took: Duration) {
    let counted = match outcome {
        Ok(recovered) => {
            let positions =
                recovered.portfolio().map(|portfolio| u32::try_from(portfolio.count).unwrap_or(u32::MAX));
            match (purpose, positions) {
                (Purpose::Lead, Some(positions)) => tracing::info!(positions, ?took, "portfolio recovered"),
                (Purpose::Readiness, Some(positions)) => {
                    tracing::debug!(positions, ?took, "the portfolio can be recovered");
                }
                (Purpose::Lead | Purpose::Readiness, None) => {
                    tracing::debug!(?took, "no portfolio to recover");
                }
            }
            Ok(positions.unwrap_or(0))
        }
        Err(fault) => {
            tracing::error!("recovery failed: {fault}");
            let more = (fault.omitted > 0).then(|| format!("and {} more findings", fault.omitted));
            let findings = fault.findings.iter().cloned().chain(more).collect();
            shared.record(Fact::RecoveryFindings(findings));
            Err(fault.code)
        }
    };
    shared.record(Fact::Recovery { outcome: counted, took, at_ms: clock::calendar_ms() });
    shared.recovered.send_replace(Some(outcome.clone()));
}
