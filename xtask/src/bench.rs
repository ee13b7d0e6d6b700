//! `cargo xtask bench`: measures the figures of the README, as ratios within one run on this machine. It is
//! no part of the tests: durations are reported, not judged.

use crate::EXIT_USAGE;
use crate::proof;
use crate::test::BACKEND_VARIABLE;
use crate::test::servers::Servers;
use crate::workspace::{Workspace, run as run_command};
use std::ffi::OsString;
use std::process::ExitCode;

const HELP: &str = "\
usage: cargo xtask bench [kills | renewals | signals]

  bench            failover, handover, load and memory of the election, and then `bench renewals`
  bench kills      kill -9 of a leader with a follower on its host, to the next leader: the first part of
                   `bench`, 20 kills for each kind of store; 5 minutes
  bench renewals   the leader's renewals with and without HTTP load: both 99th percentiles, how many
                   ms they are apart (goal: less than 5) and their ratio; 7 minutes
  bench signals    the ledger: the adapter's statements compared with the same in pgbench, and the time
                   from a signal's POST to its arrival at the handler

Prints ratios of what was measured in one run on this machine, and judges nothing. It takes some
minutes, and wants a machine that has nothing else to do. The servers are started for it and go
away with it; `bench renewals` and `bench signals` need PostgreSQL installed here, as they switch its
durability on.";

/// The measurement to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    Election,
    Kills,
    Renewals,
    Signals,
}

/// The command.
pub fn run(workspace: &Workspace, arguments: &[String]) -> ExitCode {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let subject = match arguments[..] {
        [] => Subject::Election,
        ["kills"] => Subject::Kills,
        ["renewals"] => Subject::Renewals,
        ["signals"] => Subject::Signals,
        ["--help" | "-h" | "help"] => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("{HELP}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    proof::reported(measure(workspace, subject))
}

fn measure(workspace: &Workspace, subject: Subject) -> Result<(), String> {
    let servers = Servers::provide(workspace)?;
    println!("{servers}");
    // The measured program is built as users build it; the measuring program need not be fast.
    run_command(&mut workspace.cargo(&["build", "--release", "--locked", "--package", "app"]))?;
    let binary = workspace.target().join("release/coordinator");
    let (examples, profile): (&[&str], _) = match subject {
        Subject::Election => (&["figures", "renewals"], None),
        Subject::Kills => (&["figures"], None),
        Subject::Renewals => (&["renewals"], None),
        // It contains the adapter, and as a client it must not delay what it measures.
        Subject::Signals => (&["signals_figures"], Some("--release")),
    };
    for example in examples {
        let selected = ["--locked", "--package", "app", "--example", example];
        run_command(workspace.cargo(&["build"]).args(profile).args(selected))?;
        let mut figures = workspace.cargo(&["run", "--quiet"]);
        figures
            .args(profile)
            .args(selected)
            .arg("--")
            .arg(&binary)
            .args((subject == Subject::Kills).then_some("kills"))
            .env(BACKEND_VARIABLE, servers.backend().as_str());
        if let Some(path) = servers.path() {
            figures.env::<_, OsString>("PATH", path);
        }
        run_command(&mut figures)?;
    }
    Ok(())
}
