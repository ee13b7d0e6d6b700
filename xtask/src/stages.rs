//! How long each stage of a long command took, as a table at its end: it shows what to make faster. Stages may overlap, so
//! the total is the time from the first to the last and not a sum.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The stages of one command.
#[derive(Debug)]
pub struct Stages {
    began: Instant,
    taken: Mutex<Vec<Taken>>,
}

#[derive(Debug, Clone)]
struct Taken {
    name: String,
    /// Since the command began.
    from: Duration,
    took: Duration,
}

impl Default for Stages {
    fn default() -> Self {
        Self { began: Instant::now(), taken: Mutex::default() }
    }
}

impl Stages {
    /// Prints the name of a stage, does its work, and returns the result and the time it took.
    pub fn run<T>(&self, name: &str, work: impl FnOnce() -> T) -> (T, Duration) {
        println!("== {name}");
        let from = self.began.elapsed();
        let result = work();
        let took = self.began.elapsed().saturating_sub(from);
        self.lock().push(Taken { name: name.to_owned(), from, took });
        (result, took)
    }

    /// How many stages have run.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Taken>> {
        // Nothing that can panic runs under this lock.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Stages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut taken = self.lock().clone();
        taken.sort_by_key(|stage| stage.from);
        writeln!(f, "   began      took  stage")?;
        for Taken { name, from, took } in &taken {
            writeln!(f, "{:>6.1} s  {:>6.1} s  {name}", from.as_secs_f64(), took.as_secs_f64())?;
        }
        let end = taken.iter().map(|stage| stage.from + stage.took).max().unwrap_or_default();
        writeln!(f, "{:>18.1} s  total", end.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(name: &str, from_s: u64, took_s: u64) -> Taken {
        let (from, took) = (Duration::from_secs(from_s), Duration::from_secs(took_s));
        Taken { name: name.to_owned(), from, took }
    }

    #[test]
    fn the_table_is_in_the_order_of_begins_and_the_total_counts_no_time_twice() {
        let stages = Stages::default();
        // In the order of their ends.
        *stages.lock() = vec![taken("build", 0, 1), taken("tests", 1, 2), taken("model", 1, 4)];
        let table = "   began      took  stage\n\
                     \x20  0.0 s     1.0 s  build\n\
                     \x20  1.0 s     2.0 s  tests\n\
                     \x20  1.0 s     4.0 s  model\n\
                     \x20              5.0 s  total\n";
        assert_eq!(stages.to_string(), table);
    }

    #[test]
    fn the_result_of_a_stage_is_returned() {
        let stages = Stages::default();
        assert_eq!(stages.run("a sum", || 1 + 1).0, 2);
        assert_eq!(stages.count(), 1);
    }
}
