//! [`SignalLedger`] in memory, on the same tables.

use super::database::Tables;
use super::faults::Call;
use super::state_store::FakeStateStore;
use async_trait::async_trait;
use domain::identity::Identity;
use domain::lease::Token;
use domain::ledger::{
    Actor, AuditEntry, FORGOTTEN, FORGOTTEN_ALERT, LimitReached, Limits, NOTE_LEN_MAX, NewSignal, ORPHANED,
    Outcome, Paused, Signal, SignalCounts, SignalId, SignalState, StateName, Totals,
};
use domain::ports::{
    AUDIT_READ_MAX, CLAIM_MAX, InFlight, ListQuery, Recorded, Report, Resolution, SIGNALS_READ_MAX,
    SignalClaim, SignalLedger, StateStore, StoreError, Submit, Swept, Switch, Switched,
};
use std::collections::BTreeSet;
use std::time::Duration;

/// Maximum number of characters of an actor that are kept.
const ACTOR_CHARS_MAX: usize = 128;
const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

impl FakeStateStore {
    /// The actor of this instance's own changes.
    fn own(&self) -> Actor {
        Actor { who: self.opening.id.as_str().to_owned(), origin: self.opening.host.clone() }
    }

    pub(super) fn note(&self, tables: &mut Tables, actor: &Actor, what: &str, signal: Option<&Signal>) {
        let note = signal.and_then(|signal| signal.note.clone());
        self.note_with(tables, actor, what, signal, note);
    }

    pub(super) fn note_with(
        &self,
        tables: &mut Tables,
        actor: &Actor,
        what: &str,
        signal: Option<&Signal>,
        note: Option<String>,
    ) {
        let cut = |text: &str| text.chars().take(ACTOR_CHARS_MAX).collect();
        let entry = AuditEntry {
            number: tables.audit.len() as u64 + 1,
            at_ms: tables.now_ms(),
            actor: Actor { who: cut(&actor.who), origin: cut(&actor.origin) },
            epoch: tables.leases.get(&self.opening.group).map(|lease| lease.token.epoch),
            what: what.to_owned(),
            signal: signal.map(|signal| signal.id.clone()),
            attempt: signal.map_or(0, |signal| signal.attempt),
            note,
        };
        tables.audit.push((self.opening.group.clone(), entry));
    }

    /// Applies `change` to the signals that it selects, each with a line in the audit log; returns their number.
    pub(super) fn change(
        &self,
        tables: &mut Tables,
        actor: &Actor,
        mut change: impl FnMut(&mut Signal) -> bool,
    ) -> Vec<Signal> {
        let signals = tables.signals.entry(self.opening.group.clone()).or_default();
        let changed: Vec<Signal> =
            signals.iter_mut().filter_map(|signal| change(signal).then(|| signal.clone())).collect();
        for signal in &changed {
            self.note(tables, actor, signal.state.name().as_str(), Some(signal));
        }
        changed
    }

    fn do_claim_signals(&self, token: &Token, limits: Limits, most: u16) -> SignalClaim {
        let mut tables = self.database.tables();
        if !tables.admits(&self.opening.group, token, self.reached(token)) {
            return SignalClaim::Fenced;
        }
        let (now_ms, own) = (tables.now_ms(), self.own());
        let forgotten = tables.forgotten.entry(self.opening.group.clone()).or_default().clone();
        self.change(&mut tables, &own, |signal| {
            let late = signal.instruction.expires_ms.is_some_and(|at| at <= now_ms);
            let unasked = forgotten.is_unasked(signal);
            let expires = signal.state == SignalState::Received && late && !unasked;
            if expires {
                signal.state = SignalState::Expired;
                signal.settled_ms = Some(now_ms);
            }
            expires
        });
        if tables.paused.contains_key(&self.opening.group) {
            return SignalClaim::Paused;
        }
        let signals = tables.signals.get(&self.opening.group).map_or(&[][..], Vec::as_slice);
        let mut busy: BTreeSet<_> = signals
            .iter()
            .filter(|signal| matches!(signal.state.name(), StateName::Claimed | StateName::InDoubt))
            .map(|signal| signal.instruction.instrument.clone())
            .collect();
        let waiting = signals.iter().filter(|signal| signal.state == SignalState::Received);
        let turn: Vec<SignalId> = waiting
            .filter(|signal| busy.insert(signal.instruction.instrument.clone()))
            .filter(|signal| !forgotten.is_unasked(signal))
            .map(|signal| signal.id.clone())
            .collect();
        let left = |limit: Option<u32>, window_ms| {
            limit.map_or(u32::MAX, |limit| limit.saturating_sub(claims_since(signals, now_ms - window_ms)))
        };
        let (minute, day) = (left(limits.per_minute, MINUTE_MS), left(limits.per_day, DAY_MS));
        let most = u32::from(most.clamp(1, CLAIM_MAX)).min(minute).min(day) as usize;
        if turn.is_empty() {
            return SignalClaim::Empty;
        }
        if most == 0 {
            return SignalClaim::Limited(if day == 0 {
                LimitReached::PerDay
            } else {
                LimitReached::PerMinute
            });
        }
        SignalClaim::Claimed(self.change(&mut tables, &own, |signal| {
            let mine = turn.iter().take(most).any(|id| *id == signal.id);
            if mine {
                signal.state = SignalState::Claimed(*token);
                signal.attempt += 1;
                signal.claimed_ms = Some(now_ms);
                signal.note = None;
            }
            mine
        }))
    }

    fn do_record(&self, token: &Token, reports: &[Report], by: Option<&Actor>) -> Option<Vec<Recorded>> {
        let distinct: BTreeSet<&SignalId> = reports.iter().map(|report| &report.id).collect();
        assert_eq!(distinct.len(), reports.len(), "a signal occurs twice in the reports: {reports:?}");
        let mut tables = self.database.tables();
        if !tables.admits(&self.opening.group, token, self.reached(token)) {
            return None;
        }
        let by = by.cloned().unwrap_or_else(|| self.own());
        let answers = reports.iter().map(|report| {
            let is_sent_again = report.outcome == Outcome::Received;
            let may = |signal: &Signal| match signal.state {
                SignalState::Claimed(by) => by.claim == token.claim,
                SignalState::Received
                | SignalState::Sent(_)
                | SignalState::Done
                | SignalState::Rejected
                | SignalState::Expired => true,
                SignalState::InDoubt => !is_sent_again || signal.can_be_looked_up(),
            };
            let report = (&report.id, report.attempt, report.outcome, report.note.as_deref());
            self.move_on(&mut tables, &by, *token, report, may)
        });
        Some(answers.collect())
    }

    /// Moves a signal to the state of an outcome, if its attempt is the latest and `may` agrees.
    fn move_on(
        &self,
        tables: &mut Tables,
        actor: &Actor,
        token: Token,
        (id, attempt, as_, note): (&SignalId, u32, Outcome, Option<&str>),
        may: impl Fn(&Signal) -> bool,
    ) -> Recorded {
        let now_ms = tables.now_ms();
        let signals = tables.signals.get(&self.opening.group).into_iter().flatten();
        let Some(signal) = signals.into_iter().find(|signal| signal.id == *id && signal.attempt == attempt)
        else {
            return Recorded::Refused;
        };
        if signal.state.name() == as_.state() && attempt > 0 {
            return Recorded::Recorded;
        }
        if !as_.leads_from(signal.state.name()) || !may(signal) {
            return Recorded::Refused;
        }
        self.change(tables, actor, |signal| {
            if signal.id != *id {
                return false;
            }
            signal.state = match as_ {
                Outcome::Done => SignalState::Done,
                Outcome::Sent => SignalState::Sent(token),
                Outcome::Rejected => SignalState::Rejected,
                Outcome::Received => SignalState::Received,
                Outcome::InDoubt => SignalState::InDoubt,
            };
            if as_ == Outcome::Received {
                signal.claimed_ms = None;
            }
            signal.settled_ms = as_.state().is_final().then_some(now_ms);
            if let Some(note) = note {
                signal.note = Some(note.chars().take(NOTE_LEN_MAX).collect());
            }
            true
        });
        if as_ == Outcome::Received {
            tables.signal_listeners.wake_all(&self.opening.group);
        }
        Recorded::Recorded
    }

    fn do_take_over(&self, token: &Token, in_flight: InFlight<'_>) -> Option<Vec<Signal>> {
        let mut tables = self.database.tables();
        if !tables.admits(&self.opening.group, token, self.reached(token)) {
            return None;
        }
        let left = self.change(&mut tables, &self.own(), |signal| {
            let SignalState::Claimed(by) = signal.state else { return false };
            let worked_on = by.claim == token.claim
                && match in_flight {
                    InFlight::All => true,
                    InFlight::Only(these) => these.contains(&signal.id),
                };
            if !worked_on {
                signal.state = SignalState::InDoubt;
                signal.note = Some(ORPHANED.to_owned());
            }
            !worked_on
        });
        let mut forgotten = tables.forgotten.remove(&self.opening.group).unwrap_or_default();
        let hooks = tables.hooks.clone();
        let has_window =
            |arrival| hooks.get(&(self.opening.group.clone(), arrival)).is_some_and(|hook| hook.window_s > 0);
        let asked = self.change(&mut tables, &self.own(), |signal| {
            let unasked = signal.state == SignalState::Received && forgotten.is_unasked(signal);
            if unasked {
                signal.state = SignalState::InDoubt;
                signal.attempt += 1;
                signal.claimed_ms = Some(signal.received_ms);
                let note = if has_window(signal.arrival) { FORGOTTEN_ALERT } else { FORGOTTEN };
                signal.note = Some(note.to_owned());
            }
            unasked
        });
        forgotten.asked.extend(left.into_iter().chain(asked).map(|signal| signal.arrival));
        tables.forgotten.insert(self.opening.group.clone(), forgotten);
        let signals = tables.signals.get(&self.opening.group).into_iter().flatten();
        let in_doubt = signals.filter(|signal| signal.state == SignalState::InDoubt);
        Some(in_doubt.take(SIGNALS_READ_MAX as usize).cloned().collect())
    }

    fn do_decide(&self, decision: &Resolution) -> Recorded {
        let Resolution { id, attempt, outcome, actor, reason } = decision;
        let mut tables = self.database.tables();
        match outcome {
            Outcome::Done | Outcome::Rejected | Outcome::Received => {}
            Outcome::Sent | Outcome::InDoubt => return Recorded::Refused,
        }
        let token = tables.leases.get(&self.opening.group).map(|lease| lease.token);
        let Some(token) = token else { return Recorded::Refused };
        let report = (id, *attempt, *outcome, Some(reason.as_str()));
        self.move_on(&mut tables, actor, token, report, |signal| {
            matches!(signal.state.name(), StateName::InDoubt | StateName::Sent)
        })
    }

    fn do_acknowledge(&self, id: &SignalId, actor: &Actor, reason: &str) -> Recorded {
        let mut tables = self.database.tables();
        let acknowledged = self.change(&mut tables, actor, |signal| {
            if signal.id != *id || signal.state != SignalState::Expired {
                return false;
            }
            signal.note = Some(reason.chars().take(NOTE_LEN_MAX).collect());
            signal.state = SignalState::Rejected;
            true
        });
        if acknowledged.is_empty() { Recorded::Refused } else { Recorded::Recorded }
    }

    fn do_switch(&self, to: Switch, actor: &Actor, reason: &str) -> Switched {
        let mut tables = self.database.tables();
        let (group, now_ms) = (self.opening.group.clone(), tables.now_ms());
        let reason: String = reason.chars().take(NOTE_LEN_MAX).collect();
        let what = match to {
            Switch::Pause if tables.paused.contains_key(&group) => return Switched::Unchanged,
            Switch::Pause => {
                let paused = Paused { reason: reason.clone(), who: actor.who.clone(), since_ms: now_ms };
                tables.paused.insert(group.clone(), paused);
                "paused"
            }
            Switch::Resume if tables.paused.remove(&group).is_none() => return Switched::Unchanged,
            Switch::Resume => "resumed",
        };
        self.note_with(&mut tables, actor, what, None, Some(reason));
        tables.signal_listeners.wake_all(&group);
        Switched::Turned
    }

    fn do_list(&self, query: &ListQuery) -> Vec<Signal> {
        let tables = self.database.tables();
        let signals = tables.signals.get(&self.opening.group).into_iter().flatten().rev();
        signals
            .filter(|signal| query.state.is_none_or(|state| signal.state.name() == state))
            .filter(|signal| query.instrument.as_ref().is_none_or(|of| signal.instruction.instrument == *of))
            .filter(|signal| query.before.is_none_or(|before| signal.arrival < before))
            .take(query.limit.min(SIGNALS_READ_MAX) as usize)
            .cloned()
            .collect()
    }

    fn do_audit(&self, of: Option<&SignalId>, limit: u32) -> Vec<AuditEntry> {
        let tables = self.database.tables();
        let lines = tables.audit.iter().rev().filter(|(group, _)| *group == self.opening.group);
        lines
            .map(|(_, entry)| entry)
            .filter(|entry| of.is_none_or(|of| entry.signal.as_ref() == Some(of)))
            .take(limit.min(AUDIT_READ_MAX) as usize)
            .cloned()
            .collect()
    }

    fn do_counts(&self) -> SignalCounts {
        let tables = self.database.tables();
        let mut counts = SignalCounts::default();
        for signal in tables.signals.get(&self.opening.group).into_iter().flatten() {
            match signal.state {
                SignalState::Received => counts.received += 1,
                SignalState::Claimed(_) => counts.claimed += 1,
                SignalState::Sent(_) => counts.sent += 1,
                SignalState::Done => counts.done += 1,
                SignalState::Rejected => counts.rejected += 1,
                SignalState::Expired => counts.expired += 1,
                SignalState::InDoubt => counts.in_doubt += 1,
            }
        }
        counts
    }

    fn do_totals(&self) -> Totals {
        let counts = self.do_counts();
        let tables = self.database.tables();
        let now_ms = tables.now_ms();
        let signals = tables.signals.get(&self.opening.group).map_or(&[][..], Vec::as_slice);
        let expired = signals.iter().filter(|signal| {
            signal.state == SignalState::Expired && signal.settled_ms.is_some_and(|at| at > now_ms - DAY_MS)
        });
        let oldest = |state, since: fn(&Signal) -> Option<i64>| {
            let of_state = signals.iter().filter(|signal| signal.state.name() == state);
            let age = |since_ms: i64| Duration::from_millis(u64::try_from(now_ms - since_ms).unwrap_or(0));
            of_state.filter_map(since).min().map(age)
        };
        Totals {
            received: counts.received,
            claimed: counts.claimed,
            sent: counts.sent,
            in_doubt: counts.in_doubt,
            oldest_received: oldest(StateName::Received, |signal| Some(signal.received_ms)),
            oldest_in_doubt: oldest(StateName::InDoubt, |signal| signal.claimed_ms),
            expired_last_day: u32::try_from(expired.count()).unwrap_or(u32::MAX),
            sent_last_minute: claims_since(signals, now_ms - MINUTE_MS),
            sent_last_day: claims_since(signals, now_ms - DAY_MS),
            paused: tables.paused.get(&self.opening.group).cloned(),
        }
    }

    fn do_sweep(&self, token: &Token, keep: Duration) -> Option<Swept> {
        let mut tables = self.database.tables();
        if !tables.admits(&self.opening.group, token, self.reached(token)) {
            return None;
        }
        let (now_ms, own) = (tables.now_ms(), self.own());
        let before_ms = now_ms.saturating_sub(i64::try_from(keep.as_millis()).unwrap_or(i64::MAX));
        let old = |signal: &Signal| {
            let arose_ms = signal.instruction.timestamp_s.saturating_mul(1_000);
            signal.settled_ms.is_some_and(|at| at < before_ms) && arose_ms < before_ms
        };
        let signals = tables.signals.entry(self.opening.group.clone()).or_default();
        let gone: Vec<Signal> = signals.extract_if(.., |signal| old(signal)).collect();
        for signal in &gone {
            self.note(&mut tables, &own, "deleted", Some(signal));
        }
        let members = tables.forget_old_members(&self.opening.group);
        Some(Swept { signals: gone.len() as u64, members })
    }
}

fn claims_since(signals: &[Signal], after_ms: i64) -> u32 {
    let claims = signals.iter().filter(|signal| signal.claimed_ms.is_some_and(|at| at > after_ms)).count();
    u32::try_from(claims).unwrap_or(u32::MAX)
}

#[async_trait]
impl SignalLedger for FakeStateStore {
    fn identity(&self) -> Identity {
        StateStore::identity(self)
    }

    async fn submit(&self, signals: &[NewSignal], actor: &Actor) -> Result<Vec<Submit>, StoreError> {
        self.faults.around(Call::Submit, || Ok(self.do_submit(signals, actor))).await
    }

    async fn claim_signals(
        &self,
        token: &Token,
        limits: Limits,
        most: u16,
    ) -> Result<SignalClaim, StoreError> {
        self.faults.around(Call::ClaimSignals, || Ok(self.do_claim_signals(token, limits, most))).await
    }

    async fn record_by(
        &self,
        token: &Token,
        reports: &[Report],
        by: Option<&Actor>,
    ) -> Result<Option<Vec<Recorded>>, StoreError> {
        self.faults.around(Call::Record, || Ok(self.do_record(token, reports, by))).await
    }

    async fn take_over(
        &self,
        token: &Token,
        in_flight: InFlight<'_>,
    ) -> Result<Option<Vec<Signal>>, StoreError> {
        self.faults.around(Call::TakeOver, || Ok(self.do_take_over(token, in_flight))).await
    }

    async fn resolve(&self, decision: &Resolution) -> Result<Recorded, StoreError> {
        self.faults.around(Call::Decide, || Ok(self.do_decide(decision))).await
    }

    async fn acknowledge(&self, id: &SignalId, actor: &Actor, reason: &str) -> Result<Recorded, StoreError> {
        self.faults.around(Call::Acknowledge, || Ok(self.do_acknowledge(id, actor, reason))).await
    }

    async fn switch(&self, to: Switch, actor: &Actor, reason: &str) -> Result<Switched, StoreError> {
        self.faults.around(Call::Switch, || Ok(self.do_switch(to, actor, reason))).await
    }

    async fn find(&self, id: &SignalId) -> Result<Option<Signal>, StoreError> {
        let find = || self.database.signals(&self.opening.group).into_iter().find(|signal| signal.id == *id);
        self.faults.around(Call::Find, || Ok(find())).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Vec<Signal>, StoreError> {
        self.faults.around(Call::List, || Ok(self.do_list(query))).await
    }

    async fn audit(&self, of: Option<&SignalId>, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        self.faults.around(Call::Audit, || Ok(self.do_audit(of, limit))).await
    }

    async fn counts(&self) -> Result<SignalCounts, StoreError> {
        self.faults.around(Call::Counts, || Ok(self.do_counts())).await
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        self.faults.around(Call::Totals, || Ok(self.do_totals())).await
    }

    async fn sweep(&self, token: &Token, keep: Duration) -> Result<Option<Swept>, StoreError> {
        self.faults.around(Call::Sweep, || Ok(self.do_sweep(token, keep))).await
    }

    async fn submitted(&self) {
        self.submitted.notified().await;
    }
}
