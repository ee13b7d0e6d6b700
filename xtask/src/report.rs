//! Steps one after another: each says its name and its time, all run. A failure is told in short at once, and
//! in full at the end, where all of them stand together.

use std::process::ExitCode;
use std::time::Instant;

/// What a step found: a remark, or one line per problem.
pub type Findings = Result<String, Vec<String>>;

struct Failure {
    step: &'static str,
    problems: Vec<String>,
    remedy: &'static str,
}

/// Collects what the steps of a command found.
#[derive(Default)]
pub struct Report {
    steps: usize,
    failures: Vec<Failure>,
}

impl Report {
    /// Runs `work` under the name `step`; `remedy` is told when it fails.
    pub fn step(&mut self, step: &'static str, remedy: &'static str, work: impl FnOnce() -> Findings) {
        println!("== {step}");
        let started = Instant::now();
        let findings = work();
        let seconds = started.elapsed().as_secs_f64();
        self.steps += 1;
        match findings {
            Ok(remark) if remark.is_empty() => println!("   ok ({seconds:.1} s)"),
            Ok(remark) => println!("   ok ({seconds:.1} s): {remark}"),
            Err(problems) => {
                println!("   FAILED ({seconds:.1} s)");
                for problem in &problems {
                    println!("   {}", problem.lines().next().unwrap_or(problem));
                }
                self.failures.push(Failure { step, problems, remedy });
            }
        }
    }

    /// Tells all failures again, and what to do about each.
    pub fn finish(self) -> ExitCode {
        if self.failures.is_empty() {
            println!("\nall {} steps passed", self.steps);
            return ExitCode::SUCCESS;
        }
        for Failure { step, problems, remedy } in &self.failures {
            println!("\nFAILED {step}");
            for problem in problems {
                println!("  {problem}");
            }
            println!("  what to do: {remedy}");
        }
        println!("\n{} of {} steps failed", self.failures.len(), self.steps);
        ExitCode::FAILURE
    }
}

/// Findings of a step that is one external command.
pub fn one(result: Result<(), String>) -> Findings {
    result.map(|()| String::new()).map_err(|problem| vec![problem])
}

/// Findings of a step that lists problems.
pub fn listed(problems: Vec<String>, remark: String) -> Findings {
    if problems.is_empty() { Ok(remark) } else { Err(problems) }
}
