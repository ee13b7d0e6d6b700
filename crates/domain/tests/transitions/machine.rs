//! An elector, and beside it what an outsider knows: which calls are under way, when they were sent, what
//! was acknowledged. After every step the two are compared; the properties are written here a second time,
//! from docs/protocol.md, so that a mistake would have to be made twice.

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
/// Long after boot, so that nothing saturates at zero.
const START: Time = Time::ZERO;
const AFTER_BOOT: Duration = Duration::from_secs(1_000);

/// A request to the state store that was not answered yet.
#[derive(Debug, Clone)]
pub struct LeaseCall {
    pub id: CallId,
    pub sent: Time,
    pub request: LeaseRequest,
}

/// What acknowledged requests allow to believe: under which claim, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Grant {
    claim: ClaimId,
    until: Time,
}

#[derive(Debug, Clone)]
pub struct Machine {
    pub elector: Elector,
    pub now: Time,
    pub row: Option<LeaseCall>,
    pub ticket: Option<(CallId, TicketRequest)>,
    pub recovery: Option<CallId>,
    /// The row as last read, and the receipt of the first reply that showed that version.
    seen: Option<(Observation, Time)>,
    /// The last claim that was sent, and when.
    pub own: Option<(ClaimId, Time)>,
    claims: BTreeSet<ClaimId>,
    /// Claims that were refused, lost or let go: never to be believed again.
    over: BTreeSet<ClaimId>,
    grant: Option<Grant>,
    renewed: Seq,
    /// The store's timeline, by its last answer.
    current: Option<Timeline>,
    released: BTreeSet<ClaimId>,
}

/// What an event means to an outsider.
#[derive(Debug, Default)]
struct Meaning {
    /// A claim was carried out in this process's name: it may be believed from now on.
    granted: Option<Grant>,
    /// Leadership must end in this very step.
    lost: Option<(Time, LossReason)>,
    /// The awaited recovery ended.
    recovered: Option<Result<(), RecoveryCode>>,
}

impl Machine {
    pub fn new(tickets: TicketUse) -> Self {
        Self::remembering(tickets, Epochs::NONE)
    }

    /// With what it remembers of an earlier life.
    pub fn remembering(tickets: TicketUse, epochs: Epochs) -> Self {
        let id = InstanceId::parse("me").expect("an id");
        let config = Config::new(id, Nonce::new(NONCE), TTL, tickets, SCHEMA).expect("settings in range");
        Self {
            elector: Elector::new(config.remembering(epochs)),
            now: START + AFTER_BOOT,
            row: None,
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
        }
    }

    /// One step at the present time. The error names the property that does not hold.
    pub fn step(&mut self, event: &Event) -> Result<Vec<Command>, String> {
        let before = self.elector.clone();
        let meaning = self.take_in(&before, event);
        let commands = self.elector.step(self.now, event.clone());
        self.believes_only_what_was_granted(&before, &meaning)?;
        self.ends_in_the_same_step(&meaning, &commands)?;
        self.phases_follow_recovery(&before, &meaning)?;
        for command in &commands {
            self.may_be_sent(command)?;
        }
        self.sleeps_soundly()?;
        Ok(commands)
    }

    fn belief(sent: Time) -> Time {
        sent + TTL.saturating_sub(margin(TTL))
    }

    // --- what an event means ------------------------------------------------------------------------

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
                if let Some(asked) = self.row.take_if(|asked| asked.id == *call) {
                    self.lease_answered(&asked, answer, holds, &mut meaning);
                }
            }
            Event::Ticket { call, .. } => {
                self.ticket.take_if(|(asked, _)| asked == call);
            }
            Event::Recovered { call, answer } => {
                if self.recovery.take_if(|asked| asked == call).is_some() && holds.is_some() {
                    meaning.recovered = Some(*answer);
                }
            }
            Event::Resign(_) => self.recovery = self.recovery.filter(|_| holds.is_none()),
            Event::Wakeup | Event::LeaseHint | Event::Remembered(_) | Event::TicketHint | Event::Drained => {}
        }
        meaning
    }

    fn lease_answered(
        &mut self,
        asked: &LeaseCall,
        answer: &Result<LeaseAnswer, StoreError>,
        holds: Option<Token>,
        meaning: &mut Meaning,
    ) {
        let superseded = Some((self.now, LossReason::Superseded));
        match answer {
            Ok(LeaseAnswer::Observed(row)) => {
                self.observed(row);
                let shown = row.version.token.claim;
                match (holds, self.own) {
                    (Some(mine), _) if mine.claim != shown || row.released => {
                        meaning.lost = superseded;
                        self.let_go(holds.map(|mine| mine.claim));
                    }
                    // A renewal whose answer was lost has carried the row over.
                    (Some(mine), _) if mine.timeline != row.version.token.timeline => {
                        meaning.lost = Some((self.now, LossReason::Forgotten));
                        self.let_go(holds.map(|mine| mine.claim));
                    }
                    (None, Some((own, sent))) if own == shown && !row.released => {
                        self.renewed = row.version.seq;
                        meaning.granted = Some(Grant { claim: own, until: Self::belief(sent) });
                    }
                    (Some(_) | None, _) => {}
                }
            }
            Ok(LeaseAnswer::Claim(Claim::Granted(token))) => {
                self.renewed = Seq(0);
                self.current = Some(token.timeline);
                meaning.granted = Some(Grant { claim: token.claim, until: Self::belief(asked.sent) });
            }
            Ok(LeaseAnswer::Claim(Claim::Lost)) => self.let_go(self.own.map(|(own, _)| own)),
            Ok(LeaseAnswer::Renewal(Renewal::Renewed { forgotten: true, .. })) if holds.is_some() => {
                meaning.lost = Some((self.now, LossReason::Forgotten));
                self.let_go(holds.map(|mine| mine.claim));
            }
            Ok(LeaseAnswer::Renewal(Renewal::Renewed { .. })) => {
                if let Some(grant) = self.grant.as_mut().filter(|_| holds.is_some()) {
                    grant.until = grant.until.max(Self::belief(asked.sent));
                }
            }
            Ok(LeaseAnswer::Renewal(Renewal::Superseded)) if holds.is_some() => {
                meaning.lost = superseded;
                self.let_go(holds.map(|mine| mine.claim));
            }
            Ok(LeaseAnswer::Renewal(Renewal::OtherTimeline(current))) => self.current = Some(*current),
            Err(StoreError::Corrupt(_))
                if holds.is_some() && matches!(asked.request, LeaseRequest::Renew { .. }) =>
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

    fn observed(&mut self, row: &Observation) {
        let since = match &self.seen {
            Some((before, since)) if before.version == row.version => *since,
            Some(_) | None => self.now,
        };
        self.seen = Some((row.clone(), since));
        self.current = Some(row.version.current);
    }

    /// The claim is over, and with it whatever was under way in its name.
    fn let_go(&mut self, claim: Option<ClaimId>) {
        self.over.extend(claim);
        if claim.is_some() {
            self.grant = None;
            self.recovery = None;
        }
    }

    // --- properties ---------------------------------------------------------------------------------

    /// No belief without a granted claim, none beyond the last acknowledged request, none a second time.
    fn believes_only_what_was_granted(&mut self, before: &Elector, meaning: &Meaning) -> Result<(), String> {
        let was = before.believes(self.now).map(|token| token.claim);
        let is = self.elector.believes(self.now).map(|token| token.claim);
        if let Some(granted) = meaning.granted {
            // It may be refused (too late, stopping, kept out), and then it is refused for ever.
            if is == Some(granted.claim) && !self.over.contains(&granted.claim) {
                self.grant = Some(granted);
            } else {
                self.over.insert(granted.claim);
            }
        }
        let Some(claim) = is else { return Ok(()) };
        ensure(!self.over.contains(&claim), "a claim that is over is believed")?;
        ensure(was == is || meaning.granted.is_some(), "belief begins without a granted claim")?;
        let grant = self.grant.filter(|grant| grant.claim == claim).ok_or("belief without a grant")?;
        ensure(self.now < grant.until, "belief beyond sent + ttl - margin of the last acknowledged request")?;
        // For who reads without stepping: the answer ends by itself.
        ensure(self.elector.believes(grant.until).is_none(), "belief at the deadline")?;
        let deadline = self.elector.leadership().map(|leadership| leadership.deadline);
        ensure(deadline == Some(grant.until), "the deadline is not what was acknowledged")
    }

    /// A loss ends belief at once and is told before anything else is done; nothing else is told as a loss.
    fn ends_in_the_same_step(&self, meaning: &Meaning, commands: &[Command]) -> Result<(), String> {
        let told: Vec<(usize, Time, LossReason)> = commands
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
        ensure(told == expected, &format!("expected the loss {expected:?} (place, at, why), told {told:?}"))?;
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
                ensure(self.row.is_none(), "two calls to the state store at once")?;
                ensure(*timeout <= TTL / 3, "a request may take longer than ttl / 3")?;
                self.lease_request(request)?;
                self.row = Some(LeaseCall { id: *call, sent: self.now, request: request.clone() });
            }
            Command::Ticket { call, timeout, request } => {
                ensure(self.ticket.is_none(), "two calls to the leader store at once")?;
                ensure(*timeout <= TTL / 3, "a request may take longer than ttl / 3")?;
                self.ticket = Some((*call, *request));
            }
            Command::Recover { call, token } => {
                ensure(self.elector.believes(self.now) == Some(*token), "recovery without belief")?;
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
                let (row, since) = self.seen.as_ref().ok_or("a row is claimed that was never read")?;
                ensure(row.version == request.observed, "the claim does not compare what was last read")?;
                ensure(row.schema == SCHEMA, "a row of another schema is claimed")?;
                let here = row.version.token.timeline == row.version.current;
                let ttl = if here { row.ttl } else { row.ttl.max(TTL) };
                let open = row.released && here || self.now >= *since + ttl + margin(ttl);
                ensure(open, "a row is claimed that was not seen released or expired")
            }
            LeaseRequest::Renew { token, seq, current } => {
                ensure(self.current == Some(*current), "a renewal names a timeline that was not learned")?;
                ensure(self.elector.believes(self.now) == Some(*token), "a renewal without belief")?;
                ensure(!self.released.contains(&token.claim), "a renewal after a release")?;
                ensure(*seq > std::mem::replace(&mut self.renewed, *seq), "a renewal's seq does not grow")
            }
            LeaseRequest::Note { found, known } => {
                let (row, _) = self.seen.as_ref().ok_or("a row is reported that was never read")?;
                let Version { current, token, seq } = row.version;
                ensure(token == *found && !row.released, "another row is reported than was read")?;
                ensure(token.timeline == current, "the change of the timeline says it already")?;
                let epochs = self.elector.epochs();
                ensure(*known == epochs.floor(), "less is reported than is known")?;
                let leads = self.elector.leadership().is_some();
                let seq = if leads { Seq(u64::MAX) } else { seq };
                ensure(epochs.are_beyond(token, seq), "the row is not behind")
            }
            LeaseRequest::Release { token, .. } => {
                self.released.insert(token.claim);
                let Token { claim, .. } = token;
                ensure(claim.is_from(Nonce::new(NONCE)), "another process's row is released")?;
                ensure(self.over.contains(claim), "a row is released whose claim is not over")
            }
        }
    }

    /// Never woken in vain at once, never asleep for good while there is something to do, and with nothing
    /// under way never longer than it takes to miss a renewal, or a hint.
    fn sleeps_soundly(&self) -> Result<(), String> {
        let heartbeat = self.elector.config().heartbeat();
        let longest = if self.elector.leadership().is_some() { heartbeat } else { heartbeat * 3 / 2 };
        match self.elector.next_wakeup() {
            Some(at) => {
                ensure(at > self.now, "asks to be woken at once")?;
                ensure(self.row.is_some() || at <= self.now + longest, "sleeps through what is due")
            }
            None => {
                let calls = self.row.is_some() || self.ticket.is_some();
                ensure(calls || *self.elector.role() == Role::Stopped, "would sleep for ever")
            }
        }
    }

    // --- what tables and walks do with it -------------------------------------------------------------

    /// A step that must hold.
    pub fn commands(&mut self, event: &Event) -> Vec<Command> {
        let commands = self.step(event);
        commands.unwrap_or_else(|broken| panic!("{broken}\nafter {event:?}\n{:#?}", self.elector))
    }

    /// The same on the way to somewhere else.
    pub fn happens(&mut self, event: &Event) -> &mut Self {
        self.commands(event);
        self
    }

    /// The answer to the call that is under way at the state store.
    pub fn lease_says(&self, answer: LeaseAnswer) -> Event {
        self.lease_result(Ok(answer))
    }

    /// No answer to it in time.
    pub fn lease_is_silent(&self) -> Event {
        self.lease_result(Err(StoreError::Unknown("timed out".into())))
    }

    /// Either.
    pub fn lease_result(&self, answer: Result<LeaseAnswer, StoreError>) -> Event {
        Event::Lease { call: self.row.as_ref().expect("a call to the state store is under way").id, answer }
    }

    /// The answer to the call that is under way at the leader store.
    pub fn ticket_says(&self, answer: TicketAnswer) -> Event {
        Event::Ticket { call: self.ticket_call(), answer: Ok(answer) }
    }

    /// No answer to it in time.
    pub fn ticket_is_silent(&self) -> Event {
        Event::Ticket { call: self.ticket_call(), answer: Err(StoreError::Unknown("timed out".into())) }
    }

    fn ticket_call(&self) -> CallId {
        self.ticket.expect("a call to the leader store is under way").0
    }

    /// The end of the recovery that is under way.
    pub fn recovery_says(&self, answer: Result<(), RecoveryCode>) -> Event {
        Event::Recovered { call: self.recovery.expect("a recovery is under way"), answer }
    }
}

fn ensure(holds: bool, otherwise: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.to_owned()) }
}
