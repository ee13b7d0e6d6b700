//! How long each stage of a long command took, as a table at its end: what to make faster is read there.

use std::fmt;
use std::time::{Duration, Instant};

/// The stages of one command, in their order.
#[derive(Debug, Default)]
pub struct Stages {
    taken: Vec<(&'static str, Duration)>,
}

impl Stages {
    /// Prints the name of a stage, does its work and keeps its time.
    pub fn run<T>(&mut self, name: &'static str, work: impl FnOnce() -> T) -> T {
        println!("== {name}");
        let started = Instant::now();
        let result = work();
        self.taken.push((name, started.elapsed()));
        result
    }

    /// The time of the last stage, in seconds.
    pub fn last_s(&self) -> f64 {
        self.taken.last().map_or(0.0, |(_, took)| took.as_secs_f64())
    }

    /// How many stages have run.
    pub fn count(&self) -> usize {
        self.taken.len()
    }
}

impl fmt::Display for Stages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total: Duration = self.taken.iter().map(|(_, took)| *took).sum();
        for (name, took) in self.taken.iter().chain([&("total", total)]) {
            writeln!(f, "{:>8.1} s  {name}", took.as_secs_f64())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_each_stage_and_their_sum() {
        let second = Duration::from_secs(1);
        let stages = Stages { taken: vec![("build", second), ("tests", 2 * second)] };
        assert_eq!(stages.to_string(), "     1.0 s  build\n     2.0 s  tests\n     3.0 s  total\n");
    }

    #[test]
    fn the_result_of_a_stage_is_returned() {
        let mut stages = Stages::default();
        assert_eq!(stages.run("a sum", || 1 + 1), 2);
        assert_eq!(stages.count(), 1);
    }
}
