//! Tests of credentials on running instances: a tokens file that changes, the commands over HTTP, and no token in any
//! output.

use crate::TTL;
use crate::command::{Said, coordinator};
use crate::group::Group;
use crate::signals::submission;
use crate::wait::until;
use serde_json::json;
use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use testkit::http::{self, Response};
use testkit::process::Signal;

/// A directory with a tokens file, and a file for each token.
struct Tokens(TempDir);

impl Tokens {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("tokens.toml")
    }

    /// A new token, which is added to the file.
    fn add(&self, name: &str, roles: &[&str]) -> String {
        let file = self.file();
        let mut arguments = vec!["token", "new", "--name", name, "--file", text(&file)];
        arguments.extend(roles.iter().flat_map(|role| ["--role", role]));
        let said = coordinator(&arguments).run();
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(!said.stderr.contains(said.stdout.trim()), "only standard output has the token");
        said.stdout.trim().to_owned()
    }

    /// The file of an operator with that token.
    fn of_operator(&self, token: &str) -> PathBuf {
        let path = self.0.path().join("operator.token");
        let mut options = fs::OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(&path).expect("a file");
        std::io::Write::write_all(&mut file, token.as_bytes()).expect("written");
        path
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the directory's name is text")
}

/// A leader with the tokens of the file.
fn leader(tokens: &Tokens) -> Group {
    let mut group = Group::embedded(TTL);
    group.set("COORDINATOR_ACCESS_TOKENS_FILE", text(&tokens.file()));
    group.start("a");
    group.wait_active("a");
    group
}

fn ask(group: &mut Group, method: &str, path: &str, token: Option<&str>, body: &str) -> Response {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<(&str, &str)> = bearer.iter().map(|value| ("Authorization", value.as_str())).collect();
    let address = group.process("a").address();
    http::request(&address, method, path, &headers, body).expect("it listens")
}

fn reads(group: &mut Group, token: &str) -> u16 {
    ask(group, "GET", "/status", Some(token), "").status
}

#[test]
fn a_tokens_file_that_changes_needs_no_restart_and_a_fault_in_it_changes_nothing() {
    let tokens = Tokens::new();
    let (desk, old) = (tokens.add("desk-a", &["submit"]), tokens.add("asha", &["read"]));
    let mut group = leader(&tokens);
    assert_eq!(ask(&mut group, "GET", "/livez", None, "").status, 200, "a probe needs none");
    assert_eq!(ask(&mut group, "GET", "/status", None, "").status, 401);
    assert_eq!((reads(&mut group, &desk), reads(&mut group, &old)), (403, 200));
    let signal = submission("s-1", "NIFTY").to_string();
    assert_eq!(ask(&mut group, "POST", "/signals", Some(&old), &signal).status, 403);
    assert_eq!(ask(&mut group, "POST", "/signals", Some(&desk), &signal).status, 201);
    let story = ask(&mut group, "GET", "/signals/s-1", Some(&old), "").json();
    assert_eq!(story["audit"][0]["who"], "desk-a");

    let only_old = fs::read_to_string(tokens.file()).expect("text");
    let new = tokens.add("asha", &["read"]);
    until("the new token works", || (reads(&mut group, &new) == 200).then_some(()));
    assert_eq!(reads(&mut group, &old), 200, "both are valid");
    let both = fs::read_to_string(tokens.file()).expect("text");
    let entry = |text: &str| text.split("[[token]]").skip(1).map(str::to_owned).collect::<Vec<_>>();
    let [desk_entry, _, new_entry] = &entry(&both)[..] else { panic!("{both}") };

    fs::write(tokens.file(), format!("{only_old}\n[[token]]\nname = 1\n")).expect("written");
    group.process("a").signal(Signal::HUP);
    until("the fault is logged", || group.process("a").log().contains("is not used: line").then_some(()));
    assert_eq!((reads(&mut group, &new), reads(&mut group, &desk)), (200, 403), "the former ones remain");

    fs::write(tokens.file(), format!("[[token]]{desk_entry}[[token]]{new_entry}")).expect("written");
    group.process("a").signal(Signal::HUP);
    until("the old token is revoked", || matches!(reads(&mut group, &old), 401 | 429).then_some(()));
    assert_eq!(reads(&mut group, &new), 200);

    let metrics = ask(&mut group, "GET", "/metrics", Some(&new), "").body;
    assert!(metrics.contains("coordinator_http_access_refused_total{"), "{metrics}");
    let mut shown = group.process("a").log() + &metrics;
    for path in ["/", "/status", "/history", "/signals/s-1", "/coordinator/metrics", "/openapi.json"] {
        shown.push_str(&ask(&mut group, "GET", path, Some(&new), "").body);
    }
    for (name, token) in [("desk", &desk), ("old", &old), ("new", &new)] {
        let secret = token.trim_start_matches("coordinator_");
        assert!(!shown.contains(secret), "the token {name} is in a log or on a page");
    }
    group.finish();
}

#[test]
fn the_commands_of_an_operator_over_http() {
    let tokens = Tokens::new();
    let operator = tokens.add("asha", &["operate", "resolve"]);
    let worker = tokens.add("adapter", &["work", "submit"]);
    let file = tokens.of_operator(&operator);
    let mut group = leader(&tokens);
    let url = format!("http://{}", group.process("a").address());
    let with = |file: &Path, arguments: &[&str]| -> Said {
        let server = ["--server", url.as_str(), "--token-file", text(file)];
        coordinator(&[arguments, &server].concat()).run()
    };
    let call = |arguments: &[&str]| {
        let said = with(&file, arguments);
        assert_eq!(said.code, Some(0), "{arguments:?}: {said:?}");
        said
    };
    until("the lease is read", || (with(&file, &["status"]).code == Some(0)).then_some(()));
    let status = call(&["status", "--json"]).json();
    assert_eq!((&status["leader_db"], &status["exactly_one_leads"]), (&json!("a"), &json!(true)));
    assert_eq!(status["instances"][0]["id"], "a");
    assert!(call(&["why"]).stdout.contains("a has led since"));
    let history = call(&["history", "--json"]).json();
    assert_eq!(history, group.command(&["history", "--json"]).json(), "the same as from the store");
    assert_eq!(call(&["recovery", "check", "--json"]).json()["verdict"], "OK");

    let signal = submission("s-1", "NIFTY").to_string();
    assert_eq!(ask(&mut group, "POST", "/signals", Some(&worker), &signal).status, 201);
    assert_eq!(ask(&mut group, "POST", "/signals/claim", Some(&worker), "{}").status, 200);
    let unknown = json!({ "attempt": 1, "outcome": "unknown" }).to_string();
    assert_eq!(ask(&mut group, "POST", "/signals/s-1/result", Some(&worker), &unknown).status, 200);
    assert!(call(&["signals", "list", "--state", "in_doubt"]).stdout.contains("s-1"));
    let resolved = call(&["signals", "resolve", "s-1", "--executed", "--reason", "order 4711", "--json"]);
    assert_eq!(resolved.json()["state"], "done");
    let shown = call(&["signals", "show", "s-1", "--json"]).json();
    assert_eq!(
        shown,
        group.command(&["signals", "show", "s-1", "--json"]).json(),
        "the same as from the store"
    );
    assert_eq!(
        (&shown["audit"][0]["who"], &shown["audit"][0]["note"]),
        (&json!("asha"), &json!("order 4711"))
    );
    let again = with(&file, &["signals", "resolve", "s-1", "--not-executed", "--reason", "again"]);
    again.refused(&["s-1 is done (attempt 1)", "only a signal in doubt can be resolved"]);

    let paused = call(&["signals", "pause", "--reason", "broker outage", "--json"]).json();
    assert_eq!(paused, json!({ "paused": true, "changed": true }));
    let resumed = call(&["signals", "resume", "--reason", "works again", "--json"]).json();
    assert_eq!(resumed, json!({ "paused": false, "changed": true }));

    group.start("b");
    group.wait_ready("b");
    let moved = until("b is a candidate", || {
        let said = with(&file, &["step-down", "--reason", "kernel update", "--json"]);
        (said.code == Some(0)).then_some(said)
    });
    assert_eq!((&moved.json()["from"], &moved.json()["to"]), (&json!("a"), &json!("b")));
    let terms = group.command(&["history", "--json"]).json();
    let reason = terms[1]["reason"].as_str().expect("the first term has ended");
    assert!(reason.contains("kernel update (by asha)"), "{reason}");

    let other = tokens.of_operator(&worker);
    with(&other, &["signals", "pause", "--reason", "x"]).refused(&["adapter", "needs the role operate"]);
    coordinator(&["status", "--server", &url]).run().refused(&["--token-file"]);
    coordinator(&["run", "--server", &url]).run().refused(&["--server has no effect on this command"]);
    group.finish();
}

#[test]
fn decisions_over_http_are_those_of_the_store() {
    let tokens = Tokens::new();
    let file = tokens.of_operator(&tokens.add("asha", &["operate"]));
    let mut group = leader(&tokens);
    let url = format!("http://{}", group.process("a").address());
    let call = |arguments: &[&str]| {
        let server = ["--server", url.as_str(), "--token-file", text(&file)];
        let said = coordinator(&[arguments, &server].concat()).run();
        assert_eq!(said.code, Some(0), "{arguments:?}: {said:?}");
        said
    };
    let acknowledged = call(&["recovery", "acknowledge", "--reason", "corrected yesterday", "--json"]).json();
    assert_eq!(
        (&acknowledged["who"], &acknowledged["reason"]),
        (&json!("asha"), &json!("corrected yesterday"))
    );
    for same in [&["recovery", "check", "--json"][..], &["recovery", "check"], &["history"]] {
        let shown = call(same).stdout;
        assert!(shown.contains("asha") && shown.contains("corrected yesterday"), "{same:?}: {shown}");
        assert_eq!(shown, group.command(same).stdout, "the same as from the store");
    }
    group.finish();
}

#[test]
fn without_a_tokens_file_this_host_reads_and_submits_but_does_not_act_as_an_operator() {
    let mut group = Group::embedded(TTL);
    group.start("a");
    group.wait_active("a");
    assert_eq!(ask(&mut group, "GET", "/status", None, "").status, 200);
    let url = format!("http://{}", group.process("a").address());
    let said = coordinator(&["signals", "pause", "--reason", "x", "--server", &url]).run();
    said.refused(&["this instance has no tokens file", "access.tokens_file"]);
    group.finish();
}

#[test]
fn a_tokens_file_with_a_fault_stops_the_start_and_the_check() {
    let tokens = Tokens::new();
    fs::write(tokens.file(), "[[token]]\nname = \"a\"\nroles = [\"admin\"]\nhash = \"x\"\n")
        .expect("written");
    for command in [&["run", "--listen", "127.0.0.1:0"][..], &["config", "check"]] {
        let data = tokens.0.path().join("data");
        let arguments = [command, &["--data-dir", text(&data)]].concat();
        let said =
            coordinator(&arguments).environment("COORDINATOR_ACCESS_TOKENS_FILE", text(&tokens.file())).run();
        said.refused(&["access.tokens_file", "a role is one of probe, read, submit, work, operate, resolve"]);
    }
}
