//! `cargo xtask fix`: repairs what can be repaired automatically. It writes; `check` then judges the result.

use crate::codegen;
use crate::report::{Report, one};
use crate::workspace::{Workspace, run as run_command};
use std::process::ExitCode;

/// Applies only suggestions that the compiler marks as applicable by machine. A checkout with changes is the
/// normal case for this command, so clippy's own refusal is overridden here.
const CLIPPY_FIX: [&str; 7] =
    ["clippy", "--fix", "--allow-dirty", "--allow-staged", "--workspace", "--all-targets", "--keep-going"];

/// The format comes last: the steps before it write code.
pub fn run(workspace: &Workspace) -> ExitCode {
    let mut report = Report::default();
    report.step("clippy's own repairs", "repair the errors above first", || {
        one(run_command(&mut workspace.cargo(&CLIPPY_FIX)))
    });
    report.step("generated files", "repair the generator that is named above", || codegen::write(workspace));
    report.step("format", "repair the syntax error above", || {
        one(run_command(&mut workspace.cargo(&["fmt", "--all"])))
    });
    report.finish()
}
