//! The proof: the model check, the simulation and chaos. Each is a separate program that reports what it
//! found and fails after a violation; this module builds and starts them.

use crate::test::BACKEND_VARIABLE;
use crate::test::servers::Servers;
use crate::workspace::{OF_THE_RUNNING_PACKAGE, Workspace, run as run_command};
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitCode};

/// The flags that put the driver on virtual time; the second lets the order in which tokio wakes tasks be drawn
/// from the seed. They change what every crate is built with, so these builds have a directory of their own.
const SIMULATED: &str = "--cfg simulated --cfg tokio_unstable";
const SIMULATED_TARGET: &str = "target/sim";
/// Where and with which flags the model's program builds the mutants of the election: crates/model/src/workshop.rs.
const MODEL_TARGET: &str = "target/model/mutants/build";
const MODEL_FLAGS: &str = "--cap-lints allow -A warnings";
/// The dynamic linker's variable for libraries that go before all others.
const PRELOAD: &str = "LD_PRELOAD";
/// What the model's program calls what `cargo xtask model` does by itself.
const MODEL_CHECK: &str = "check";
const MODEL_COMMANDS: [&str; 4] = [MODEL_CHECK, "mutants", "dispatcher", "replay"];

/// The command `model`.
pub fn model(workspace: &Workspace, arguments: &[String]) -> ExitCode {
    reported(run_command(&mut model_command(workspace, arguments)))
}

/// The command `sim`.
pub fn sim(workspace: &Workspace, arguments: &[String]) -> ExitCode {
    reported(run_command(&mut sim_command(workspace, arguments)))
}

/// The command `chaos`.
pub fn chaos(workspace: &Workspace, arguments: &[String]) -> ExitCode {
    reported(built_chaos_command(workspace, arguments).and_then(|mut chaos| run_command(&mut chaos)))
}

/// Prints why a command failed, and returns its exit code.
pub fn reported(outcome: Result<(), String>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// The model check, or what of it the first argument names. It is built where and as it builds its mutants, so that the
/// dependencies of both are compiled once.
pub fn model_command(workspace: &Workspace, arguments: &[String]) -> Command {
    let mut command = workspace.cargo(&["run", "--release", "--quiet", "--locked", "--package", "model"]);
    // It calls cargo for its mutants.
    let unset: String = OF_THE_RUNNING_PACKAGE.map(|variable| format!(", '-u', '{variable}'")).concat();
    command.args(["--config", &format!("target.'cfg(unix)'.runner = ['env'{unset}]"), "--"]);
    command.env("CARGO_TARGET_DIR", workspace.root().join(MODEL_TARGET)).env("RUSTFLAGS", MODEL_FLAGS);
    with_fast_allocator(&mut command);
    if !arguments.first().is_some_and(|first| MODEL_COMMANDS.contains(&first.as_str())) {
        command.arg(MODEL_CHECK);
    }
    command.args(arguments);
    command
}

/// The simulation.
pub fn sim_command(workspace: &Workspace, arguments: &[String]) -> Command {
    let mut command =
        simulated(workspace, &["run", "--release", "--quiet", "--locked", "--package", "sim", "--"]);
    command.args(arguments);
    with_fast_allocator(&mut command);
    command
}

/// Simulation and model check allocate all the time: with jemalloc they need a fifth less of the processor for the same
/// result. Debian's redis-server brings it; where it is absent they only take longer.
fn with_fast_allocator(command: &mut Command) {
    let machine = std::env::consts::ARCH;
    let library = Path::new("/usr/lib").join(format!("{machine}-linux-gnu/libjemalloc.so.2"));
    if library.is_file() && std::env::var_os(PRELOAD).is_none() {
        command.env(PRELOAD, library);
    }
}

/// Builds the simulation.
pub fn sim_build(workspace: &Workspace) -> Command {
    simulated(workspace, &["build", "--release", "--quiet", "--locked", "--package", "sim"])
}

/// The simulation's own tests, which need virtual time too.
pub fn sim_tests(workspace: &Workspace) -> Command {
    simulated(workspace, &["test", "--release", "--locked", "--package", "sim"])
}

/// Clippy for what only exists on virtual time.
pub fn sim_clippy(workspace: &Workspace) -> Command {
    let arguments =
        ["clippy", "--package", "sim", "--package", "coordinator", "--locked", "--", "-D", "warnings"];
    simulated(workspace, &arguments)
}

/// Incremental unless `CARGO_INCREMENTAL` says otherwise, as it does in CI: after a small change of the domain the build
/// then takes seconds of a processor instead of 70.
fn simulated(workspace: &Workspace, arguments: &[&str]) -> Command {
    let mut command = workspace.cargo(arguments);
    command.env("RUSTFLAGS", SIMULATED).env("CARGO_TARGET_DIR", workspace.root().join(SIMULATED_TARGET));
    command.env("CARGO_PROFILE_RELEASE_INCREMENTAL", "true");
    command
}

/// What chaos and its coordinators are built as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// As the tests have built everything already.
    Debug,
    /// As users build it.
    Release,
}

/// Asks chaos for its campaign of many signals.
pub const SIGNALS: &str = "--signals";

/// Chaos, after finding its servers and building its binaries. Many signals are for a binary as users have it.
pub fn built_chaos_command(workspace: &Workspace, arguments: &[String]) -> Result<Command, String> {
    let servers = Servers::provide(workspace)?;
    println!("{servers}");
    let many = arguments.iter().any(|argument| argument.starts_with(SIGNALS));
    let (profile, what): (Profile, &[&str]) = if many {
        (Profile::Release, &["--release", "--bin", "coordinator", "--example", "chaos"])
    } else {
        (Profile::Debug, &["--bins", "--examples"])
    };
    run_command(&mut workspace.cargo(&[&["build", "--locked", "--package", "app"], what].concat()))?;
    let mut command = chaos_command(workspace, profile, arguments);
    command.env(BACKEND_VARIABLE, servers.backend().as_str());
    if let Some(path) = servers.path() {
        command.env::<_, OsString>("PATH", path);
    }
    Ok(command)
}

/// Groups of that campaign, each of two instances.
const EXEC_GROUPS: &str = "4";

/// Kills of the campaign of `exec` unless another number is given.
pub const EXEC_KILLS: &str = "1000";

/// The random kills of `coordinator exec`: a test with more kills than usual, in several groups at once. It writes its
/// figures into `record`. The file of its progress makes a run that was interrupted continue; it is removed only after
/// a whole run.
pub fn exec_command(workspace: &Workspace, kills: &str, record: &Path) -> Result<Command, String> {
    let servers = Servers::provide(workspace)?;
    println!("{servers}");
    let mut command = workspace.cargo(&["test", "--locked", "--package", "app", "--test", "e2e"]);
    command.args(["--", "--exact", "exec_kills::no_command_outlives_its_leadership_under_random_kills"]);
    command.env("EXEC_KILLS_COUNT", kills).env("EXEC_KILLS_GROUPS", EXEC_GROUPS);
    command.env("EXEC_KILLS_RECORD", record).env("EXEC_KILLS_PROGRESS", record.with_extension("progress"));
    command.env(BACKEND_VARIABLE, servers.backend().as_str());
    if let Some(path) = servers.path() {
        command.env::<_, OsString>("PATH", path);
    }
    Ok(command)
}

/// Chaos, with binaries that are built already; it does not know its servers yet.
pub fn chaos_command(workspace: &Workspace, profile: Profile, arguments: &[String]) -> Command {
    let built = workspace.target().join(match profile {
        Profile::Debug => "debug",
        Profile::Release => "release",
    });
    let mut command = Command::new(built.join("examples/chaos"));
    command.arg("--coordinator").arg(built.join("coordinator"));
    if profile == Profile::Debug {
        command.arg("--naive").arg(built.join("examples/naive"));
    }
    command.args(arguments);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Otherwise all dependencies of the model are compiled twice.
    #[test]
    fn the_model_is_built_as_its_mutants_are() {
        let workshop = include_str!("../../crates/model/src/workshop.rs");
        assert!(workshop.contains(&format!("\"RUSTFLAGS\", \"{MODEL_FLAGS}\"")));
        assert!(workshop.contains("folder.join(\"build\")") && MODEL_TARGET.ends_with("mutants/build"));
    }
}
