//! A command that runs at the same time as others. Its output is kept until it ends, so that the outputs of two commands
//! never mix, and it has a time limit.

use super::leftovers;
use std::collections::VecDeque;
use std::io::{PipeReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The longest job takes a third of it on two processors.
const RUN_MAX: Duration = Duration::from_mins(30);
/// How often the end of a job is polled.
const POLL: Duration = Duration::from_millis(20);
/// Everything that a job wrote before it ended is in the pipe by then. A process that the job left behind may hold the pipe
/// open for ever, so the end of the pipe is not waited for.
const DRAIN_MAX: Duration = Duration::from_secs(1);
/// Bytes of one read.
const CHUNK: usize = 8192;

/// The command and its name in the output.
#[derive(Debug)]
pub struct Job {
    pub name: String,
    pub command: Command,
}

/// A job after its end.
#[derive(Debug)]
pub struct Ended {
    pub name: String,
    /// Both of its streams, in the order of writing.
    pub output: String,
    /// Why it counts as failed.
    pub outcome: Result<(), String>,
    pub took: Duration,
}

impl Job {
    /// Runs it to its end or to the time limit.
    pub fn run(self) -> Ended {
        let Self { name, mut command } = self;
        let began = Instant::now();
        let (output, outcome) = match run(&mut command) {
            Ok((output, outcome)) => (output, outcome),
            Err(error) => {
                (String::new(), Err(format!("{}: {error}", Path::new(command.get_program()).display())))
            }
        };
        Ended { name, output, outcome, took: began.elapsed() }
    }

    /// The same command, which gets only the processors that nothing else wants. Unchanged where the kernel's scheduling
    /// class for that cannot be set.
    pub fn at_low_priority(self) -> Self {
        let Self { name, command } = self;
        if !can_be_idle() {
            return Self { name, command };
        }
        let mut idle = Command::new(CHRT);
        idle.args(IDLE).arg(command.get_program()).args(command.get_args());
        for (variable, value) in command.get_envs() {
            match value {
                Some(value) => idle.env(variable, value),
                None => idle.env_remove(variable),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            idle.current_dir(folder);
        }
        Self { name, command: idle }
    }
}

/// Part of util-linux, which Debian always has.
const CHRT: &str = "chrt";
const IDLE: [&str; 2] = ["--idle", "0"];

fn can_be_idle() -> bool {
    let tried = Command::new(CHRT).args(IDLE).arg("true").stderr(Stdio::null()).status();
    tried.is_ok_and(|status| status.success())
}

/// Runs `jobs`, `at_once` at a time and in their order, and calls `ended` for each from the thread that ran it.
pub fn run_all(jobs: Vec<Job>, at_once: usize, ended: impl Fn(Ended) + Sync) {
    let waiting = Mutex::new(VecDeque::from(jobs));
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while let Some(job) = next() {
                    ended(job.run());
                }
            });
        }
    });
}

fn run(command: &mut Command) -> std::io::Result<(String, Result<(), String>)> {
    let (reader, writer) = std::io::pipe()?;
    let second = writer.try_clone()?;
    let mut child = command.stdin(Stdio::null()).stdout(writer).stderr(second).spawn()?;
    // The command keeps its copies of the pipe. Drop them, so that the pipe ends with the last process of the job.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let chunks = chunks_of(reader);
    let outcome = wait(&mut child);
    let mut output = Vec::new();
    let until = Instant::now() + DRAIN_MAX;
    while let Ok(chunk) = chunks.recv_timeout(until.saturating_duration_since(Instant::now())) {
        output.extend(chunk);
    }
    // Tests may print bytes that are not text.
    Ok((String::from_utf8_lossy(&output).into_owned(), outcome?))
}

fn wait(child: &mut Child) -> std::io::Result<Result<(), String>> {
    let began = Instant::now();
    loop {
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(Ok(())),
            Some(status) => return Ok(Err(format!("ended with {status}"))),
            None if began.elapsed() < RUN_MAX => thread::sleep(POLL),
            None => {
                leftovers::end_family(child.id());
                child.wait()?;
                return Ok(Err(format!("no end after {} min", RUN_MAX.as_secs() / 60)));
            }
        }
    }
}

/// What the pipe carries. The thread ends with the last process that holds the pipe.
fn chunks_of(mut reader: PipeReader) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut chunk = [0; CHUNK];
        while let Ok(length @ 1..) = reader.read(&mut chunk) {
            if sender.send(chunk[..length].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(name: &str, script: &str) -> Job {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Job { name: name.to_owned(), command }
    }

    #[test]
    fn both_streams_are_kept_in_their_order() {
        let ended = shell("a", "echo one; echo two >&2; echo three; exit 3").run();
        assert_eq!(ended.output, "one\ntwo\nthree\n");
        assert!(ended.outcome.is_err_and(|why| why.contains('3')));
    }

    #[test]
    fn a_program_that_is_absent_is_a_failure() {
        let command = Command::new("/nonexistent/program");
        let ended = Job { name: "a".to_owned(), command }.run();
        assert!(ended.outcome.is_err());
    }

    #[test]
    fn a_low_priority_changes_nothing_else() {
        let mut job = shell("a", "echo $0 $LOW; pwd");
        job.command.arg("zero").env("LOW", "1").current_dir("/usr");
        assert_eq!(job.at_low_priority().run().output, "zero 1\n/usr\n");
    }

    /// Each of two jobs waits for a file that the other one makes, so they can end only together.
    #[test]
    fn jobs_run_at_the_same_time_and_each_ends_once() {
        let folder = std::env::temp_dir().join(format!("xtask-jobs-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary directory");
        let script = |own: &str, other: &str| {
            format!(
                "cd {}; touch {own}; for i in $(seq 500); do [ -e {other} ] && exit; sleep 0.02; done; exit 1",
                folder.display()
            )
        };
        let jobs = vec![shell("a", &script("a", "b")), shell("b", &script("b", "a"))];
        let names = Mutex::new(Vec::new());
        run_all(jobs, 2, |ended| {
            assert_eq!(ended.outcome, Ok(()), "{}", ended.name);
            names.lock().expect("no thread panics").push(ended.name);
        });
        std::fs::remove_dir_all(&folder).expect("it was made above");
        let mut names = names.into_inner().expect("no thread panics");
        names.sort();
        assert_eq!(names, ["a", "b"]);
    }
}
