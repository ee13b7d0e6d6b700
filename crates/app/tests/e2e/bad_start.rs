//! Tests of starts that fail until the operator changes something: a sentence, and exit 2.

use crate::TTL;
use crate::command::{Said, coordinator};
use crate::group::Group;
use crate::servers::Servers;
use crate::wait::{now, until};
use domain::SCHEMA_VERSION;
use std::path::Path;
use std::slice::from_ref;

/// Starts an instance that must end.
fn run(data_dir: &Path) -> Said {
    let data_dir = data_dir.to_str().expect("the directory's name is text");
    coordinator(&["run", "--listen", "127.0.0.1:0", "--data-dir", data_dir]).run()
}

#[test]
fn a_file_in_the_place_of_the_data_directory() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    run(file.path()).refused(&[&file.path().display().to_string(), "--data-dir"]);
}

#[test]
fn a_data_directory_of_another_version() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("instance"), "coordinator data directory, format 2\nx\n")
        .expect("written");
    run(directory.path()).refused(&["format 2", "format 1", "another version", "--data-dir"]);
}

#[test]
fn a_database_file_that_is_none() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("coordinator.db"), "not a database. ".repeat(1_000))
        .expect("written");
    run(directory.path()).refused(&["coordinator.db", "not a database"]);
}

#[test]
fn a_schema_newer_than_the_binary_in_the_embedded_store() {
    newer_schema(Group::embedded(TTL));
}

#[test]
fn a_schema_newer_than_the_binary_in_postgresql() {
    let servers = Servers::start();
    newer_schema(servers.group(TTL));
}

fn newer_schema(group: Group) {
    assert_eq!(group.command(&["migrate"]).code, Some(0));
    group.database.execute("UPDATE coordinator_schema SET version = 99");
    for command in [&["run", "--listen", "127.0.0.1:0"][..], &["migrate"], &["migrate", "--check"]] {
        group.command(command).refused(&["schema 99", "newer binary"]);
    }
    let version = "SELECT CAST(version AS text) FROM coordinator_schema";
    assert_eq!(group.database.text(version).as_deref(), Some("99"), "it is left alone");
    group.finish();
}

#[test]
fn an_older_schema_is_reported_by_the_check_and_not_changed() {
    let servers = Servers::start();
    let group = servers.group(TTL);
    group.command(&["migrate", "--check"]).refused(&["schema 0", "coordinator migrate"]);
    assert_eq!(group.database.text("SELECT to_regclass('coordinator_schema')::text"), None);
    let said = group.command(&["migrate"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(group.command(&["migrate", "--check"]).code, Some(0));
    group.finish();
}

/// Rule 8: the binary does not write what it does not understand, even if it was there first.
#[test]
fn a_schema_that_changes_under_a_standby_keeps_it_from_leading() {
    let servers = Servers::start();
    let mut group = servers.group(TTL);
    let first = group.start_pair();
    group.database.execute("UPDATE coordinator_schema SET version = 99");
    group.process("a").kill();
    until("the standby refuses", || {
        let ready = group.process("b").get("/readyz").ok()?;
        (ready.status == 503 && ready.body.contains("schema 99")).then_some(())
    });
    until("the dead leader's lease is over", || {
        (now() > group.deadline("a") + 2 * crate::wait::nanos(TTL)).then_some(())
    });
    assert_eq!(group.leads(), from_ref(&first));
    let restored = now();
    let set_back = format!("UPDATE coordinator_schema SET version = {SCHEMA_VERSION}");
    group.database.execute(&set_back);
    let next = group.wait_lead(first.epoch);
    assert!(next.t >= restored);
    group.finish();
}

#[test]
fn an_instance_id_that_is_in_use_in_the_embedded_store() {
    id_in_use(Group::embedded(TTL));
}

#[test]
fn an_instance_id_that_is_in_use_in_postgresql() {
    let servers = Servers::start();
    id_in_use(servers.group(TTL));
}

fn id_in_use(mut group: Group) {
    let first = group.start_pair();
    for name in ["a", "b"] {
        let said = group.command(&["run", "--events-json", "--listen", "127.0.0.1:0", "--instance-id", name]);
        said.refused(&["another live process", &format!("instance id {name}")]);
        assert!(!said.stdout.contains("\"ev\":\"lead\""), "{said:?}");
    }
    group.assert_undisturbed(&first);
    group.expect_only_leader(&first);
    group.wait_ready("b");
    group.finish();
}
