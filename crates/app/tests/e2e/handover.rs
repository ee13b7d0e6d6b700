//! Tests of `coordinator step-down` if a handover is useless: refused with the reason, unless it is forced.

use crate::TTL;
use crate::group::Group;
use crate::wait::until;
use contract::event::EventKind;
use testkit::process::Signal;

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
fn a_dead_leader_is_named_at_once() {
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

/// As with a full disk: the draft of the file of epochs cannot be created.
#[test]
fn an_instance_that_cannot_keep_its_number_is_no_candidate_and_reports_why() {
    let mut group = Group::embedded(TTL);
    group.start("a");
    group.wait_active("a");
    let lead = group.wait_lead(0);
    group.start("b");
    group.wait_ready("b");
    let in_the_way = group.data_dir().join("draft-epochs-sqlite-default");
    // A heartbeat may have its draft there at the moment.
    until("no draft is in the place", || std::fs::create_dir(&in_the_way).ok());
    let why = "b cannot lead: the file of epochs ";
    let said = until("b says that it cannot lead", || {
        let said = group.command(&["status", "--wide"]);
        said.stdout.contains(why).then_some(said)
    });
    assert!(said.stdout.contains("standby, cannot lead"), "{said:?}");
    let said = group.command(&["step-down", "--reason", "kernel update"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    for part in ["no instance can take over from a; ", why, "epochs-sqlite-default cannot be written: "] {
        assert!(said.stderr.contains(part), "{part}: {said:?}");
    }
    group.assert_undisturbed(&lead);
    let log = group.process("b").log();
    assert!(log.contains("cannot lead: the file of epochs "), "{log}");
    // Lines about the state store itself, which may be slow, are none about the file.
    let mixed = |line: &str| line.contains("file of epochs") && line.contains("state store");
    assert!(!log.lines().any(mixed), "{log}");
    std::fs::remove_dir(&in_the_way).expect("it is empty");
    until("b can lead again", || (!group.command(&["status"]).stdout.contains("cannot lead")).then_some(()));
    group.step_down("kernel update");
    assert_eq!(group.wait_lead(lead.epoch).name, "b");
    group.finish();
}

#[test]
fn a_handover_to_the_same_leader_is_a_failure() {
    let mut group = Group::embedded(TTL);
    group.start("a");
    group.wait_active("a");
    group.wait_lead(0);
    group.start("b");
    until("the instance table lists b as a standby", || {
        let status = group.json("a", "/status");
        let instances = status["instances"].as_array().expect("a list");
        instances.iter().any(|one| one["id"] == "b" && one["state"] == "standby").then_some(())
    });
    group.freeze("b");
    let said = group.command(&["step-down", "--reason", "kernel update"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("a leads again (epoch 2)"), "{said:?}");
    assert!(said.stderr.contains("no other instance took over"), "{said:?}");
    group.process("b").signal(Signal::CONT);
    group.finish();
}
