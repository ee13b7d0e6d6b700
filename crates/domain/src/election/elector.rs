//! The elector: the state machine of one instance, one value with one function.

use super::command::{CallId, Command, LossReason, Report};
use super::config::{Config, Epochs, HALTED_RECHECK};
use super::event::{Event, LeaseAnswer, Resign};
use super::lane::{Attempt, Context, Due, LeaseNews};
use super::lease::LeaseLane;
use super::role::{Candidacy, Leadership, Phase, Role};
use super::ticket::TicketLane;
use crate::id::{ClaimId, InstanceId};
use crate::lease::{Epoch, Observation, Token};
use crate::ports::{StoreError, Ticket};
use crate::recovery::{RecoveryCode, backoff};
use crate::time::Time;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

/// One instance's part in the election of one group. See the [module](super) for the contract.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Elector {
    config: Config,
    role: Role,
    lease: LeaseLane,
    ticket: TicketLane,
    recovery: RecoveryLane,
    /// No attempt to lead before this time: set by a step-down or a lost race.
    keep_out: Time,
    /// The epoch of the term that this instance handed over. Once another term has followed it, the instance may
    /// contend again.
    handed_over: Option<Epoch>,
    stopping: bool,
    claims: u32,
    calls: u64,
}

/// State of the crash recovery of the present leadership.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum RecoveryLane {
    /// Recovery has passed, or there is no leadership.
    Idle,
    /// To be tried at that time.
    Due(Time),
    /// In progress.
    Waiting(CallId),
}

impl Elector {
    /// A follower that has read nothing. The first `step(now, Event::Wakeup)` makes it read the lease.
    pub fn new(config: Config) -> Self {
        Self {
            lease: LeaseLane::new(config.remembered),
            config,
            role: Role::Follower,
            ticket: TicketLane::default(),
            recovery: RecoveryLane::Idle,
            keep_out: Time::ZERO,
            handed_over: None,
            stopping: false,
            claims: 0,
            calls: 0,
        }
    }

    /// Takes in one event at `now` and returns the commands to carry out, in order.
    #[must_use]
    pub fn step(&mut self, now: Time, event: Event) -> Vec<Command> {
        let mut out = Vec::new();
        // Before anything else: an answer that arrives after the deadline must not extend the lease.
        self.expire(now, &mut out);
        match event {
            Event::Wakeup => {}
            Event::Lease { call, answer } => self.lease_answered(now, call, answer, &mut out),
            Event::Ticket { call, answer } => {
                let (_, ticket, cx) = self.lanes();
                out.extend(
                    ticket.answered(now, call, answer, cx).map(|fault| Command::Report(Report::Fault(fault))),
                );
            }
            Event::LeaseHint => self.lease.hinted(),
            Event::Remembered(epochs) => self.lease.learn(epochs),
            Event::ProcessEnded(nonce) => {
                let (lease, _, cx) = self.lanes();
                lease.process_ended(now, nonce, cx.config);
            }
            // A follower has no use for the ticket before the lease is open, and then it requests it anyway. A
            // request now would only delay that one.
            Event::TicketHint if self.role == Role::Follower => {}
            Event::TicketHint => self.ticket.hinted(),
            Event::Recovered { call, answer } => self.recovered(now, call, answer, &mut out),
            Event::Drained => self.drained(now, &mut out),
            Event::Resign(why) => self.resign(now, why, &mut out),
        }
        self.advance(now, &mut out);
        out
    }

    /// The time at which to step with [`Event::Wakeup`] if no event comes before; `None` if only an event can change
    /// anything.
    pub fn next_wakeup(&self) -> Option<Time> {
        let cx = self.context();
        let leadership = self.leadership().map(|leadership| match leadership.phase {
            Phase::Draining { until, .. } => leadership.deadline.min(until),
            Phase::Recovering { .. } | Phase::Active | Phase::Halted(_) => leadership.deadline,
        });
        let recovery = match self.recovery {
            RecoveryLane::Due(at) => Some(at),
            RecoveryLane::Idle | RecoveryLane::Waiting(_) => None,
        };
        let candidacy = match self.role {
            // The answer to a call in progress comes first.
            Role::Follower if !self.lease.is_busy() => {
                self.lease.contention(cx).filter(|when| !when.is_empty()).map(|when| when.start)
            }
            Role::Follower | Role::Candidate(_) | Role::Leader(_) | Role::Stopped => None,
        };
        let lanes = [self.lease.wakeup(cx), self.ticket.wakeup(cx)];
        [leadership, recovery, candidacy].into_iter().chain(lanes).flatten().min()
    }

    /// The role of this instance. A leadership in it is valid only until its deadline.
    pub fn role(&self) -> &Role {
        &self.role
    }

    /// The epochs that the instance must remember.
    pub fn epochs(&self) -> Epochs {
        self.lease.epochs()
    }

    /// The leadership that this instance holds, valid until its deadline.
    pub fn leadership(&self) -> Option<&Leadership> {
        match &self.role {
            Role::Leader(leadership) => Some(leadership),
            Role::Follower | Role::Candidate(_) | Role::Stopped => None,
        }
    }

    /// The token under which this instance may act at `now`, if its lease is valid then. Rule S1 is about this
    /// answer.
    pub fn valid_token(&self, now: Time) -> Option<Token> {
        self.leadership().filter(|leadership| now < leadership.deadline).map(|leadership| leadership.token)
    }

    /// The lease as last read by this instance.
    pub fn observed_lease(&self) -> Option<&Observation> {
        self.lease.seen()
    }

    /// The ticket as last read by this instance.
    pub fn ticket(&self) -> Option<&Ticket> {
        self.ticket.seen()
    }

    /// The leader at `now`: this instance while its lease is valid, else the holder of a lease that is neither
    /// released nor observed to have expired. For display only.
    pub fn leader(&self, now: Time) -> Option<&InstanceId> {
        if self.valid_token(now).is_some() {
            return Some(&self.config.id);
        }
        self.observed_lease()
            // After its own term an instance knows of no leader until it has read the lease again.
            .filter(|_| !self.lease.is_outdated())
            .filter(|lease| !lease.released && !self.lease.is_open(now, &self.config))
            .and_then(|lease| lease.holder.as_ref())
    }

    /// True if the state store answered the last request.
    pub fn state_store_answers(&self) -> bool {
        self.lease.answered()
    }

    /// True if the leader store is configured and did not answer the last request. Has no effect on who leads.
    pub fn fallback(&self) -> bool {
        self.ticket.is_unreachable()
    }

    /// The settings that this elector was created with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Sends what is due. It runs after every answer is taken in, so it sees one consistent state.
    fn advance(&mut self, now: Time, out: &mut Vec<Command>) {
        self.advance_recovery(now, out);
        self.advance_candidacy(now);
        self.advance_lanes(now, out);
        if self.stopping && self.role == Role::Follower && self.lease.is_quiet() && self.ticket.is_quiet() {
            self.role = Role::Stopped;
            out.push(Command::Report(Report::Stopped));
        }
    }

    /// The ticket lane comes first: a candidate that needs no ticket claims in the same step.
    fn advance_lanes(&mut self, now: Time, out: &mut Vec<Command>) {
        if let (_, ticket, cx) = self.lanes()
            && let Some(request) = ticket.work(now, cx)
        {
            let id = self.next_call();
            let (_, ticket, cx) = self.lanes();
            out.push(ticket.send(now, id, request, cx));
        }
        if let (lease, _, cx) = self.lanes()
            && let Some(work) = lease.work(now, cx)
        {
            let id = self.next_call();
            let (lease, _, cx) = self.lanes();
            out.extend(lease.send(now, id, work, cx));
        }
    }

    fn context(&self) -> Context<'_> {
        let claim = match &self.role {
            Role::Candidate(candidacy) => self.ticket.lets_claim(candidacy, &self.config),
            Role::Follower | Role::Leader(_) | Role::Stopped => Due::OnEvent,
        };
        let Self { config, role, stopping, keep_out, .. } = self;
        Context { config, role, stopping: *stopping, keep_out: *keep_out, claim }
    }

    /// Both lanes for a change, and the values that they may read.
    fn lanes(&mut self) -> (&mut LeaseLane, &mut TicketLane, Context<'_>) {
        let claim = self.context().claim;
        let Self { config, role, stopping, keep_out, lease, ticket, .. } = self;
        (lease, ticket, Context { config, role, stopping: *stopping, keep_out: *keep_out, claim })
    }

    fn next_call(&mut self) -> CallId {
        self.calls += 1;
        CallId(self.calls)
    }

    fn next_claim(&mut self) -> ClaimId {
        // 2^32 claims of one process are 1,360 years of one claim every ten seconds.
        self.claims = self.claims.wrapping_add(1);
        self.config.nonce.claim(self.claims)
    }

    /// A delay of up to a quarter of a heartbeat, different for every process and every attempt.
    fn jitter(&self) -> Duration {
        // The nonce is random; the multiplication spreads it and the counter over the upper bits.
        const ODD: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
        let spread = self.config.nonce.claim(self.claims).as_u128().wrapping_mul(ODD);
        #[allow(clippy::cast_possible_truncation)] // The shift leaves 16 bits.
        let fraction = (spread >> 112) as u32;
        self.config.heartbeat / 4 * fraction / u32::from(u16::MAX)
    }

    // --- becoming the leader ------------------------------------------------------------------------

    /// Makes a follower a candidate when the lease is open, and a follower again when it no longer is.
    fn advance_candidacy(&mut self, now: Time) {
        let go = self.lease.contention(self.context()).is_some_and(|when| when.contains(&now));
        match self.role {
            Role::Follower if go => {
                let Some(superseded) = self.observed_lease().map(|lease| lease.version.token.claim) else {
                    return;
                };
                let claim = self.next_claim();
                let without_ticket = now + self.config.heartbeat;
                self.role = Role::Candidate(Candidacy { claim, superseded, without_ticket });
                self.ticket.hurry(now);
            }
            // While a claim is in progress, its answer decides.
            Role::Candidate(_) if !go && !self.lease.is_claiming() => self.abandon_candidacy(),
            Role::Follower | Role::Candidate(_) | Role::Leader(_) | Role::Stopped => {}
        }
    }

    fn abandon_candidacy(&mut self) {
        if let Role::Candidate(candidacy) = self.role {
            self.ticket.abandon(candidacy.claim);
            self.role = Role::Follower;
        }
    }

    fn lease_answered(
        &mut self,
        now: Time,
        call: CallId,
        answer: Result<LeaseAnswer, StoreError>,
        out: &mut Vec<Command>,
    ) {
        let first = self.observed_lease().is_none();
        let (lease, _, cx) = self.lanes();
        let news = lease.take_answer(now, call, answer, cx);
        match news {
            LeaseNews::Nothing => {}
            LeaseNews::Granted { token, sent, deadline } => self.elected(now, token, sent, deadline, out),
            LeaseNews::AttemptFailed(attempt) => {
                if matches!(self.role, Role::Candidate(_)) {
                    let pause = match attempt {
                        // Do not compete again at once.
                        Attempt::Lost => self.jitter(),
                        // The ticket is for instances that can lead.
                        Attempt::NotSent => self.config.heartbeat,
                        // The next read shows whether the claim was carried out.
                        Attempt::Unknown => Duration::ZERO,
                    };
                    self.keep_out = self.keep_out.max(now + pause);
                }
                self.abandon_candidacy();
            }
            LeaseNews::Renewed { timeline, sent, forgotten, resign } => {
                let Role::Leader(leadership) = &mut self.role else { return };
                leadership.token.timeline = timeline;
                leadership.deadline = leadership.deadline.max(sent + self.config.trust_window());
                let token = leadership.token;
                // Earlier signals may be sent once more, but not under the epoch of this term (M23).
                if forgotten {
                    self.lose(now, LossReason::Forgotten, out);
                } else {
                    out.push(Command::Report(Report::Renewed { token, sent }));
                    self.requested_to_resign(now, resign, out);
                }
            }
            LeaseNews::StillMine { resign } => self.requested_to_resign(now, resign, out),
            // The lease is released under its new timeline.
            LeaseNews::CarriedOver(timeline) => {
                let Role::Leader(leadership) = &mut self.role else { return };
                leadership.token.timeline = timeline;
                self.lose(now, LossReason::Forgotten, out);
            }
            LeaseNews::Superseded => self.lose(now, LossReason::Superseded, out),
            LeaseNews::Damaged => {
                self.keep_out = self.keep_out.max(now + self.config.keep_out());
                self.lose(now, LossReason::Damaged, out);
            }
            LeaseNews::Released(token) => out.push(Command::Report(Report::Released { token })),
        }
        let epoch = self.observed_lease().map(|lease| lease.version.token.epoch);
        if self.handed_over.is_some_and(|handed_over| epoch > Some(handed_over)) {
            self.handed_over = None;
            self.keep_out = self.keep_out.min(now);
        }
        if first && self.observed_lease().is_some() {
            out.push(Command::Report(Report::Ready));
        }
    }

    fn elected(&mut self, now: Time, token: Token, sent: Time, deadline: Time, out: &mut Vec<Command>) {
        // An earlier claim than the present candidacy's was granted.
        if let Role::Candidate(candidacy) = self.role
            && candidacy.claim != token.claim
        {
            self.ticket.abandon(candidacy.claim);
        }
        self.handed_over = None;
        out.push(Command::Report(Report::Elected { token, sent }));
        self.role = Role::Leader(Leadership { token, deadline, phase: Phase::Recovering { attempt: 0 } });
        self.recovery = RecoveryLane::Due(now);
    }

    fn requested_to_resign(&mut self, now: Time, reason: Option<String>, out: &mut Vec<Command>) {
        if let Some(reason) = reason
            && self.leadership().is_some()
        {
            self.resign(now, Resign::StepDown { reason }, out);
        }
    }

    // --- the course of a leadership ------------------------------------------------------------------

    /// Ends a leadership whose deadline has passed. The lease stopped being valid at the deadline, even if the
    /// elector notices it late. Work that does not stop when requested is not awaited beyond the bound: its effects
    /// are fenced.
    fn expire(&mut self, now: Time, out: &mut Vec<Command>) {
        let Some(leadership) = self.leadership() else { return };
        let deadline = leadership.deadline;
        if now >= deadline {
            self.lose(deadline, LossReason::Expired, out);
        } else if matches!(leadership.phase, Phase::Draining { until, .. } if now >= until) {
            self.drained(now, out);
        }
    }

    /// Ends the leadership and reports it first; `advance` sends the requests to the stores afterwards.
    fn lose(&mut self, at: Time, why: LossReason, out: &mut Vec<Command>) {
        let Some(token) = self.leadership().map(|leadership| leadership.token) else { return };
        out.push(Command::Report(Report::Lost { token, at, why }));
        let reason = match why {
            LossReason::Superseded => None,
            LossReason::Expired => Some("lost: no renewal was acknowledged in time"),
            LossReason::Forgotten => Some("the state store has forgotten"),
            LossReason::Damaged => Some("lost: the state store is damaged, or was replaced"),
        };
        self.let_go(reason.map(String::from));
    }

    /// Returns to following. The lease is released with `reason` unless another instance holds it.
    fn let_go(&mut self, reason: Option<String>) {
        if let Role::Leader(leadership) = &self.role {
            self.lease.end_term(leadership, reason);
            self.ticket.abandon(leadership.token.claim);
        }
        self.role = Role::Follower;
        self.recovery = RecoveryLane::Idle;
    }

    /// Handles a request to hand over or to stop: first the work stops, then the lease is released.
    fn resign(&mut self, now: Time, why: Resign, out: &mut Vec<Command>) {
        let reason = match why {
            Resign::StepDown { reason } => reason,
            Resign::Stop => {
                self.stopping = true;
                String::from("stopped")
            }
        };
        let until = now + self.config.drain();
        match &mut self.role {
            Role::Leader(leadership) => {
                if matches!(leadership.phase, Phase::Draining { .. }) {
                    return;
                }
                let token = leadership.token;
                leadership.phase = Phase::Draining { reason: reason.clone(), until };
                self.recovery = RecoveryLane::Idle;
                out.push(Command::Report(Report::Draining { token, reason }));
                out.push(Command::Drain { token, until });
            }
            Role::Candidate(_) if self.stopping => self.abandon_candidacy(),
            // There is nothing to hand over.
            Role::Candidate(_) | Role::Follower | Role::Stopped => {}
        }
    }

    /// The work has stopped: the lease stops being valid, then it is released.
    fn drained(&mut self, now: Time, out: &mut Vec<Command>) {
        let Some(leadership) = self.leadership() else { return };
        let Phase::Draining { reason, .. } = &leadership.phase else { return };
        let reason = reason.clone();
        let token = leadership.token;
        out.push(Command::Report(Report::Resigning { token, at: now }));
        self.handed_over = Some(token.epoch);
        self.keep_out = now + self.config.keep_out();
        self.let_go(Some(reason));
    }

    // --- crash recovery -----------------------------------------------------------------------------

    fn advance_recovery(&mut self, now: Time, out: &mut Vec<Command>) {
        let (RecoveryLane::Due(at), Some(token)) = (self.recovery, self.valid_token(now)) else { return };
        if now < at {
            return;
        }
        let call = self.next_call();
        self.recovery = RecoveryLane::Waiting(call);
        out.push(Command::Recover { call, token });
    }

    fn recovered(
        &mut self,
        now: Time,
        call: CallId,
        answer: Result<(), RecoveryCode>,
        out: &mut Vec<Command>,
    ) {
        if self.recovery != RecoveryLane::Waiting(call) {
            return;
        }
        let Role::Leader(leadership) = &mut self.role else { return };
        let token = leadership.token;
        match answer {
            Ok(()) => {
                leadership.phase = Phase::Active;
                self.recovery = RecoveryLane::Idle;
                out.push(Command::Report(Report::Activated { token }));
            }
            // The portfolio was not judged: try again and keep the phase.
            Err(RecoveryCode::DbUnavailable) => {
                let attempt = match &mut leadership.phase {
                    Phase::Recovering { attempt } => {
                        *attempt += 1;
                        *attempt
                    }
                    Phase::Active | Phase::Halted(_) | Phase::Draining { .. } => 1,
                };
                self.recovery = RecoveryLane::Due(now + backoff(attempt));
            }
            // Every instance would fail in the same way: keep the lease, halted, and check again periodically.
            Err(code @ (RecoveryCode::DataCorrupt | RecoveryCode::ValidationFailed)) => {
                if leadership.phase != Phase::Halted(code) {
                    out.push(Command::Report(Report::Halted { token, code }));
                }
                leadership.phase = Phase::Halted(code);
                self.recovery = RecoveryLane::Due(now + HALTED_RECHECK);
            }
        }
    }
}
