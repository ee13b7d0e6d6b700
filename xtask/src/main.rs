//! The project's commands. `cargo xtask` alone lists them.
//!
//! `check` only reads, `fix` and `codegen` write, `test` runs everything. CI calls these commands and nothing
//! else, so what passes here passes there.

mod arrows;
mod bench;
mod check;
mod codegen;
mod fix;
mod links;
mod manifests;
mod report;
mod sources;
mod test;
mod workspace;

use std::process::ExitCode;
use workspace::Workspace;

struct Command {
    name: &'static str,
    does: &'static str,
    run: fn(&Workspace) -> ExitCode,
}

/// A new command is a line here and a module that does it.
const COMMANDS: [Command; 5] = [
    Command {
        name: "check",
        does: "reads everything, changes nothing: style, layers, links, docs",
        run: check::run,
    },
    Command {
        name: "fix",
        does: "writes what a machine can repair: clippy, generated files, format",
        run: fix::run,
    },
    Command { name: "codegen", does: "writes the generated files anew", run: codegen::run },
    Command {
        name: "test",
        does: "finds or installs the servers, then builds and tests everything",
        run: test::run,
    },
    Command {
        name: "bench",
        does: "measures failover, handover, load and memory on real stores",
        run: bench::run,
    },
];

/// The command line was not understood; also what the shell uses for it.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let command = match arguments.as_slice() {
        [name] => COMMANDS.iter().find(|command| command.name == name),
        _ => None,
    };
    let Some(command) = command else {
        eprintln!("usage: cargo xtask COMMAND");
        for Command { name, does, run: _ } in COMMANDS {
            eprintln!("  {name:<8} {does}");
        }
        return ExitCode::from(EXIT_USAGE);
    };
    match Workspace::find() {
        Ok(workspace) => (command.run)(&workspace),
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}
