//! `cargo xtask test`: the whole suite, from a machine that has nothing but Rust, git and apt.
//!
//! Four stages: find or install the servers, build, run, look for processes that were left behind. Nothing is
//! skipped: what cannot be had is an error. The last line on standard output is `N passed, N failed`.

mod leftovers;
mod provision;
mod run;
pub mod servers;
pub mod summary;

use crate::workspace::{Workspace, run as run_command};
use servers::Servers;
use std::ffi::OsString;
use std::process::ExitCode;
use summary::Summary;

/// How the test crates learn which servers to use: `containers` or `native`.
pub const BACKEND_VARIABLE: &str = "COORDINATOR_TEST_BACKEND";

/// The command.
pub fn run(workspace: &Workspace) -> ExitCode {
    let mut problems = Vec::new();
    let summary = attempt(workspace, &mut problems).unwrap_or_else(|problem| {
        problems.push(problem);
        Summary::default()
    });

    println!();
    for binary in summary.failed_binaries() {
        println!("failed: {binary}");
    }
    if summary.passed() == 0 {
        problems.push("not a single test passed".to_owned());
    }
    for problem in &problems {
        println!("error: {problem}");
    }
    println!("{} passed, {} failed", summary.passed(), summary.failed());
    if summary.failed() == 0 && problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn attempt(workspace: &Workspace, problems: &mut Vec<String>) -> Result<Summary, String> {
    println!("== servers");
    let servers = Servers::provide(workspace)?;
    println!("{servers}");

    println!("== build");
    // Built beforehand so that the time limit of the run is about tests, and a compiler's daemon, if one is
    // configured, is not taken for a leftover.
    run_command(&mut workspace.cargo(&["build", "--workspace", "--all-targets", "--locked"]))?;

    println!("== tests");
    let orphans = leftovers::Orphans::adopt()?;
    let mut cargo = workspace.cargo(&["test", "--workspace", "--locked", "--no-fail-fast"]);
    cargo.env(BACKEND_VARIABLE, servers.backend().as_str());
    if let Some(path) = servers.path() {
        cargo.env::<_, OsString>("PATH", path);
    }
    let outcome = run::tests(&mut cargo);
    problems.extend(orphans.end().into_iter().map(|process| format!("outlived the tests: {process}")));
    let (summary, problem) = outcome?;
    problems.extend(problem);
    Ok(summary)
}
