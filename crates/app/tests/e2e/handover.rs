//! `coordinator step-down` where a handover makes no sense: refused with the reason, unless it is forced.

use crate::TTL;
use crate::group::Group;
use crate::wait::until;
use contract::event::EventKind;

#[test]
fn a_leader_without_a_successor_is_not_asked_unless_forced() {
    let mut group = Group::embedded(TTL);
    group.start("a");
    group.wait_active("a");
    let lead = group.wait_lead(0);
    let said = group.command(&["step-down", "--reason", "kernel update"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.stderr.contains("no instance can take over from a") && said.stderr.contains("--force"),
        "{said:?}"
    );
    group.assert_undisturbed(&lead);
    let said = group.command(&["step-down", "--force", "--reason", "kernel update"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    group.wait_event("a", EventKind::Resigned, lead.epoch);
    group.finish();
}

#[test]
fn a_leader_that_is_dead_is_named_at_once() {
    let mut group = Group::embedded(TTL);
    group.start("a");
    group.wait_active("a");
    group.wait_lead(0);
    group.process("a").kill();
    let said = until("its heartbeat is old", || {
        let said = group.command(&["step-down", "--reason", "kernel update"]);
        assert_eq!(said.code, Some(1), "{said:?}");
        said.stderr.contains("a is dead or cut off").then_some(said)
    });
    assert!(said.stdout.is_empty(), "nothing was requested: {said:?}");
    group.finish();
}
