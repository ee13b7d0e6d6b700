//! The table of docs/protocol.md: for each state and event, the next state and the commands.

use super::machine::{Machine, NONCE, TTL};
use super::place::{
    active, another, claim_unanswered, claiming, draining, foreign, granted, halted, held, holder_ended,
    kept_out, lease, left_to, lost, mine, observed, open, open_elsewhere, other_timeline, recovering,
    released, releasing, renewed, renewed_forgotten, starting, step_down, stopped, stranger, superseded,
    theirs, theirs_elsewhere, ticket, ticket_as_wished, waiting, watching,
};
use domain::election::{
    Command, Elector, Epochs, Event, LeaseAnswer, LeaseRequest, LossReason, Phase, Report, Resign, Role,
    TicketAnswer, TicketRequest,
};
use domain::id::Nonce;
use domain::lease::{Epoch, Observation, margin};
use domain::ports::{Release, StoreError, TicketFault, TicketRenewal};
use domain::recovery::RecoveryCode;
use std::fmt::Write;
use std::time::Duration;

/// A name and a function that leads up to an event and returns it.
type Case = (&'static str, fn(&mut Machine) -> Event);

pub struct State {
    pub name: &'static str,
    pub reach: fn() -> Machine,
    cases: &'static [Case],
}

/// A time in which nothing becomes due.
const MOMENT: Duration = Duration::from_millis(1);
/// LEADER_TTL / 3.
const HEARTBEAT: Duration = Duration::from_millis(3_334);
/// Slightly less than three heartbeats.
const KEPT_OUT: Duration = Duration::from_millis(9_900);
/// A delay after which a renewal is due and the work of a handover has some time left.
const LATE: Duration = Duration::from_millis(3_331);

/// The whole table, as Markdown.
pub fn render() -> String {
    let mut text = String::new();
    for state in &STATES {
        writeln!(text, "\n**{}**\n\n| event | next state | commands |\n|---|---|---|", state.name)
            .expect("a string takes all");
        for (name, lead_up) in state.cases {
            let mut machine = (state.reach)();
            let event = lead_up(&mut machine);
            let commands = machine.commands(&event);
            let wants: Vec<String> = commands.iter().map(command).collect();
            let wants = if wants.is_empty() { "nothing".to_owned() } else { wants.join("; ") };
            writeln!(text, "| {name} | {} | {wants} |", role(&machine.elector)).expect("a string takes all");
        }
    }
    text
}

pub const STATES: [State; 12] = [
    State {
        name: "Follower, has not read the lease (the first read is in progress)",
        reach: starting,
        cases: &[
            ("the lease is another's", |m| m.lease_says(observed(theirs(2)))),
            ("the lease is released", |m| m.lease_says(observed(open()))),
            ("the lease is released, but on an earlier timeline", |m| {
                m.lease_says(observed(open_elsewhere()))
            }),
            ("the lease is released, its schema is not ours", |m| {
                m.lease_says(observed(Observation { schema: 2, ..open() }))
            }),
            ("no answer", |m| m.lease_is_silent()),
            ("a hint about the lease", |_| Event::LeaseHint),
            ("stop requested", |_| Event::Resign(Resign::Stop)),
        ],
    },
    State {
        name: "Follower, the lease is another's",
        reach: watching,
        cases: &[
            ("woken, nothing is due", |m| {
                m.after(MOMENT);
                Event::Wakeup
            }),
            ("a hint about the lease", |_| Event::LeaseHint),
            ("a hint about the ticket", |_| Event::TicketHint),
            ("no hint for one and a half heartbeats", |m| {
                m.until_wakeup().happens(&Event::Wakeup).ticket_obeys().until_wakeup();
                Event::Wakeup
            }),
            ("the read shows a renewal", |m| m.reading().lease_says(observed(theirs(3)))),
            ("the read shows no change for ttl + margin", |m| {
                let late = TTL + margin(TTL);
                m.reading().after(late).lease_says(observed(theirs(2)))
            }),
            ("the read shows the lease released", |m| m.reading().lease_says(observed(open()))),
            ("the read shows the lease released, but on an earlier timeline", |m| {
                m.reading().lease_says(observed(open_elsewhere()))
            }),
            ("the read shows the lease released for this instance", |m| {
                let released = left_to(m.elector.config().id());
                m.reading().lease_says(observed(released))
            }),
            ("the read shows the lease released for another instance", |m| {
                m.reading().lease_says(observed(left_to(&another())))
            }),
            ("the same for ttl + margin", |m| {
                m.reading().lease_answers(observed(left_to(&another())));
                let late = TTL + margin(TTL);
                m.reading().after(late).lease_says(observed(left_to(&another())))
            }),
            ("the read gets no answer", |m| m.reading().lease_is_silent()),
            ("the holder's process has ended", |_| holder_ended()),
            ("the read after it shows the lease as before", |m| {
                m.happens(&holder_ended()).lease_says(observed(theirs(2)))
            }),
            ("the read after it shows the lease on an earlier timeline", |m| {
                m.happens(&holder_ended()).lease_says(observed(theirs_elsewhere()))
            }),
            ("the read after it shows the claim of another process", |m| {
                m.happens(&holder_ended()).lease_says(observed(lease(stranger(), 5, 0)))
            }),
            ("another process has ended", |_| Event::ProcessEnded(stranger().nonce())),
            ("the ticket turns out to be this process's", |m| {
                m.until_wakeup().happens(&Event::Wakeup);
                let leftover = ticket(Nonce::new(NONCE).claim(99), Ok(TTL));
                m.ticket_says(TicketAnswer::Inspected(Some(leftover)))
            }),
            ("the leader store does not answer", |m| {
                m.until_wakeup().happens(&Event::Wakeup).ticket_is_silent()
            }),
            ("step-down requested", |_| step_down()),
            ("stop requested", |_| Event::Resign(Resign::Stop)),
        ],
    },
    State {
        name: "Follower, the lease is open, kept out after a step-down",
        reach: kept_out,
        cases: &[
            ("woken before three heartbeats are over", |m| {
                m.until_wakeup();
                Event::Wakeup
            }),
            ("woken after them", |m| {
                m.quietly(KEPT_OUT).after(200 * MOMENT);
                Event::Wakeup
            }),
            ("the read shows another's claim", |m| m.reading().lease_says(observed(lease(foreign(2), 6, 0)))),
        ],
    },
    State {
        name: "Candidate, waits for the ticket",
        reach: waiting,
        cases: &[
            ("the ticket is granted", |m| m.ticket_says(ticket_as_wished(acquire(m)))),
            ("the ticket is another's", |m| m.ticket_says(held(Ok(TTL)))),
            ("the ticket is another's and never expires", |m| {
                m.ticket_says(held(Err(TicketFault::NoExpiry)))
            }),
            ("the leader store does not answer", |m| m.ticket_is_silent()),
            ("a heartbeat without the ticket", |m| {
                let event = m.ticket_says(held(Ok(TTL)));
                m.happens(&event).after(HEARTBEAT);
                Event::Wakeup
            }),
            ("a hint about the lease", |_| Event::LeaseHint),
            ("the read shows another's claim", |m| m.reading().lease_says(observed(lease(foreign(2), 5, 0)))),
            ("step-down requested", |_| step_down()),
        ],
    },
    State {
        name: "Candidate, the claim is in progress",
        reach: claiming,
        cases: &[
            ("granted", |m| m.lease_says(granted(m))),
            ("granted, but the answer comes after its deadline", |m| {
                let answer = granted(m);
                m.after(TTL).lease_says(answer)
            }),
            ("lost", |m| m.lease_says(lost())),
            ("not sent, as its memory has a later term", |m| m.lease_says(LeaseAnswer::Outdated(later()))),
            ("not sent, as its epoch cannot be stored", |m| m.lease_says(LeaseAnswer::NotSent)),
            ("no answer", |m| m.lease_is_silent()),
            ("a hint about the lease", |_| Event::LeaseHint),
            ("stop requested", |_| Event::Resign(Resign::Stop)),
            ("granted, after a stop was requested", |m| {
                let answer = granted(m);
                m.happens(&Event::Resign(Resign::Stop)).lease_says(answer)
            }),
        ],
    },
    State {
        name: "Follower, its claim was not answered (a read is in progress)",
        reach: claim_unanswered,
        cases: &[
            ("the lease carries that claim", |m| m.lease_says(observed(carried_out(m)))),
            ("the lease carries that claim, its deadline has passed", |m| {
                let lease = carried_out(m);
                m.after(TTL).lease_says(observed(lease))
            }),
            ("the lease is as before", |m| m.lease_says(observed(open()))),
            ("the lease carries another's claim", |m| m.lease_says(observed(lease(foreign(2), 5, 0)))),
        ],
    },
    State {
        name: "Leader, recovering",
        reach: recovering,
        cases: &[
            ("recovery passed", |m| m.recovery_says(Ok(()))),
            ("DB_UNAVAILABLE", |m| m.recovery_says(Err(RecoveryCode::DbUnavailable))),
            ("woken after the backoff", |m| {
                let event = m.recovery_says(Err(RecoveryCode::DbUnavailable));
                m.happens(&event).until_wakeup();
                Event::Wakeup
            }),
            ("DATA_CORRUPT", |m| m.recovery_says(Err(RecoveryCode::DataCorrupt))),
            ("VALIDATION_FAILED", |m| m.recovery_says(Err(RecoveryCode::ValidationFailed))),
            ("step-down requested", |_| step_down()),
            ("superseded", |m| m.renewing().lease_says(superseded())),
            ("woken after the deadline", past_the_deadline),
        ],
    },
    State {
        name: "Leader, active",
        reach: active,
        cases: &[
            ("woken, nothing is due", |m| {
                m.after(MOMENT);
                Event::Wakeup
            }),
            ("a heartbeat has passed", |m| {
                m.after(HEARTBEAT);
                Event::Wakeup
            }),
            ("renewed", |m| m.renewing().lease_says(renewed(1, None))),
            ("the store is on another timeline", |m| m.renewing().lease_says(other_timeline(2))),
            ("renewed, carried to a new timeline", |m| m.renewing().lease_says(renewed_forgotten(2))),
            ("renewed, with a request to hand over", |m| m.renewing().lease_says(renewed(1, Some("deploy")))),
            ("the renewal is answered by a damaged store", |m| m.renewing().lease_result(Err(damaged()))),
            ("a read is answered by a damaged store", |m| m.reading().lease_result(Err(damaged()))),
            ("its memory has a later term", |_| Event::Remembered(later())),
            ("the renewal gets no answer", |m| m.renewing().lease_is_silent()),
            ("the renewal is answered after the deadline", |m| {
                m.renewing().after(TTL).lease_says(renewed(1, None))
            }),
            ("superseded", |m| m.renewing().lease_says(superseded())),
            ("woken after the deadline", past_the_deadline),
            ("a hint about the lease", |_| Event::LeaseHint),
            ("the read shows the lease as its own", |m| {
                let lease = mine(m);
                m.reading().lease_says(observed(lease))
            }),
            ("the read shows a request to hand over", |m| {
                let lease = Observation { resign: Some("deploy".into()), ..mine(m) };
                m.reading().lease_says(observed(lease))
            }),
            ("the read shows another's claim", |m| m.reading().lease_says(observed(lease(foreign(2), 6, 0)))),
            ("the read shows the lease released", |m| {
                let lease = Observation { released: true, ..mine(m) };
                m.reading().lease_says(observed(lease))
            }),
            ("a hint about the ticket", |_| Event::TicketHint),
            ("the ticket is another's", |m| {
                m.happens(&Event::TicketHint);
                m.ticket_says(TicketAnswer::Renewal(TicketRenewal::Lost(Some(ticket(foreign(1), Ok(TTL))))))
            }),
            ("the leader store does not answer", |m| m.happens(&Event::TicketHint).ticket_is_silent()),
            ("step-down requested", |_| step_down()),
            ("stop requested", |_| Event::Resign(Resign::Stop)),
        ],
    },
    State {
        name: "Leader, halted",
        reach: halted,
        cases: &[
            ("30 s after the last recovery", |m| {
                m.quietly(Duration::from_secs(30));
                Event::Wakeup
            }),
            ("recovery passed", |m| rechecked(m, Ok(()))),
            ("recovery failed in the same way", |m| rechecked(m, Err(RecoveryCode::ValidationFailed))),
            ("recovery failed in another way", |m| rechecked(m, Err(RecoveryCode::DataCorrupt))),
            ("DB_UNAVAILABLE", |m| rechecked(m, Err(RecoveryCode::DbUnavailable))),
            ("superseded", |m| m.renewing().lease_says(superseded())),
            ("woken after the deadline", past_the_deadline),
        ],
    },
    State {
        name: "Leader, draining",
        reach: draining,
        cases: &[
            ("the work has stopped", |_| Event::Drained),
            ("the work has not stopped for a heartbeat", |m| {
                m.after(HEARTBEAT);
                Event::Wakeup
            }),
            ("a renewal is due", |m| {
                m.after(LATE);
                Event::Wakeup
            }),
            ("step-down requested again", |_| step_down()),
            ("superseded", |m| m.renewing().lease_says(superseded())),
            ("woken after the deadline", past_the_deadline),
        ],
    },
    State {
        name: "Follower, releasing the lease (the release is in progress)",
        reach: releasing,
        cases: &[
            ("released", |m| m.lease_says(released(Release::Released))),
            ("another instance holds it", |m| m.lease_says(released(Release::Superseded))),
            ("no answer", |m| m.lease_is_silent()),
            ("stop requested, then released", |m| {
                m.ticket_obeys().happens(&Event::Resign(Resign::Stop));
                m.lease_says(released(Release::Released))
            }),
        ],
    },
    State {
        name: "Stopped",
        reach: stopped,
        cases: &[
            ("woken", |m| {
                m.after(TTL);
                Event::Wakeup
            }),
            ("a hint", |_| Event::LeaseHint),
            ("step-down requested", |_| step_down()),
        ],
    },
];

fn acquire(machine: &Machine) -> TicketRequest {
    machine.ticket.expect("the ticket is requested").1
}

/// The lease after the unanswered claim: its epoch is one above the lease that was claimed.
fn carried_out(machine: &Machine) -> Observation {
    let (claim, _) = machine.own.expect("it was sent");
    lease(claim, open().version.token.epoch.next().0, 0)
}

fn damaged() -> StoreError {
    StoreError::Corrupt("the row is missing".into())
}

/// What another instance with the same memory has kept.
fn later() -> Epochs {
    Epochs { seen: Epoch(9), asked: Epoch(9), ..Epochs::NONE }
}

fn past_the_deadline(machine: &mut Machine) -> Event {
    machine.after(TTL);
    Event::Wakeup
}

/// Recovery was tried again, with this result.
fn rechecked(machine: &mut Machine, answer: Result<(), RecoveryCode>) -> Event {
    machine.quietly(Duration::from_secs(30)).happens(&Event::Wakeup).recovery_says(answer)
}

// --- words ---------------------------------------------------------------------------------------------

fn role(elector: &Elector) -> String {
    let role = match elector.role() {
        Role::Follower => "follower",
        Role::Candidate(_) => "candidate",
        Role::Leader(leadership) => match leadership.phase {
            Phase::Recovering { .. } => "leader, recovering",
            Phase::Active => "leader, active",
            Phase::Halted(_) => "leader, halted",
            Phase::Draining { .. } => "leader, draining",
        },
        Role::Stopped => "stopped",
    };
    let fallback = if elector.fallback() { " (fallback)" } else { "" };
    format!("{role}{fallback}")
}

fn command(command: &Command) -> String {
    match command {
        Command::Lease { request, .. } => match request {
            LeaseRequest::Observe => "read the lease".into(),
            LeaseRequest::Claim(_) => "claim the lease".into(),
            LeaseRequest::Renew { .. } => "renew the lease".into(),
            LeaseRequest::Release { .. } => "release the lease".into(),
            LeaseRequest::Note { .. } => "note that the store has forgotten".into(),
        },
        Command::Ticket { request, .. } => match request {
            TicketRequest::Acquire { .. } => "request the ticket".into(),
            TicketRequest::Renew(_) => "renew the ticket".into(),
            TicketRequest::Release(_) => "release the ticket".into(),
            TicketRequest::Inspect => "read the ticket".into(),
        },
        Command::Recover { .. } => "recover the portfolio".into(),
        Command::Drain { .. } => "stop the work".into(),
        Command::Report(report) => format!("*{}*", name_of(report)),
    }
}

fn name_of(report: &Report) -> &'static str {
    match report {
        Report::Ready => "ready",
        Report::Elected { .. } => "elected",
        Report::Renewed { .. } => "renewed",
        Report::Activated { .. } => "activated",
        Report::Halted { .. } => "halted",
        Report::Lost { why: LossReason::Superseded, .. } => "lost: superseded",
        Report::Lost { why: LossReason::Expired, .. } => "lost: expired",
        Report::Lost { why: LossReason::Forgotten, .. } => "lost: forgotten",
        Report::Lost { why: LossReason::Damaged, .. } => "lost: damaged",
        Report::Draining { .. } => "draining",
        Report::Resigning { .. } => "resigning",
        Report::Released { .. } => "released",
        Report::Fault(_) => "ticket fault",
        Report::Stopped => "stopped",
    }
}
