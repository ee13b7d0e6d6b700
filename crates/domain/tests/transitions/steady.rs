//! Stability: while the state store answers every request within a heartbeat, no handover is requested and the
//! process runs, a term does not end. Hints may come at any rate, and the leader store may give any answer or none.

use super::dice::Dice;
use super::machine::{Machine, TTL};
use super::place::{active, mine, observed, renewed};
use super::walk::ticket_answer;
use domain::election::{Event, LeaseRequest};
use domain::time::Time;
use std::time::Duration;

const WALKS: u64 = 100;
/// Renewals in each walk: about thirty leases.
const RENEWALS: u32 = 100;
/// Requests that hints may cause, at once and for each heartbeat that passes, as docs/protocol.md guarantees.
const HINTED_REQUESTS_MAX: u32 = 8;
const HEARTBEAT_NANOS: u64 = TTL.as_secs() * 1_000_000_000 / 3;

/// Walks with the seeds 1 to [`WALKS`]; panics with the seed of the first in which the term ends.
pub fn all() {
    for seed in 1..=WALKS {
        walk(seed);
    }
}

fn walk(seed: u64) {
    let mut dice = Dice::new(seed);
    let mut machine = active();
    let began = machine.now;
    let token = machine.elector.leadership().expect("a leader").token;
    let hints_every =
        [20_000_000, 200_000_000, 1_300_000_000][usize::try_from(dice.below(3)).expect("below 3")];
    let (mut hint_at, mut lease_at, mut ticket_at) = (machine.now, None, None);
    let (mut renewals, mut reads) = (0, 0);
    while renewals < RENEWALS {
        let wakeup = machine.elector.next_wakeup();
        let next = [Some(hint_at), lease_at, ticket_at, wakeup].into_iter().flatten().min();
        machine.now = next.expect("a hint always follows").max(machine.now);
        let event = if lease_at.is_some_and(|at| at <= machine.now) {
            lease_at = None;
            lease_says(&machine)
        } else if ticket_at.is_some_and(|at| at <= machine.now) {
            ticket_at = None;
            ticket_answer(&mut dice, &machine)
        } else if hint_at <= machine.now {
            hint_at = machine.now + Duration::from_nanos(1 + dice.below(2 * hints_every));
            if dice.one_in(2) { Event::LeaseHint } else { Event::TicketHint }
        } else {
            Event::Wakeup
        };
        machine.commands(&event);
        let held = machine.elector.leadership().map(|held| held.token);
        assert_eq!(held, Some(token), "seed {seed}: the term ended after {event:?} at {:?}", machine.now);
        if let (None, Some(call)) = (lease_at, &machine.lease) {
            match call.request {
                LeaseRequest::Renew { .. } => renewals += 1,
                LeaseRequest::Observe => reads += 1,
                LeaseRequest::Claim(_) | LeaseRequest::Release { .. } | LeaseRequest::Note { .. } => {
                    panic!("seed {seed}: {call:?}")
                }
            }
            lease_at = Some(within_a_heartbeat(&mut dice, &machine));
        }
        if ticket_at.is_none() && machine.ticket.is_some() {
            ticket_at = Some(within_a_heartbeat(&mut dice, &machine));
        }
    }
    let heartbeats = u32::try_from(machine.now.since(began).as_nanos() / u128::from(HEARTBEAT_NANOS));
    let most = HINTED_REQUESTS_MAX * (heartbeats.expect("fits") + 2);
    assert!(reads <= most, "seed {seed}: hints caused {reads} reads, more than {most}");
}

/// Half of the answers take the longest allowed time.
fn within_a_heartbeat(dice: &mut Dice, machine: &Machine) -> Time {
    let took = if dice.one_in(2) { HEARTBEAT_NANOS - 1 } else { dice.below(HEARTBEAT_NANOS) };
    machine.now + Duration::from_nanos(took)
}

fn lease_says(machine: &Machine) -> Event {
    machine.lease_says(match machine.lease.as_ref().map(|call| &call.request) {
        Some(LeaseRequest::Renew { current, .. }) => renewed(current.0, None),
        _ => observed(mine(machine)),
    })
}
