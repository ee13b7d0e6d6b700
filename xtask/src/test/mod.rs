//! `cargo xtask test`: the whole suite, from a machine that has nothing but Rust, git and apt.
//!
//! Stages: find or install the servers, build, run the tests and the proof, look for processes that were left
//! behind. Nothing is skipped: what cannot be had is an error. The last line on standard output is
//! `N passed, N failed`; each part of the proof counts as one.

mod leftovers;
mod provision;
mod run;
pub mod servers;
pub mod summary;

use crate::proof::{self, Profile};
use crate::stages::Stages;
use crate::workspace::{Workspace, run as run_command};
use servers::Servers;
use std::ffi::OsString;
use std::process::{Command, ExitCode};
use summary::Summary;

/// How the test crates learn which servers to use: `containers` or `native`.
pub const BACKEND_VARIABLE: &str = "COORDINATOR_TEST_BACKEND";

/// Signals of the campaign about them: what debug binaries do in two minutes. The record has many more.
const SIGNALS: &str = "5000";

/// The command.
pub fn run(workspace: &Workspace) -> ExitCode {
    let mut problems = Vec::new();
    let mut stages = Stages::default();
    let summary = attempt(workspace, &mut stages, &mut problems).unwrap_or_else(|problem| {
        problems.push(problem);
        Summary::default()
    });

    println!("\n{stages}");
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

fn attempt(
    workspace: &Workspace,
    stages: &mut Stages,
    problems: &mut Vec<String>,
) -> Result<Summary, String> {
    let servers = stages.run("servers", || Servers::provide(workspace))?;
    println!("{servers}");

    // Built beforehand so that the time limit of the run is about tests, and a compiler's daemon, if one is
    // configured, is not taken for a leftover.
    stages.run("build", || {
        run_command(&mut workspace.cargo(&["build", "--workspace", "--all-targets", "--locked"]))
    })?;

    let orphans = leftovers::Orphans::adopt()?;
    let outcome = with_processes(workspace, &servers, stages, problems);
    problems.extend(orphans.end().into_iter().map(|process| format!("outlived the tests: {process}")));
    let mut summary = outcome?;

    let (simulated, problem) =
        stages.run("simulation, its tests", || run::tests(&mut proof::sim_tests(workspace)))?;
    problems.extend(problem);
    summary.add(simulated);
    let mut part = |name: &'static str, mut command: Command| {
        summary.part(name, stages.run(name, || run_command(&mut command)));
    };
    part("simulation", proof::sim_command(workspace, &[]));
    part("model check", proof::model_command(workspace, &[]));
    part("mutants", proof::model_command(workspace, &["mutants".to_owned()]));
    Ok(summary)
}

/// The parts that start processes.
fn with_processes(
    workspace: &Workspace,
    servers: &Servers,
    stages: &mut Stages,
    problems: &mut Vec<String>,
) -> Result<Summary, String> {
    let (mut summary, problem) =
        stages.run("tests", || run::tests(&mut cargo(workspace, servers, &TESTS)))?;
    problems.extend(problem);
    let mut chaos = |name: &'static str, arguments: &[String]| {
        let mut command = proof::chaos_command(workspace, servers, Profile::Debug, arguments);
        summary.part(name, stages.run(name, || run_command(&mut command)));
    };
    chaos("chaos", &[]);
    chaos("chaos, signals", &[proof::SIGNALS, SIGNALS].map(str::to_owned));
    let (crashes, problem) =
        stages.run("crash points", || run::tests(&mut cargo(workspace, servers, &CRASH_POINTS)))?;
    problems.extend(problem);
    summary.add(crashes);
    Ok(summary)
}

/// All tests of ordinary builds.
const TESTS: [&str; 4] = ["test", "--workspace", "--locked", "--no-fail-fast"];
/// The tests that need a binary with crash points in it.
const CRASH_POINTS: [&str; 8] =
    ["test", "--locked", "--package", "app", "--features", "crash-points", "--test", "crash_points"];

fn cargo(workspace: &Workspace, servers: &Servers, arguments: &[&str]) -> Command {
    let mut cargo = workspace.cargo(arguments);
    cargo.env(BACKEND_VARIABLE, servers.backend().as_str());
    if let Some(path) = servers.path() {
        cargo.env::<_, OsString>("PATH", path);
    }
    cargo
}
