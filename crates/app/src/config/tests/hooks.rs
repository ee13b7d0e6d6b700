//! Tests of the sections of hooks.

use super::*;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

const SECRET: &str = "canary-0123456789";

/// A file with these lines that only its owner may read.
fn file(directory: &tempfile::TempDir, lines: &str) -> String {
    let path = directory.path().join("secret");
    fs::write(&path, lines).expect("written");
    fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("our own");
    path.to_str().expect("a text").to_owned()
}

#[test]
fn a_hook_has_its_secret_from_a_file_or_the_environment() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = file(&directory, &format!("{SECRET}\nthe-next-secret-1\n"));
    let file = format!(
        "[hooks.tv]\npreset = \"tradingview-strategy\"\nsecret_file = {path:?}\n[hooks.pm]\npreset = \
         \"portfolio-manager\"\nsecret_env = \"PM_SECRET\"\nsources = [\"tradingview\", \"10.0.0.0/8\"]\n\
         duplicate_window = \"90s\"\nconstants = {{ desk = \"a\", lots = 2, live = true }}\n"
    );
    let config = with(&file, &[("PM_SECRET", SECRET)], &Flags::default()).expect("sound");
    let paths: Vec<String> = config.hooks.iter().map(|configured| configured.hook.path()).collect();
    assert_eq!(paths, ["/hooks/pm/SECRET", "/hooks/tv/SECRET"]);
    let shown = format!("{}{}{config:?}", render(&config), as_json(&config));
    assert!(shown.contains("duplicate_window = \"90s\"") && !shown.contains(CANARY), "{shown}");
    let printed: String = render(&config);
    let again =
        with(&printed, &[("PM_SECRET", SECRET)], &Flags::default()).expect("what is printed can be read");
    assert_eq!(again.hooks, config.hooks);
}

#[test]
fn all_faults_of_all_hooks_are_reported_at_once() {
    let faults = lines(with(
        "group = \"a b\"\n[hooks.one]\nsecret = \"canary-0123456789\"\nsignal_typ = \"x\"\ninstrument = 1\n\
         sources = [1]\nduplicate_window = \"90000s\"\n[hooks.two]\npreset = \"text\"\nsecret_env = \"NOTHING\"\n\
         duplicate_window = 5\nexpires_after = \"1500ms\"\n[hooks.\"a/b\"]\npreset = \"text\"\n[hooks]\nthree = 3\n\
         [hooks.four]\npreset = \"text\"\nexpires_after = \"0s\"",
        &[],
        &Flags::default(),
    ));
    for (place, what) in [
        ("coordinator.toml:group", "is \"a b\""),
        ("hooks.one.secret", "unknown key; write the secret to a file"),
        ("hooks.one.signal_typ", "unknown key; did you mean signal_type?"),
        ("hooks.one.instrument", "is not a text"),
        ("hooks.one.sources", "is not a list"),
        ("hooks.one.duplicate_window", "is \"90000s\", not a time"),
        ("hooks.one.signal_type", "is missing"),
        ("hooks.one.position", "is missing"),
        ("hooks.one.timestamp", "is missing"),
        ("hooks.one.secret_file", "is missing"),
        ("hooks.two.secret_env", "is \"NOTHING\", a variable that is not set"),
        ("hooks.two.expires_after", "not whole seconds"),
        ("hooks.four.expires_after", "is \"0s\", not a time"),
        ("hooks.two.duplicate_window", "at least 60 s"),
        ("hooks.a/b", "not the name of a hook"),
        ("hooks.three", "is a section"),
    ] {
        let found =
            faults.iter().filter(|fault| fault.contains(&format!("{place}: ")) && fault.contains(what));
        assert_eq!(found.count(), 1, "{place}: {what} in {faults:#?}");
    }
    assert_eq!(faults.len(), 15, "{faults:#?}");
    assert!(!format!("{faults:?}").contains(CANARY), "{faults:?}");
}

#[test]
fn a_secret_is_in_a_private_file_and_long() {
    let directory = tempfile::tempdir().expect("a directory");
    let fault = |lines: &str, mode: u32| {
        let path = file(&directory, lines);
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("our own");
        let faults =
            super::lines(from_file(&format!("[hooks.tv]\npreset = \"text\"\nsecret_file = {path:?}")));
        assert!(faults.len() == 1 && !faults[0].contains(CANARY), "{faults:?}");
        faults[0].clone()
    };
    assert!(fault(SECRET, 0o644).contains("chmod 600"));
    assert!(fault("canary", 0o600).contains("16 to 256"));
    assert!(fault("", 0o600).contains("empty"));
    assert!(fault("canary-0123456789/x", 0o600).contains("A-Z a-z 0-9"));
    assert!(fault("canary-0123456789\ncanary-0123456788\ncanary-0123456787", 0o600).contains("two lines"));
}
