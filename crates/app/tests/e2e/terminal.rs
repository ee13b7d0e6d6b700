//! Tests of what a command prints, and of what it leaves behind.

use crate::command::coordinator;
use std::path::Path;

/// The entries of a directory; `None` if there is no directory.
fn entries(path: &Path) -> Option<Vec<String>> {
    let entries = std::fs::read_dir(path).ok()?;
    Some(entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect())
}

#[test]
fn a_command_that_only_reads_creates_nothing() {
    let reading: [&[&str]; 9] = [
        &["status"],
        &["status", "--json"],
        &["why"],
        &["history"],
        &["recovery", "check"],
        &["signals", "list"],
        &["signals", "show", "s-1"],
        &["migrate", "--check"],
        &["config", "check"],
    ];
    for arguments in reading {
        let directory = tempfile::tempdir().expect("a directory");
        for data in [directory.path().join("missing"), directory.path().to_owned()] {
            let before = entries(&data);
            let path = data.to_str().expect("the directory's name is text");
            let said = coordinator(&[arguments, &["--data-dir", path]].concat()).run();
            assert_eq!(entries(&data), before, "{arguments:?} created something: {said:?}");
            let expected = match arguments {
                ["config", ..] => (Some(0), ""),
                ["migrate", ..] => (Some(2), "run `coordinator migrate`"),
                _ => (Some(1), "no instance has run with this data directory"),
            };
            assert_eq!(said.code, expected.0, "{said:?}");
            assert!(said.stderr.contains(expected.1), "{arguments:?}: {said:?}");
        }
    }
}

#[test]
fn a_group_of_commands_without_a_command_shows_unmasked_help() {
    for arguments in [&["signals"][..], &["recovery"], &["config"]] {
        coordinator(arguments).run().refused(&["Usage: coordinator", "Example:\n  coordinator "]);
    }
    let said = coordinator(&["--help"]).run();
    assert_eq!(said.code, Some(0));
    assert!(said.stdout.contains("COORDINATOR_DATA_DIR") && !said.stdout.contains("***"), "{said:?}");
}

#[test]
fn a_log_level_that_is_not_one_is_reported() {
    let wrong = coordinator(&["config", "check"]).environment("RUST_LOG", "loud=loud").run();
    assert_eq!(wrong.code, Some(0));
    assert!(wrong.stderr.contains("RUST_LOG has no effect"), "{wrong:?}");
    let right = coordinator(&["config", "check"]).environment("RUST_LOG", "debug").run();
    assert!(!right.stderr.contains("RUST_LOG"), "{right:?}");
}
