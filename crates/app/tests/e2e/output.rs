//! Tests with standard output and standard error that are full, closed or not read: an instance starts, leads
//! and ends as usual.

use crate::TTL;
use crate::command::BINARY;
use crate::wait::until;
use std::io::{BufRead, BufReader, PipeReader, Write, pipe};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;
use testkit::backend::free_port;
use testkit::directory::directory;
use testkit::http;

/// Default size of a pipe (pipe(7)).
const PIPE_BYTES: usize = 65_536;

/// An instance that a shell starts.
struct Instance {
    child: Child,
    address: String,
    data: TempDir,
}

impl Instance {
    /// `redirections` in the syntax of a shell.
    fn start(arguments: &[&str], redirections: &str, stdout: Stdio, stderr: Stdio) -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        let data = directory();
        let ttl = format!("{}ms", TTL.as_millis());
        // If the test is killed, the instance ends too.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "SIGKILL", "--", "sh", "-c"]);
        command.arg(format!("exec \"$0\" \"$@\" {redirections}")).args([BINARY, "run", "--listen", &address]);
        command.args(["--leader-ttl", &ttl, "--data-dir"]).arg(data.path()).args(arguments);
        let child = command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).spawn().expect("a shell");
        Self { child, address, data }
    }

    fn wait_active(&mut self, what: &str) {
        until(&format!("it leads, {what}"), || {
            let ended = self.child.try_wait().expect("a child can be waited for");
            assert_eq!(ended, None, "it ended, {what}");
            http::request(&self.address, "GET", "/leader", &[], "").ok().filter(|said| said.status == 200)
        });
    }

    /// Requests a stop and asserts a clean end.
    fn stop(mut self, what: &str) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
        let ended = until(&format!("it ends, {what}"), || self.child.try_wait().expect("a child"));
        assert_eq!(ended.code(), Some(0), "{what}");
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // It fails if the instance has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        assert!(self.data.path().exists(), "the directory outlives the instance");
    }
}

/// A full pipe with its reader, which does not read.
fn full_pipe() -> (PipeReader, Stdio) {
    let (reader, mut writer) = pipe().expect("a pipe");
    writer.write_all(&vec![b' '; PIPE_BYTES]).expect("a pipe holds as much");
    (reader, Stdio::from(writer))
}

#[test]
fn outputs_that_are_closed_or_full_from_the_start() {
    for arguments in [&[][..], &["--events-json"]] {
        for redirections in
            [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", ">/dev/full", "2>/dev/full", ">/dev/full 2>&1"]
        {
            let what = format!("{arguments:?} {redirections}");
            let mut instance = Instance::start(arguments, redirections, Stdio::null(), Stdio::null());
            instance.wait_active(&what);
            instance.stop(&what);
        }
    }
}

#[test]
fn pipes_that_are_not_read_from_the_start() {
    for arguments in [&[][..], &["--events-json"]] {
        let ((_out, stdout), (_err, stderr)) = (full_pipe(), full_pipe());
        let what = format!("{arguments:?}, full pipes");
        let mut instance = Instance::start(arguments, "", stdout, stderr);
        instance.wait_active(&what);
        instance.stop(&what);
    }
}

#[test]
fn a_reader_that_goes_away_ends_nothing() {
    for arguments in [&[][..], &["--events-json"]] {
        let what = format!("{arguments:?}, without its reader");
        let ((out, stdout), (err, stderr)) = (pipe().expect("a pipe"), pipe().expect("a pipe"));
        let mut instance = Instance::start(arguments, "", Stdio::from(stdout), Stdio::from(stderr));
        let mut line = String::new();
        BufReader::new(err).read_line(&mut line).expect("a first line");
        assert_ne!(line, "");
        drop(out);
        instance.wait_active(&what);
        instance.stop(&what);
    }
}

/// The message is lost, and the exit code is not.
#[test]
fn a_failure_that_cannot_be_printed_keeps_its_exit_code() {
    for arguments in [&["run", "--nonsense"][..], &["config", "check", "--leader-ttl", "soon"]] {
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$0\" \"$@\" 2>/dev/full", BINARY]).args(arguments).stdin(Stdio::null());
        let ended = command.output().expect("a shell").status;
        assert_eq!(ended.code(), Some(2), "{arguments:?}");
    }
}
