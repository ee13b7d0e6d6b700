//! `cargo xtask test`: the whole suite, from a machine that has nothing but Rust, git and apt.
//!
//! Finds or installs the servers, builds, runs the stages of [`plan`], and looks for processes that were left behind.
//! Nothing is skipped: what is not available is an error. The last line on standard output is `N passed, N failed`; each
//! part of the proof counts as one.

pub mod binaries;
pub mod job;
mod leftovers;
mod plan;
mod provision;
pub mod python;
mod run;
pub mod servers;
pub mod summary;
pub mod units;

use crate::EXIT_USAGE;
use crate::proof;
use crate::stages::Stages;
use crate::workspace::Workspace;
use plan::{Checks, Only, Plan};
use run::Run;
use servers::Servers;
use std::process::ExitCode;

/// How the test crates learn which servers to use: `containers` or `native`.
pub const BACKEND_VARIABLE: &str = "COORDINATOR_TEST_BACKEND";
/// How the testkit learns where the servers of a run share a data directory that is initialized once.
const TEMPLATES_VARIABLE: &str = "COORDINATOR_TEST_TEMPLATES";

/// The command `test`.
pub fn run(workspace: &Workspace, arguments: &[String]) -> ExitCode {
    match plan::parse(arguments) {
        Ok(only) => report(workspace, only, Checks::None, Stages::default()),
        Err(usage) => {
            eprintln!("{usage}");
            ExitCode::from(EXIT_USAGE)
        }
    }
}

/// Everything, and the checks that compile: the second half of the command `ci`.
pub fn run_with_checks(workspace: &Workspace, stages: Stages) -> ExitCode {
    report(workspace, None, Checks::Included, stages)
}

fn report(workspace: &Workspace, only: Option<Only>, checks: Checks, stages: Stages) -> ExitCode {
    let run = Run::new(workspace, stages);
    if let Err(problem) = attempt(&run, only, &Plan::new(only, checks)) {
        run.problem(problem);
    }
    run.conclude()
}

fn attempt(run: &Run, only: Option<Only>, plan: &Plan) -> Result<(), String> {
    let binaries = if only == Some(Only::Proofs) {
        Vec::new()
    } else {
        let (servers, _) = run.stages.run("servers", || Servers::provide(run.workspace));
        let servers = servers?;
        println!("{servers}");
        run.use_servers(servers);
        python::provide(run.workspace)?;
        // Built before everything else so that a compiler's daemon, if one is configured, is not taken for a process
        // that a test left behind.
        run.stages.run("build", || binaries::build_all(run.workspace)).0?
    };
    let units = units::all(binaries)?;
    let orphans = leftovers::Orphans::adopt()?;
    std::thread::scope(|scope| {
        scope.spawn(|| plan.computing.iter().for_each(|&stage| run.stage(stage, &units)));
        plan.waiting.iter().for_each(|&stage| run.stage(stage, &units));
    });
    plan.last.iter().for_each(|&stage| run.stage(stage, &units));
    for process in orphans.end() {
        run.problem(format!("outlived the tests: {process}"));
    }
    Ok(())
}

/// Signals of the campaign about them: what debug binaries do in two minutes. The record has many more.
const SIGNALS: &str = "5000";

/// The arguments of that campaign.
fn many_signals() -> [String; 2] {
    [proof::SIGNALS, SIGNALS].map(str::to_owned)
}
