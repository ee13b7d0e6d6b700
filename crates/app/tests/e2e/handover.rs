//! Tests of `coordinator step-down`: to a chosen instance, and if a handover is useless: refused with the reason, unless it
//! is forced.

use crate::TTL;
use crate::group::{Group, Lead, THREE};
use crate::servers::Servers;
use crate::wait::until;
use contract::event::EventKind;
use serde_json::json;
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

#[test]
fn a_chosen_instance_leads_next_on_the_embedded_store() {
    hands_over_to_each(Group::embedded(TTL));
}

/// The ticket goes to the chosen instance as well.
#[test]
fn a_chosen_instance_leads_next_on_redis_and_postgresql() {
    let servers = Servers::start();
    hands_over_to_each(servers.group(TTL));
}

/// Round the three instances, twice: a race would have another winner now and then.
fn hands_over_to_each(mut group: Group) {
    let mut lead = group.start_three();
    for _ in 0..6 {
        let place = THREE.iter().position(|name| *name == lead.name).expect("one of the three");
        let to = THREE[(place + 2) % THREE.len()];
        let planned = group.carry_out(&["step-down", "--to", to, "--dry-run", "--json"]).json();
        assert_eq!((&planned["successor"], &planned["candidates"]), (&json!(to), &json!([to])), "{planned}");
        let said = group.carry_out(&["step-down", "--to", to, "--reason", "kernel update"]);
        let next = group.wait_lead(lead.epoch);
        assert_eq!((next.name.as_str(), next.epoch), (to, lead.epoch + 1), "{said:?}");
        let asked = format!("asked {} (epoch {}) to hand over to {to}", lead.name, lead.epoch);
        assert_eq!(said.stdout.lines().next(), Some(asked.as_str()));
        assert!(said.stdout.contains(&format!("{to} leads (epoch {}), ", next.epoch)), "{said:?}");
        let again = group.carry_out(&["step-down", "--to", to, "--reason", "kernel update"]);
        let done = format!("{to} leads already (epoch {}); nothing was requested\n", next.epoch);
        assert_eq!(again.stdout, done);
        group.wait_active(&next.name);
        lead = next;
    }
    let history = group.carry_out(&["history"]).stdout;
    assert!(history.contains(&format!("handed over to {}: kernel update", lead.name)), "{history}");
    group.expect_only_leader(&lead);
    group.finish();
}

#[test]
fn a_chosen_instance_that_does_not_stand_by_is_refused_and_the_others_are_named() {
    let mut group = Group::embedded(TTL);
    let lead = group.start_three();
    let [chosen, other] = standbys(&lead);
    group
        .command(&["step-down", "--to", "unknown-1", "--reason", "x"])
        .refused(&["there is no instance unknown-1"]);
    group.process(chosen).kill();
    let said = until("its heartbeat is old", || {
        let said = group.command(&["step-down", "--to", chosen, "--dry-run"]);
        (said.code == Some(1)).then_some(said)
    });
    assert!(said.stderr.contains(&format!("{chosen} cannot take over from {}", lead.name)), "{said:?}");
    assert!(said.stderr.contains(&format!("{other} can take over; nothing was requested")), "{said:?}");
    let said = group.command(&["step-down", "--to", chosen, "--reason", "kernel update"]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""), "{said:?}");
    group.assert_undisturbed(&lead);
    group.finish();
}

#[test]
fn after_a_chosen_instance_has_died_another_one_leads_and_the_command_fails() {
    let mut group = Group::embedded(TTL);
    let lead = group.start_three();
    let [chosen, other] = standbys(&lead);
    until("the instance table lists the chosen one as a standby", || {
        let said = group.command(&["step-down", "--to", chosen, "--dry-run"]);
        (said.code == Some(0)).then_some(())
    });
    group.freeze(chosen);
    let said = group.command(&["step-down", "--to", chosen, "--reason", "kernel update"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    let next = group.wait_lead(lead.epoch);
    assert_eq!(next.name, other);
    assert!(said.stderr.contains(&format!("{other} leads (epoch {})", next.epoch)), "{said:?}");
    assert!(said.stderr.contains(&format!("and not {chosen}")), "{said:?}");
    group.process(chosen).signal(Signal::CONT);
    group.finish();
}

/// The instances that do not lead.
fn standbys(lead: &Lead) -> [&'static str; 2] {
    let others: Vec<&'static str> = THREE.into_iter().filter(|name| *name != lead.name).collect();
    others.try_into().expect("two of three")
}
