//! Tests of the operating system's signals: some end an instance with a handover, the others do not end it.

use crate::TTL;
use crate::group::Group;
use crate::wait::PATIENCE;
use contract::event::EventKind;
use testkit::process::Signal;

#[test]
fn a_terminal_that_closes_and_user_signals_end_no_term() {
    let mut group = Group::embedded(TTL);
    let lead = group.start_pair();
    for signal in [Signal::HUP, Signal::USR1, Signal::USR2, Signal::XFSZ] {
        group.process(&lead.name).signal(signal);
        group.assert_undisturbed(&lead);
    }
    group.finish();
}

#[test]
fn every_signal_that_ends_a_leader_hands_over() {
    let stopping = [Signal::TERM, Signal::INT, Signal::QUIT, Signal::ALARM, Signal::POWER, Signal::XCPU];
    let mut group = Group::embedded(TTL);
    let mut lead = group.start_pair();
    for (number, signal) in stopping.into_iter().enumerate() {
        let next = format!("next-{number}");
        group.start(&next);
        group.wait_ready(&next);
        group.process(&lead.name).signal(signal);
        let ended = group.process(&lead.name).wait_exit(PATIENCE);
        assert_eq!(ended.code(), Some(0), "{signal:?}: {ended}");
        group.wait_event(&lead.name, EventKind::Resigned, lead.epoch);
        lead = group.wait_lead(lead.epoch);
    }
    group.finish();
}
