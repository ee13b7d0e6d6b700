//! What remains of a term after it has ended.

use super::{asked, place};
use crate::machine::Machine;
use domain::election::{Event, LeaseRequest, Role};
use domain::lease::Observation;
use domain::ports::{Release, StoreError};

/// Both stores answer as expected, and the lease is as `lease` says, until `done`.
fn until(machine: &mut Machine, lease: &Observation, done: impl Fn(&Machine) -> bool) {
    while !done(machine) {
        if asked(machine) == Some(LeaseRequest::Observe) {
            machine.lease_answers(place::observed(lease.clone()));
        } else if machine.ticket.is_some() {
            machine.ticket_obeys();
        } else {
            machine.until_wakeup().happens(&Event::Wakeup);
        }
    }
}

/// This instance claims `lease` as soon as it is open, and the claim is granted.
fn claims(machine: &mut Machine, lease: &Observation) {
    until(machine, lease, |machine| matches!(asked(machine), Some(LeaseRequest::Claim(_))));
    let answer = place::granted(machine);
    machine.lease_answers(answer);
}

#[test]
fn a_former_leader_names_no_leader_of_an_earlier_term() {
    let mut machine = place::watching();
    claims(&mut machine, &place::theirs(2));
    assert_eq!(machine.elector.leader(machine.now), Some(machine.elector.config().id()));
    while machine.elector.leadership().is_some() {
        if machine.lease.is_some() {
            let event = machine.lease_is_silent();
            machine.happens(&event);
        } else {
            machine.until_wakeup().happens(&Event::Wakeup);
        }
    }
    assert_eq!(machine.elector.leader(machine.now), None, "the state store is away: the leader is unknown");
}

#[test]
fn a_handover_that_no_other_instance_used_shortens_no_later_pause() {
    let mut machine = place::kept_out();
    let handed_over = machine.elector.observed_lease().expect("it was read").clone();
    claims(&mut machine, &handed_over);
    machine.renewing();
    let renewal = machine.lease_result(Err(StoreError::Corrupt("the row is missing".into())));
    let token = machine.elector.leadership().expect("it leads").token;
    let ended = machine.now;
    machine.happens(&renewal);
    machine.lease_answers(place::released(Release::Released));
    let row = Observation { released: true, ..place::lease(token.claim, token.epoch.0, 2) };
    until(&mut machine, &row, |machine| matches!(machine.elector.role(), Role::Candidate(_)));
    assert!(machine.now.since(ended) >= machine.elector.config().heartbeat() * 3);
}

/// A hint makes the leader read the lease, and it hands over before the answer arrives.
#[test]
fn a_read_that_was_under_way_changes_no_release() {
    let expected = asked(&place::releasing());
    let mut machine = place::active();
    let mine = place::mine(&machine);
    machine.reading().happens(&place::step_down()).happens(&Event::Drained);
    machine.lease_answers(place::observed(mine));
    let (
        Some(LeaseRequest::Release { reason, seq, .. }),
        Some(LeaseRequest::Release { reason: wanted, seq: least, .. }),
    ) = (asked(&machine), expected)
    else {
        panic!("a release is in progress: {:?}", machine.lease);
    };
    assert_eq!(reason, wanted);
    assert!(seq >= least);
}
