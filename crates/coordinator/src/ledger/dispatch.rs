//! The leader's work: it sends signals from the ledger to the handler, and records their outcomes in the ledger.
//!
//! At most one request to the ledger is in progress at a time. Handler calls continue during it: a bounded number, one
//! for each instrument. Nothing is spawned: everything ends with the future of the leadership.

use super::beside::{Woken, answered, beside, woken_then};
use super::doubts::{Doubts, take_over};
use super::expiry::has_expired;
use super::finding::{Finding, Finished, named};
use super::not_executed::NotExecuted;
use super::slots::{
    CLAIM_LATE_MAX, DOUBTS_EVERY, LOOKUPS_MAX, NOTHING, RETRY, SWEEP_EVERY, room, room_for_new,
};
use super::{LOOK_AGAIN, Ledger, asked, waited};
use crate::clock;
use crate::complaints::Complaints;
use crate::crash_point::{CrashPoint, at};
use crate::error::Ended;
use crate::leader::Leader;
use domain::lease::Token;
use domain::ledger::{Outcome, Signal, SignalId, StateName};
use domain::metrics::{Fact, SignalFact};
use domain::ports::{
    Answer, InFlight, ListQuery, Recorded, Report, SIGNALS_READ_MAX, SignalClaim, SignalHandler, StoreError,
};
use domain::time::Time;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use std::collections::{BTreeMap, BTreeSet};
use tokio::time::Instant;

/// Works whenever this instance leads; returns why the coordinator ended.
pub(super) async fn run(ledger: &Ledger, handler: Option<&dyn SignalHandler>) -> Ended {
    loop {
        // Boxed once for each leadership: the future of a round is large.
        let work = |leader| Box::pin(Round::new(ledger, handler, leader).lead());
        match at(CrashPoint::Lead, ledger.coordinator.run_until_handed_over(work)).await {
            Ok(()) => {}
            Err(ended) => return ended,
        }
    }
}

/// The work of one leadership.
struct Round<'a> {
    ledger: &'a Ledger,
    /// `None`: a service pulls.
    handler: Option<&'a dyn SignalHandler>,
    leader: Leader,
    /// The attempt of each signal that was claimed under this leadership and has no recorded outcome.
    in_flight: BTreeMap<SignalId, u32>,
    running: FuturesUnordered<BoxFuture<'a, Finished>>,
    /// Handler calls that ended during a request to the ledger.
    finished: Vec<Finished>,
    findings: Vec<Finding>,
    doubts: Doubts,
    /// The token under which everything that former leaders left was taken over.
    taken_over: Option<Token>,
    /// The token under which all of that is also known here: a later doubt is from this leadership.
    baseline: Option<Token>,
    /// The current token; it changes when the lease is carried over a failover.
    under: Token,
    take_over_at: Instant,
    /// The time until which a claim without an answer may still arrive at the store.
    astray_until: Option<Instant>,
    claim_at: Instant,
    /// The signals that the handler did not execute; claims pause for them.
    not_executed: NotExecuted,
    /// The latest arrival among the signals known here: a later one is new.
    arrival: u64,
    probe_at: Instant,
    record_at: Instant,
    /// The most outcomes that one request records.
    record_most: usize,
    sweep_at: Instant,
    complaints: Complaints,
}

impl<'a> Round<'a> {
    fn new(ledger: &'a Ledger, handler: Option<&'a dyn SignalHandler>, leader: Leader) -> Self {
        let (now, under) = (Instant::now(), leader.token);
        Self {
            ledger,
            handler,
            leader,
            in_flight: BTreeMap::new(),
            running: FuturesUnordered::new(),
            finished: Vec::new(),
            findings: Vec::new(),
            doubts: Doubts::default(),
            taken_over: None,
            baseline: None,
            under,
            take_over_at: now,
            astray_until: None,
            claim_at: now,
            not_executed: NotExecuted::default(),
            arrival: 0,
            probe_at: now,
            record_at: now,
            record_most: usize::MAX,
            sweep_at: now + LOOK_AGAIN,
            complaints: Complaints::default(),
        }
    }

    /// Works until leadership is over. During a handover it begins nothing and finishes what is in progress.
    async fn lead(mut self) {
        while let Ok(token) = self.leader.held() {
            self.take_in();
            let now = Instant::now();
            let acts = self.leader.token().is_ok();
            if self.under != token {
                // A failover: what it brings back is taken over before anything else is done.
                (self.under, self.take_over_at) = (token, now);
            }
            if !acts && self.running.is_empty() && self.findings.is_empty() {
                return;
            }
            // Claims keep room for lookups that are due.
            if acts && self.take_over_at > now && !(self.claim_at <= now && self.may_claim()) {
                self.look_up(token);
            }
            if !self.findings.is_empty() && self.record_at <= now {
                self.record(token).await;
            } else if acts && self.take_over_at <= now {
                self.take_over(token).await;
            } else if acts && self.claim_at <= now && self.may_claim() {
                self.claim(token).await;
            } else if acts && self.sweep_is_due(now) {
                self.sweep(token).await;
            } else {
                self.wait(acts).await;
            }
        }
    }

    fn room_for_new(&self) -> u16 {
        let due = self.handler.map_or(0, |_| self.doubts.due(Instant::now()));
        room_for_new(self.running.len(), due, self.doubts.under_way())
    }

    fn may_look_up(&self) -> bool {
        room(self.running.len()) > 0 && self.doubts.under_way() < LOOKUPS_MAX
    }

    /// Nothing is claimed before everything that others left was taken over.
    fn may_claim(&self) -> bool {
        self.taken_over == Some(self.under) && self.room_for_new() > 0
    }

    fn take_in(&mut self) {
        for finished in self.finished.drain(..) {
            let (signal, answer) = match finished {
                Finished::LookedUp(signal, Answer { outcome: Outcome::InDoubt, note }) => {
                    if self.doubts.unresolved(&signal, &note) {
                        tracing::warn!("signal {} stays in doubt: {note}", signal.id);
                    }
                    continue;
                }
                Finished::Executed(signal, answer) | Finished::LookedUp(signal, answer) => (signal, answer),
            };
            let Answer { outcome, note } = answer;
            self.findings.push(Finding { signal, outcome, note: Some(note) });
        }
    }

    /// Records outcomes. If the store does not answer, the same reports are sent again; recording is idempotent.
    async fn record(&mut self, token: Token) {
        let mut ids = BTreeSet::new();
        // Of two findings about one signal the second waits for the next request.
        let some = self.findings.iter().take(self.record_most);
        let once = some.take_while(|finding| ids.insert(&finding.signal.id));
        let reports: Vec<Report> = once.map(Finding::report).collect();
        let store = &self.ledger.store;
        let recording = asked(store.record(&token, &reports));
        let answer = at(CrashPoint::Settle, beside(&mut self.running, &mut self.finished, recording)).await;
        match answer {
            Ok(Some(answers)) => {
                self.record_most = usize::MAX;
                let recorded: Vec<Finding> = self.findings.drain(..reports.len()).collect();
                for (finding, answer) in recorded.into_iter().zip(answers) {
                    self.settled(finding, answer);
                }
            }
            Ok(None) => self.fenced(&format!("the outcome of {}", named(&reports))),
            Err(error) => {
                // If one of them is the cause (a corrupt row), it must not hold up the others.
                self.record_most = 1;
                self.findings.rotate_left(1);
                self.record_at = Instant::now() + RETRY;
                self.complaints.signals("what was found out", &error);
            }
        }
    }

    fn settled(&mut self, finding: Finding, answer: Recorded) {
        let Finding { signal, outcome, note } = finding;
        // The outcome of a former attempt shows nothing about one that is under way.
        let in_flight = self.in_flight.get(&signal.id) == Some(&signal.attempt);
        if in_flight {
            self.in_flight.remove(&signal.id);
        }
        if answer == Recorded::Refused {
            // An operator has resolved it before, or a failover has lost the claim.
            tracing::warn!("signal {}: {outcome:?} of attempt {} was refused", signal.id, signal.attempt);
            self.doubts.settled(&signal);
            return;
        }
        self.ledger.settled(outcome);
        if outcome.state().is_final() {
            self.ledger.forget(&signal.id);
        }
        match outcome {
            Outcome::Done if !in_flight => {
                tracing::info!("signal {}: in doubt, and found to be executed", signal.id);
                // A blind second send would have executed it twice.
                self.ledger.record(SignalFact::DuplicatePrevented);
            }
            Outcome::InDoubt => {
                self.not_executed.remove(&signal.id);
                self.report_not_executed();
                let why = note.as_deref().unwrap_or_default();
                tracing::error!("signal {} is in doubt: {why}", signal.id);
                self.doubts.add(signal);
                return;
            }
            Outcome::Received if in_flight => {
                self.not_executed.add(&signal.id, note.as_deref().unwrap_or_default());
                self.claim_at = Instant::now() + self.not_executed.pause();
            }
            Outcome::Done | Outcome::Sent | Outcome::Rejected | Outcome::Received => {
                self.not_executed.remove(&signal.id);
                // The turn of the next signal of its instrument may have come.
                self.claim_at = Instant::now();
            }
        }
        self.report_not_executed();
        self.doubts.settled(&signal);
    }

    /// Takes over the signals that former leaders left, and those of an own claim whose answer was lost.
    async fn take_over(&mut self, token: Token) {
        let mine: Vec<SignalId> = self.in_flight.keys().cloned().collect();
        let in_flight = match self.handler {
            Some(_) => InFlight::Only(&mine),
            None => InFlight::All,
        };
        let taking = take_over(&*self.ledger.store, &token, in_flight, self.doubts.next_page());
        match at(CrashPoint::TakeOver, beside(&mut self.running, &mut self.finished, taking)).await {
            Ok(Some((signals, page))) => {
                self.take_over_at = Instant::now() + DOUBTS_EVERY;
                self.taken_over = Some(token);
                let ours = self.baseline == Some(token);
                // A full answer has the oldest signals in doubt, and not all of them.
                let full = signals.len() >= SIGNALS_READ_MAX as usize;
                let until = signals.last().filter(|_| full).map(|last| last.arrival);
                if until.is_none() {
                    self.doubts.keep(&signals);
                    self.baseline = Some(token);
                }
                for signal in signals {
                    if self.knows(&signal) {
                        continue;
                    }
                    let forgotten = signal.may_be_forgotten();
                    if ours && self.handler.is_some() && !forgotten && !self.ledger.has_touched(&signal) {
                        // No other token has claimed anything since the first take-over, and this attempt is not among
                        // those that were claimed under this token and answered.
                        let note = Some("its claim had no answer, so it was never sent".to_owned());
                        self.findings.push(Finding { signal, outcome: Outcome::Received, note });
                    } else {
                        self.found_in_doubt(&signal);
                        self.doubts.add(signal);
                    }
                }
                if let (Some(arrival), Some(page)) = (until, page) {
                    self.add_page(page, arrival);
                }
            }
            Ok(None) => self.fenced("a take-over"),
            Err(error) => {
                self.take_over_at = Instant::now() + RETRY;
                self.complaints.signals("taking over", &error);
            }
        }
    }

    /// One page of the doubts that arrived after the last one of the take-over's answer. Each is looked up once
    /// whenever its page is read, so that none waits for the oldest and memory stays bounded.
    fn add_page(&mut self, page: Vec<Signal>, arrival: u64) {
        self.doubts.page_was_read(&page, arrival);
        for signal in page {
            if self.knows(&signal) {
                continue;
            }
            self.found_in_doubt(&signal);
            // A service that pulls looks up its own doubts.
            if self.handler.is_some() {
                self.doubts.add_for_one_lookup(signal);
            }
        }
    }

    /// Reports a doubt when this leadership finds it, not when it reads it again.
    fn found_in_doubt(&mut self, signal: &Signal) {
        if self.doubts.is_first_seen(signal) {
            self.ledger.found_in_doubt(signal);
        }
    }

    /// True if this leadership works on the signal already.
    fn knows(&self, signal: &Signal) -> bool {
        let found_out = self.findings.iter().any(|finding| finding.signal.id == signal.id);
        found_out || self.in_flight.contains_key(&signal.id) || self.doubts.knows(signal)
    }

    async fn claim(&mut self, token: Token) {
        let (limits, most) = match self.handler {
            Some(_) => (self.ledger.settings.limits, self.room_for_new()),
            None => (NOTHING, 1),
        };
        self.not_executed.prune();
        self.report_not_executed();
        self.claim_at = Instant::now() + self.not_executed.pause().max(LOOK_AGAIN);
        let asked_at = clock::now();
        let claiming = asked(self.ledger.store.claim_signals(&token, limits, most));
        match at(CrashPoint::Claim, beside(&mut self.running, &mut self.finished, claiming)).await {
            Ok(SignalClaim::Claimed(signals)) => {
                if signals.len() == usize::from(most) {
                    self.claim_at = Instant::now() + self.not_executed.pause();
                }
                for signal in signals {
                    self.arrival = self.arrival.max(signal.arrival);
                    self.ledger.record(SignalFact::Claimed);
                    self.hand_over(token, signal, asked_at);
                }
                self.ledger.stirred.notify_one();
            }
            Ok(SignalClaim::Empty | SignalClaim::Paused | SignalClaim::Limited(_)) => {}
            Ok(SignalClaim::Fenced) => self.fenced("a claim"),
            Err(error) => {
                (self.claim_at, self.take_over_at) = (Instant::now() + RETRY, Instant::now() + RETRY);
                self.astray_until = Some(Instant::now() + CLAIM_LATE_MAX);
                self.complaints.signals("a claim", &error);
            }
        }
    }

    /// While claims wait for a handler that refuses a signal, new signals of other instruments must not wait as long.
    fn probes(&self) -> bool {
        self.not_executed.pause() > LOOK_AGAIN && self.may_claim()
    }

    /// Claims at once if a signal has arrived since the last claim or probe.
    fn probed(&mut self, latest: Result<Vec<Signal>, StoreError>) {
        self.probe_at = Instant::now() + LOOK_AGAIN;
        match latest {
            Ok(latest) => {
                let latest = latest.first().map_or(0, |signal| signal.arrival);
                if latest > self.arrival {
                    (self.arrival, self.claim_at) = (latest, Instant::now());
                }
            }
            Err(error) => self.complaints.signals("reading what arrived", &error),
        }
    }

    fn report_not_executed(&self) {
        self.ledger.coordinator.shared.record(Fact::NotExecuting(self.not_executed.since_ms()));
    }

    /// Begins the handler's call. The first poll checks the token: the answer to the claim may have
    /// been on its way for longer than the lease, and a failover that the leader survived may have lost the claim.
    /// It also checks whether the signal has expired since.
    fn hand_over(&mut self, token: Token, signal: Signal, asked_at: Time) {
        let Some(handler) = self.handler else { return };
        self.ledger.touch(&signal.id, signal.attempt);
        self.in_flight.insert(signal.id.clone(), signal.attempt);
        let (ledger, leader) = (self.ledger, self.leader.clone());
        self.running.push(Box::pin(async move {
            if leader.token() != Ok(token) {
                let note = "leadership ended before it was sent".to_owned();
                return Finished::Executed(signal, Answer { outcome: Outcome::Received, note });
            }
            if has_expired(signal.claimed_ms, signal.instruction.expires_ms, clock::now().since(asked_at)) {
                let note = "it expired before it was sent".to_owned();
                return Finished::Executed(signal, Answer { outcome: Outcome::Received, note });
            }
            ledger.record(SignalFact::Sent { waited: waited(&signal) });
            let call = answered(&signal, ledger.settings.handler_time_max, handler.execute(&signal, &token));
            let answer = at(CrashPoint::Handle, call).await;
            Finished::Executed(signal, answer)
        }));
    }

    /// Begins the lookups that are due. As in [`hand_over`](Self::hand_over), the first poll checks the token, because
    /// a lookup raises the lowest epoch that its receiver accepts.
    fn look_up(&mut self, token: Token) {
        let Some(handler) = self.handler else { return };
        let time_max = self.ledger.settings.handler_time_max;
        while self.may_look_up()
            && let Some(signal) = self.doubts.take_due(Instant::now())
        {
            let leader = self.leader.clone();
            self.running.push(Box::pin(async move {
                if leader.token() != Ok(token) {
                    let why = "leadership ended before it was looked up";
                    return Finished::LookedUp(signal, Answer::unknown(why));
                }
                if !signal.can_be_looked_up() {
                    let why = "a lookup finds no earlier alert of its window, so the operator must decide";
                    return Finished::LookedUp(signal, Answer::unknown(why));
                }
                let call = answered(&signal, time_max, handler.lookup(&signal, &token));
                let answer = at(CrashPoint::LookUp, call).await;
                Finished::LookedUp(signal, answer)
            }));
        }
    }

    /// True if old signals should be removed: the sweep is due and there is no other work, or it is overdue by
    /// [`SWEEP_EVERY`].
    fn sweep_is_due(&self, now: Instant) -> bool {
        let idle = self.running.is_empty() && self.doubts.next_due().is_none();
        self.sweep_at <= now && (idle || self.sweep_at + SWEEP_EVERY <= now)
    }

    async fn sweep(&mut self, token: Token) {
        let sweeping = asked(self.ledger.store.sweep(&token, self.ledger.settings.retention));
        match at(CrashPoint::Sweep, beside(&mut self.running, &mut self.finished, sweeping)).await {
            Ok(Some(swept)) => {
                let much = swept.signals + swept.members > 0;
                self.sweep_at = Instant::now() + if much { LOOK_AGAIN } else { SWEEP_EVERY };
                if much {
                    let (signals, members) = (swept.signals, swept.members);
                    tracing::info!(signals, members, "removed old signals and lines of the instance table");
                }
            }
            Ok(None) => self.fenced("a sweep"),
            Err(error) => {
                self.sweep_at = Instant::now() + SWEEP_EVERY;
                self.complaints.signals("removing what is old", &error);
            }
        }
    }

    /// Waits until there is something to do.
    async fn wait(&mut self, acts: bool) {
        let record = (!self.findings.is_empty()).then_some(self.record_at);
        let probe = self.probes().then_some(self.probe_at);
        let act = [self.may_claim().then_some(self.claim_at), Some(self.take_over_at), probe];
        let lookups = self.doubts.next_due().filter(|_| self.handler.is_some() && self.may_look_up());
        let due = act.into_iter().chain([lookups]).flatten().filter(|_| acts);
        let until = due.chain(record).min().unwrap_or_else(|| Instant::now() + LOOK_AGAIN);
        let store = (acts && self.handler.is_some()).then_some(&*self.ledger.store);
        let (running, finished) = (&mut self.running, &mut self.finished);
        let query = ListQuery { state: Some(StateName::Received), instrument: None, before: None, limit: 1 };
        let probing = (probe.filter(|_| acts), asked(self.ledger.store.list(&query)));
        let waiting = woken_then(running, finished, &mut self.leader.state, store, until, probing);
        let (woken, latest) = at(CrashPoint::Wait, waiting).await;
        if let Some(latest) = latest {
            self.probed(latest);
        }
        // A hint may be about the very signal that the handler refuses: it shortens no pause, and the probe follows.
        if woken == Woken::ByHint && !self.probes() {
            self.claim_at = self.claim_at.min(Instant::now() + self.not_executed.pause());
        }
        if self.astray_until.is_some_and(|until| until < Instant::now()) {
            self.astray_until = None;
        }
        if self.astray_until.is_some() {
            self.take_over_at = self.take_over_at.min(Instant::now() + LOOK_AGAIN);
        }
    }

    /// The ledger refused the token: leadership is over, or the lease is not carried to a new timeline yet. The loop
    /// finds out which.
    fn fenced(&mut self, what: &str) {
        self.ledger.record(SignalFact::FencedWrite);
        tracing::warn!("the ledger refused a write of this leadership: {what}");
        let later = Instant::now() + RETRY;
        for at in [&mut self.record_at, &mut self.claim_at, &mut self.take_over_at, &mut self.sweep_at] {
            *at = (*at).max(later);
        }
    }
}

/// Leaves what the handler refused, and what has no recorded outcome, to the next leader.
impl Drop for Round<'_> {
    fn drop(&mut self) {
        for (id, attempt) in &self.in_flight {
            tracing::warn!(
                "signal {id}: leadership ended before the outcome of attempt {attempt} was recorded"
            );
        }
        self.ledger.coordinator.shared.record(Fact::NotExecuting(None));
    }
}
