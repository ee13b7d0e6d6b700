//! The signal ledger.
//!
//! - `submit`: new signals, before they are acknowledged.
//! - `claim`: claims of signals, and the take-over of what a former leader left.
//! - `record`: outcomes of attempts. Every statement of these two and of `sweep` begins with the fence.
//! - `operator`: decisions of the operator and the kill switch.
//! - `read`: what clients and operators read; `sweep`: removal of old signals; `stored`: a row as a signal.
//!
//! Every write is one statement. Triggers write the audit from `changed_by` and `changed_from`, which every
//! statement that moves a signal sets.
//!
//! Statements that lock several signals, and may wait for one, lock them in the order of their fingerprints,
//! so no two of them ever wait for each other.

mod claim;
mod operator;
mod read;
mod record;
mod stored;
mod submit;
mod sweep;

pub(crate) use claim::CLAIM;
pub(crate) use record::RECORD;
pub(crate) use submit::SUBMIT;

use crate::state_store::PostgresStore;
use async_trait::async_trait;
use domain::id::GroupId;
use domain::identity::Identity;
use domain::lease::Token;
use domain::ledger::{Actor, AuditEntry, Limits, NewSignal, Signal, SignalCounts, SignalId, Totals};
use domain::ports::{
    InFlight, ListQuery, Recorded, Report, Resolution, SignalClaim, SignalLedger, StateStore, StoreError,
    Submit, Swept, Switch, Switched,
};
use std::time::Duration;

const SIGNALS: &str = "coordinator_signal";
const DISPATCH: &str = "coordinator_dispatch";
const AUDIT: &str = "coordinator_audit";

#[async_trait]
impl SignalLedger for PostgresStore {
    fn identity(&self) -> Identity {
        StateStore::identity(self)
    }

    async fn submit(&self, signals: &[NewSignal], actor: &Actor) -> Result<Vec<Submit>, StoreError> {
        submit::submit(self, signals, actor).await
    }

    async fn claim_signals(
        &self,
        token: &Token,
        limits: Limits,
        most: u16,
    ) -> Result<SignalClaim, StoreError> {
        claim::claim(self, token, limits, most).await
    }

    async fn record_by(
        &self,
        token: &Token,
        reports: &[Report],
        by: Option<&Actor>,
    ) -> Result<Option<Vec<Recorded>>, StoreError> {
        record::record(self, token, reports, by).await
    }

    async fn take_over(
        &self,
        token: &Token,
        in_flight: InFlight<'_>,
    ) -> Result<Option<Vec<Signal>>, StoreError> {
        claim::take_over(self, token, in_flight).await
    }

    async fn resolve(&self, decision: &Resolution) -> Result<Recorded, StoreError> {
        operator::resolve(self, decision).await
    }

    async fn acknowledge(&self, id: &SignalId, actor: &Actor, reason: &str) -> Result<Recorded, StoreError> {
        operator::acknowledge(self, id, actor, reason).await
    }

    async fn switch(&self, to: Switch, actor: &Actor, reason: &str) -> Result<Switched, StoreError> {
        operator::switch(self, to, actor, reason).await
    }

    async fn find(&self, id: &SignalId) -> Result<Option<Signal>, StoreError> {
        read::find(self, id).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Vec<Signal>, StoreError> {
        read::list(self, query).await
    }

    async fn audit(&self, of: Option<&SignalId>, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        read::audit(self, of, limit).await
    }

    async fn counts(&self) -> Result<SignalCounts, StoreError> {
        read::counts(self).await
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        read::totals(self).await
    }

    async fn sweep(&self, token: &Token, keep: Duration) -> Result<Option<Swept>, StoreError> {
        sweep::sweep(self, token, keep).await
    }

    async fn submitted(&self) {
        self.listener.signal().await;
    }
}

/// Nothing is claimed without the kill switch's row: the switch may have been on.
fn no_switch(group: &GroupId) -> StoreError {
    StoreError::Corrupt(format!("{DISPATCH} has no row for group {group}: run `coordinator migrate`"))
}
