//! Steps one after another: each says its name and its time, all run. A failure is reported in short at once, and
//! in full at the end, together with all others.

use crate::stages::Stages;
use std::process::ExitCode;

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
    stages: Stages,
    failures: Vec<Failure>,
}

impl Report {
    /// Runs `work` under the name `step`; `remedy` is printed when it fails.
    pub fn step(&mut self, step: &'static str, remedy: &'static str, work: impl FnOnce() -> Findings) {
        let (findings, took) = self.stages.run(step, work);
        let seconds = took.as_secs_f64();
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

    /// The stages so far, for a command that goes on; all failures, when there are any.
    pub fn go_on(self) -> Result<Stages, ExitCode> {
        if self.failures.is_empty() { Ok(self.stages) } else { Err(self.finish()) }
    }

    /// Prints all failures again, and what to do about each.
    pub fn finish(self) -> ExitCode {
        let steps = self.stages.count();
        println!("\n{}", self.stages);
        if self.failures.is_empty() {
            println!("all {steps} steps passed");
            return ExitCode::SUCCESS;
        }
        for Failure { step, problems, remedy } in &self.failures {
            println!("\nFAILED {step}");
            for problem in problems {
                println!("  {problem}");
            }
            println!("  what to do: {remedy}");
        }
        println!("\n{} of {steps} steps failed", self.failures.len());
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
