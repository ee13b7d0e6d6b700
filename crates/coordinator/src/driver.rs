//! The loop around the elector: one event, one step, its commands. It makes no election decision.
//!
//! Every command runs as a separate task with its timeout, so that one slow store never delays the other,
//! nor the deadline. A task that is cut off at its timeout is dropped; the ports promise that this leaves
//! nothing half done.

use crate::clock::{self, Alarm, of_this_process};
use crate::complaints::{Effect, Trouble};
use crate::exits::Watch;
use crate::keep::{keep_asked, keep_granted};
use crate::leadership::Leadership;
use crate::memory::kept_within;
use crate::notice::{Notice, NoticeKind};
use crate::recover::{Purpose, recover};
use crate::shared::Shared;
use crate::store_call::{lease_call, ticket_call};
use crate::within::within;
use domain::election::{
    CallId, Command, Elector, Epochs, Event, LeaseAnswer, LeaseRequest, LossReason, Phase, Report, Resign,
    Role, TicketRequest,
};
use domain::lease::{Epoch, Seq, Timeline, Token};
use domain::member::MemberState;
use domain::metrics::{Fact, SyncResult};
use domain::ports::{Claim, StoreError};
use domain::recovery::RecoveryCode;
use domain::time::Time;
use std::collections::HashMap;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

/// The interval at which the lease's seq is written to the memory. If every instance is killed and then a backup is
/// restored that is newer than the last written seq, no instance detects it. Each write costs two fsyncs.
const KEEP_SEQ_EVERY: Duration = Duration::from_mins(1);

/// The result of a finished task. A sync is measured from just before the request to the answer or timeout.
struct Answer {
    event: Event,
    sync: Option<(SyncResult, Duration)>,
}

/// The request that a task carries out, for the case that it panics before it answers.
#[derive(Debug, Clone, Copy)]
enum Owed {
    Lease(CallId),
    Ticket(CallId),
    Recovery(CallId),
    Drain,
}

pub(crate) struct Driver {
    pub(crate) elector: Elector,
    pub(crate) shared: Arc<Shared>,
    pub(crate) requests: mpsc::Receiver<Resign>,
    /// The runtime for crash recovery, whose duration grows with the portfolio.
    service: Handle,
    tasks: JoinSet<Answer>,
    owed: HashMap<Id, Owed>,
    state_store: Trouble,
    leader_store: Trouble,
    /// The kind of the last request to the state store, in progress or answered.
    effect: Effect,
    /// The epochs that were last passed to the memory.
    kept: Epochs,
    /// The time when a seq was last passed to it.
    kept_at: Option<Instant>,
    /// The leadership that is being handed over: only its release is an end on purpose.
    resigning: Option<Token>,
    remembered: watch::Receiver<Epochs>,
    /// The end of the process that holds the lease.
    holder: Watch,
}

impl Driver {
    /// `service` is the runtime for everything that may take long.
    pub(crate) fn new(
        elector: Elector,
        shared: Arc<Shared>,
        requests: mpsc::Receiver<Resign>,
        service: Handle,
    ) -> Self {
        let (tasks, owed) = (JoinSet::new(), HashMap::new());
        let kept = elector.epochs();
        let remembered = shared.remembered.subscribe();
        let holder = Watch::new(shared.exits.clone());
        Self {
            elector,
            shared,
            requests,
            service,
            tasks,
            owed,
            state_store: Trouble::of("state store"),
            leader_store: Trouble::of("leader store"),
            effect: Effect::Reads,
            kept,
            kept_at: None,
            resigning: None,
            remembered,
            holder,
        }
    }

    /// Runs until a stop has released everything. An error means that the kernel refuses timers: the election ends
    /// then, and the lease stops being valid at its deadline, which every reader compares with the clock.
    pub(crate) async fn run(mut self) -> io::Result<()> {
        let mut alarm = Alarm::new()?;
        self.step(Event::Wakeup);
        while *self.elector.role() != Role::Stopped {
            let event = self.next_event(&mut alarm).await?;
            self.step(event);
        }
        // So that a backup of this term that is restored before the next start is detected (M23).
        if let Some(memory) = &self.shared.epochs {
            let epochs = Epochs { asked: Epoch(0), ..self.elector.epochs() };
            let limit = self.elector.config().heartbeat();
            self.shared.ability.found(&kept_within(clock::now(), limit, &**memory, epochs).await);
        }
        Ok(())
    }

    async fn next_event(&mut self, alarm: &mut Alarm) -> io::Result<Event> {
        let wakeup = self.elector.next_wakeup();
        let ring = async {
            match wakeup {
                Some(at) => alarm.at(at).await,
                None => pending().await,
            }
        };
        let ticket_hint = async {
            match &self.shared.leader_store {
                Some(store) => store.changed().await,
                None => pending().await,
            }
        };
        // Answers first: a step must not act on a timer or a hint while an answer is ready.
        tokio::select! {
            biased;
            Some(finished) = self.tasks.join_next_with_id(), if !self.tasks.is_empty() => {
                Ok(self.taken_in(finished))
            }
            Some(resign) = self.requests.recv() => Ok(Event::Resign(resign)),
            Ok(()) = self.remembered.changed() => Ok(Event::Remembered(*self.remembered.borrow_and_update())),
            nonce = self.holder.ended() => Ok(Event::ProcessEnded(nonce)),
            ring = ring => ring.map(|()| Event::Wakeup),
            () = self.shared.state_store.changed() => Ok(Event::LeaseHint),
            () = ticket_hint => Ok(Event::TicketHint),
        }
    }

    fn step(&mut self, event: Event) {
        // Read after the event was received and before anything is sent: the contract of `Elector::step`.
        let now = clock::now();
        let commands = self.elector.step(now, event);
        // Readers see that leadership is over before any other process can see that the lease is released.
        self.publish(now);
        self.holder.follow(&self.elector);
        self.remember();
        for command in commands {
            match command {
                Command::Lease { call, timeout, request } => self.read_lease(call, now, timeout, request),
                Command::Ticket { call, timeout, request } => self.ask_ticket(call, now, timeout, request),
                Command::Recover { call, .. } => self.recover(call),
                // The work sees `draining` in the value that was published above, and stops.
                Command::Drain { .. } => self.drain(),
                Command::Report(report) => self.report(now, &report),
            }
        }
    }

    /// Stores the epochs of the leases that were read, without delaying the election: only a claim waits for the
    /// memory.
    fn remember(&mut self) {
        let epochs = self.elector.epochs();
        if let Some(memory) = self.shared.epochs.clone()
            && (epochs.seen > self.kept.seen || epochs.seq > self.kept.seq && self.keeps_seq())
        {
            self.kept = epochs;
            if epochs.seq > Seq(0) {
                self.kept_at = Some(Instant::now());
            }
            let shared = Arc::clone(&self.shared);
            self.service.spawn(of_this_process(async move {
                shared.remembered(&memory.keep(Epochs { asked: Epoch(0), ..epochs }).await);
            }));
        }
    }

    fn keeps_seq(&self) -> bool {
        self.kept_at.is_none_or(|at| at.elapsed() >= KEEP_SEQ_EVERY)
    }

    // --- commands -----------------------------------------------------------------------------------

    fn spawn(&mut self, owed: Owed, task: impl Future<Output = Answer> + Send + 'static) {
        let handle = self.tasks.spawn(of_this_process(task));
        self.owed.insert(handle.id(), owed);
    }

    fn read_lease(&mut self, call: CallId, now: Time, limit: Duration, request: LeaseRequest) {
        let shared = Arc::clone(&self.shared);
        let renews = matches!(request, LeaseRequest::Renew { .. });
        self.effect = if request == LeaseRequest::Observe { Effect::Reads } else { Effect::Writes };
        if renews {
            shared.commits.renewing(now);
        }
        self.spawn(Owed::Lease(call), async move {
            let may_be_sent = match &request {
                LeaseRequest::Claim(request) => keep_asked(&shared, now, limit, request).await,
                LeaseRequest::Note { found, known } if !shared.ability.allows(*known, found.epoch) => {
                    Err(LeaseAnswer::NotSent)
                }
                LeaseRequest::Observe
                | LeaseRequest::Renew { .. }
                | LeaseRequest::Release { .. }
                | LeaseRequest::Note { .. } => Ok(()),
            };
            if let Err(answer) = may_be_sent {
                return Answer { event: Event::Lease { call, answer: Ok(answer) }, sync: None };
            }
            let started = Instant::now();
            let answer = within(now, limit, lease_call(&*shared.state_store, request)).await;
            if renews {
                shared.commits.renewed(answer.as_ref(), started.elapsed());
            }
            let answer = match answer {
                Some(answer) => answer,
                None => Err(StoreError::Unknown(format!("the state store said nothing for {limit:?}"))),
            };
            let result = if answer.is_ok() { SyncResult::Succeeded } else { SyncResult::Failed };
            let sync = Some((result, started.elapsed()));
            if let Ok(LeaseAnswer::Claim(Claim::Granted(token))) = &answer {
                keep_granted(&shared, now, limit, *token).await;
            }
            Answer { event: Event::Lease { call, answer }, sync }
        });
    }

    fn ask_ticket(&mut self, call: CallId, now: Time, limit: Duration, request: TicketRequest) {
        let Some(store) = self.shared.leader_store.clone() else { return };
        self.spawn(Owed::Ticket(call), async move {
            let answer = match within(now, limit, ticket_call(&*store, request)).await {
                Some(answer) => answer,
                None => Err(StoreError::Unknown(format!("the leader store said nothing for {limit:?}"))),
            };
            Answer { event: Event::Ticket { call, answer }, sync: None }
        });
    }

    fn recover(&mut self, call: CallId) {
        let shared = Arc::clone(&self.shared);
        let recovering = self
            .service
            .spawn(of_this_process(async move { recover(&shared, Purpose::Lead).await.map(drop) }));
        self.spawn(Owed::Recovery(call), async move {
            let answer = match recovering.await {
                Ok(answer) => answer.map_err(|fault| fault.code),
                Err(error) => {
                    tracing::error!(%error, "crash recovery ended without an answer");
                    Err(RecoveryCode::DbUnavailable)
                }
            };
            Answer { event: Event::Recovered { call, answer }, sync: None }
        });
    }

    fn drain(&mut self) {
        let mut works = self.shared.works.subscribe();
        self.spawn(Owed::Drain, async move {
            // The sender is in `shared`, which outlives this task; if it did not, no work would exist either.
            let _ = works.wait_for(|running| *running == 0).await;
            Answer { event: Event::Drained, sync: None }
        });
    }

    // --- answers ------------------------------------------------------------------------------------

    fn taken_in(&mut self, finished: Result<(Id, Answer), JoinError>) -> Event {
        let answer = match finished {
            Ok((id, answer)) => {
                self.owed.remove(&id);
                answer
            }
            Err(error) => self.made_up(&error),
        };
        if let Some((result, took)) = answer.sync {
            self.shared.record(Fact::Sync { result, took, at: clock::now() });
        }
        match &answer.event {
            // Not an answer of the state store.
            Event::Lease { answer: Ok(LeaseAnswer::NotSent | LeaseAnswer::Outdated(_)), .. }
            | Event::Wakeup
            | Event::LeaseHint
            | Event::ProcessEnded(_)
            | Event::Remembered(_)
            | Event::TicketHint
            | Event::Recovered { .. }
            | Event::Drained
            | Event::Resign(_) => {}
            Event::Lease { answer, .. } => {
                self.shared.state_store_answered(answer.as_ref().err());
                self.state_store.answered(self.effect, answer.as_ref().err());
                if let Ok(LeaseAnswer::Observed(row)) = answer {
                    self.epoch(row.version.token.timeline, row.version.token.epoch);
                }
            }
            Event::Ticket { answer, .. } => {
                self.leader_store.answered(Effect::Writes, answer.as_ref().err());
            }
        }
        answer.event
    }

    /// A task panicked: a bug in an adapter. Its outcome is unknown, as for a reply that was lost.
    fn made_up(&mut self, error: &JoinError) -> Answer {
        tracing::error!(%error, "a request ended without an answer; its outcome is unknown");
        let unknown = || StoreError::Unknown("the request's task failed".into());
        let event = match self.owed.remove(&error.id()) {
            Some(Owed::Lease(call)) => Event::Lease { call, answer: Err(unknown()) },
            Some(Owed::Ticket(call)) => Event::Ticket { call, answer: Err(unknown()) },
            Some(Owed::Recovery(call)) => Event::Recovered { call, answer: Err(RecoveryCode::DbUnavailable) },
            Some(Owed::Drain) => Event::Drained,
            None => Event::Wakeup,
        };
        Answer { event, sync: None }
    }

    // --- reports -----------------------------------------------------------------------------------

    fn epoch(&self, timeline: Timeline, epoch: Epoch) {
        self.shared.record(Fact::Epoch { timeline, epoch });
    }

    fn report(&mut self, now: Time, report: &Report) {
        let shared = Arc::clone(&self.shared);
        let notice = |kind, at, epoch| shared.notify(Notice { kind, at, epoch });
        let lease_epoch = || self.elector.observed_lease().map_or(Epoch(0), |row| row.version.token.epoch);
        match report {
            Report::Ready => notice(NoticeKind::Ready, now, lease_epoch()),
            Report::Elected { token, sent } => {
                self.epoch(token.timeline, token.epoch);
                notice(NoticeKind::Lead { sent: *sent }, now, token.epoch);
                tracing::info!(epoch = token.epoch.0, "elected: recovering before acting");
            }
            Report::Renewed { token, sent } => {
                self.epoch(token.timeline, token.epoch);
                notice(NoticeKind::Renew { sent: *sent }, now, token.epoch);
            }
            Report::Activated { token } => tracing::info!(epoch = token.epoch.0, "active: leading"),
            Report::Halted { token, code } => {
                tracing::error!(epoch = token.epoch.0, code = code.as_str(), "halted: nothing is traded");
            }
            Report::Lost { token, at, why } => {
                // First, so that a listener that receives the notice finds the loss in the metrics.
                self.lost(now, token.epoch, *why);
                notice(NoticeKind::Lost, *at, token.epoch);
            }
            Report::Draining { token, reason } => {
                tracing::info!(epoch = token.epoch.0, reason, "handing over: stopping the leader's work");
            }
            Report::Resigning { token, at } => {
                self.resigning = Some(*token);
                notice(NoticeKind::Resign, *at, token.epoch);
            }
            Report::Released { token } => {
                if self.resigning.take() == Some(*token) {
                    notice(NoticeKind::Resigned, now, token.epoch);
                }
                tracing::info!(epoch = token.epoch.0, "released: another instance may lead");
            }
            Report::Fault(fault) => {
                self.shared.record(Fact::TicketFault);
                tracing::warn!(%fault, "the leader store holds a ticket that no instance can have written; ignored");
            }
            Report::Stopped => tracing::info!("stopped: everything is released"),
        }
    }

    fn lost(&self, now: Time, epoch: Epoch, why: LossReason) {
        match why {
            LossReason::Superseded => {
                self.shared.record(Fact::SplitBrain);
                tracing::error!(
                    epoch = epoch.0,
                    "Self-demoting due to split-brain: the lease names another leader"
                );
            }
            LossReason::Expired => {
                let why = self.shared.commits.why_lost(now);
                tracing::warn!(
                    epoch = epoch.0,
                    "lost: no renewal was acknowledged before the deadline: {why}"
                );
            }
            LossReason::Damaged => {
                tracing::error!(epoch = epoch.0, "lost: the state store is damaged or was replaced");
            }
            LossReason::Forgotten => {
                tracing::warn!(
                    epoch = epoch.0,
                    "releasing the lease: the state store has forgotten, and the next epoch is larger"
                );
            }
        }
    }

    fn publish(&self, now: Time) {
        let elector = &self.elector;
        let leadership = elector.leadership();
        let row = elector.observed_lease();
        // After its own term, an instance has the lease from before that term until it reads it again.
        let latest = row.map(|row| row.version.token.epoch).max(self.shared.leadership.borrow().epoch);
        let seen = Leadership {
            state: state(elector),
            leader: elector.leader(now).cloned(),
            ticket_holder: elector.ticket().filter(|_| !elector.fallback()).map(|t| t.holder.clone()),
            epoch: leadership.map(|l| l.token.epoch).or(latest),
            fallback: elector.fallback(),
            state_store_answers: elector.state_store_answers(),
            foreign_schema: row.map(|row| row.schema).filter(|schema| *schema != self.shared.settings.schema),
            draining: leadership.is_some_and(|l| matches!(l.phase, Phase::Draining { .. })),
            stopped: *elector.role() == Role::Stopped,
            started: row.is_some(),
            held: leadership.map(|l| (l.token, l.deadline)),
        };
        // Renewals only move the deadline; waiters compare what they wait for, so every step may publish.
        self.shared.leadership.send_if_modified(|published| {
            let changed = *published != seen;
            *published = seen;
            changed
        });
    }
}

/// The instance's state, as the instance table shows it.
fn state(elector: &Elector) -> MemberState {
    match elector.role() {
        Role::Follower if elector.observed_lease().is_none() => MemberState::Starting,
        Role::Follower | Role::Candidate(_) | Role::Stopped => MemberState::Standby,
        Role::Leader(leadership) => match leadership.phase {
            Phase::Recovering { .. } => MemberState::Recovering,
            // Draining is the last moment of an active leadership.
            Phase::Active | Phase::Draining { .. } => MemberState::Active,
            Phase::Halted(_) => MemberState::Halted,
        },
    }
}
