//! The committed rules of Prometheus, judged by Prometheus's own tool. What they say is the domain's
//! (`domain::alert::exported`); that they are spoken rightly about the text of this crate is shown here.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Ends the names of files with promtool's unit tests; the others hold rules.
const TESTS: &str = "_test.yml";

fn files() -> Vec<PathBuf> {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docker/prometheus/rules");
    let entries = std::fs::read_dir(&rules).expect("docker/prometheus/rules");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

/// The files of one kind, of which there is at least one.
fn files_of(kind: fn(&str) -> bool) -> Vec<PathBuf> {
    let mut files = files();
    files.retain(|file| file.to_str().is_some_and(kind));
    assert!(!files.is_empty());
    files
}

#[track_caller]
fn promtool(arguments: &[&str], files: &[PathBuf]) {
    let output = Command::new("promtool")
        .args(arguments)
        .args(files)
        .output()
        .expect("promtool has to be on PATH: it is in Debian's package `prometheus`");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "promtool said:\n{}", String::from_utf8_lossy(&said));
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
