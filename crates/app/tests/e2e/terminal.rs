//! Tests of what a command prints, and of what it leaves behind.

use crate::TTL;
use crate::command::{BINARY, Said, coordinator};
use crate::group::Group;
use crate::signals::accepted;
use crate::wait::until;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use testkit::http;

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

/// The part of an output that has the documented fields.
type Part = fn(&Value) -> &Value;
/// A heading of docs/commands.md, the command, its exit code, and the part.
type Case<'a> = (&'a str, &'a [&'a str], i32, Part);

/// The fields of a command in docs/commands.md.
fn documented(command: &str) -> BTreeSet<String> {
    let page = include_str!("../../../../docs/commands.md");
    let heading = format!("\n## {command}\n");
    let section = page.split(&heading).nth(1).unwrap_or_else(|| panic!("{command} is not documented"));
    let section = section.split("\n## ").next().unwrap_or_default();
    let names = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    names.map(str::to_owned).collect()
}

/// Asserts that the output is one line of JSON with exactly the documented fields.
#[track_caller]
pub fn has_documented_fields(said: &Said, command: &str, code: i32, part: impl Fn(&Value) -> &Value) {
    assert_eq!(said.code, Some(code), "{command}: {said:?}");
    assert_eq!(said.stdout.lines().count(), 1, "{command}: {said:?}");
    let json = said.json();
    let fields: BTreeSet<String> = part(&json).as_object().expect(command).keys().cloned().collect();
    assert_eq!(fields, documented(command), "{command}: {said:?}");
}

#[test]
fn every_command_prints_the_documented_json() {
    let mut group = Group::embedded(TTL);
    group.start_pair();
    accepted(&mut group, "b", "signal-1", "NIFTY");
    let whole: Part = |json| json;
    let first: Part = |json| &json[0];
    let of_group: Part = |json| &json["group"];
    let address = group.process("a").address();
    let nowhere = ["health", "--json", "--listen", "127.0.0.1:1"];
    let commands: [Case; 15] = [
        ("status", &["status", "--json"], 0, whole),
        ("why", &["why", "--json"], 0, whole),
        ("history", &["history", "--json"], 0, first),
        ("step-down --dry-run", &["step-down", "--dry-run", "--json"], 0, whole),
        ("recovery check", &["recovery", "check", "--json"], 0, whole),
        ("recovery acknowledge", &["recovery", "acknowledge", "--reason", "x", "--json"], 0, whole),
        ("signals list", &["signals", "list", "--json"], 0, whole),
        ("signals pause and signals resume", &["signals", "pause", "--reason", "x", "--json"], 0, whole),
        ("signals pause and signals resume", &["signals", "resume", "--reason", "x", "--json"], 0, whole),
        ("migrate", &["migrate", "--check", "--json"], 0, whole),
        ("config check", &["config", "check", "--json"], 0, of_group),
        ("health", &["health", "--json", "--listen", &address], 0, whole),
        ("health", &nowhere, 1, whole),
        ("step-down", &["step-down", "--reason", "x", "--json"], 0, whole),
        // It has just handed over.
        ("remove", &["remove", "a", "--force", "--reason", "x", "--json"], 0, whole),
    ];
    until("the instance table has the leader", || (group.command(&["status"]).code == Some(0)).then_some(()));
    for (command, arguments, code, part) in commands {
        has_documented_fields(&group.command(arguments), command, code, part);
    }
    let shown = group.command(&["signals", "show", "signal", "--json"]);
    assert_eq!(shown.json()["id"], "signal-1", "a unique beginning of an id is enough: {shown:?}");
    group.finish();
}

#[test]
fn a_beginning_of_two_ids_is_refused_with_both() {
    let mut group = Group::embedded(TTL);
    group.start("a");
    group.wait_active("a");
    for id in ["order-1", "order-12", "order-2"] {
        accepted(&mut group, "a", id, "NIFTY");
    }
    group.command(&["signals", "show", "order"]).refused(&["3 signals begin with order", "order-2"]);
    group.command(&["signals", "show", "x"]).refused(&["there is no signal x"]);
    let whole = group.command(&["signals", "show", "order-1", "--json"]);
    assert_eq!(whole.json()["id"], "order-1", "{whole:?}");
    group.finish();
}

#[test]
fn the_status_names_the_kill_switch_and_the_alert_of_an_instance() {
    let mut group = Group::embedded(TTL);
    group.start("a");
    group.wait_active("a");
    group.carry_out(&["signals", "pause", "--reason", "broker outage"]);
    let said = group.command(&["status"]);
    assert!(said.stdout.contains("kill switch                ON since "), "{said:?}");
    assert!(said.stdout.contains("WARNING   SignalsPaused: "), "{said:?}");
    // A position without a price: the next leader is halted, and only its page names this alert.
    group
        .database
        .execute("INSERT INTO portfolio_positions VALUES ('P-1', 'NIFTY', 'open', 1, 100, 'NaN', 5)");
    group.carry_out(&["step-down", "--force", "--reason", "to recover"]);
    let said = until("the status names the alert", || {
        Some(group.command(&["status"]))
            .filter(|said| said.stdout.contains("CRITICAL  RecoveryDataCorrupt on a"))
    });
    assert_eq!(said.code, Some(1), "{said:?}");
    group.finish();
}

/// `coordinator status --watch` with its output where `stdout` leads.
fn watch(group: &Group, arguments: &[&str]) -> Child {
    let data = group.data_dir();
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "SIGKILL", "--"]).args(arguments).arg("--data-dir").arg(data);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("setpriv")
}

fn end(mut child: Child) {
    child.kill().expect("it runs");
    child.wait().expect("a child");
}

#[test]
fn watching_into_a_pipe_gives_json_lines() {
    let mut group = Group::embedded(TTL);
    group.start("a");
    group.wait_active("a");
    let mut child = watch(&group, &[BINARY, "status", "--watch"]);
    let output = BufReader::new(child.stdout.take().expect("it is piped"));
    for line in output.lines().take(3) {
        let json: Value = serde_json::from_str(&line.expect("a line")).expect("JSON");
        assert!(json["at"].is_string() && json["instances"].is_array(), "{json}");
    }
    end(child);
    group.finish();
}

#[test]
fn watching_on_a_terminal_redraws_in_place() {
    let mut group = Group::embedded(TTL);
    group.start("a");
    group.wait_active("a");
    let data = group.data_dir();
    let line = format!("{BINARY} status --watch --data-dir {}", data.display());
    for (no_color, colour) in [("", true), ("1", false)] {
        // script (package bsdutils) runs it on a new terminal.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "SIGKILL", "--", "script", "-qfc", &line, "/dev/null"]);
        command.env("NO_COLOR", no_color).env("TERM", "xterm");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("script");
        let mut output = child.stdout.take().expect("it is piped");
        let (mut text, mut part) = (String::new(), [0; 4096]);
        while text.matches("\x1b[H").count() < 3 {
            let len = output.read(&mut part).expect("a terminal");
            assert!(len > 0, "it ended: {text:?}");
            text.push_str(&String::from_utf8_lossy(&part[..len]));
        }
        assert!(text.contains(" UTC, until Ctrl-C\x1b[K"), "{text:?}");
        assert!(text.contains("\x1b[J"), "{text:?}");
        assert_eq!(text.contains("\x1b[32m"), colour, "NO_COLOR={no_color:?}: {text:?}");
        end(child);
    }
    group.finish();
}

#[test]
fn an_instance_without_a_terminal_writes_only_json_lines() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "SIGKILL", "--", BINARY, "run", "--listen", "127.0.0.1:0", "--data-dir"]);
    command.arg(directory.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("setpriv");
    let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
    let mut record = |child: &Child| -> Value {
        let line = lines.next().unwrap_or_else(|| panic!("{} ended", child.id())).expect("a line");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("not JSON ({error}): {line}"))
    };
    let started = loop {
        let record = record(&child);
        if record["page"].is_string() {
            break record;
        }
    };
    let page = started["page"].as_str().expect("a text").trim_start_matches("http://").to_owned();
    assert!(started["instance"].is_string() && started["leader_ttl_ms"] == 10_000, "{started}");
    until("it leads", || {
        http::request(&page, "GET", "/leader", &[], "").ok().filter(|answer| answer.status == 200)
    });
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
    child.wait().expect("a child");
    for line in lines {
        let line = line.expect("a line");
        serde_json::from_str::<Value>(&line).unwrap_or_else(|error| panic!("not JSON ({error}): {line}"));
    }
    let mut stdout = String::new();
    child.stdout.take().expect("it is piped").read_to_string(&mut stdout).expect("text");
    assert_eq!(stdout, "");
}

#[test]
fn the_probe_of_a_container_is_the_exit_code() {
    let mut group = Group::embedded(TTL);
    group.start_pair();
    let (a, b) = (group.process("a").address(), group.process("b").address());
    let ask = |address: &str, probe: &[&str]| {
        coordinator(&[&["health", "--listen", address], probe].concat()).run()
    };
    for address in [&a, &b] {
        assert_eq!(ask(address, &[]).code, Some(0));
        assert_eq!(ask(address, &["--ready"]).code, Some(0));
    }
    assert_eq!(ask(&a, &["--leader"]).stdout, "leads\n");
    let standby = ask(&b, &["--leader"]);
    assert_eq!((standby.code, standby.stdout.as_str()), (Some(1), ""), "{standby:?}");
    group.process("b").kill();
    let gone = ask(&b, &[]);
    assert!(gone.code == Some(1) && gone.stderr.contains("could not connect"), "{gone:?}");
    let unknown = ask("127.0.0.1:0", &[]);
    unknown.refused(&["port 0"]);
    group.finish();
}

#[test]
fn a_planned_handover_is_described_and_not_requested() {
    let mut group = Group::embedded(TTL);
    let lead = group.start_pair();
    let said = group.command(&["step-down", "--dry-run"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    for part in ["leader          a (epoch ", "can take over   b;", "nothing was requested"] {
        assert!(said.stdout.contains(part), "{part}: {said:?}");
    }
    group.assert_undisturbed(&lead);
    group.process("b").kill();
    let said = until("b is no candidate", || {
        Some(group.command(&["step-down", "--dry-run"])).filter(|said| said.code == Some(1))
    });
    assert!(said.stderr.contains("no instance can take over from a"), "{said:?}");
    group.finish();
}

#[test]
fn an_instance_is_removed_on_purpose_and_a_crashed_one_is_not() {
    let mut group = Group::embedded(TTL);
    let lead = group.start_pair();
    until("the instance table has the leader", || (group.command(&["status"]).code == Some(0)).then_some(()));
    let remove =
        |group: &Group, id: &str| group.command(&["remove", id, "--reason", "the host was returned"]);
    remove(&group, "x").refused(&["there is no instance x"]);
    let leads = remove(&group, "a");
    assert!(leads.code == Some(1) && leads.stderr.contains("coordinator step-down"), "{leads:?}");
    let alive = remove(&group, "b");
    assert!(alive.code == Some(1) && alive.stderr.contains("may be alive: its last heartbeat"), "{alive:?}");
    group.process("b").kill();
    let stale = |group: &Group| {
        let why = group.command(&["why"]).stdout;
        why.contains("b sends no heartbeat") && why.contains("Runbook: StaleHeartbeat")
    };
    until("the crashed instance is missing", || stale(&group).then_some(()));
    let removed = remove(&group, "b");
    assert_eq!(removed.code, Some(0), "{removed:?}");
    assert!(!stale(&group));
    let status = group.carry_out(&["status", "--wide"]).stdout;
    assert!(!status.lines().any(|line| line.starts_with("b ")), "{status}");
    remove(&group, "b").refused(&["there is no instance b"]);
    let history = group.carry_out(&["history"]).stdout;
    assert!(
        history.contains("removed the instance b") && history.contains("the host was returned"),
        "{history}"
    );
    let named = "coordinator_instance_removed_start_time_seconds{instance_id=\"b\"}";
    until("the leader exports the removal", || {
        group.process("a").get("/metrics").ok()?.body.contains(named).then_some(())
    });
    // It is alive after all.
    group.start("c");
    group.wait_ready("c");
    group.carry_out(&["remove", "c", "--force", "--reason", "too early"]);
    until("it is shown again", || {
        group.command(&["status", "--wide"]).stdout.lines().any(|line| line.starts_with("c ")).then_some(())
    });
    // If it crashes now, it fires again.
    let beat = "portfolio_manager_last_heartbeat_timestamp";
    for _ in 0..2 {
        let before = group.metric("a", beat);
        until("another heartbeat of the leader", || (group.metric("a", beat) > before).then_some(()));
    }
    let exported = group.process("a").get("/metrics").expect("it listens").body;
    assert!(exported.contains(named) && !exported.contains(&named.replace("\"b\"", "\"c\"")), "{exported}");
    group.assert_undisturbed(&lead);
    group.finish();
}

#[test]
fn an_acknowledged_recovery_is_recorded_and_trading_stays_halted() {
    let mut group = Group::embedded(TTL);
    assert_eq!(group.command(&["migrate"]).code, Some(0));
    group
        .database
        .execute("INSERT INTO portfolio_positions VALUES ('P-1', 'NIFTY', 'open', 1, 100, 'NaN', 5)");
    group.start("a");
    group.wait_lead(0);
    until("the leader is halted", || (group.json("a", "/status")["state"] == "halted").then_some(()));
    let said = group.carry_out(&["recovery", "acknowledge", "--reason", "the broker has no such position"]);
    assert!(said.stdout.contains("A new leader would still not trade: DATA_CORRUPT"), "{said:?}");
    let check = group.command(&["recovery", "check"]);
    assert_eq!(check.code, Some(2), "{check:?}");
    assert!(check.stdout.contains("acknowledged") && check.stdout.contains("no such position"), "{check:?}");
    let history = group.carry_out(&["history"]).stdout;
    assert!(history.contains("the check failed with DATA_CORRUPT"), "{history}");
    until("the page shows the operator's reason", || {
        group.process("a").get("/").ok()?.body.contains("the broker has no such position").then_some(())
    });
    group.wait_renewals("a");
    assert_eq!(group.json("a", "/status")["state"], "halted", "an acknowledgement does not make it trade");
    group.database.execute("DELETE FROM portfolio_positions");
    group.wait_active("a");
    group.finish();
}

#[test]
fn packages_get_completions_and_manual_pages() {
    for shell in ["bash", "zsh", "fish"] {
        let said = coordinator(&["completions", shell]).run();
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(said.stdout.contains("step-down") && said.stdout.contains("postgres-url-file"), "{shell}");
    }
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("man1");
    let said = coordinator(&["man", "--dir", path.to_str().expect("text")]).run();
    assert_eq!(said.code, Some(0), "{said:?}");
    let pages = entries(&path).expect("a directory");
    for page in ["coordinator.1", "coordinator-status.1", "coordinator-signals-resolve.1"] {
        assert!(pages.contains(&page.to_owned()), "{page} is not in {pages:?}");
    }
    let status = std::fs::read_to_string(path.join("coordinator-status.1")).expect("a page");
    assert!(status.contains(".TH coordinator-status 1") && status.contains("NO_COLOR"), "{status}");
}
