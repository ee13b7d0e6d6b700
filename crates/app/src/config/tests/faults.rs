//! Tests of names, types and texts that are refused.

use super::*;

#[test]
fn unknown_names_are_refused_with_a_guess() {
    assert_eq!(
        lines(from_file("grup = 1\ncolour = 2\nurl = \"x\"\n[redis]\nuri = 3\n[reddis]\nurl = 4")),
        [
            "coordinator.toml:colour: unknown key",
            "coordinator.toml:grup: unknown key; did you mean group?",
            "coordinator.toml:reddis: unknown key; did you mean redis?",
            "coordinator.toml:redis.uri: unknown key; did you mean redis.url?",
            "coordinator.toml:url: unknown key",
        ]
    );
    let variables = [
        ("COORDINATOR_REDIS_URI", "x"),
        ("COORDINATOR_", "x"),
        ("COORDINATOR_FENCE", "no setting"),
        ("COORDINATOR_EPOCH", "no setting"),
        ("COORDINATOR_TEST_ANYTHING", "no setting"),
        ("COORDINATOR_FENCES", "x"),
    ];
    assert_eq!(
        lines(with("", &variables, &Flags::default())),
        [
            "environment COORDINATOR_: unknown variable",
            "environment COORDINATOR_FENCES: unknown variable",
            "environment COORDINATOR_REDIS_URI: unknown variable; did you mean COORDINATOR_REDIS_URL?",
        ]
    );
}

#[test]
fn values_have_the_right_type() {
    for wrong in ["1.5", "true", "1979-05-27", "[1]", "{ a = 1 }"] {
        let faults = lines(from_file(&format!("leader_ttl = {wrong}")));
        assert_eq!(faults, ["coordinator.toml:leader_ttl: is neither a text in quotes nor a whole number"]);
    }
    let faults = lines(from_file("redis = \"redis://localhost\""));
    assert_eq!(faults, ["coordinator.toml:redis: is a section: write [redis] above its keys"]);
}

#[test]
fn a_file_that_is_not_toml_is_reported_with_its_place_and_the_rest_is_still_checked() {
    let file = "group = \"g\"\n[redis]\nurl = redis://:canary@localhost\n";
    let faults = lines(with(file, &[("LEADER_TTL", "0")], &Flags::default()));
    assert!(faults[0].starts_with("coordinator.toml:line 3, column "), "{faults:?}");
    assert!(faults[1].starts_with("environment LEADER_TTL: is \"0\""), "{faults:?}");
    assert!(lines(from_file("group = \"a\"\ngroup = \"b\""))[0].starts_with("coordinator.toml:line 2"));
}

#[test]
fn all_faults_are_reported_at_once_including_overridden_ones() {
    let file = "group = \"a b\"\nleader_ttl = 0\nnonsense = 1\n[recovery]\nportfolio = \"1\"";
    let variables = [("COORDINATOR_GROUP", "c d"), ("COORDINATOR_METRICS_WINDOW", "0")];
    let flags = Flags { group: Some("fine".to_owned()), listen: vec!["here".to_owned()], ..Flags::default() };
    let faults = lines(with(file, &variables, &flags));
    let places: Vec<_> = faults.iter().map(|fault| fault.split(": ").next().unwrap_or_default()).collect();
    assert_eq!(
        places,
        [
            "coordinator.toml:nonsense",
            "coordinator.toml:group",
            "environment COORDINATOR_GROUP",
            "--listen",
            "coordinator.toml:leader_ttl",
            "coordinator.toml:recovery.portfolio",
            "environment COORDINATOR_METRICS_WINDOW",
        ]
    );
}

#[cfg(unix)]
#[test]
fn text_that_is_not_utf_8_is_a_fault_and_not_a_panic() {
    use std::os::unix::ffi::OsStringExt;
    let bytes = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let variables = [
        (bytes(b"COORDINATOR_GROUP"), bytes(b"\xff")),
        (bytes(b"COORDINATOR_\xff\n"), bytes(b"x")),
        (bytes(b"\xff"), bytes(b"of another program")),
    ];
    let faults = lines(load(None, variables, &Flags::default()));
    assert_eq!(faults[0], "environment COORDINATOR_GROUP: is not UTF-8 text");
    assert_eq!(faults[1], "environment COORDINATOR_\u{fffd}\\n: unknown variable");
    assert_eq!(faults.len(), 2);
}

#[test]
fn names_cannot_break_the_line() {
    let faults = lines(load(Some(("a\nb", "\"x\\ny\" = 1")), [], &Flags::default()));
    assert_eq!(faults, ["a\\nb:x\\ny: unknown key"]);
}
