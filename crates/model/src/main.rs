//! The model check of the election: the very [`Elector`](domain::election::Elector) that ships, in every order
//! of everything that may happen to it, up to a number of faults in a run. Run it by `cargo xtask model`.
//!
//! Read in this order: `fault_set` (what is explored), `model` (the choices in a state), `world` (a state, and
//! what befalls it), `judge` (what must hold), `database` and `tickets` (the stores), `mutant` and
//! `dispatcher` (the test of the test).

mod action;
mod coverage;
mod database;
mod dispatcher;
mod explore;
mod fault_set;
mod judge;
mod message;
mod model;
mod mutant;
mod rule;
mod story;
mod tickets;
mod workshop;
mod world;

use clap::{Parser, Subcommand};
use explore::Length;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Explores the election's state machine exhaustively, within bounds, and tells what breaks.
#[derive(Parser)]
#[command(name = "model", after_help = "Example: cargo xtask model --set failover")]
struct Arguments {
    #[command(subcommand)]
    command: What,
}

#[derive(Subcommand)]
enum What {
    /// Explores every fault set: nothing may break.
    Check {
        /// This fault set only.
        #[arg(long)]
        set: Option<String>,
        /// One more fault in a run, and at least 50 million states in all.
        #[arg(long)]
        nightly: bool,
        /// Writes the figures there, as JSON.
        #[arg(long)]
        record: Option<PathBuf>,
    },
    /// Takes one rule away after the other, of the election, the statements and the dispatcher: each must be noticed.
    Mutants {
        /// Writes the figures there, as JSON.
        #[arg(long)]
        record: Option<PathBuf>,
    },
    /// The dispatcher's part of `mutants` alone.
    Dispatcher,
    /// Explores with one rule taken away; `mutants` calls this in the build that it makes.
    #[command(hide = true)]
    Mutant {
        /// Which.
        name: String,
        /// Where its story goes.
        folder: PathBuf,
    },
    /// Plays a saved counterexample again, and tells what breaks now.
    Replay {
        /// The story.
        file: PathBuf,
    },
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        What::Check { set, nightly, record } => {
            let length = if nightly { Length::Nightly } else { Length::Ci };
            explore::check(set.as_deref(), length, &folder()).and_then(|figures| save(record, &figures))
        }
        What::Mutants { record } => mutants().and_then(|figures| save(record, &figures)),
        What::Dispatcher => dispatcher::mutants(&root(), &folder()).map(drop),
        What::Mutant { name, folder } => explore::mutant(&name, &folder),
        What::Replay { file } => replay(&file),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// The elector's and the statements' mutants, then the dispatcher's.
fn mutants() -> Result<serde_json::Value, String> {
    let mut figures = explore::mutants(&root(), &folder())?;
    figures["dispatcher"] = dispatcher::mutants(&root(), &folder())?;
    Ok(figures)
}

/// The checkout this program was built from.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Where counterexamples and mutants go.
fn folder() -> PathBuf {
    root().join("target/model")
}

fn save(record: Option<PathBuf>, figures: &serde_json::Value) -> Result<(), String> {
    let Some(path) = record else { return Ok(()) };
    fs::write(&path, format!("{figures:#}\n")).map_err(|error| format!("{}: {error}", path.display()))
}

fn replay(file: &Path) -> Result<(), String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let (found, said) = story::replay(&text)?;
    println!("{found}");
    if found == said { Ok(()) } else { Err(format!("the story says: {said}")) }
}
