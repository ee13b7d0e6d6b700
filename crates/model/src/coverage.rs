//! What the explored states had in them: a role never taken or a command never given means that the model
//! checks less than it says.

use domain::election::{Command, LeaseRequest, LossReason, Phase, Report, Role, TicketRequest};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Every role and every command, by name.
pub const NAMES: [&str; 34] = [
    "role follower",
    "role candidate",
    "role leader, recovering",
    "role leader, active",
    "role leader, halted",
    "role leader, draining",
    "role stopped",
    "command observe the row",
    "command claim the row",
    "command renew the row",
    "command release the row",
    "command acquire the ticket",
    "command renew the ticket",
    "command release the ticket",
    "command inspect the ticket",
    "command recover",
    "command drain",
    "report ready",
    "report elected",
    "report renewed",
    "report activated",
    "report halted",
    "report lost, superseded",
    "report lost, expired",
    "report lost, forgotten",
    "report draining",
    "report resigning",
    "report released",
    "report ticket fault",
    "report stopped",
    "two believers",
    "the end of a run",
    "command note that the store has forgotten",
    "report lost, damaged",
];

/// What coverage counts.
#[derive(Debug)]
pub enum Seen<'a> {
    Command(&'a Command),
    Role(&'a Role),
    /// Two believe at once, where clocks are worse than promised.
    Overlap,
    /// It was asked whether somebody leads in the end.
    Tail,
}

/// Where [`NAMES`] has it; to be seen only where clocks are worse than promised.
const OVERLAP: usize = 30;
const TAIL: usize = 31;
/// Only an instance that missed a claim leaves another one something to note, and a promotion must have lost that claim:
/// more faults than each run has.
const NOTE: usize = 32;
/// No store of the model is damaged.
const DAMAGED: usize = 33;

/// How often each was seen.
#[derive(Debug)]
pub struct Coverage([AtomicU64; NAMES.len()]);

impl Default for Coverage {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Coverage {
    pub fn count(&self, seen: &Seen<'_>) {
        let which = match seen {
            Seen::Role(role) => role_index(role),
            Seen::Command(command) => command_index(command),
            Seen::Overlap => OVERLAP,
            Seen::Tail => TAIL,
        };
        self.0[which].fetch_add(1, Relaxed);
    }

    /// Adds what another exploration saw.
    pub fn add(&self, other: &Self) {
        for (own, more) in self.0.iter().zip(&other.0) {
            own.fetch_add(more.load(Relaxed), Relaxed);
        }
    }

    /// How often two believed at once.
    pub fn overlaps(&self) -> u64 {
        self.0[OVERLAP].load(Relaxed)
    }

    /// How often it was asked whether somebody leads in the end.
    pub fn tails(&self) -> u64 {
        self.0[TAIL].load(Relaxed)
    }

    /// What was never seen.
    pub fn missing(&self) -> Vec<&'static str> {
        let unseen =
            |index: &usize| ![OVERLAP, NOTE, DAMAGED].contains(index) && self.0[*index].load(Relaxed) == 0;
        (0..NAMES.len()).filter(unseen).map(|index| NAMES[index]).collect()
    }
}

fn role_index(role: &Role) -> usize {
    match role {
        Role::Follower => 0,
        Role::Candidate(_) => 1,
        Role::Leader(leadership) => match leadership.phase {
            Phase::Recovering { .. } => 2,
            Phase::Active => 3,
            Phase::Halted(_) => 4,
            Phase::Draining { .. } => 5,
        },
        Role::Stopped => 6,
    }
}

fn command_index(command: &Command) -> usize {
    match command {
        Command::Lease { request, .. } => match request {
            LeaseRequest::Observe => 7,
            LeaseRequest::Note { .. } => NOTE,
            LeaseRequest::Claim(_) => 8,
            LeaseRequest::Renew { .. } => 9,
            LeaseRequest::Release { .. } => 10,
        },
        Command::Ticket { request, .. } => match request {
            TicketRequest::Acquire { .. } => 11,
            TicketRequest::Renew(_) => 12,
            TicketRequest::Release(_) => 13,
            TicketRequest::Inspect => 14,
        },
        Command::Recover { .. } => 15,
        Command::Drain { .. } => 16,
        Command::Report(report) => match report {
            Report::Ready => 17,
            Report::Elected { .. } => 18,
            Report::Renewed { .. } => 19,
            Report::Activated { .. } => 20,
            Report::Halted { .. } => 21,
            Report::Lost { why: LossReason::Superseded, .. } => 22,
            Report::Lost { why: LossReason::Expired, .. } => 23,
            Report::Lost { why: LossReason::Forgotten, .. } => 24,
            Report::Lost { why: LossReason::Damaged, .. } => DAMAGED,
            Report::Draining { .. } => 25,
            Report::Resigning { .. } => 26,
            Report::Released { .. } => 27,
            Report::Fault(_) => 28,
            Report::Stopped => 29,
        },
    }
}
