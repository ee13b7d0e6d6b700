//! Tests of `coordinator exec`: its environment and exit codes, and the end of the command with its leadership.

use crate::TTL;
use crate::command::{Said, coordinator};
use crate::exec_kills::{Fault, Field};
use crate::execs::Execs;
use crate::wait::block_on;
use rustix::process::Signal;
use std::time::Duration;
use testkit::backend;

/// A lease whose end no test waits for.
const LONG_TTL: Duration = Duration::from_secs(200);

/// Runs a shell script as the command of a new group.
fn shell(script: &str) -> Said {
    run(&["--", "sh", "-c", script])
}

fn run(arguments: &[&str]) -> Said {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let data = directory.path().join("data");
    let data = data.to_str().expect("the directory's name is text");
    coordinator(
        &[&["exec", "--leader-ttl", "3s", "--data-dir", data, "--instance-id", "me"], arguments].concat(),
    )
    .run()
}

#[test]
fn the_command_gets_the_epoch_the_fencing_token_and_the_id() {
    let said =
        shell("echo $COORDINATOR_EPOCH $COORDINATOR_INSTANCE_ID $COORDINATOR_FENCE; echo to stderr >&2");
    assert_eq!(said.code, Some(0), "{said:?}");
    let words: Vec<&str> = said.stdout.split_whitespace().collect();
    let [epoch, id, fence] = words[..] else { panic!("{said:?}") };
    assert_eq!((epoch, id), ("1", "me"));
    let parts: Vec<&str> = fence.split('.').collect();
    assert_eq!((parts.len(), parts[0], parts[1], parts[2].len()), (3, "1", "1", 36), "{fence}");
    assert!(said.stderr.contains("to stderr"), "{said:?}");
}

#[test]
fn the_exit_code_is_that_of_the_command() {
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143)] {
        let said = shell(script);
        assert_eq!(said.code, Some(code), "{script}: {said:?}");
    }
}

#[test]
fn a_command_that_cannot_be_executed_is_refused_before_the_instance_contends() {
    for (arguments, code, why) in [
        (["--", "no-such-command"], 127, "no-such-command: not found"),
        (["--", "/etc/passwd"], 126, "/etc/passwd: not an executable file"),
        (["--once", "--"], 2, "<CMD>"),
    ] {
        let said = run(&arguments);
        assert_eq!(said.code, Some(code), "{said:?}");
        assert!(said.stderr.contains(why) && !said.stderr.contains("waiting for leadership"), "{said:?}");
    }
}

#[test]
fn what_the_command_leaves_behind_has_ended_before_exec_ends() {
    let said = shell("setsid sleep 1000 & echo $!");
    assert_eq!(said.code, Some(0), "{said:?}");
    let pid: i32 = said.stdout.trim().parse().expect("a process id");
    assert!(!std::fs::exists(format!("/proc/{pid}")).expect("/proc can be read"), "{pid} still runs");
}

#[test]
fn a_stop_ends_the_command_first_and_exits_0() {
    for which in [Signal::TERM, Signal::INT, Signal::HUP] {
        let mut execs = Execs::new(TTL, &[]);
        execs.start("a", &[]);
        let run = execs.wait_run(0);
        execs.signal("a", which);
        assert_eq!(execs.wait_exit("a").code(), Some(0), "{which:?}");
        assert!(!std::fs::exists(format!("/proc/{}", run.pid)).expect("/proc can be read"), "{run:?}");
        execs.finish();
    }
}

#[test]
fn a_step_down_ends_the_command_before_the_next_one_starts() {
    let mut execs = Execs::new(TTL, &[]);
    for name in ["a", "b"] {
        execs.start(name, &[]);
        execs.wait_run(0);
    }
    // An epoch in which the command ignores SIGTERM, and one in which it does not.
    for _ in 0..2 {
        let before = execs.judge.runs();
        let leads = execs.last().expect("it runs");
        execs.wait_standby();
        execs.step_down();
        let next = execs.wait_run(before);
        assert_ne!(next.instance, leads.instance);
        assert!(execs.is_running(&leads.instance), "it stands by");
    }
    execs.finish();
}

#[test]
fn with_once_an_instance_ends_with_its_leadership() {
    let mut execs = Execs::new(TTL, &[]);
    execs.start("a", &["--once"]);
    execs.wait_run(0);
    execs.start("b", &[]);
    execs.wait_standby();
    execs.step_down();
    assert_eq!(execs.wait_exit("a").code(), Some(1));
    assert_eq!(execs.wait_run(1).instance, "b");
    execs.finish();
}

#[test]
fn a_killed_parent_ends_its_command() {
    ends_first(Fault::KillParent);
}

#[test]
fn a_stopped_parent_does_not_keep_its_command() {
    ends_first(Fault::StopParent);
}

#[test]
fn a_killed_guardian_ends_its_command() {
    ends_first(Fault::KillGuardian);
}

#[test]
fn a_parent_that_is_cut_off_ends_its_command() {
    ends_first(Fault::CutOff);
}

#[test]
fn a_stopped_guardian_does_not_keep_the_command_of_a_parent_that_is_cut_off() {
    ends_first(Fault::StopGuardianAndCutOff);
}

/// The lease would end long after this test, so every next run follows the evidence that the parent has ended. There is
/// none before the guardian, the command and its child have ended as well: they inherit the lock.
#[test]
fn a_killed_parents_command_has_ended_before_an_instance_on_its_host_leads() {
    let mut execs = Execs::new(LONG_TTL, &[]).on_one_host();
    // The grace is half of it.
    execs.set("COORDINATOR_HEARTBEAT", "1s");
    for name in ["a", "b"] {
        execs.start(name, &[]);
        execs.wait_run(0);
    }
    // In the first epoch the command ignores SIGTERM, and in the third one it has also closed the lock.
    for _ in 0..3 {
        let before = execs.judge.runs();
        let killed = execs.last().expect("it runs").instance;
        execs.wait_standby();
        execs.signal(&killed, Signal::KILL);
        assert_ne!(execs.wait_run(before).instance, killed);
        execs.wait_exit(&killed);
        execs.start(&killed, &[]);
    }
    let history = execs.history();
    assert_eq!(history.matches("process ended").count(), 3, "{history}");
    execs.finish();
}

fn ends_first(fault: Fault) {
    let postgres = backend::postgres();
    let url = block_on(postgres.create_database());
    let mut field = Field::start(TTL, &postgres.address(), &url, "desk", false);
    // In one epoch of two the command ignores SIGTERM.
    for _ in 0..2 {
        assert!(field.inject(fault), "a next run of the command");
    }
    field.finish();
}
