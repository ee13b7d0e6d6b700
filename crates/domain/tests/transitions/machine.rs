//! An elector together with an independent record of its calls: which are in progress, when they were sent, and which
//! were acknowledged. After every step the two are compared. The properties are written here a second time, from
//! docs/protocol.md, so that only the same mistake in both places stays hidden.

use domain::election::{
    CallId, Command, Config, Elector, Epochs, Event, LeaseAnswer, LeaseRequest, LossReason, Phase, Report,
    Role, TicketAnswer, TicketRequest, TicketUse,
};
use domain::id::{ClaimId, InstanceId, Nonce};
use domain::lease::{Observation, Seq, Timeline, Token, Version, margin};
use domain::ports::{Claim, Renewal, StoreError};
use domain::recovery::RecoveryCode;
use domain::time::Time;
use std::collections::BTreeSet;
use std::time::Duration;

pub const TTL: Duration = Duration::from_secs(10);
pub const SCHEMA: u32 = 1;
/// This process.
pub const NONCE: u128 = 7;
/// A time long after boot, so that no subtraction saturates at zero.
const START: Time = Time::ZERO;
const AFTER_BOOT: Duration = Duration::from_secs(1_000);

/// A request to the state store that has no answer yet.
#[derive(Debug, Clone)]
pub struct LeaseCall {
    pub id: CallId,
    pub sent: Time,
    pub request: LeaseRequest,
}

/// The validity that acknowledged requests give: under which claim, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Grant {
    claim: ClaimId,
    until: Time,
}

#[derive(Debug, Clone)]
pub struct Machine {
    pub elector: Elector,
    pub now: Time,
    pub lease: Option<LeaseCall>,
    pub ticket: Option<(CallId, TicketRequest)>,
    pub recovery: Option<CallId>,
    /// The lease as last read, and the receipt of the first answer that showed that version.
    seen: Option<(Observation, Time)>,
    /// The last claim that was sent, and its time.
    pub own: Option<(ClaimId, Time)>,
    claims: BTreeSet<ClaimId>,
    /// Claims that were refused, lost or released: they must never be valid again.
    over: BTreeSet<ClaimId>,
    grant: Option<Grant>,
    renewed: Seq,
    /// The store's timeline, by its last answer.
    current: Option<Timeline>,
    released: BTreeSet<ClaimId>,
    /// Processes that were reported to have ended (M24).
    ended: BTreeSet<Nonce>,
}

/// Meaning of an event, derived without the elector.
#[derive(Debug, Default)]
struct Meaning {
    /// A claim of this process was carried out: its lease may be valid from now on.
    granted: Option<Grant>,
    /// Leadership must end in this step.
    lost: Option<(Time, LossReason)>,
    /// The recovery in progress ended.
    recovered: Option<Result<(), RecoveryCode>>,
}

impl Machine {
    pub fn new(tickets: TicketUse) -> Self {
        Self::remembering(tickets, Epochs::NONE)
    }

    /// A machine that remembers epochs of an earlier run.
    pub fn remembering(tickets: TicketUse, epochs: Epochs) -> Self {
        let id = InstanceId::parse("me").expect("an id");
        let config = Config::new(id, Nonce::new(NONCE), TTL, tickets, SCHEMA).expect("settings in range");
        Self {
            elector: Elector::new(config.remembering(epochs)),
            now: START + AFTER_BOOT,
            lease: None,
            ticket: None,
            recovery: None,
            seen: None,
            own: None,
            claims: BTreeSet::new(),
            over: BTreeSet::new(),
            grant: None,
            renewed: Seq(0),
            current: None,
            released: BTreeSet::new(),
            ended: BTreeSet::new(),
        }
    }

    /// One step at the present time. The error names the broken property.
    pub fn step(&mut self, event: &Event) -> Result<Vec<Command>, String> {
        let before = self.elector.clone();
        let meaning = self.take_in(&before, event);
        let commands = self.elector.step(self.now, event.clone());
        self.leads_only_under_a_grant(&before, &meaning)?;
        self.ends_in_the_same_step(&meaning, &commands)?;
        self.phases_follow_recovery(&before, &meaning)?;
        for command in &commands {
            self.may_be_sent(command)?;
        }
        self.wakes_up_in_time()?;
        Ok(commands)
    }

    fn deadline(sent: Time) -> Time {
        sent + TTL.saturating_sub(margin(TTL))
    }

    // --- the meaning of an event ------------------------------------------------------------------

    fn take_in(&mut self, before: &Elector, event: &Event) -> Meaning {
        let mut meaning = Meaning::default();
        let held = before.leadership().cloned();
        let expired = held.as_ref().filter(|held| self.now >= held.deadline);
        meaning.lost = expired.map(|held| (held.deadline, LossReason::Expired));
        let drained = held.as_ref().is_some_and(|held| {
            matches!(held.phase, Phase::Draining { until, .. } if self.now >= until || *event == Event::Drained)
        });
        let holds = held.filter(|_| meaning.lost.is_none() && !drained).map(|held| held.token);
        if holds.is_none() {
            self.let_go(before.leadership().map(|held| held.token.claim));
        }
        match event {
            Event::Lease { call, answer } => {
                if let Some(pending) = self.lease.take_if(|pending| pending.id == *call) {
                    self.lease_answered(&pending, answer, holds, &mut meaning);
                }
            }
            Event::Ticket { call, .. } => {
                self.ticket.take_if(|(pending, _)| pending == call);
            }
            Event::Recovered { call, answer } => {
                if self.recovery.take_if(|pending| pending == call).is_some() && holds.is_some() {
                    meaning.recovered = Some(*answer);
                }
            }
            Event::Resign(_) => self.recovery = self.recovery.filter(|_| holds.is_none()),
            Event::ProcessEnded(nonce) => {
                self.ended.insert(*nonce);
            }
            Event::Wakeup | Event::LeaseHint | Event::Remembered(_) | Event::TicketHint | Event::Drained => {}
        }
        meaning
    }

    fn lease_answered(
        &mut self,
        call: &LeaseCall,
        answer: &Result<LeaseAnswer, StoreError>,
        holds: Option<Token>,
        meaning: &mut Meaning,
    ) {
        let superseded = Some((self.now, LossReason::Superseded));
        match answer {
            Ok(LeaseAnswer::Observed(lease)) => {
                self.observed(lease);
                let shown = lease.version.token.claim;
                match (holds, self.own) {
                    (Some(mine), _) if mine.claim != shown || lease.released => {
                        meaning.lost = superseded;
                        self.let_go(holds.map(|mine| mine.claim));
                    }
                    // A renewal whose answer was lost has carried the lease over.
                    (Some(mine), _) if mine.timeline != lease.version.token.timeline => {
                        meaning.lost = Some((self.now, LossReason::Forgotten));
                        self.let_go(holds.map(|mine| mine.claim));
                    }
                    (None, Some((own, sent))) if own == shown && !lease.released => {
                        self.renewed = lease.version.seq;
                        meaning.granted = Some(Grant { claim: own, until: Self::deadline(sent) });
                    }
                    (Some(_) | None, _) => {}
                }
            }
            Ok(LeaseAnswer::Claim(Claim::Granted(token))) => {
                self.renewed = Seq(0);
                self.current = Some(token.timeline);
                meaning.granted = Some(Grant { claim: token.claim, until: Self::deadline(call.sent) });
            }
            Ok(LeaseAnswer::Claim(Claim::Lost)) => self.let_go(self.own.map(|(own, _)| own)),
            Ok(LeaseAnswer::Renewal(Renewal::Renewed { forgotten: true, .. })) if holds.is_some() => {
                meaning.lost = Some((self.now, LossReason::Forgotten));
                self.let_go(holds.map(|mine| mine.claim));
            }
            Ok(LeaseAnswer::Renewal(Renewal::Renewed { .. })) => {
                if let Some(grant) = self.grant.as_mut().filter(|_| holds.is_some()) {
                    grant.until = grant.until.max(Self::deadline(call.sent));
                }
            }
            Ok(LeaseAnswer::Renewal(Renewal::Superseded)) if holds.is_some() => {
                meaning.lost = superseded;
                self.let_go(holds.map(|mine| mine.claim));
            }
            Ok(LeaseAnswer::Renewal(Renewal::OtherTimeline(current))) => self.current = Some(*current),
            Err(StoreError::Corrupt(_))
                if holds.is_some() && matches!(call.request, LeaseRequest::Renew { .. }) =>
            {
                meaning.lost = Some((self.now, LossReason::Damaged));
                self.let_go(holds.map(|mine| mine.claim));
            }
            Ok(LeaseAnswer::Outdated(_)) => self.let_go(self.own.map(|(own, _)| own)),
            Ok(
                LeaseAnswer::NotSent
                | LeaseAnswer::Renewal(Renewal::Superseded)
                | LeaseAnswer::Release(_)
                | LeaseAnswer::Note(_),
            )
            | Err(_) => {}
        }
    }

    fn observed(&mut self, lease: &Observation) {
        let since = match &self.seen {
            Some((before, since)) if before.version == lease.version => *since,
            Some(_) | None => self.now,
        };
        self.seen = Some((lease.clone(), since));
        self.current = Some(lease.version.current);
    }

    /// The claim is over, and so is every request in progress for it.
    fn let_go(&mut self, claim: Option<ClaimId>) {
        self.over.extend(claim);
        if claim.is_some() {
            self.grant = None;
            self.recovery = None;
        }
    }

    // --- properties ---------------------------------------------------------------------------------

    /// A lease is valid only after a granted claim, only until the last acknowledged request allows, and only once
    /// per claim.
    fn leads_only_under_a_grant(&mut self, before: &Elector, meaning: &Meaning) -> Result<(), String> {
        let was = before.valid_token(self.now).map(|token| token.claim);
        let is = self.elector.valid_token(self.now).map(|token| token.claim);
        if let Some(granted) = meaning.granted {
            // The elector may refuse the grant (too late, stopping, kept out); then the refusal is final.
            if is == Some(granted.claim) && !self.over.contains(&granted.claim) {
                self.grant = Some(granted);
            } else {
                self.over.insert(granted.claim);
            }
        }
        let Some(claim) = is else { return Ok(()) };
        ensure(!self.over.contains(&claim), "a claim that is over has a valid lease")?;
        ensure(was == is || meaning.granted.is_some(), "a valid lease begins without a granted claim")?;
        let grant = self.grant.filter(|grant| grant.claim == claim).ok_or("a valid lease without a grant")?;
        ensure(
            self.now < grant.until,
            "a valid lease beyond sent + ttl - margin of the last acknowledged request",
        )?;
        // For readers that do not step the elector: the answer expires without a step.
        ensure(self.elector.valid_token(grant.until).is_none(), "a valid lease at the deadline")?;
        let deadline = self.elector.leadership().map(|leadership| leadership.deadline);
        ensure(deadline == Some(grant.until), "the deadline differs from the acknowledged one")
    }

    /// A loss ends the valid lease at once and is reported before any other command; no other report is a loss.
    fn ends_in_the_same_step(&self, meaning: &Meaning, commands: &[Command]) -> Result<(), String> {
        let reported: Vec<(usize, Time, LossReason)> = commands
            .iter()
            .enumerate()
            .filter_map(|(place, command)| match command {
                Command::Report(Report::Lost { at, why, .. }) => Some((place, *at, *why)),
                Command::Report(_)
                | Command::Lease { .. }
                | Command::Ticket { .. }
                | Command::Recover { .. }
                | Command::Drain { .. } => None,
            })
            .collect();
        let expected: Vec<_> = meaning.lost.iter().map(|(at, why)| (0, *at, *why)).collect();
        ensure(
            reported == expected,
            &format!("expected the loss {expected:?} (place, at, why), reported {reported:?}"),
        )?;
        ensure(meaning.lost.is_none() || self.elector.leadership().is_none(), "leadership outlives its loss")
    }

    fn phases_follow_recovery(&self, before: &Elector, meaning: &Meaning) -> Result<(), String> {
        let phase = |elector: &Elector| elector.leadership().map(|held| held.phase.clone());
        let (was, is) = (phase(before), phase(&self.elector));
        let draining = |phase: &Option<Phase>| matches!(phase, Some(Phase::Draining { .. }));
        ensure(!draining(&was) || draining(&is) || is.is_none(), "a handover was called off")?;
        match &is {
            Some(Phase::Active) => {
                ensure(was == is || meaning.recovered == Some(Ok(())), "active without a passed recovery")
            }
            Some(Phase::Halted(code)) => {
                ensure(was == is || meaning.recovered == Some(Err(*code)), "halted without a failed recovery")
            }
            Some(Phase::Recovering { .. } | Phase::Draining { .. }) | None => Ok(()),
        }
    }

    fn may_be_sent(&mut self, command: &Command) -> Result<(), String> {
        match command {
            Command::Lease { call, timeout, request } => {
                ensure(self.lease.is_none(), "two calls to the state store at once")?;
                ensure(*timeout <= TTL / 3, "a request may take longer than ttl / 3")?;
                self.lease_request(request)?;
                self.lease = Some(LeaseCall { id: *call, sent: self.now, request: request.clone() });
            }
            Command::Ticket { call, timeout, request } => {
                ensure(self.ticket.is_none(), "two calls to the leader store at once")?;
                ensure(*timeout <= TTL / 3, "a request may take longer than ttl / 3")?;
                self.ticket = Some((*call, *request));
            }
            Command::Recover { call, token } => {
                ensure(self.elector.valid_token(self.now) == Some(*token), "recovery without a valid lease")?;
                self.recovery = Some(*call);
            }
            Command::Drain { .. } | Command::Report(_) => {}
        }
        Ok(())
    }

    fn lease_request(&mut self, request: &LeaseRequest) -> Result<(), String> {
        match request {
            LeaseRequest::Observe => Ok(()),
            LeaseRequest::Claim(request) => {
                self.own = Some((request.claim, self.now));
                ensure(self.claims.insert(request.claim), "a claim is used twice")?;
                let (lease, since) = self.seen.as_ref().ok_or("a lease is claimed that was never read")?;
                ensure(
                    lease.version == request.observed,
                    "the claim does not compare the version that was last read",
                )?;
                ensure(lease.schema == SCHEMA, "a lease of another schema is claimed")?;
                let here = lease.version.token.timeline == lease.version.current;
                let ttl = if here { lease.ttl } else { lease.ttl.max(TTL) };
                let me = self.elector.config().id();
                let left = lease.released && lease.successor.as_ref().is_some_and(|to| to != me);
                let ended = self.ended.contains(&lease.version.token.claim.nonce());
                let open =
                    (lease.released || ended) && here && !left || self.now >= *since + ttl + margin(ttl);
                ensure(
                    open,
                    "a lease is claimed that was neither released nor expired, nor of a process that has ended",
                )
            }
            LeaseRequest::Renew { token, seq, current } => {
                ensure(self.current == Some(*current), "a renewal names a timeline that was not learned")?;
                ensure(
                    self.elector.valid_token(self.now) == Some(*token),
                    "a renewal without a valid lease",
                )?;
                ensure(!self.released.contains(&token.claim), "a renewal after a release")?;
                ensure(*seq > std::mem::replace(&mut self.renewed, *seq), "a renewal's seq does not grow")
            }
            LeaseRequest::Note { found, known } => {
                let (lease, _) = self.seen.as_ref().ok_or("a lease is reported that was never read")?;
                let Version { current, token, seq } = lease.version;
                ensure(token == *found && !lease.released, "another lease is reported than was read")?;
                ensure(token.timeline == current, "the change of the timeline shows it already")?;
                let epochs = self.elector.epochs();
                ensure(*known == epochs.floor(), "less is reported than is known")?;
                let leads = self.elector.leadership().is_some();
                let seq = if leads { Seq(u64::MAX) } else { seq };
                ensure(epochs.are_beyond(token, seq), "the lease is not behind")
            }
            LeaseRequest::Release { token, .. } => {
                self.released.insert(token.claim);
                let Token { claim, .. } = token;
                ensure(claim.is_from(Nonce::new(NONCE)), "another process's lease is released")?;
                ensure(self.over.contains(claim), "a lease is released whose claim is not over")
            }
        }
    }

    /// The elector never wakes up without a reason and never sleeps through work. Without a call in progress it
    /// sleeps no longer than the time until a missed renewal or hint must be noticed.
    fn wakes_up_in_time(&self) -> Result<(), String> {
        let heartbeat = self.elector.config().heartbeat();
        let longest = if self.elector.leadership().is_some() { heartbeat } else { heartbeat * 3 / 2 };
        match self.elector.next_wakeup() {
            Some(at) => {
                ensure(at > self.now, "requests a wakeup at once")?;
                ensure(self.lease.is_some() || at <= self.now + longest, "sleeps through work that is due")
            }
            None => {
                let calls = self.lease.is_some() || self.ticket.is_some();
                ensure(calls || *self.elector.role() == Role::Stopped, "would sleep for ever")
            }
        }
    }

    // --- steps for tables and walks -------------------------------------------------------------------

    /// A step that must not break a property.
    pub fn commands(&mut self, event: &Event) -> Vec<Command> {
        let commands = self.step(event);
        commands.unwrap_or_else(|broken| panic!("{broken}\nafter {event:?}\n{:#?}", self.elector))
    }

    /// The same, for steps that lead to another state.
    pub fn happens(&mut self, event: &Event) -> &mut Self {
        self.commands(event);
        self
    }

    /// The answer to the call in progress at the state store.
    pub fn lease_says(&self, answer: LeaseAnswer) -> Event {
        self.lease_result(Ok(answer))
    }

    /// No answer in time to that call.
    pub fn lease_is_silent(&self) -> Event {
        self.lease_result(Err(StoreError::Unknown("timed out".into())))
    }

    /// An answer or an error for that call.
    pub fn lease_result(&self, answer: Result<LeaseAnswer, StoreError>) -> Event {
        Event::Lease {
            call: self.lease.as_ref().expect("a call to the state store is in progress").id,
            answer,
        }
    }

    /// The answer to the call in progress at the leader store.
    pub fn ticket_says(&self, answer: TicketAnswer) -> Event {
        Event::Ticket { call: self.ticket_call(), answer: Ok(answer) }
    }

    /// No answer in time to that call.
    pub fn ticket_is_silent(&self) -> Event {
        Event::Ticket { call: self.ticket_call(), answer: Err(StoreError::Unknown("timed out".into())) }
    }

    fn ticket_call(&self) -> CallId {
        self.ticket.expect("a call to the leader store is in progress").0
    }

    /// The end of the recovery in progress.
    pub fn recovery_says(&self, answer: Result<(), RecoveryCode>) -> Event {
        Event::Recovered { call: self.recovery.expect("a recovery is in progress"), answer }
    }
}

fn ensure(holds: bool, otherwise: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.to_owned()) }
}
