//! The model check of the election. It explores the shipped [`Elector`](domain::election::Elector) under every order
//! of events, up to a number of faults in a run. Run it with `cargo xtask model`.
//!
//! Read in this order: `fault_set` (the faults explored), `model` (the possible actions in a state), `world` (a state
//! and its events), `judge` (the properties), `database` and `tickets` (the stores), `mutant` and `dispatcher` (the
//! test of the check itself).

mod action;
mod counterexample;
mod coverage;
mod database;
mod dispatcher;
mod explore;
mod fault_set;
mod judge;
mod message;
mod model;
mod mutant;
mod mutants;
mod rule;
mod tickets;
mod workshop;
mod world;

use clap::{Parser, Subcommand};
use explore::Length;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Explore the election's state machine exhaustively, within bounds, and report broken properties
#[derive(Parser)]
#[command(name = "model", after_help = "Example: cargo xtask model --set failover")]
struct Arguments {
    #[command(subcommand)]
    command: What,
}

#[derive(Subcommand)]
enum What {
    /// Explore every fault set: no property may break
    Check {
        /// Only this fault set
        #[arg(long)]
        set: Option<String>,
        /// One more fault in a run, and at least 50 million states in all
        #[arg(long)]
        nightly: bool,
        /// Write the figures to this file, as JSON
        #[arg(long)]
        record: Option<PathBuf>,
    },
    /// Remove one rule after the other of the election, the statements and the dispatcher: each must be noticed
    Mutants {
        /// Write the figures to this file, as JSON
        #[arg(long)]
        record: Option<PathBuf>,
    },
    /// Only the dispatcher's part of `mutants`
    Dispatcher,
    /// Explore with one rule removed; `mutants` calls this in the build that it makes
    #[command(hide = true)]
    Mutant {
        /// The mutant's name
        name: String,
        /// The folder for its counterexample
        folder: PathBuf,
    },
    /// Replay a saved counterexample and report the broken property, if any
    Replay {
        /// The counterexample
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

/// The checkout from which this program was built.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The folder for counterexamples and mutants.
fn folder() -> PathBuf {
    root().join("target/model")
}

fn save(record: Option<PathBuf>, figures: &serde_json::Value) -> Result<(), String> {
    let Some(path) = record else { return Ok(()) };
    fs::write(&path, format!("{figures:#}\n")).map_err(|error| format!("{}: {error}", path.display()))
}

fn replay(file: &Path) -> Result<(), String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let (found, said) = counterexample::replay(&text)?;
    println!("{found}");
    if found == said { Ok(()) } else { Err(format!("the counterexample expects: {said}")) }
}
