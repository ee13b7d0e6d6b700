//! Chaos with real processes: `cargo xtask chaos`.
//!
//! Three coordinators run on a real Redis and a real PostgreSQL with a standby. Each reaches each store
//! through a separate TCP proxy. A client continuously submits signals by HTTP to one instance after the
//! other. The leader processes the ledger and sends the signals to a broker (a file that keeps every order).
//! During that time faults hit processes, network and stores, several at a time. In healed times, and at the
//! end, exactly one instance must lead and every acknowledged signal must have been executed exactly once.
//! The named invariants of `contract` judge the events of every process. In quiet phases, which begin after 3
//! LEADER_TTL without a fault, a term must not end: see [`quiet`].
//!
//! At the same time the usual pattern (`naive.rs`) goes through the same kinds of faults on its own servers,
//! and the table lists its duplicates next to ours.
//!
//! With `--signals` it is another campaign, about the ledger alone: see [`signals`].

mod client;
mod fault;
mod interrupt;
mod judge;
mod quiet;
mod report;
mod seat;
mod servers;
mod signals;
mod storm;
mod strike;
mod submission;
mod system;

use clap::Parser;
use client::Client;
use fault::{Deck, Dice, Kind};
use interrupt::Interrupts;
use report::Report;
use seat::Seat;
use serde_json::Value;
use servers::Servers;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Instant, SystemTime};
use storm::{Ground, Stop, Storm};
use system::{Orders, System, Which};
use tempfile::TempDir;

/// The naive pattern gets this part of the faults, up to a limit: enough to show its behaviour.
const NAIVE_SHARE: u32 = 2;
const NAIVE_FAULTS_MAX: u32 = 100;
/// Exit code after Ctrl-C, as in shells.
const INTERRUPTED: u8 = 130;

/// The command line.
#[derive(Debug, Parser)]
struct Arguments {
    /// Binary of the coordinator
    #[arg(long)]
    coordinator: PathBuf,
    /// Binary of the naive pattern
    #[arg(long, required_unless_present = "signals")]
    naive: Option<PathBuf>,
    /// Number of faults
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    faults: u32,
    /// Instead: number of signals, while the leader is killed, stopped and cut off every few seconds
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "100000",
          conflicts_with_all = ["faults", "only"], value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    signals: Option<u64>,
    /// Seed; the same seed draws the same faults [default: from the clock]
    #[arg(long)]
    seed: Option<u64>,
    /// Only faults of this kind; can be repeated [default: all]
    #[arg(long, value_name = "KIND", value_parser = Kind::parse)]
    only: Vec<Kind>,
    /// File for the figures, as JSON
    #[arg(long)]
    record: Option<PathBuf>,
}

/// Result of a campaign.
struct Findings {
    /// Table to print.
    table: String,
    /// Record for the evidence.
    record: Value,
    /// Whether everything that must hold does.
    verdict: Verdict,
}

/// Verdict of a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Holds,
    Violated,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let directory = tempfile::Builder::new().prefix("coordinator-chaos-").tempdir();
    let directory = directory.expect("a temporary directory");
    let interrupts = Interrupts::catch();
    match run(&arguments, directory.path(), &interrupts) {
        Ok(findings) => conclude(&arguments, &findings, directory),
        Err(Stop::Interrupted) => {
            eprintln!("interrupted");
            ExitCode::from(INTERRUPTED)
        }
        Err(Stop::Never(what)) => {
            eprintln!("error: {what}");
            keep(directory)
        }
    }
}

fn run(arguments: &Arguments, directory: &Path, interrupts: &Interrupts) -> Result<Findings, Stop> {
    let seed = arguments.seed.unwrap_or_else(seed_of_the_moment);
    let mut servers = Servers::start();
    match arguments.signals {
        Some(count) => {
            println!("{count} signals, seed {seed}");
            let ground = Ground { servers: &mut servers, dice: Dice::new(seed), directory, interrupts };
            signals::run(ground, arguments.coordinator.clone(), count)
        }
        None => {
            println!("{} faults, seed {seed}", arguments.faults);
            faults(arguments, seed, &mut servers, directory, interrupts)
        }
    }
}

/// Every kind of fault, for the coordinator and for the usual pattern.
fn faults(
    arguments: &Arguments,
    seed: u64,
    servers: &mut Servers,
    directory: &Path,
    interrupts: &Interrupts,
) -> Result<Findings, Stop> {
    let began = Instant::now();
    let kinds = if arguments.only.is_empty() { &Kind::ALL[..] } else { &arguments.only };
    let storm = |which, program: &Path, faults, servers: &mut Servers, interrupts: &Interrupts| {
        let own = directory.join(format!("{which:?}").to_lowercase());
        std::fs::create_dir(&own).unwrap_or_else(|error| panic!("{}: {error}", own.display()));
        let system = System {
            which,
            program: program.to_owned(),
            orders: Orders::File(own.join("broker")),
            locks: own.join("locks"),
        };
        let seats = Seat::three(servers);
        let doors: Vec<_> = seats.iter().map(Seat::address).collect();
        let client = Client::start(which, servers, &doors).map_err(Stop::Never)?;
        let ground = Ground { servers, dice: Dice::new(seed), directory: &own, interrupts };
        let mut storm = Storm::gather(ground, system, seats, client)?;
        let outcome = storm.rage(faults, Deck::new(kinds, Dice::new(seed)));
        storm.finish(outcome)
    };
    let naive = arguments.naive.as_deref().expect("clap asks for it");
    let naive_faults = (arguments.faults / NAIVE_SHARE).clamp(1, NAIVE_FAULTS_MAX);
    // Both mostly wait, so they run at the same time, each on its own servers.
    let (ours, naive) = thread::scope(|scope| {
        let naive = scope
            .spawn(|| storm(Which::Naive, naive, naive_faults, &mut Servers::start(), &Interrupts::catch()));
        let ours = storm(Which::Coordinator, &arguments.coordinator, arguments.faults, servers, interrupts);
        (ours, naive.join().unwrap_or_else(|panic| resume_unwind(panic)))
    });
    let (ours, naive) = (ours?, naive?);
    let report = Report::new(ours, naive, began.elapsed());
    let verdict = if report.violations.is_empty() { Verdict::Holds } else { Verdict::Violated };
    Ok(Findings { table: report.table(), record: report.record(), verdict })
}

/// Prints the table and writes the record.
fn conclude(arguments: &Arguments, findings: &Findings, directory: TempDir) -> ExitCode {
    println!("{}", findings.table);
    if let Some(path) = &arguments.record
        && let Err(error) = std::fs::write(path, format!("{:#}\n", findings.record))
    {
        eprintln!("error: {}: {error}", path.display());
        return ExitCode::FAILURE;
    }
    match findings.verdict {
        Verdict::Holds => ExitCode::SUCCESS,
        Verdict::Violated => keep(directory),
    }
}

/// Keeps the logs and prints their directory.
fn keep(directory: TempDir) -> ExitCode {
    eprintln!("the logs are in {}", directory.keep().display());
    ExitCode::FAILURE
}

fn seed_of_the_moment() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.as_secs() ^ u64::from(since.subsec_nanos())
}
