//! [`Execs`]: several instances of `coordinator exec`, whose commands append to one file, and the judgement of that file.
//!
//! The kernel orders the appends of all processes, so the file is one record of what ran when, without any clock. A
//! run is one start of the command with everything that it has started. The invariant: after the first line of another
//! run, a run writes nothing more.

use crate::command::{BINARY, Said, coordinator};
use crate::wait::until;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use testkit::process::LOCK_DIR;

/// The command under test. It appends a line every 5 ms, and so does a child that has left its process group and its
/// session. In every second epoch both ignore SIGTERM, and in every third one both close what they have inherited, as
/// daemons do. `read -t` waits without a process.
const COMMAND: &str = r#"
run=${RUN:-$$} role=${ROLE:-command}
((COORDINATOR_EPOCH % 2)) && trap '' TERM
[[ $role == command ]] && RUN=$run ROLE=child setsid bash "$0" &
if ((COORDINATOR_EPOCH % 3 == 0)); then
    for fd in /proc/$$/fd/*; do
        fd=${fd##*/}
        ((fd > 2 && fd < 255)) && exec {fd}>&-
    done
fi
exec 9<> <(:)
while :; do
    echo "$run $role $COORDINATOR_INSTANCE_ID $COORDINATOR_EPOCH $COORDINATOR_FENCE"
    read -r -t 0.005 -u 9
done >> "$RECORD"
"#;

/// Timeout for the next run after a fault, in LEADER_TTLs.
const FOLLOWS_WITHIN: u32 = 4;

/// One start of the command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The process id of the command.
    pub pid: i32,
    pub instance: String,
    pub epoch: u64,
}

/// The record so far.
#[derive(Debug, Default)]
pub struct Judge {
    /// Read so far, in bytes; a line that is not whole is read again.
    read: u64,
    pub lines: u64,
    runs: Vec<Run>,
    over: BTreeSet<String>,
    /// Key of the last run: process id and fencing token.
    last: Option<String>,
    children: BTreeSet<String>,
    pub overlaps: Vec<String>,
}

impl Judge {
    /// Takes in whole lines.
    fn take(&mut self, text: &str) {
        for line in text.lines() {
            self.lines += 1;
            let words: Vec<&str> = line.split(' ').collect();
            let [pid, role, instance, epoch, fence] = words[..] else {
                panic!("a line of the record: {line:?}")
            };
            let key = format!("{pid} {fence}");
            if role == "child" {
                self.children.insert(key.clone());
            }
            if self.last.as_ref() == Some(&key) {
                continue;
            }
            if self.over.contains(&key) {
                self.overlaps.push(format!(
                    "line {}: {line} although {:?} had begun",
                    self.lines,
                    self.runs.last()
                ));
                continue;
            }
            let run = Run {
                pid: pid.parse().expect("a process id"),
                instance: instance.to_owned(),
                epoch: epoch.parse().expect("an epoch"),
            };
            if self.runs.last().is_some_and(|last| last.epoch > run.epoch) {
                self.overlaps.push(format!("line {}: {line} after epoch {:?}", self.lines, self.runs.last()));
            }
            self.over.extend(self.last.replace(key));
            self.runs.push(run);
        }
    }

    pub fn runs(&self) -> usize {
        self.runs.len()
    }
}

/// A group of instances of `exec`. Dropping it ends everything.
pub struct Execs {
    ttl: Duration,
    arguments: Vec<String>,
    /// Environment variables of the instances.
    settings: Vec<(&'static str, String)>,
    on_one_host: bool,
    instances: BTreeMap<String, Child>,
    pub judge: Judge,
    directory: TempDir,
}

impl Execs {
    /// A group without instances; `arguments` name its store, or none for the embedded one.
    pub fn new(ttl: Duration, arguments: &[&str]) -> Self {
        let directory = tempfile::Builder::new().prefix("coordinator-test-").tempdir();
        let directory = directory.expect("a temporary directory");
        fs::write(directory.path().join("command"), COMMAND).expect("the directory is writable");
        File::create(directory.path().join("record")).expect("the directory is writable");
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let (settings, instances, judge) = (Vec::new(), BTreeMap::new(), Judge::default());
        Self { ttl, arguments, settings, on_one_host: false, instances, judge, directory }
    }

    /// The instances learn at once that another one was killed. Otherwise they start as on separate hosts.
    #[must_use]
    pub fn on_one_host(mut self) -> Self {
        self.on_one_host = true;
        self
    }

    /// Adds an environment variable for all instances that are started from now on.
    pub fn set(&mut self, name: &'static str, value: &str) {
        self.settings.push((name, value.to_owned()));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Starts an instance with that id, if it does not run.
    pub fn start(&mut self, name: &str, more: &[&str]) {
        if self.is_running(name) {
            return;
        }
        let log = File::options().create(true).append(true).open(self.path(&format!("{name}.log")));
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "SIGKILL", "--", BINARY, "exec", "--instance-id", name]);
        command
            .arg(format!("--leader-ttl={}ms", self.ttl.as_millis()))
            .arg("--data-dir")
            .arg(self.data_dir(name));
        command.args(&self.arguments).args(more).args(["--", "bash"]).arg(self.path("command"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("RECORD", self.path("record"));
        let locks = if self.on_one_host { "locks" } else { &format!("locks-{name}") };
        command.env(LOCK_DIR, self.path(locks));
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(log.expect("a log")).spawn();
        let child =
            child.unwrap_or_else(|error| panic!("{command:?} (setpriv is in package util-linux): {error}"));
        self.instances.insert(name.to_owned(), child);
    }

    /// With the embedded store, all instances use one directory. With PostgreSQL each has its own, as on separate hosts,
    /// because a stopped process may hold the lock of the directory's file.
    fn data_dir(&self, name: &str) -> PathBuf {
        if self.arguments.is_empty() { self.path("data") } else { self.path(&format!("data-{name}")) }
    }

    pub fn is_running(&mut self, name: &str) -> bool {
        let instance = self.instances.get_mut(name);
        instance.is_some_and(|child| child.try_wait().expect("a child can be waited for").is_none())
    }

    /// Sends a signal, unless the instance has ended.
    pub fn signal(&mut self, name: &str, which: Signal) {
        if self.is_running(name) {
            signal(Pid::from_child(&self.instances[name]), which);
        }
    }

    /// The guardian of the instance's command.
    pub fn guardian(&self, name: &str) -> Option<Pid> {
        let pid = self.instances[name].id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        // It was started by another thread if the main thread has no child.
        let mut all: Vec<String> = children.split_whitespace().map(str::to_owned).collect();
        for task in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
            let more = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            all.extend(more.split_whitespace().map(str::to_owned));
        }
        let guards = |pid: &String| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains("__exec-guardian")
        };
        all.into_iter().find(guards).and_then(|pid| Pid::from_raw(pid.parse().ok()?))
    }

    /// Waits until an instance stands by, so that a step-down has a successor.
    pub fn wait_standby(&self) {
        until("an instance stands by", || {
            self.command(&["status", "--json"]).stdout.contains("standby").then_some(())
        });
    }

    /// Requests a handover.
    pub fn step_down(&self) {
        let said = self.command(&["step-down", "--reason", "test"]);
        assert_eq!(said.code, Some(0), "{said:?}\n{}", self.logs());
    }

    /// The output of `coordinator history`.
    pub fn history(&self) -> String {
        self.command(&["history"]).stdout
    }

    fn command(&self, arguments: &[&str]) -> Said {
        let (data, ttl) = (self.path("data"), format!("{}ms", self.ttl.as_millis()));
        let data = data.to_str().expect("the directory's name is text");
        let stores = self.arguments.iter().map(String::as_str);
        let all = arguments.iter().copied().chain(["--leader-ttl", &ttl, "--data-dir", data]).chain(stores);
        coordinator(&all.collect::<Vec<_>>()).run()
    }

    /// Waits until the instance has ended.
    pub fn wait_exit(&mut self, name: &str) -> ExitStatus {
        until(&format!("{name} ends"), || {
            self.instances.get_mut(name)?.try_wait().expect("a child can be waited for")
        })
    }

    /// The last run, with what it has written so far.
    pub fn last(&mut self) -> Option<Run> {
        let mut file = File::open(self.path("record")).expect("it exists");
        let mut text = Vec::new();
        file.seek(SeekFrom::Start(self.judge.read))
            .and_then(|_| file.read_to_end(&mut text))
            .expect("a file");
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        self.judge.read += whole as u64;
        self.judge.take(std::str::from_utf8(&text[..whole]).expect("text"));
        self.judge.runs.last().cloned()
    }

    /// Waits for a run after the first `runs`, in which the command and its child write.
    pub fn wait_run(&mut self, runs: usize) -> Run {
        let log = self.logs();
        until(&format!("run {} after\n{log}", runs + 1), || {
            let run = self.last()?;
            let child_writes = self.judge.last.as_ref().is_some_and(|key| self.judge.children.contains(key));
            (self.judge.runs() > runs && child_writes).then_some(run)
        })
    }

    /// Whether a run begins after the first `runs`, within many times LEADER_TTL.
    pub fn follows(&mut self, runs: usize) -> bool {
        let began = Instant::now();
        while began.elapsed() < FOLLOWS_WITHIN * self.ttl {
            if self.last().is_some() && self.judge.runs() > runs {
                return true;
            }
            // A pause between two polls.
            sleep(Duration::from_millis(5));
        }
        false
    }

    /// The end of every log.
    pub fn logs(&self) -> String {
        let log = |name: &String| {
            let text = fs::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default();
            let lines: Vec<&str> = text.lines().rev().take(12).collect();
            format!("--- {name}\n{}\n", lines.into_iter().rev().collect::<Vec<_>>().join("\n"))
        };
        self.instances.keys().map(log).collect()
    }

    /// Ends every instance with SIGTERM, and judges the record.
    pub fn finish(mut self) {
        self.end();
        assert!(self.judge.overlaps.is_empty(), "{:?}\n{}", self.judge.overlaps, self.logs());
    }

    /// Ends every instance with SIGTERM, and reads the rest of the record.
    pub fn end(&mut self) {
        let names: Vec<String> = self.instances.keys().cloned().collect();
        for name in names {
            self.signal(&name, Signal::CONT);
            self.signal(&name, Signal::TERM);
            self.wait_exit(&name);
        }
        self.last();
    }
}

impl Drop for Execs {
    fn drop(&mut self) {
        for child in self.instances.values_mut() {
            // A guardian that outlives its instance ends the command.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Sends a signal, unless the process has ended.
pub fn signal(pid: Pid, which: Signal) {
    let _ = kill_process(pid, which);
}

/// Test of the judgement.
#[test]
fn a_run_that_writes_after_the_next_one_is_an_overlap() {
    let mut judge = Judge::default();
    judge.take("10 command a 1 1.1.x\n10 child a 1 1.1.x\n20 command b 2 1.2.y\n20 child b 2 1.2.y\n");
    assert_eq!((judge.runs(), judge.overlaps.len(), judge.lines), (2, 0, 4));
    judge.take("10 child a 1 1.1.x\n");
    assert_eq!(judge.overlaps.len(), 1, "{judge:?}");
}
