//! `cargo xtask bench`: the figures of the README, as ratios to their limits, measured in one run on this machine.
//! Never part of the tests: what depends on time is told, not judged.

use crate::proof;
use crate::test::BACKEND_VARIABLE;
use crate::test::servers::Servers;
use crate::workspace::{Workspace, run as run_command};
use std::ffi::OsString;
use std::process::ExitCode;

/// The command.
pub fn run(workspace: &Workspace) -> ExitCode {
    proof::told(measure(workspace))
}

fn measure(workspace: &Workspace) -> Result<(), String> {
    let servers = Servers::provide(workspace)?;
    println!("{servers}");
    // What is measured is what users build; what measures it need not be quick.
    run_command(&mut workspace.cargo(&["build", "--release", "--locked", "--package", "app"]))?;
    let binary = workspace.root().join("target/release/coordinator");
    let mut figures =
        workspace.cargo(&["run", "--quiet", "--locked", "--package", "app", "--example", "figures", "--"]);
    figures.arg(binary).env(BACKEND_VARIABLE, servers.backend().as_str());
    if let Some(path) = servers.path() {
        figures.env::<_, OsString>("PATH", path);
    }
    run_command(&mut figures)
}
