//! [`Operations`]: the actions of an operator that go past this instance's own election.

use adapter_http::{StepDownRequest, SteppedDown};
use domain::decision::Decision;
use domain::handover;
use domain::ledger::Actor;
use domain::ports::{Recovery, StateStore, StepDown, StoreError};
use domain::recovery::{Recovered, RecoveryFault};
use std::fmt;
use std::sync::Arc;

/// The stores that the actions of operators use. They must be opened for these actions only: a request to the lease on the
/// connections of the election would delay a renewal.
#[derive(Clone)]
pub struct Operations {
    state: Arc<dyn StateStore>,
    recovery: Arc<dyn Recovery>,
}

impl Operations {
    /// Actions on these stores.
    pub fn new(state: Arc<dyn StateStore>, recovery: Arc<dyn Recovery>) -> Self {
        Self { state, recovery }
    }

    /// Requests a handover from the leader, if it leads in that epoch.
    pub(super) async fn step_down(&self, request: &StepDownRequest) -> Result<SteppedDown, StoreError> {
        let seen = self.state.observe().await?;
        let token = seen.version.token;
        if seen.released || token.epoch != request.epoch {
            return Ok(SteppedDown::Superseded);
        }
        let reason = handover::reason(request.to.as_ref(), &request.reason);
        Ok(match self.state.request_handover(&token, request.to.as_ref(), &reason).await? {
            StepDown::Requested => SteppedDown::Requested,
            StepDown::Superseded => SteppedDown::Superseded,
        })
    }

    /// Checks the portfolio as a new leader would.
    pub(super) async fn check_recovery(&self) -> Result<Recovered, RecoveryFault> {
        self.recovery.recover().await
    }

    /// Records that an operator takes responsibility for the failed recoveries, with the present result of the check.
    pub(super) async fn acknowledge_recovery(
        &self,
        actor: &Actor,
        reason: &str,
    ) -> Result<Result<Recovered, RecoveryFault>, StoreError> {
        let verdict = self.recovery.recover().await;
        let code = verdict.as_ref().err().map(|fault| fault.code);
        self.state.acknowledge_recovery(code, actor, reason).await?;
        Ok(verdict)
    }

    /// The latest decisions of operators that concern no signal.
    pub(super) async fn decisions(&self, limit: u32) -> Result<Vec<Decision>, StoreError> {
        self.state.decisions(limit).await
    }
}

impl fmt::Debug for Operations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operations").finish_non_exhaustive()
    }
}
