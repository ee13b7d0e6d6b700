//! The command as a program: found and checked before this instance contends, so that a standby with a wrong
//! command line fails at its start and not at the next failover. Also the start of it, in the guardian's child.

use crate::failure::Failure;
use rustix::fs::{Access, access};
use rustix::process::{Pid, Signal, WaitStatus, getppid, set_parent_process_death_signal};
use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Exit code of a command that cannot be executed, as in a shell.
const NOT_EXECUTABLE: u8 = 126;
/// Exit code of a command that is not found.
const NOT_FOUND: u8 = 127;
/// What a shell adds to the number of the signal that ended a process.
const SIGNALLED: i32 = 128;

/// Checks that the command can be executed.
///
/// # Errors
/// 127 if it is not found, 126 if it cannot be executed.
pub fn check(name: &OsStr) -> Result<(), Failure> {
    let candidates = candidates(name, env::var_os("PATH").as_deref());
    if candidates.iter().any(|path| executes(path)) {
        return Ok(());
    }
    let (message, exit_code) = match candidates.iter().find(|path| path.exists()) {
        Some(path) => (format!("{}: not an executable file", path.display()), NOT_EXECUTABLE),
        None => (format!("{}: not found", name.display()), NOT_FOUND),
    };
    Err(Failure { message, exit_code })
}

fn candidates(name: &OsStr, path: Option<&OsStr>) -> Vec<PathBuf> {
    if name.is_empty() {
        return Vec::new();
    }
    if name.as_encoded_bytes().contains(&b'/') {
        return vec![PathBuf::from(name)];
    }
    path.map(|path| env::split_paths(path).map(|folder| folder.join(name)).collect()).unwrap_or_default()
}

fn executes(path: &Path) -> bool {
    path.is_file() && access(path, Access::EXEC_OK).is_ok()
}

/// The exit code that a shell reports for this end of a process.
pub fn exit_code(status: WaitStatus) -> u8 {
    let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| SIGNALLED + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

/// Becomes the command. The kernel kills this process if the guardian dies, however it dies.
pub fn become_command(guardian: &OsStr, command: &[OsString]) -> ExitCode {
    let failed = |name: &OsStr, error: &io::Error| {
        eprintln!("coordinator: {}: {error}", name.display());
        ExitCode::from(if error.kind() == ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE })
    };
    let Some((name, arguments)) = command.split_first() else { return ExitCode::from(2) };
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return failed(name, &error.into());
    }
    // The guardian may have died before the signal was set.
    let alive = getppid().map(Pid::as_raw_pid);
    if guardian.to_str().and_then(|pid| pid.parse().ok()) != alive {
        return ExitCode::FAILURE;
    }
    failed(name, &Command::new(name).args(arguments).exec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(name: &str) -> Option<u8> {
        check(OsStr::new(name)).err().map(|failure| failure.exit_code)
    }

    #[test]
    fn a_command_is_found_as_a_shell_finds_it() {
        assert_eq!((code("sh"), code("/bin/sh")), (None, None));
        assert_eq!(
            (code("no-such-command"), code("/no/such/command"), code("")),
            (Some(127), Some(127), Some(127))
        );
        assert_eq!((code("/"), code("/etc/passwd")), (Some(126), Some(126)));
    }

    #[test]
    fn a_name_with_a_slash_is_not_searched_for() {
        let path = Some(OsStr::new("/a:/b"));
        assert_eq!(candidates(OsStr::new("x"), path), [PathBuf::from("/a/x"), PathBuf::from("/b/x")]);
        assert_eq!(candidates(OsStr::new("./x"), path), [PathBuf::from("./x")]);
        assert!(candidates(OsStr::new("x"), None).is_empty());
    }
}
