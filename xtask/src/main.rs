//! The project's commands. `cargo xtask` alone lists them.
//!
//! `check` only reads, `fix` and `codegen` write, `test` runs everything, the proof included. CI calls these commands and nothing
//! else, so what passes here passes there.

mod arrows;
mod bench;
mod check;
mod ci;
mod codegen;
mod dashboards;
mod dist;
mod evidence;
mod fix;
mod links;
mod manifests;
mod nightly;
mod proof;
mod quick;
mod registry;
mod report;
mod sources;
mod stages;
mod test;
mod words;
mod workflows;
mod workspace;

use std::process::ExitCode;
use workspace::Workspace;

struct Command {
    name: &'static str,
    does: &'static str,
    run: Run,
}

/// What a command does with what follows its name.
enum Run {
    /// Takes no arguments.
    Alone(fn(&Workspace) -> ExitCode),
    /// Hands them on to the program that it runs.
    With(fn(&Workspace, &[String]) -> ExitCode),
}

/// A new command is a line here and a module that does it.
const COMMANDS: [Command; 14] = [
    Command {
        name: "check",
        does: "reads everything, changes nothing: style, layers, links, docs",
        run: Run::Alone(check::run),
    },
    Command {
        name: "quick",
        does: "style and tests of what changed, without servers; `quick --since REV`",
        run: Run::With(quick::run),
    },
    Command {
        name: "fix",
        does: "writes what a machine can repair: clippy, generated files, format",
        run: Run::Alone(fix::run),
    },
    Command {
        name: "words",
        does: "counts the words that the language rules refuse; `words PATH` lists their places",
        run: Run::With(words::run),
    },
    Command {
        name: "codegen",
        does: "writes the generated files anew; `codegen --runbook-base URL` changes where alerts link to",
        run: Run::With(codegen::run),
    },
    Command {
        name: "test",
        does: "finds or installs the servers, then builds and tests everything; `test --only tests | proofs`",
        run: Run::With(test::run),
    },
    Command {
        name: "ci",
        does: "`check` and `test` together, which takes less time than one after the other",
        run: Run::Alone(ci::run),
    },
    Command {
        name: "bench",
        does: "measures the election on real stores; `bench renewals`, `bench signals`, `bench --help`",
        run: Run::With(bench::run),
    },
    Command {
        name: "model",
        does: "model check of the election; `model mutants`, `model replay FILE`, `model --help`",
        run: Run::With(proof::model),
    },
    Command {
        name: "sim",
        does: "simulation on virtual time; `sim --seeds N`, `sim --replay FILE`, `sim --help`",
        run: Run::With(proof::sim),
    },
    Command {
        name: "chaos",
        does: "real processes and stores under faults; `chaos --faults N`, `chaos --signals N`, `chaos --help`",
        run: Run::With(proof::chaos),
    },
    Command {
        name: "nightly",
        does: "simulation and chaos in recorded parts, for days; goes on after it was killed; `nightly --help`",
        run: Run::With(nightly::run),
    },
    Command {
        name: "dist",
        does: "builds the wheel of the Python client from the commit, into target/dist",
        run: Run::Alone(dist::run),
    },
    Command {
        name: "evidence",
        does: "runs the proof and writes docs/evidence.md; `evidence sim` runs that part anew",
        run: Run::With(evidence::run),
    },
];

/// The command line was not understood; also what the shell uses for it.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let command = arguments.split_first().and_then(|(name, rest)| {
        let command = COMMANDS.iter().find(|command| command.name == name)?;
        (rest.is_empty() || matches!(command.run, Run::With(_))).then_some((command, rest))
    });
    let Some((command, rest)) = command else {
        eprintln!("usage: cargo xtask COMMAND");
        for Command { name, does, run: _ } in COMMANDS {
            eprintln!("  {name:<8} {does}");
        }
        return ExitCode::from(EXIT_USAGE);
    };
    match Workspace::find() {
        Ok(workspace) => match command.run {
            Run::Alone(run) => run(&workspace),
            Run::With(run) => run(&workspace, rest),
        },
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}
