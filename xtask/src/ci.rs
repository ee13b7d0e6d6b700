//! `cargo xtask ci`: what `check` and `test` do, in the time of the longer one. Checks that compile and proofs that compute
//! run while tests wait. The tests compare the generated files, so no generator runs a second time.

use crate::report::Report;
use crate::workspace::Workspace;
use crate::{check, test};
use std::process::ExitCode;

/// The command. A slip that is seen without compiling ends it within seconds.
pub fn run(workspace: &Workspace) -> ExitCode {
    let mut report = Report::default();
    check::quick_steps(&mut report, workspace);
    match report.go_on() {
        Ok(stages) => test::run_with_checks(workspace, stages),
        Err(failed) => failed,
    }
}
