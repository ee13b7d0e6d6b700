//! [`Machine`]: whether this machine is busy according to the kernel. Then an instance that reports slow answers of its
//! store is right.

use std::fs;
use std::thread::available_parallelism;

/// Samples of the number of tasks that have, or wait for, a processor or a disk.
#[derive(Debug, Default)]
pub struct Machine {
    samples: usize,
    tasks: usize,
}

impl Machine {
    pub fn sample(&mut self) {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        self.samples += 1;
        self.tasks += tasks(&stat);
    }

    /// More tasks than processors, on average. Where the kernel does not count them, the machine counts as quiet.
    pub fn is_busy(&self) -> bool {
        let processors = available_parallelism().expect("a processor").get();
        self.tasks > self.samples * processors
    }
}

fn tasks(stat: &str) -> usize {
    let counts = ["procs_running ", "procs_blocked "];
    let count = |line: &str| counts.iter().find_map(|name| line.strip_prefix(name)?.parse::<usize>().ok());
    stat.lines().filter_map(count).sum()
}

#[test]
fn tasks_that_run_and_tasks_that_are_blocked_count() {
    assert_eq!(tasks("cpu  1 2 3\nctxt 9\nprocs_running 3\nprocs_blocked 4\nsoftirq 1 2\n"), 7);
    assert_eq!(tasks(""), 0);
    let (mut machine, quiet) = (Machine::default(), Machine::default());
    machine.sample();
    assert!(machine.tasks > 0, "this test runs");
    assert!(!quiet.is_busy());
    machine.tasks = available_parallelism().expect("a processor").get();
    assert!(!machine.is_busy());
    machine.tasks += 1;
    assert!(machine.is_busy());
}
