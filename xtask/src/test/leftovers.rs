//! Processes that outlive the tests that started them.
//!
//! The kernel hands an orphan to the nearest ancestor that asked for orphans. So this program asks, and
//! whatever still descends from it after the tests was left behind by them, under whatever name.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getpid, kill_process, set_child_subreaper};

/// Servers that die with their parent need a moment: PostgreSQL's workers notice within a second or two.
const GRACE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Enough of a command line to recognise it.
const SHOWN_MAX: usize = 120;

/// A running process.
#[derive(Debug, Clone)]
pub struct Process {
    pid: i32,
    parent: i32,
    command: String,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} ({})", self.pid, self.command)
    }
}

/// Orphans are ours from now on.
pub struct Orphans {
    /// Descendants from before the tests, which they did not start.
    earlier: BTreeSet<i32>,
}

impl Orphans {
    /// Becomes the parent of all later orphans among our descendants.
    pub fn adopt() -> Result<Self, String> {
        set_child_subreaper(Some(getpid())).map_err(|error| format!("cannot adopt orphans: {error}"))?;
        Ok(Self { earlier: descendants().iter().map(|process| process.pid).collect() })
    }

    /// Gives the processes that are still there a moment to end, then kills them and returns them.
    pub fn end(self) -> Vec<Process> {
        let deadline = Instant::now() + GRACE;
        let mut left = self.left();
        while !left.is_empty() && Instant::now() < deadline {
            std::thread::sleep(LOOK_EVERY);
            left = self.left();
        }
        left.iter().for_each(kill);
        left
    }

    fn left(&self) -> Vec<Process> {
        descendants().into_iter().filter(|process| !self.earlier.contains(&process.pid)).collect()
    }
}

/// Kills a child of this program and everything that descends from it.
pub fn end_family(child: u32) {
    let all = processes();
    let own = i32::try_from(child).unwrap_or_default();
    all.iter().filter(|process| process.pid == own).for_each(kill);
    descendants_of(own, &all).iter().for_each(kill);
}

fn kill(process: &Process) {
    if let Some(pid) = Pid::from_raw(process.pid) {
        // It may have ended by itself since it was listed, which is as good.
        let _ = kill_process(pid, Signal::KILL);
    }
}

fn descendants() -> Vec<Process> {
    descendants_of(getpid().as_raw_nonzero().get(), &processes())
}

/// Children, their children, and so on.
fn descendants_of(ancestor: i32, all: &[Process]) -> Vec<Process> {
    let mut family = vec![ancestor];
    let mut found = Vec::new();
    while let Some(parent) = family.pop() {
        for process in all.iter().filter(|process| process.parent == parent) {
            family.push(process.pid);
            found.push(process.clone());
        }
    }
    found
}

/// Everything that runs on this machine and is visible to us.
fn processes() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.filter_map(|entry| process(entry.ok()?.file_name().to_str()?.parse().ok()?)).collect()
}

fn process(pid: i32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (name, parent) = parse_stat(&stat)?;
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = String::from_utf8_lossy(&line).replace('\0', " ");
    let command = if words.trim().is_empty() { name } else { words.trim().chars().take(SHOWN_MAX).collect() };
    Some(Process { pid, parent, command })
}

/// Name and parent out of `pid (name) state parent ...`; `None` for a zombie, which only waits to be read.
/// The name may contain brackets and spaces itself.
fn parse_stat(stat: &str) -> Option<(String, i32)> {
    let (before, after) = stat.rsplit_once(')')?;
    let (_, name) = before.split_once('(')?;
    let mut fields = after.split_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    (state != "Z" && state != "X").then(|| (name.to_owned(), parent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_hostile_name_does_not_move_the_fields() {
        assert_eq!(parse_stat("7 (a) S 9 (b) S 3 1"), Some(("a) S 9 (b".to_owned(), 3)));
        assert_eq!(parse_stat("7 (a) Z 3 1"), None);
        assert_eq!(parse_stat("nonsense"), None);
    }

    #[test]
    fn grandchildren_are_found() {
        let process = |pid, parent| Process { pid, parent, command: String::new() };
        let all = [process(2, 1), process(3, 2), process(4, 3), process(5, 1)];
        let found: Vec<i32> = descendants_of(2, &all).iter().map(|process| process.pid).collect();
        assert_eq!(found, [3, 4]);
    }

    /// The real thing: a shell leaves a process behind and ends; the process is found, killed and gone.
    #[test]
    fn an_orphan_is_adopted_and_ended() {
        set_child_subreaper(Some(getpid())).expect("Linux can do this");
        let said = Command::new("sh")
            .args(["-c", "tail -f /dev/null >/dev/null 2>&1 & echo $!"])
            .output()
            .expect("there is a shell");
        let pid: i32 = String::from_utf8_lossy(&said.stdout).trim().parse().expect("the shell printed a pid");

        let orphan = descendants().into_iter().find(|process| process.pid == pid);
        let orphan = orphan.expect("the orphan is ours");
        assert!(orphan.to_string().contains("tail -f"), "{orphan}");

        kill(&orphan);
        let pid = Pid::from_raw(pid).expect("not zero");
        rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty()).expect("it is our child");
        assert!(!descendants().iter().any(|process| process.pid == orphan.pid));
    }
}
