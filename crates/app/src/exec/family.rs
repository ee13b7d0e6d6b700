//! The descendants of this process, found in /proc and signalled through pidfds, so that a process id that the
//! kernel has given to another process in the meantime is never signalled.
//!
//! This process must be a child subreaper: the kernel then makes it the parent of every orphan below it, also of
//! those that have left the process group or the session. While a descendant exists, this process has a child.
//! [`reap`] therefore proves the end of all of them: the kernel answers that there is no child.

use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, getpid, kill_process, pidfd_open, pidfd_send_signal,
    set_child_subreaper, wait,
};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::time::Duration;
use tokio::time::sleep;

/// Pause between two attempts to kill processes that have just been created.
pub const PAUSE: Duration = Duration::from_millis(5);

/// A process as /proc shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Process {
    pid: i32,
    parent: i32,
    /// Ticks since boot; with the id it names one process.
    started: u64,
}

/// Makes this process the parent of every orphan among its descendants, and checks that /proc can be read.
///
/// # Errors
/// If the kernel refuses, or /proc is not mounted.
pub fn adopt_orphans() -> io::Result<()> {
    set_child_subreaper(Some(getpid()))?;
    read(getpid().as_raw_pid())
        .map(drop)
        .ok_or_else(|| io::Error::other("/proc/PID/stat cannot be read; /proc must be mounted"))
}

/// Takes in the children that have ended. Returns true if no child is left, and hence no descendant.
pub fn reap(mut ended: impl FnMut(Pid, WaitStatus)) -> bool {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => ended(pid, status),
            Err(Errno::CHILD) => return true,
            Err(Errno::INTR) => {}
            Ok(None) | Err(_) => return false,
        }
    }
}

/// Sends `signal` to every descendant that exists now. Those that are created at the same time are found by the
/// next call. Returns how many could not be signalled, because they belong to another user.
pub fn signal_all(signal: Signal) -> usize {
    let refused = descendants().into_iter().filter(|process| send(*process, signal) == Err(Errno::PERM));
    refused.count()
}

/// Kills every descendant, and returns when none is left.
pub async fn end_all() {
    let mut warned = false;
    while !reap(|_, _| {}) {
        let refused = signal_all(Signal::KILL);
        if refused > 0 && !warned {
            tracing::error!(
                "{refused} processes of the command belong to another user and cannot be killed; the lease is not released before they end"
            );
            warned = true;
        }
        sleep(PAUSE).await;
    }
}

fn send(process: Process, signal: Signal) -> Result<(), Errno> {
    let Some(pid) = Pid::from_raw(process.pid) else { return Ok(()) };
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(handle) => {
            // The handle is of the process that was found only if that one still exists now.
            match read(process.pid) {
                Some(now) if now.started == process.started => pidfd_send_signal(&handle, signal),
                Some(_) | None => Ok(()),
            }
        }
        // A kernel before 5.3.
        Err(Errno::NOSYS) => kill_process(pid, signal),
        // It has ended.
        Err(_) => Ok(()),
    }
}

/// The descendants, from the lists of children that the kernel keeps: it takes a few reads, so that a guardian on
/// an overloaded machine needs little time. A kernel without these lists is read as a whole.
fn descendants() -> Vec<Process> {
    let me = getpid().as_raw_pid();
    let Some(mut next) = children(me) else { return all_below(me) };
    let (mut found, mut seen) = (Vec::new(), HashSet::from([me]));
    while let Some(pid) = next.pop() {
        if seen.insert(pid) {
            found.extend(read(pid));
            next.extend(children(pid).unwrap_or_default());
        }
    }
    found
}

/// The children of all threads of a process; `None` if it has ended, or if the kernel keeps no lists.
fn children(pid: i32) -> Option<Vec<i32>> {
    let mut all = Vec::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let list = fs::read_to_string(thread.ok()?.path().join("children")).ok()?;
        all.extend(list.split_ascii_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
    }
    Some(all)
}

/// As [`descendants`], from all processes of the system.
fn all_below(root: i32) -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let ids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    below(root, &ids.filter_map(read).collect::<Vec<_>>())
}

fn below(root: i32, all: &[Process]) -> Vec<Process> {
    let mut children: HashMap<i32, Vec<Process>> = HashMap::new();
    for process in all {
        children.entry(process.parent).or_default().push(*process);
    }
    let (mut found, mut seen, mut next) = (Vec::new(), HashSet::from([root]), vec![root]);
    while let Some(parent) = next.pop() {
        for child in children.get(&parent).into_iter().flatten().filter(|child| seen.insert(child.pid)) {
            found.push(*child);
            next.push(child.pid);
        }
    }
    found
}

fn read(pid: i32) -> Option<Process> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Fields 1, 4 and 22 of `/proc/PID/stat`. The name in field 2 may contain anything, also parentheses.
fn parse(stat: &str) -> Option<Process> {
    let (pid, rest) = stat.split_once(" (")?;
    let (_, rest) = rest.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    Some(Process {
        pid: pid.parse().ok()?,
        parent: fields.get(1)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, parent: i32) -> Process {
        Process { pid, parent, started: 0 }
    }

    #[test]
    fn a_line_of_proc_is_parsed_whatever_the_process_is_called() {
        let line = "12 (a) S 9 (b)) S 7 12 12 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 8 9 1844\n";
        assert_eq!(parse(line), Some(Process { pid: 12, parent: 7, started: 4711 }));
        assert_eq!(parse("12 (sh) S 7"), None);
        let me = getpid().as_raw_pid();
        let parsed = read(me).expect("this process");
        assert_eq!(parsed.pid, me);
        assert!(parsed.started > 0);
    }

    #[test]
    fn only_descendants_are_found_and_a_circle_ends() {
        let all = [process(2, 1), process(3, 2), process(4, 3), process(9, 1), process(10, 9), process(2, 4)];
        let mut found: Vec<i32> = below(2, &all).iter().map(|process| process.pid).collect();
        found.sort_unstable();
        assert_eq!(found, [3, 4]);
    }
}
