//! The command line of the simulation.

use crate::plan::Caution;
use clap::Parser;
use std::path::PathBuf;

/// Run seeds, and fail if an invariant does not hold in one or a kind of fault never took effect
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask sim",
    after_help = "Examples:\n  cargo xtask sim --seeds 200\n  cargo xtask sim --minutes 480 --record nightly.json\n  \
                  cargo xtask sim --replay target/sim/failures/17.txt"
)]
pub struct Arguments {
    /// Number of seeds
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub seeds: u64,
    /// The first seed
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    pub first: u64,
    /// Run seeds for this number of minutes, regardless of --seeds
    #[arg(long, value_name = "N")]
    pub minutes: Option<u64>,
    /// Number of faults in the schedule of a seed; not every fault takes effect
    #[arg(long, value_name = "N", default_value_t = 130)]
    pub faults_per_seed: usize,
    /// Number of coordinators; by default drawn from the seed
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(2..=5))]
    pub instances: Option<u64>,
    /// Behaviour of the handler and the operator when they cannot know an outcome: careful, or one of the mistakes
    /// blind, silence-is-no, hasty and latest-attempt, which the simulation must find; no-memory deploys without data
    /// directories
    #[arg(long, value_name = "NAME", default_value = "careful")]
    pub caution: Caution,
    /// Run one saved schedule and print its events
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seeds", "minutes", "first"])]
    pub replay: Option<PathBuf>,
    /// Write the totals as JSON to this file
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
}
