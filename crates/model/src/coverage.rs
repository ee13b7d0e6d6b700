//! Coverage of the explored states: a role that never occurred or a command that was never given means that the model
//! checks less than it claims.

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
    "command read the lease",
    "command claim the lease",
    "command renew the lease",
    "command release the lease",
    "command acquire the ticket",
    "command renew the ticket",
    "command release the ticket",
    "command read the ticket",
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
    "two valid leases",
    "the end of a run",
    "command note that the store has forgotten",
    "report lost, damaged",
];

/// The items that coverage counts.
#[derive(Debug)]
pub enum Seen<'a> {
    Command(&'a Command),
    Role(&'a Role),
    /// Two instances hold a valid lease at once, where clocks exceed the bound.
    Overlap,
    /// The check at the end of a run: exactly one instance leads.
    Tail,
}

/// The index in [`NAMES`] of the item that occurs only where clocks exceed the bound.
const OVERLAP: usize = 30;
const TAIL: usize = 31;
/// The index of the note. It occurs only if one instance missed a claim and a promotion lost that claim, which needs
/// more faults than a run has.
const NOTE: usize = 32;
/// No store of the model is damaged.
const DAMAGED: usize = 33;

/// Number of occurrences of each item.
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

    /// Adds the counts of another exploration.
    pub fn add(&self, other: &Self) {
        for (own, more) in self.0.iter().zip(&other.0) {
            own.fetch_add(more.load(Relaxed), Relaxed);
        }
    }

    /// Number of times that two instances held a valid lease at once.
    pub fn overlaps(&self) -> u64 {
        self.0[OVERLAP].load(Relaxed)
    }

    /// Number of checks at the end of a run.
    pub fn tails(&self) -> u64 {
        self.0[TAIL].load(Relaxed)
    }

    /// The items that never occurred.
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
