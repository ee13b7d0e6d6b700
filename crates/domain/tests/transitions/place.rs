//! Setup: brings an elector into each of its states, through `step` alone, and builds the answers of the stores.

use super::machine::{Machine, NONCE, SCHEMA, TTL};
use domain::election::{Event, LeaseAnswer, LeaseRequest, Resign, TicketAnswer, TicketRequest, TicketUse};
use domain::id::{ClaimId, InstanceId, Nonce};
use domain::lease::{Epoch, Observation, Seq, Timeline, Token, Version};
use domain::ports::{Acquire, Claim, Release, Renewal, Ticket, TicketFault, TicketRenewal};
use domain::recovery::RecoveryCode;
use std::time::Duration;

/// From a request to its answer.
const ROUND_TRIP: Duration = Duration::from_millis(2);
/// The store's timeline, unless a standby was promoted.
const HERE: Timeline = Timeline(1);

// --- answers of the stores --------------------------------------------------------------------------

/// A claim of another process start.
pub fn foreign(n: u32) -> ClaimId {
    Nonce::new(NONCE + 1).claim(n)
}

/// The lease as held under `claim`.
pub fn lease(claim: ClaimId, epoch: u64, seq: u64) -> Observation {
    let token = Token { timeline: HERE, epoch: Epoch(epoch), claim };
    let holder = InstanceId::parse("other").ok();
    let version = Version { current: HERE, token, seq: Seq(seq) };
    Observation {
        version,
        released: false,
        ttl: TTL,
        holder,
        resign: None,
        successor: None,
        floor: Epoch(0),
        schema: SCHEMA,
    }
}

/// Another process's lease, renewed `seq` times.
pub fn theirs(seq: u64) -> Observation {
    lease(foreign(1), 4, seq)
}

/// Another process's lease, released.
pub fn open() -> Observation {
    Observation { released: true, ..theirs(2) }
}

/// Another process's lease, held, on a standby that was promoted since.
pub fn theirs_elsewhere() -> Observation {
    let mut lease = theirs(2);
    lease.version.current = Timeline(2);
    lease
}

/// A claim of a third process.
pub fn stranger() -> ClaimId {
    Nonce::new(NONCE + 2).claim(1)
}

/// The process that holds the lease of [`theirs`] has ended.
pub fn holder_ended() -> Event {
    Event::ProcessEnded(foreign(1).nonce())
}

/// The id of another instance, which is not the holder either.
pub fn another() -> InstanceId {
    InstanceId::parse("another").expect("a word is an id")
}

/// The lease of [`open`], left to that instance.
pub fn left_to(successor: &InstanceId) -> Observation {
    Observation { successor: Some(successor.clone()), ..open() }
}

/// As [`open`], on a standby that was promoted since.
pub fn open_elsewhere() -> Observation {
    let mut lease = open();
    lease.version.current = Timeline(2);
    lease
}

/// The lease as this process holds it, under the last claim that it sent.
pub fn mine(machine: &Machine) -> Observation {
    let token = machine.elector.leadership().expect("a leadership").token;
    lease(token.claim, token.epoch.0, 1)
}

pub fn observed(lease: Observation) -> LeaseAnswer {
    LeaseAnswer::Observed(lease)
}

/// The lease after the claim in progress, carried out.
pub fn claimed(machine: &Machine) -> Observation {
    match machine.lease.as_ref().map(|call| &call.request) {
        Some(LeaseRequest::Claim(request)) => {
            let token = request.observed.token;
            lease(request.claim, token.epoch.next().0, 0)
        }
        other => panic!("no claim is in progress: {other:?}"),
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

/// The lease was an older copy, or on an older timeline.
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
    let holder = InstanceId::parse("other").expect("an id");
    Ticket { holder, claim: Some(claim), remaining }
}

pub fn held(remaining: Result<Duration, TicketFault>) -> TicketAnswer {
    TicketAnswer::Acquire(Acquire::Held(ticket(foreign(1), remaining)))
}

/// The expected answer: there is no ticket but this process's.
pub fn ticket_as_wished(request: TicketRequest) -> TicketAnswer {
    match request {
        TicketRequest::Acquire { .. } => TicketAnswer::Acquire(Acquire::Granted),
        TicketRequest::Renew(_) => TicketAnswer::Renewal(TicketRenewal::Renewed),
        TicketRequest::Release(_) => TicketAnswer::Released,
        TicketRequest::Inspect => TicketAnswer::Inspected(None),
    }
}

// --- passing of time ----------------------------------------------------------------------------------

impl Machine {
    pub fn after(&mut self, time: Duration) -> &mut Self {
        self.now = self.now + time;
        self
    }

    /// Advances to the requested wakeup, without stepping.
    pub fn until_wakeup(&mut self) -> &mut Self {
        self.now = self.elector.next_wakeup().expect("it waits for a time");
        self
    }

    /// The answer to the ticket request in progress, a round trip later.
    pub fn ticket_obeys(&mut self) -> &mut Self {
        let (_, request) = self.ticket.expect("a call to the leader store is in progress");
        let event = self.after(ROUND_TRIP).ticket_says(ticket_as_wished(request));
        self.happens(&event)
    }

    /// An answer of the state store, a round trip later.
    pub fn lease_answers(&mut self, answer: LeaseAnswer) -> &mut Self {
        let event = self.after(ROUND_TRIP).lease_says(answer);
        self.happens(&event)
    }

    /// A read of the lease is in progress.
    pub fn reading(&mut self) -> &mut Self {
        self.happens(&Event::LeaseHint);
        assert!(matches!(self.lease.as_ref().map(|call| &call.request), Some(LeaseRequest::Observe)));
        self
    }

    /// A renewal of the lease is in progress, and the ticket's is answered.
    pub fn renewing(&mut self) -> &mut Self {
        while !matches!(self.lease.as_ref().map(|call| &call.request), Some(LeaseRequest::Renew { .. })) {
            self.until_wakeup().happens(&Event::Wakeup);
            if self.ticket.is_some() {
                self.ticket_obeys();
            }
        }
        self
    }

    /// Both stores give the expected answers until `time` has passed.
    pub fn quietly(&mut self, time: Duration) -> &mut Self {
        let until = self.now + time;
        while self.elector.next_wakeup().is_some_and(|at| at < until) {
            self.until_wakeup().happens(&Event::Wakeup);
            if self.ticket.is_some() {
                self.ticket_obeys();
            }
            match self.lease.as_ref().map(|call| &call.request) {
                Some(LeaseRequest::Observe) => {
                    let lease = self.elector.observed_lease().expect("it was read before").clone();
                    self.lease_answers(observed(lease));
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

/// The first read is in progress; there is no ticket.
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

/// The lease is open, and this instance has just handed over.
pub fn kept_out() -> Machine {
    let mut machine = releasing();
    let Some(LeaseRequest::Release { token, seq, .. }) = machine.lease.as_ref().map(|call| &call.request)
    else {
        panic!("no release is in progress");
    };
    let lease = Observation { released: true, ..lease(token.claim, token.epoch.0, seq.0) };
    machine.ticket_obeys().lease_answers(released(Release::Released));
    machine.lease_answers(observed(lease));
    machine
}

/// The ticket is requested.
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

/// The claim was not answered; a read is in progress.
pub fn claim_unanswered() -> Machine {
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

/// The release is in progress.
pub fn releasing() -> Machine {
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
