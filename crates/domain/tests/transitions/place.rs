//! How to get an elector into each of its states, through nothing but `step`, and what the stores may say.

use super::machine::{Machine, NONCE, SCHEMA, TTL};
use domain::election::{Event, LeaseAnswer, LeaseRequest, Resign, TicketAnswer, TicketRequest, TicketUse};
use domain::id::{ClaimId, InstanceId, Nonce};
use domain::lease::{Epoch, Observation, Seq, Timeline, Token, Version};
use domain::ports::{Acquire, Claim, Release, Renewal, Ticket, TicketFault, TicketRenewal};
use domain::recovery::RecoveryCode;
use std::time::Duration;

/// From a request to its answer.
const ROUND_TRIP: Duration = Duration::from_millis(2);
/// Where the store is, unless a standby was promoted.
const HERE: Timeline = Timeline(1);

// --- what the stores may say ------------------------------------------------------------------------

/// A claim of another process start.
pub fn foreign(n: u32) -> ClaimId {
    Nonce::new(NONCE + 1).claim(n)
}

/// The row as held under `claim`.
pub fn row(claim: ClaimId, epoch: u64, seq: u64) -> Observation {
    let token = Token { timeline: HERE, epoch: Epoch(epoch), claim };
    let holder = InstanceId::parse("somebody").ok();
    let version = Version { current: HERE, token, seq: Seq(seq) };
    Observation { version, released: false, ttl: TTL, holder, resign: None, floor: Epoch(0), schema: SCHEMA }
}

/// Another process's row, renewed `seq` times.
pub fn theirs(seq: u64) -> Observation {
    row(foreign(1), 4, seq)
}

/// Another process's row, given back.
pub fn open() -> Observation {
    Observation { released: true, ..theirs(2) }
}

/// The same on a standby that was promoted since.
pub fn open_elsewhere() -> Observation {
    let mut row = open();
    row.version.current = Timeline(2);
    row
}

/// The row as this process holds it, by the last claim it sent.
pub fn mine(machine: &Machine) -> Observation {
    let token = machine.elector.leadership().expect("a leadership").token;
    row(token.claim, token.epoch.0, 1)
}

pub fn observed(row: Observation) -> LeaseAnswer {
    LeaseAnswer::Observed(row)
}

/// The row of the claim that is under way, carried out.
pub fn claimed(machine: &Machine) -> Observation {
    match machine.row.as_ref().map(|asked| &asked.request) {
        Some(LeaseRequest::Claim(request)) => {
            let token = request.observed.token;
            row(request.claim, token.epoch.next().0, 0)
        }
        other => panic!("no claim is under way: {other:?}"),
    }
}

pub fn granted(machine: &Machine) -> LeaseAnswer {
    LeaseAnswer::Claim(Claim::Granted(claimed(machine).version.token))
}

pub fn lost() -> LeaseAnswer {
    LeaseAnswer::Claim(Claim::Lost)
}

pub fn renewed(timeline: u32, resign: Option<&str>) -> LeaseAnswer {
    let resign = resign.map(str::to_owned);
    LeaseAnswer::Renewal(Renewal::Renewed { timeline: Timeline(timeline), resign, forgotten: false })
}

/// The row was an older copy, or on an older timeline.
pub fn renewed_forgotten(timeline: u32) -> LeaseAnswer {
    LeaseAnswer::Renewal(Renewal::Renewed { timeline: Timeline(timeline), resign: None, forgotten: true })
}

pub fn other_timeline(timeline: u32) -> LeaseAnswer {
    LeaseAnswer::Renewal(Renewal::OtherTimeline(Timeline(timeline)))
}

pub fn superseded() -> LeaseAnswer {
    LeaseAnswer::Renewal(Renewal::Superseded)
}

pub fn released(release: Release) -> LeaseAnswer {
    LeaseAnswer::Release(release)
}

pub fn ticket(claim: ClaimId, remaining: Result<Duration, TicketFault>) -> Ticket {
    let holder = InstanceId::parse("somebody").expect("an id");
    Ticket { holder, claim: Some(claim), remaining }
}

pub fn held(remaining: Result<Duration, TicketFault>) -> TicketAnswer {
    TicketAnswer::Acquire(Acquire::Held(ticket(foreign(1), remaining)))
}

/// The answer that does not surprise: there is no ticket but this process's.
pub fn ticket_as_wished(request: TicketRequest) -> TicketAnswer {
    match request {
        TicketRequest::Acquire { .. } => TicketAnswer::Acquire(Acquire::Granted),
        TicketRequest::Renew(_) => TicketAnswer::Renewal(TicketRenewal::Renewed),
        TicketRequest::Release(_) => TicketAnswer::Released,
        TicketRequest::Inspect => TicketAnswer::Inspected(None),
    }
}

// --- ways through time --------------------------------------------------------------------------------

impl Machine {
    pub fn after(&mut self, time: Duration) -> &mut Self {
        self.now = self.now + time;
        self
    }

    /// To when it asked to be woken, without waking it.
    pub fn until_wakeup(&mut self) -> &mut Self {
        self.now = self.elector.next_wakeup().expect("it waits for a time");
        self
    }

    /// The answer to the ticket request that is under way, a round trip later.
    pub fn ticket_obeys(&mut self) -> &mut Self {
        let (_, request) = self.ticket.expect("a call to the leader store is under way");
        let event = self.after(ROUND_TRIP).ticket_says(ticket_as_wished(request));
        self.happens(&event)
    }

    /// An answer of the state store, a round trip later.
    pub fn lease_answers(&mut self, answer: LeaseAnswer) -> &mut Self {
        let event = self.after(ROUND_TRIP).lease_says(answer);
        self.happens(&event)
    }

    /// A look at the row is under way.
    pub fn looking(&mut self) -> &mut Self {
        self.happens(&Event::LeaseHint);
        assert!(matches!(self.row.as_ref().map(|asked| &asked.request), Some(LeaseRequest::Observe)));
        self
    }

    /// A renewal is under way, and the ticket's is answered.
    pub fn renewing(&mut self) -> &mut Self {
        while !matches!(self.row.as_ref().map(|asked| &asked.request), Some(LeaseRequest::Renew { .. })) {
            self.until_wakeup().happens(&Event::Wakeup);
            if self.ticket.is_some() {
                self.ticket_obeys();
            }
        }
        self
    }

    /// Both stores answer what nobody is surprised by until `time` has passed.
    pub fn quietly(&mut self, time: Duration) -> &mut Self {
        let until = self.now + time;
        while self.elector.next_wakeup().is_some_and(|at| at < until) {
            self.until_wakeup().happens(&Event::Wakeup);
            if self.ticket.is_some() {
                self.ticket_obeys();
            }
            match self.row.as_ref().map(|asked| &asked.request) {
                Some(LeaseRequest::Observe) => {
                    let row = self.elector.row().expect("it was read before").clone();
                    self.lease_answers(observed(row));
                }
                Some(LeaseRequest::Renew { .. }) => {
                    self.lease_answers(renewed(1, None));
                }
                Some(LeaseRequest::Claim(_) | LeaseRequest::Release { .. } | LeaseRequest::Note { .. })
                | None => {}
            }
        }
        self.now = self.now.max(until);
        self
    }
}

// --- the states -----------------------------------------------------------------------------------------

/// The first look is under way; nobody has a ticket.
pub fn starting() -> Machine {
    let mut machine = Machine::new(TicketUse::Redis);
    machine.happens(&Event::Wakeup).ticket_obeys();
    machine
}

pub fn watching() -> Machine {
    let mut machine = starting();
    machine.lease_answers(observed(theirs(2)));
    machine
}

/// The row is open, and this instance has just handed over.
pub fn kept_out() -> Machine {
    let mut machine = giving_back();
    let Some(LeaseRequest::Release { token, seq, .. }) = machine.row.as_ref().map(|asked| &asked.request)
    else {
        panic!("no release is under way");
    };
    let row = Observation { released: true, ..row(token.claim, token.epoch.0, seq.0) };
    machine.ticket_obeys().lease_answers(released(Release::Released));
    machine.lease_answers(observed(row));
    machine
}

/// The ticket is asked for.
pub fn waiting() -> Machine {
    let mut machine = starting();
    machine.lease_answers(observed(open()));
    machine
}

pub fn claiming() -> Machine {
    let mut machine = waiting();
    machine.ticket_obeys();
    machine
}

/// The claim was not answered; a look is under way.
pub fn doubting() -> Machine {
    let mut machine = claiming();
    let event = machine.after(ROUND_TRIP).lease_is_silent();
    machine.happens(&event).ticket_obeys();
    machine.until_wakeup().happens(&Event::Wakeup);
    machine
}

pub fn recovering() -> Machine {
    let mut machine = claiming();
    let answer = granted(&machine);
    machine.lease_answers(answer);
    machine
}

pub fn active() -> Machine {
    recovered(Ok(()))
}

pub fn halted() -> Machine {
    recovered(Err(RecoveryCode::ValidationFailed))
}

fn recovered(answer: Result<(), RecoveryCode>) -> Machine {
    let mut machine = recovering();
    let event = machine.after(ROUND_TRIP).recovery_says(answer);
    machine.happens(&event);
    machine
}

pub fn draining() -> Machine {
    let mut machine = active();
    machine.happens(&step_down());
    machine
}

/// The release is under way.
pub fn giving_back() -> Machine {
    let mut machine = draining();
    machine.after(ROUND_TRIP).happens(&Event::Drained);
    machine
}

pub fn stopped() -> Machine {
    let mut machine = watching();
    machine.happens(&Event::Resign(Resign::Stop));
    machine
}

pub fn step_down() -> Event {
    Event::Resign(Resign::StepDown { reason: "deploy".into() })
}
