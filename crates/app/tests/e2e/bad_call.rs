//! Tests of invalid command lines and configurations: a sentence for each fault, and exit 2.

use crate::TTL;
use crate::command::{BINARY, coordinator};
use crate::group::Group;
use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

#[test]
fn an_unknown_flag() {
    coordinator(&["run", "--nonsense"]).run().refused(&["--nonsense", "--help"]);
}

#[test]
fn two_faults_of_a_file_are_both_reported() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("coordinator.toml");
    std::fs::write(&file, "grup = \"g\"\nleader_ttl = \"soon\"\n").expect("written");
    let file = file.to_str().expect("the directory's name is text");
    for command in [&["run"][..], &["config", "check"], &["status"]] {
        let arguments = [command, &["--config", file]].concat();
        let said = coordinator(&arguments).run();
        said.refused(&[
            "coordinator.toml:grup: unknown key; did you mean group?",
            "coordinator.toml:leader_ttl: is \"soon\"",
        ]);
    }
}

#[test]
fn settings_that_contradict_each_other() {
    let check = |file: &str| {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("coordinator.toml");
        std::fs::write(&path, file).expect("written");
        let path = path.to_str().expect("the directory's name is text");
        coordinator(&["run", "--config", path]).run()
    };
    check("leader_ttl = \"3s\"\nheartbeat = \"2s\"").refused(&[
        "heartbeat: is 2s",
        "a third of leader_ttl (3s",
        "at most 1s",
    ]);
    check("[redis]\nprefix = \"p\"").refused(&["redis.prefix", "has no effect without redis.url"]);
    check("[redis]\nurl = \"redis://h\"").refused(&["redis.url", "needs postgres.url", "leave Redis out"]);
    let twice =
        coordinator(&["run"]).environment("LEADER_TTL", "3").environment("COORDINATOR_LEADER_TTL", "4");
    twice.run().refused(&["LEADER_TTL", "contradicts"]);
}

#[test]
fn a_lease_that_is_too_short_or_too_long() {
    for wrong in ["0.5", "0", "301", "-1", "ten"] {
        let message = format!("LEADER_TTL: is \"{wrong}\"");
        for command in [&["run"][..], &["config", "check"], &["demo", "--rounds", "1"]] {
            coordinator(command).environment("LEADER_TTL", wrong).run().refused(&[&message, "1s to 300s"]);
        }
    }
}

#[test]
fn a_port_that_is_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().to_str().expect("the directory's name is text");
    let said = coordinator(&["run", "--listen", &address, "--data-dir", data]).run();
    said.refused(&[&address, "in use", "--listen"]);
}

#[test]
fn an_address_that_others_could_reach() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().to_str().expect("the directory's name is text");
    let said = coordinator(&["run", "--listen", "0.0.0.0:5000", "--data-dir", data]).run();
    said.refused(&["--listen", "loopback"]);
}

#[test]
fn a_url_with_a_password_is_not_printed() {
    let url = "postgres://u:canary-5521@h/db?oops=#";
    for arguments in [["run", "--postgres", url], ["run", "--redis", url], ["status", "--postgress", url]] {
        let said = coordinator(&arguments).run();
        said.refused(&[]);
        assert!(!format!("{said:?}").contains("canary-5521"), "{said:?}");
    }
}

#[test]
fn a_url_file_that_other_users_can_read() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("postgres.url");
    std::fs::write(&file, "postgres://u:canary-5521@127.0.0.1:1/db\n").expect("written");
    let path = file.to_str().expect("the directory's name is text");
    let close = |mode| std::fs::set_permissions(&file, Permissions::from_mode(mode)).expect("our own");
    close(0o644);
    for arguments in [["run"].as_slice(), &["config", "check"], &["status"]] {
        let said = coordinator(&[arguments, &["--postgres-url-file", path]].concat()).run();
        said.refused(&["--postgres-url-file: is", &format!("chmod 600 {path}")]);
        assert!(!format!("{said:?}").contains("canary-5521"), "{said:?}");
    }
    close(0o600);
    let checked = coordinator(&["config", "check"]).environment("COORDINATOR_POSTGRES_URL_FILE", path).run();
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(checked.stdout.contains("url_file has postgres://u:***@127.0.0.1:1/db"), "{checked:?}");
}

/// As with `| head`, which ends when it has enough. The exit code is that of a process that SIGPIPE ends.
#[test]
fn an_output_that_is_not_read_causes_no_panic() {
    let group = Group::embedded(TTL);
    group.carry_out(&["migrate"]);
    let data = group.data_dir();
    let commands: [&[&str]; 9] = [
        &["--help"],
        &["config", "check"],
        &["migrate", "--check"],
        &["status"],
        &["status", "--watch"],
        &["history", "--json"],
        &["recovery", "check"],
        &["signals", "list"],
        &["signals", "pause", "--reason", "its output is not read"],
    ];
    for arguments in commands {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = Command::new(BINARY);
        command.args(arguments).arg("--data-dir").arg(&data).stdin(Stdio::null()).stdout(writer);
        let ended = command.output().expect("it is there");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!((ended.status.code(), said.as_ref()), (Some(141), ""), "{arguments:?}");
    }
    group.finish();
}
