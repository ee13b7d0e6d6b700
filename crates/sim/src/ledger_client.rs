//! One process's ledger: its requests, carried over its line.

use crate::database::{DatabaseClient, read, written};
use crate::judge::Judge;
use crate::kill_switch::Turn;
use crate::knowledge::Age;
use crate::line::Reply;
use async_trait::async_trait;
use domain::identity::Identity;
use domain::lease::Token;
use domain::ledger::{Actor, AuditEntry, Limits, NewSignal, Signal, SignalCounts, SignalId, Totals};
use domain::ports::{
    InFlight, ListQuery, Recorded, Report, Resolution, SignalClaim, SignalLedger, StateStore, StoreError,
    Submit, Swept, Switch, Switched,
};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Reports to the judge a write under that token, unless it was fenced.
fn unless_fenced<T>(what: &'static str, token: Token, knew: Age) -> impl Fn(&Judge, &Option<T>) -> Reply {
    move |judge, answer| match answer {
        Some(_) => {
            judge.effect(what, token, knew);
            Reply::Written
        }
        None => Reply::Read,
    }
}

#[async_trait]
impl SignalLedger for DatabaseClient {
    fn identity(&self) -> Identity {
        StateStore::identity(self)
    }

    async fn submit(&self, signals: &[NewSignal], actor: &Actor) -> Result<Vec<Submit>, StoreError> {
        let (signals, actor) = (signals.to_vec(), actor.clone());
        // A repetition too waits until the standby has the first acceptance: the port guarantees that.
        self.ask(move |store| async move { store.submit(&signals, &actor).await }, written).await
    }

    async fn claim_signals(
        &self,
        token: &Token,
        limits: Limits,
        most: u16,
    ) -> Result<SignalClaim, StoreError> {
        let (token, knew) = (*token, self.acknowledged());
        let report = move |judge: &Judge, answer: &SignalClaim| match answer {
            SignalClaim::Claimed(signals) => {
                judge.effect("a claim", token, knew);
                judge.claims_signals(token);
                for Signal { id, attempt, .. } in signals {
                    judge.note((id.as_str(), attempt), || format!("claimed: {id}, attempt {attempt}"));
                }
                Reply::Written
            }
            SignalClaim::Empty | SignalClaim::Paused | SignalClaim::Limited(_) | SignalClaim::Fenced => {
                Reply::Read
            }
        };
        self.ask(move |store| async move { store.claim_signals(&token, limits, most).await }, report).await
    }

    async fn record_by(
        &self,
        token: &Token,
        reports: &[Report],
        by: Option<&Actor>,
    ) -> Result<Option<Vec<Recorded>>, StoreError> {
        let (token, reports, by) = (*token, reports.to_vec(), by.cloned());
        let ids: BTreeSet<&SignalId> = reports.iter().map(|report| &report.id).collect();
        if ids.len() < reports.len() {
            // An adapter may panic here.
            self.judge().violation("a signal occurs once in the reports", format!("{reports:?}"));
            return Err(StoreError::Unavailable("a signal occurs twice in the reports".to_owned()));
        }
        let effect = unless_fenced("an outcome", token, self.acknowledged());
        let about = reports.clone();
        let report = move |judge: &Judge, answer: &Option<Vec<Recorded>>| {
            for (Report { id, attempt, outcome, .. }, recorded) in about.iter().zip(answer.iter().flatten()) {
                judge.note((id.as_str(), attempt, outcome, recorded), || {
                    format!("{outcome:?} of {id}, attempt {attempt}: {recorded:?}")
                });
            }
            effect(judge, answer)
        };
        self.ask(move |store| async move { store.record_by(&token, &reports, by.as_ref()).await }, report)
            .await
    }

    async fn take_over(
        &self,
        token: &Token,
        in_flight: InFlight<'_>,
    ) -> Result<Option<Vec<Signal>>, StoreError> {
        let token = *token;
        let mine = match in_flight {
            InFlight::Only(these) => Some(these.to_vec()),
            InFlight::All => None,
        };
        let work = move |store: Arc<contract::fake::FakeStateStore>| async move {
            let in_flight = mine.as_deref().map_or(InFlight::All, InFlight::Only);
            store.take_over(&token, in_flight).await
        };
        self.ask(work, unless_fenced("a takeover", token, self.acknowledged())).await
    }

    async fn resolve(&self, decision: &Resolution) -> Result<Recorded, StoreError> {
        let decision = decision.clone();
        let Resolution { id, attempt, outcome, .. } = decision.clone();
        let report = move |judge: &Judge, recorded: &Recorded| {
            judge.note(("decided", id.as_str(), attempt, outcome, recorded), || {
                format!("decided that {id}, attempt {attempt}, is {outcome:?}: {recorded:?}")
            });
            Reply::Written
        };
        self.ask(move |store| async move { store.resolve(&decision).await }, report).await
    }

    async fn acknowledge(&self, id: &SignalId, actor: &Actor, reason: &str) -> Result<Recorded, StoreError> {
        let (id, actor, reason) = (id.clone(), actor.clone(), reason.to_owned());
        let of = id.clone();
        let report = move |judge: &Judge, recorded: &Recorded| {
            judge
                .note(("acknowledged", of.as_str(), recorded), || format!("acknowledged {of}: {recorded:?}"));
            Reply::Written
        };
        self.ask(move |store| async move { store.acknowledge(&id, &actor, &reason).await }, report).await
    }

    async fn switch(&self, to: Switch, actor: &Actor, reason: &str) -> Result<Switched, StoreError> {
        let (actor, reason) = (actor.clone(), reason.to_owned());
        let turn = Arc::new(Mutex::new(Turn::default()));
        let report = {
            let turn = Arc::clone(&turn);
            move |judge: &Judge, _: &Switched| {
                *turn.lock().unwrap_or_else(PoisonError::into_inner) = judge.turned(to);
                // A state that was reached earlier is returned only when the standby has it.
                Reply::Written
            }
        };
        let work = move |store: Arc<contract::fake::FakeStateStore>| async move {
            store.switch(to, &actor, &reason).await
        };
        let answer = self.ask(work, report).await?;
        if to == Switch::Pause {
            let turn = *turn.lock().unwrap_or_else(PoisonError::into_inner);
            self.judge().pause_is_acknowledged(turn);
        }
        Ok(answer)
    }

    async fn find(&self, id: &SignalId) -> Result<Option<Signal>, StoreError> {
        let id = id.clone();
        self.ask(move |store| async move { store.find(&id).await }, read).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Vec<Signal>, StoreError> {
        let query = query.clone();
        self.ask(move |store| async move { store.list(&query).await }, read).await
    }

    async fn audit(&self, of: Option<&SignalId>, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        let of = of.cloned();
        self.ask(move |store| async move { store.audit(of.as_ref(), limit).await }, read).await
    }

    async fn counts(&self) -> Result<SignalCounts, StoreError> {
        self.ask(|store| async move { store.counts().await }, read).await
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        self.ask(|store| async move { store.totals().await }, read).await
    }

    async fn sweep(&self, token: &Token, keep: Duration) -> Result<Option<Swept>, StoreError> {
        let token = *token;
        let report = unless_fenced("a sweep", token, self.acknowledged());
        self.ask(move |store| async move { store.sweep(&token, keep).await }, report).await
    }

    async fn submitted(&self) {
        self.wait_for_signal_hint().await;
    }
}
