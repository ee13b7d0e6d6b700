//! The signal ledger. Every effect is one statement whose condition is the fence, and the table's triggers
//! write its audit lines in the same statement.

pub(crate) mod actor;
mod audit;
mod claim;
mod doubt;
mod kill_switch;
#[cfg(test)]
mod plans;
mod reading;
mod record;
mod row;
mod submit;
mod sweep;

use crate::state_store::SqliteStore;
use async_trait::async_trait;
use domain::identity::Identity;
use domain::lease::Token;
use domain::ledger::{Actor, AuditEntry, Limits, NewSignal, Signal, SignalCounts, SignalId, Totals};
use domain::ports::{
    InFlight, ListQuery, Recorded, Report, Resolution, SignalClaim, SignalLedger, StateStore, StoreError,
    Submit, Swept, Switch, Switched,
};
use std::time::Duration;

#[async_trait]
impl SignalLedger for SqliteStore {
    fn identity(&self) -> Identity {
        StateStore::identity(self)
    }

    async fn submit(&self, signals: &[NewSignal], actor: &Actor) -> Result<Vec<Submit>, StoreError> {
        submit::submit(&self.work, &self.config, signals, actor).await
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
        doubt::take_over(self, token, in_flight).await
    }

    async fn resolve(&self, decision: &Resolution) -> Result<Recorded, StoreError> {
        record::resolve(&self.work, &self.config, decision).await
    }

    async fn acknowledge(&self, id: &SignalId, actor: &Actor, reason: &str) -> Result<Recorded, StoreError> {
        record::acknowledge(&self.work, &self.config, id, actor, reason).await
    }

    async fn switch(&self, to: Switch, actor: &Actor, reason: &str) -> Result<Switched, StoreError> {
        kill_switch::switch(&self.work, &self.config, to, actor, reason).await
    }

    async fn find(&self, id: &SignalId) -> Result<Option<Signal>, StoreError> {
        reading::find(&self.work, &self.config.identity.group, id).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Vec<Signal>, StoreError> {
        reading::list(&self.work, &self.config.identity.group, query).await
    }

    async fn audit(&self, of: Option<&SignalId>, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        audit::audit(&self.work, &self.config.identity.group, of, limit).await
    }

    async fn counts(&self) -> Result<SignalCounts, StoreError> {
        reading::counts(&self.work, &self.config.identity.group).await
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        reading::totals(&self.work, &self.config).await
    }

    async fn sweep(&self, token: &Token, keep: Duration) -> Result<Option<Swept>, StoreError> {
        sweep::sweep(self, token, keep).await
    }

    async fn submitted(&self) {
        self.next_signal().await;
    }
}
