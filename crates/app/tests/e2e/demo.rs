//! Test of the demonstration as a newcomer runs it.

use crate::command::coordinator;
use std::fs;

#[test]
fn one_round_ends_well_and_leaves_nothing_behind() {
    let directory = tempfile::tempdir().expect("a directory");
    let own = directory.path().to_str().expect("the directory's name is text");
    let said = coordinator(&["demo", "--rounds", "1"]).environment("TMPDIR", own).run();
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stdout.contains("round 1: kill -9"), "{said:?}");
    assert!(said.stdout.contains("3 signals accepted, 3 executed, 0 lost, 0 executed twice"), "{said:?}");
    let left: Vec<_> = fs::read_dir(own).expect("a directory").collect();
    assert!(left.is_empty(), "{left:?}");
    // Its instances have their data directory, which is under this test's directory, among their arguments.
    let running: Vec<String> = fs::read_dir("/proc")
        .expect("the kernel's list of processes")
        .flatten()
        .filter_map(|process| fs::read(process.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(own))
        .collect();
    assert_eq!(running, [""; 0]);
}
