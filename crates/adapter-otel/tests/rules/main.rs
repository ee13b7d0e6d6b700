//! Tests of the committed files of Prometheus and Alertmanager with these programs. The content is generated
//! by `monitoring::rules`; these tests show that it is correct for the text of this crate.

mod alertmanager;
mod compose;
mod pages;
mod running;

use std::path::{Path, PathBuf};
use std::process::Command;

/// Suffix of files with promtool's unit tests; the others contain rules.
const TESTS: &str = "_test.yml";

/// A shipped file or directory for use in containers.
fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docker").join(path)
}

fn files() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(shipped("prometheus/rules")).expect("docker/prometheus/rules");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

/// The files of one kind; there is at least one.
fn files_of(kind: fn(&str) -> bool) -> Vec<PathBuf> {
    let mut files = files();
    files.retain(|file| file.to_str().is_some_and(kind));
    assert!(!files.is_empty());
    files
}

/// The output of a program that must succeed.
#[track_caller]
fn said(command: &mut Command, package: &str) -> String {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output();
    let output = output.unwrap_or_else(|error| {
        panic!("{program} must be on PATH; it is in Debian's package `{package}`: {error}")
    });
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{program} said:\n{said}");
    said
}

#[track_caller]
fn promtool(arguments: &[&str], files: &[PathBuf]) {
    said(Command::new("promtool").args(arguments).args(files), "prometheus");
}

#[test]
fn promtool_takes_every_rule() {
    let rules = files_of(|file| !file.ends_with(TESTS));
    promtool(&["check", "rules", "--lint=all", "--lint-fatal"], &rules);
}

#[test]
fn alerts_fire_when_they_should_and_are_quiet_when_they_should_not() {
    promtool(&["test", "rules"], &files_of(|file| file.ends_with(TESTS)));
}

#[test]
fn every_file_of_rules_has_its_tests() {
    let files = files();
    for rules in files.iter().filter(|file| !file.to_string_lossy().ends_with(TESTS)) {
        let tests = rules.to_string_lossy().replace(".yml", TESTS);
        assert!(files.contains(&PathBuf::from(tests)), "{} has no tests", rules.display());
    }
}

/// The configuration lists the files of rules one by one, and promtool counts the files that it finds.
#[test]
fn promtool_takes_the_configuration_and_finds_every_file_of_rules() {
    let file = shipped("prometheus/prometheus.yml");
    let said = said(Command::new("promtool").args(["check", "config"]).arg(file), "prometheus");
    let rules = files_of(|file| !file.ends_with(TESTS));
    assert!(said.contains(&format!("SUCCESS: {} rule files found", rules.len())), "{said}");
}
