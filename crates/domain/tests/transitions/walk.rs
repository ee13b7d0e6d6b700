//! Random walks: the properties of [`Machine::step`] hold for every sequence of events.
//!
//! The stores of a walk need not be consistent: a claim may be granted and the next read show another's lease. The
//! scenarios check what two instances may do at once; a walk checks one instance.

use super::dice::Dice;
use super::machine::{Machine, SCHEMA, TTL};
use super::place::{
    foreign, granted, held, lease, lost, observed, other_timeline, released, renewed, renewed_forgotten,
    step_down, superseded, ticket, ticket_as_wished,
};
use domain::election::{
    Command, Epochs, Event, LeaseAnswer, LeaseRequest, LossReason, Report, Resign, TicketAnswer,
    TicketRequest, TicketUse,
};
use domain::id::InstanceId;
use domain::lease::{Observation, Timeline};
use domain::ports::{Noted, Release, StoreError, TicketFault, TicketRenewal};
use domain::recovery::RecoveryCode;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

const WALKS: u64 = 2_000;
const EVENTS: usize = 200;
/// Number of steps that a failure shows.
const SHOWN: usize = 12;
/// Minimum count of every report: a walk without it would test nothing.
const OFTEN: u32 = 100;

/// Count of every report over all walks.
#[derive(Debug, Default)]
pub struct Seen(BTreeMap<&'static str, u32>);

impl Seen {
    pub fn assert_everything_happened(&self) {
        let wanted = [
            "elected",
            "elected by a read",
            "renewed",
            "activated",
            "halted",
            "lost: superseded",
            "lost: expired",
            "lost: forgotten",
            "lost: damaged",
            "resigning",
            "released",
            "stopped",
            "ticket fault",
            "late answer",
        ];
        for what in wanted {
            let times = self.0.get(what).copied().unwrap_or(0);
            assert!(times >= OFTEN, "{what}: {times} times only; all: {:?}", self.0);
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    fn take_in(&mut self, event: &Event, commands: &[Command]) {
        for command in commands {
            let Command::Report(report) = command else { continue };
            match report {
                Report::Elected { .. } => {
                    let read = matches!(event, Event::Lease { answer: Ok(LeaseAnswer::Observed(_)), .. });
                    self.count(if read { "elected by a read" } else { "elected" });
                }
                Report::Renewed { .. } => self.count("renewed"),
                Report::Activated { .. } => self.count("activated"),
                Report::Halted { .. } => self.count("halted"),
                Report::Lost { why: LossReason::Superseded, .. } => self.count("lost: superseded"),
                Report::Lost { why: LossReason::Expired, .. } => self.count("lost: expired"),
                Report::Lost { why: LossReason::Forgotten, .. } => self.count("lost: forgotten"),
                Report::Lost { why: LossReason::Damaged, .. } => self.count("lost: damaged"),
                Report::Resigning { .. } => self.count("resigning"),
                Report::Released { .. } => self.count("released"),
                Report::Stopped => self.count("stopped"),
                Report::Fault(_) => self.count("ticket fault"),
                Report::Ready | Report::Draining { .. } => {}
            }
        }
    }
}

/// Walks with the seeds 1 to [`WALKS`]; panics with the seed of the first that breaks a property.
pub fn all() -> Seen {
    let mut seen = Seen::default();
    for seed in 1..=WALKS {
        walk(seed, &mut seen);
    }
    seen
}

fn walk(seed: u64, counts: &mut Seen) {
    let mut dice = Dice::new(seed);
    let tickets = if dice.one_in(4) { TicketUse::None } else { TicketUse::Redis };
    let mut machine = Machine::new(tickets);
    let mut answered: Option<Event> = None;
    let mut shown = VecDeque::new();
    for number in 0..EVENTS {
        time_passes(&mut dice, &mut machine);
        let late = answered.clone().filter(|_| dice.one_in(12));
        let event = late.clone().unwrap_or_else(|| pick(&mut dice, &machine));
        let woken = late.map(|_| {
            let mut woken = machine.clone();
            let commands = woken.step(&Event::Wakeup);
            (commands, woken.elector)
        });
        shown.push_back(format!("{:?} {event:?}", machine.now));
        if shown.len() > SHOWN {
            shown.pop_front();
        }
        let outcome = machine.step(&event);
        if let Some((commands, elector)) = woken {
            counts.count("late answer");
            assert!(
                outcome == commands && machine.elector == elector,
                "seed {seed}, event {number}: a late answer changed something: {shown:#?}"
            );
        }
        match outcome {
            Ok(commands) => counts.take_in(&event, &commands),
            Err(broken) => panic!("seed {seed}, event {number}: {broken}; the last events: {shown:#?}"),
        }
        if matches!(event, Event::Lease { .. } | Event::Ticket { .. } | Event::Recovered { .. }) {
            answered = Some(event);
        }
    }
}

fn time_passes(dice: &mut Dice, machine: &mut Machine) {
    match dice.below(20) {
        0..10 => machine.after(Duration::from_micros(dice.below(5_000))),
        10..16 => {
            machine.now = machine.elector.next_wakeup().unwrap_or(machine.now).max(machine.now);
            machine
        }
        16..19 => machine.after(Duration::from_millis(dice.below(4_000))),
        _ => machine.after(Duration::from_millis(dice.below(20_000))),
    };
}

fn pick(dice: &mut Dice, machine: &Machine) -> Event {
    let event = match dice.below(100) {
        0..45 => machine.lease.is_some().then(|| machine.lease_result(lease_answer(dice, machine))),
        45..65 => machine.ticket.is_some().then(|| ticket_answer(dice, machine)),
        65..75 => machine.recovery.is_some().then(|| machine.recovery_says(recovery(dice))),
        75..80 => Some(Event::LeaseHint),
        80..84 => Some(Event::TicketHint),
        84..87 => Some(Event::Drained),
        87 => Some(step_down()),
        88 => dice.one_in(8).then_some(Event::Resign(Resign::Stop)),
        89 => Some(Event::Remembered(kept_elsewhere(dice, machine))),
        90 => {
            dice.one_in(4).then(|| Event::ProcessEnded(some_row(dice, machine).version.token.claim.nonce()))
        }
        _ => None,
    };
    event.unwrap_or(Event::Wakeup)
}

fn lease_answer(dice: &mut Dice, machine: &Machine) -> Result<LeaseAnswer, StoreError> {
    if dice.one_in(6) {
        let refused = StoreError::Unavailable("refused".into());
        let unknown = StoreError::Unknown("timed out".into());
        let damaged = StoreError::Corrupt("damaged".into());
        return Err(if dice.one_in(4) {
            damaged
        } else if dice.one_in(2) {
            refused
        } else {
            unknown
        });
    }
    Ok(match machine.lease.as_ref().map(|call| &call.request) {
        Some(LeaseRequest::Observe) => observed(some_row(dice, machine)),
        Some(LeaseRequest::Claim(_)) if dice.one_in(4) => lost(),
        Some(LeaseRequest::Claim(_)) if dice.one_in(16) => {
            LeaseAnswer::Outdated(kept_elsewhere(dice, machine))
        }
        Some(LeaseRequest::Claim(_)) => granted(machine),
        Some(LeaseRequest::Renew { .. }) if dice.one_in(8) => superseded(),
        Some(LeaseRequest::Renew { current, .. }) if dice.one_in(8) => other_timeline(current.0 + 1),
        Some(LeaseRequest::Renew { current, .. }) if dice.one_in(8) => renewed_forgotten(current.0),
        Some(LeaseRequest::Renew { current, .. }) => renewed(current.0, dice.one_in(16).then_some("deploy")),
        Some(LeaseRequest::Release { .. }) if dice.one_in(4) => released(Release::Superseded),
        Some(LeaseRequest::Release { .. }) => released(Release::Released),
        Some(LeaseRequest::Note { .. }) if dice.one_in(4) => LeaseAnswer::Note(Noted::Superseded),
        Some(LeaseRequest::Note { .. }) => LeaseAnswer::Note(Noted::Noted),
        None => unreachable!("picked only while a call is in progress"),
    })
}

/// What another instance with the same memory may have kept: as much, a little more, or another claim's number.
fn kept_elsewhere(dice: &mut Dice, machine: &Machine) -> Epochs {
    let known = machine.elector.epochs();
    match dice.below(4) {
        0 => known,
        1 => Epochs { asked: known.floor().next(), ..known },
        2 => Epochs { seq: known.seq.next(), ..known },
        _ => Epochs { seen: known.seen.next(), claim: foreign(3), ..known },
    }
}

/// The lease unchanged, or after a release, after another's claim, or in an unexpected version.
fn some_row(dice: &mut Dice, machine: &Machine) -> Observation {
    let before = machine.elector.observed_lease().cloned().unwrap_or_else(|| lease(foreign(1), 1, 0));
    let epoch = before.version.token.epoch;
    let mut shown = match (dice.below(8), machine.own) {
        (0..3, _) => before,
        (3..6, Some((own, _))) => lease(own, epoch.0.max(1), dice.below(3)),
        (6, _) => lease(foreign(u32::try_from(epoch.0).unwrap_or(0)), epoch.next().0, 0),
        (_, _) => {
            let mut renewed = before;
            renewed.version.seq = renewed.version.seq.next();
            renewed
        }
    };
    shown.released = dice.one_in(3);
    if dice.one_in(20) {
        shown.version.current = Timeline(shown.version.current.0 + 1);
    }
    shown.ttl = [TTL / 2, TTL, TTL, TTL * 2][usize::try_from(dice.below(4)).expect("below 4")];
    shown.schema = if dice.one_in(20) { SCHEMA + 1 } else { SCHEMA };
    let successors = [None, None, InstanceId::parse("me").ok(), InstanceId::parse("another").ok()];
    shown.successor.clone_from(&successors[usize::try_from(dice.below(4)).expect("below 4")]);
    shown.resign = dice.one_in(20).then(|| "deploy".into());
    shown
}

pub fn ticket_answer(dice: &mut Dice, machine: &Machine) -> Event {
    if dice.one_in(6) {
        return machine.ticket_is_silent();
    }
    let (_, request) = machine.ticket.expect("picked only while a call is in progress");
    let claim = machine.own.map(|(own, _)| own).filter(|_| dice.one_in(4)).unwrap_or(foreign(1));
    let remaining = match dice.below(6) {
        0 => Err(TicketFault::NoExpiry),
        1 => Err(TicketFault::TooLong),
        _ => Ok(Duration::from_millis(dice.below(10_000))),
    };
    machine.ticket_says(match request {
        TicketRequest::Acquire { .. } if dice.one_in(3) => held(remaining),
        TicketRequest::Renew(_) if dice.one_in(4) => {
            TicketAnswer::Renewal(TicketRenewal::Lost(dice.one_in(2).then(|| ticket(claim, remaining))))
        }
        TicketRequest::Inspect => TicketAnswer::Inspected(dice.one_in(2).then(|| ticket(claim, remaining))),
        TicketRequest::Acquire { .. } | TicketRequest::Renew(_) | TicketRequest::Release(_) => {
            ticket_as_wished(request)
        }
    })
}

fn recovery(dice: &mut Dice) -> Result<(), RecoveryCode> {
    match dice.below(8) {
        0 => Err(RecoveryCode::DbUnavailable),
        1 => Err(RecoveryCode::DataCorrupt),
        2 => Err(RecoveryCode::ValidationFailed),
        _ => Ok(()),
    }
}
