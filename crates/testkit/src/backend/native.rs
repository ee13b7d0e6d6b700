//! A server as a child process, with a separate directory.

use super::server::Host;
use super::watchdog::Watchdog;
use rustix::process::{Pid, Signal, geteuid, kill_process};
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Timeout of an orderly stop; after it, the server is killed.
const STOP_TIME_MAX: Duration = Duration::from_secs(20);
/// Timeout of a signal. Signals take effect in microseconds; a process that does not react is stuck in the
/// kernel.
const SIGNAL_TIME_MAX: Duration = Duration::from_secs(10);
/// Pause between two polls of a process that is ending.
const POLL: Duration = Duration::from_millis(2);
/// Bytes of a log that are printed when a server does not start.
const LOG_TAIL_BYTES: usize = 2_000;
/// Removes the directory $1 and what a killed PostgreSQL leaves in the kernel: its postmaster.pid contains
/// the shared memory segment in line 7. The retry is for a server that is still writing its last file.
const CLEAN_UP: &str = r#"
shm=$(sed -n '7s/.* //p' "$1/data/postmaster.pid" 2>/dev/null)
[ -z "$shm" ] || ipcrm -m "$shm" 2>/dev/null
for i in 1 2 3; do rm -rf -- "$1" && break; sleep 1; done"#;

/// User of a program if the tests run as root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum User {
    Ours,
    /// PostgreSQL refuses to run as root.
    Postgres,
}

impl User {
    /// Writes a file that only this user may read.
    pub(super) fn write(self, path: &Path, text: &str) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("{}: {error}", path.display());
        std::fs::write(path, text).map_err(failed)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        if self.must_change() {
            run(Command::new("chown").arg("postgres:postgres").arg(path))?;
        }
        Ok(())
    }

    fn must_change(self) -> bool {
        self == Self::Postgres && geteuid().is_root()
    }
}

/// A command that the kernel kills when the calling thread ends.
pub(super) fn command(program: &Path, user: User) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "SIGKILL"]);
    if user.must_change() {
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]);
    }
    // Ctrl-C must reach only the test, which then stops its servers.
    command.arg("--").arg(program).process_group(0).stdin(Stdio::null());
    command
}

/// Runs a command to its end. If it fails, its output is the error.
pub(super) fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!("{command:?}: {}\n{}", output.status, tail(&String::from_utf8_lossy(&said))))
}

/// The end of a long text.
pub(super) fn tail(text: &str) -> &str {
    let from = text.len().saturating_sub(LOG_TAIL_BYTES);
    (from..text.len()).find(|&at| text.is_char_boundary(at)).map_or("", |at| &text[at..])
}

/// A temporary directory that is removed with its owner, and also if the whole process is killed.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    clean_up: &'static str,
    _watchdog: Watchdog,
}

impl Directory {
    pub(super) fn new(user: User) -> Result<Self, String> {
        Self::with(user, CLEAN_UP)
    }

    /// With a script that removes the directory $1, and what its server leaves elsewhere.
    pub(super) fn with(user: User, clean_up: &'static str) -> Result<Self, String> {
        let made = tempfile::Builder::new().prefix("coordinator-test-").tempdir();
        let path = made.map_err(|error| format!("no temporary directory: {error}"))?.keep();
        let watchdog = Watchdog::new(clean_up, &[&path.to_string_lossy()])?;
        let directory = Self { path, clean_up, _watchdog: watchdog };
        if user.must_change() {
            run(Command::new("chown").arg("postgres:postgres").arg(&directory.path))?;
        }
        Ok(directory)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = run(Command::new("sh").args(["-c", self.clean_up, "clean-up"]).arg(&self.path));
    }
}

/// The program, and the signal that ends it.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) path: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) user: User,
    pub(super) stop: Signal,
}

/// A child process and its descendants.
#[derive(Debug)]
pub(super) struct Native {
    program: Program,
    child: Option<Child>,
    /// While the server is paused: kills the stopped processes if this process is killed, because nothing
    /// else would.
    paused: Option<Watchdog>,
    // Dropped last: the server has ended by then.
    directory: Directory,
}

impl Native {
    pub(super) fn new(program: Program, directory: Directory) -> Self {
        Self { program, child: None, paused: None, directory }
    }

    fn log_path(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    fn family(&self) -> Vec<Pid> {
        self.child.as_ref().map(|child| family(Pid::from_child(child))).unwrap_or_default()
    }

    /// Stops the process, so that no further child appears, and lists it and its descendants.
    fn stopped_family(&self) -> Vec<Pid> {
        if let Some(parent) = self.child.as_ref().map(Pid::from_child) {
            freeze(&[parent]);
        }
        self.family()
    }
}

impl Host for Native {
    fn start(&mut self) -> Result<(), String> {
        if self.child.is_some() {
            return Err("it runs already".to_owned());
        }
        let log = File::options().create(true).append(true).open(self.log_path());
        let log = log.map_err(|error| format!("its log: {error}"))?;
        let mut command = command(&self.program.path, self.program.user);
        command.args(&self.program.arguments).env("LC_ALL", "C").current_dir(self.directory.path());
        command.stderr(log.try_clone().map_err(|error| error.to_string())?).stdout(log);
        self.child = Some(command.spawn().map_err(|error| format!("setpriv (package util-linux): {error}"))?);
        Ok(())
    }

    fn check(&mut self) -> Result<(), String> {
        match self.child.as_mut().map(Child::try_wait) {
            None => Err("it is not running".to_owned()),
            Some(Ok(None)) => Ok(()),
            Some(Ok(Some(status))) => {
                self.child = None;
                Err(format!("it ended by itself: {status}"))
            }
            Some(Err(error)) => Err(error.to_string()),
        }
    }

    fn stop(&mut self) -> Result<(), String> {
        self.resume()?;
        let Some(child) = self.child.as_mut() else { return Ok(()) };
        let _ = kill_process(Pid::from_child(child), self.program.stop);
        if until(STOP_TIME_MAX, || !matches!(child.try_wait(), Ok(None))) {
            self.child = None;
            return Ok(());
        }
        self.kill()
    }

    fn kill(&mut self) -> Result<(), String> {
        // All are stopped first. A child that runs after its parent has ended says goodbye to its clients.
        let family = self.stopped_family();
        freeze(&family);
        for pid in &family {
            // The process may have ended, which is the purpose.
            let _ = kill_process(*pid, Signal::KILL);
        }
        if let Some(mut child) = self.child.take() {
            child.wait().map_err(|error| error.to_string())?;
        }
        self.paused = None;
        // After a restart, the data directory would be in use while one of them is alive.
        if until(SIGNAL_TIME_MAX, || family.iter().all(|pid| state(*pid).is_none())) {
            Ok(())
        } else {
            Err("a killed process does not go away".to_owned())
        }
    }

    fn pause(&mut self) -> Result<(), String> {
        let family = self.stopped_family();
        let pids: Vec<String> = family.iter().map(|pid| pid.as_raw_nonzero().to_string()).collect();
        self.paused =
            Some(Watchdog::new("kill -KILL $*", &pids.iter().map(String::as_str).collect::<Vec<_>>())?);
        if freeze(&family) { Ok(()) } else { Err("a process does not stop".to_owned()) }
    }

    fn resume(&mut self) -> Result<(), String> {
        if self.paused.is_some() {
            for pid in self.family() {
                let _ = kill_process(pid, Signal::CONT);
            }
            self.paused = None;
        }
        Ok(())
    }

    fn log(&self) -> String {
        std::fs::read(self.log_path())
            .map(|log| String::from_utf8_lossy(&log).into_owned())
            .unwrap_or_default()
    }
}

impl Drop for Native {
    fn drop(&mut self) {
        // The data is removed with the server, so an orderly stop is unnecessary.
        let _ = self.kill();
    }
}

/// Whether `condition` became true in time.
fn until(time_max: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    while !condition() {
        if began.elapsed() > time_max {
            return false;
        }
        // A pause between two polls, because a process that ends notifies only its parent.
        thread::sleep(POLL);
    }
    true
}

/// A process and all its descendants.
fn family(root: Pid) -> Vec<Pid> {
    let parents: Vec<(Pid, Pid)> = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
        .filter_map(|pid| Some((pid, Pid::from_raw(stat(pid)?.1)?)))
        .collect();
    let mut family = vec![root];
    let mut at = 0;
    while let Some(&parent) = family.get(at) {
        family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    family
}

/// The state letter of a process; `None` if it has ended, or is dead and not yet waited for.
fn state(pid: Pid) -> Option<char> {
    stat(pid).map(|(state, _)| state).filter(|state| !matches!(state, 'Z' | 'X'))
}

/// Stops processes. Returns whether all are stopped or have ended, at the latest after [`SIGNAL_TIME_MAX`].
fn freeze(pids: &[Pid]) -> bool {
    for pid in pids {
        // Fails for a process that has ended.
        let _ = kill_process(*pid, Signal::STOP);
    }
    let is_stopped = |pid: &Pid| state(*pid).is_none_or(|state| state == 'T');
    until(SIGNAL_TIME_MAX, || pids.iter().all(is_stopped))
}

/// State letter and parent from the kernel's line, in which the name is in parentheses and may contain any
/// character.
fn stat(pid: Pid) -> Option<(char, i32)> {
    let line = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    let mut fields = line.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}
