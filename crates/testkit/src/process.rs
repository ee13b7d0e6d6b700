//! [`Coordinator`]: the `coordinator` binary as a child process, as an operator runs it, with its events as
//! values.

use crate::backend::free_port;
use crate::directory::directory;
use crate::http::{self, Response};
use contract::event::{Event, EventKind, Record};
pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Pause between two polls of a process that is ending.
const POLL: Duration = Duration::from_millis(5);

/// The setting with the directory of the lock files that show the end of a process.
pub const LOCK_DIR: &str = "COORDINATOR_LOCK_DIR";

/// Options of a process.
#[derive(Debug, Clone)]
pub struct Launch {
    program: PathBuf,
    name: String,
    port: Option<u16>,
    data_dir: Option<PathBuf>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Launch {
    /// `coordinator run --events-json` of that binary (`env!("CARGO_BIN_EXE_coordinator")`), on a free port
    /// and in a separate data directory, as on a separate host: unless [`Self::lock_dir`] names a directory that it
    /// shares with others, no other process learns of its end, and its lease expires after a kill.
    pub fn new(program: impl Into<PathBuf>, name: &str) -> Self {
        let (port, data_dir, arguments, environment) = (None, None, Vec::new(), Vec::new());
        Self { program: program.into(), name: name.to_owned(), port, data_dir, arguments, environment }
    }

    /// Listens on this port, so that a client of the former process finds its successor there.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Uses this data directory, which the caller owns.
    #[must_use]
    pub fn data_dir(mut self, path: &Path) -> Self {
        self.data_dir = Some(path.to_owned());
        self
    }

    /// Uses this directory of lock files, as the other processes of its host do.
    #[must_use]
    pub fn lock_dir(self, path: &Path) -> Self {
        self.environment(LOCK_DIR, &path.to_string_lossy())
    }

    /// Adds an argument.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it and returns at once: [`Coordinator::wait_for`] `Ready`.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(&self) -> Coordinator {
        let own = directory();
        let port = self.port.unwrap_or_else(free_port);
        let mut command = self.command(port, own.path());
        let (event_sender, event_receiver) = channel();
        let (spawned, child) = channel();
        // The kernel kills the child when the thread that started it ends. This thread ends with the child's
        // output.
        let reader = thread::spawn(move || {
            let mut child = match command.spawn() {
                Ok(child) => child,
                Err(error) => panic!("{command:?} (setpriv is in package util-linux): {error}"),
            };
            let output = child.stdout.take().expect("it is piped");
            if spawned.send(child).is_ok() {
                read(output, &event_sender);
            }
        });
        let child = child.recv().expect("the process starts");
        Coordinator {
            name: self.name.clone(),
            child,
            port,
            own,
            data_dir: self.data_dir.clone(),
            printed: event_receiver,
            events: Vec::new(),
            waited: 0,
            ended: None,
            reader: Some(reader),
        }
    }

    fn command(&self, port: u16, own: &Path) -> Command {
        let data_dir = self.data_dir.clone().unwrap_or_else(|| own.join("data"));
        let log = std::fs::File::create(own.join("log")).expect("a log in the temporary directory");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "SIGKILL", "--"]).arg(&self.program).args(["run", "--events-json"]);
        command.arg("--listen").arg(format!("127.0.0.1:{port}")).arg("--data-dir").arg(data_dir);
        command.args(&self.arguments);
        // The settings of the user who runs the tests must not reach the process.
        let foreign = |name: &str| name.starts_with("COORDINATOR_") || name == "LEADER_TTL";
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(foreign)) {
            command.env_remove(name);
        }
        command.env(LOCK_DIR, own.join("locks"));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        command
    }
}

/// A running process. Dropping it kills it and removes its directory.
#[derive(Debug)]
pub struct Coordinator {
    name: String,
    child: Child,
    port: u16,
    own: TempDir,
    data_dir: Option<PathBuf>,
    printed: Receiver<Event>,
    events: Vec<Event>,
    /// Number of events that [`Self::wait_for`] has passed.
    waited: usize,
    ended: Option<u64>,
    reader: Option<JoinHandle<()>>,
}

impl Coordinator {
    /// Its HTTP address: host and port.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(|| self.own.path().join("data"))
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        let log = std::fs::read(self.own.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// The next event of that kind after the last one that was waited for. Blocks.
    ///
    /// # Panics
    /// If it does not come within `patience`, or the process ends before; with the log.
    pub fn wait_for(&mut self, kind: EventKind, patience: Duration) -> Event {
        let began = Instant::now();
        loop {
            let known =
                self.events.iter().enumerate().skip(self.waited).find(|(_, event)| event.kind == kind);
            if let Some((at, event)) = known.map(|(at, event)| (at, *event)) {
                self.waited = at + 1;
                return event;
            }
            self.waited = self.events.len();
            match self.printed.recv_timeout(patience.saturating_sub(began.elapsed())) {
                Ok(event) => self.events.push(event),
                Err(error) => {
                    let why = match error {
                        RecvTimeoutError::Timeout => "not within the patience",
                        RecvTimeoutError::Disconnected => "the process has ended",
                    };
                    panic!("{}: no {kind:?}: {why}; events {:?}\n{}", self.name, self.events, self.log());
                }
            }
        }
    }

    /// Sends a signal. Stopping (`STOP`) takes effect in microseconds, after this returns.
    ///
    /// # Panics
    /// If the process has ended.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the process is there to be signalled");
    }

    /// Kills the process with SIGKILL, and waits until it has ended.
    pub fn kill(&mut self) {
        // It fails only if the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.note_end();
    }

    /// Waits until the process ends.
    ///
    /// # Panics
    /// If it does not end within `patience`; with the log.
    pub fn wait_exit(&mut self, patience: Duration) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.exited() {
                return status;
            }
            assert!(began.elapsed() < patience, "{} does not end\n{}", self.name, self.log());
            // A pause between two polls, because std's wait has no timeout.
            thread::sleep(POLL);
        }
    }

    /// The exit status, if the process has ended.
    ///
    /// # Panics
    /// If the kernel does not know the process.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().expect("a child can be waited for");
        if status.is_some() {
            self.note_end();
        }
        status
    }

    /// Its events so far, for [`contract::invariants`].
    pub fn record(&mut self) -> Record {
        if self.ended.is_some()
            && let Some(reader) = self.reader.take()
        {
            // Everything that it printed is read before its record is complete.
            let _ = reader.join();
        }
        self.events.extend(self.printed.try_iter());
        Record { name: self.name.clone(), events: self.events.clone(), ended: self.ended }
    }

    /// Sends a GET to its HTTP server.
    ///
    /// # Errors
    /// If it does not listen.
    pub fn get(&self, path: &str) -> std::io::Result<Response> {
        http::request(&self.address(), "GET", path, &[], "")
    }

    /// Sends a POST with a JSON document to its HTTP server.
    ///
    /// # Errors
    /// If it does not listen.
    pub fn post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> std::io::Result<Response> {
        let json = [("Content-Type", "application/json")];
        let headers: Vec<(&str, &str)> = json.iter().chain(headers).copied().collect();
        http::request(&self.address(), "POST", path, &headers, &body.to_string())
    }

    fn note_end(&mut self) {
        self.ended.get_or_insert_with(monotonic_nanos);
    }
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        self.kill();
    }
}

/// CLOCK_MONOTONIC, the clock of the events' times.
pub fn monotonic_nanos() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let nanos = Duration::try_from(now).map(|since| since.as_nanos()).unwrap_or_default();
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

/// Passes on the events among the lines. A process prints a few per second, so the channel stays short.
fn read(output: ChildStdout, events: &Sender<Event>) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        if let Some(event) = parse(&line) {
            // The test is over if this fails.
            let _ = events.send(event);
        }
    }
}

fn parse(line: &str) -> Option<Event> {
    let line: Value = serde_json::from_str(line).ok()?;
    let number = |name: &str| line.get(name).and_then(Value::as_u64);
    let kind = EventKind::parse(line.get("ev")?.as_str()?)?;
    Some(Event { kind, t: number("t")?, epoch: number("epoch")?, sent: number("t0") })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// A program that prints what a coordinator would print.
    fn pretender(name: &str, script: &str) -> Launch {
        Launch::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixture/pretender"), name)
            .environment("PRETEND", script)
    }

    #[test]
    fn events_are_read_and_other_lines_are_not() {
        let script = r#"echo "$@ $COORDINATOR_X" >&2; echo 'hello'; echo '{"ev":"ready","t":1,"epoch":0}'
            echo '{"ev":"odd","t":1,"epoch":0}'; echo '{"ev":"lead","t":5,"epoch":3,"t0":4,"t1":5}'; exec sleep 1000"#;
        let mut process = pretender("a", script)
            .argument("--group")
            .argument("g")
            .environment("COORDINATOR_X", "y")
            .start();
        assert_eq!(process.wait_for(EventKind::Lead, PATIENCE).sent, Some(4));
        assert_eq!(process.record().ended, None);
        process.kill();
        let record = process.record();
        let kinds: Vec<EventKind> = record.events.iter().map(|event| event.kind).collect();
        assert_eq!(kinds, [EventKind::Ready, EventKind::Lead]);
        assert!(record.ended.is_some());
        let log = process.log();
        assert!(
            log.starts_with("run --events-json --listen 127.0.0.1:") && log.ends_with("--group g y\n"),
            "{log}"
        );
    }

    #[test]
    fn wait_exit_returns_and_a_stopped_process_is_killed() {
        let endless = "echo '{\"ev\":\"ready\",\"t\":1,\"epoch\":0}'; while :; do sleep 0.01; done";
        let mut process = pretender("a", &format!("trap 'exit 7' TERM; {endless}")).start();
        process.wait_for(EventKind::Ready, PATIENCE);
        process.signal(Signal::STOP);
        process.signal(Signal::TERM);
        process.signal(Signal::CONT);
        assert_eq!(process.wait_exit(PATIENCE).code(), Some(7));
        let stopped = pretender("b", endless).start();
        stopped.signal(Signal::STOP);
        let pid = Pid::from_child(&stopped.child);
        let own = stopped.own.path().to_owned();
        drop(stopped);
        assert!(rustix::process::test_kill_process(pid).is_err() && !own.exists(), "nothing is left behind");
    }

    #[test]
    #[should_panic(expected = "the process has ended")]
    fn an_event_that_cannot_come_is_reported_at_once() {
        pretender("a", "exit 0").start().wait_for(EventKind::Lead, PATIENCE);
    }
}
