//! The command line.

use crate::plan::Caution;
use clap::Parser;
use std::path::PathBuf;

/// Plays seeds, and fails when an invariant does not hold in one or a kind of fault never happened.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask sim",
    after_help = "Examples:\n  cargo xtask sim --seeds 200\n  cargo xtask sim --minutes 480 --record nightly.json\n  \
                  cargo xtask sim --replay target/sim/failures/17.txt"
)]
pub struct Arguments {
    /// How many seeds to play.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub seeds: u64,
    /// The first of them.
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    pub first: u64,
    /// Play seeds until so many minutes have passed, whatever --seeds says.
    #[arg(long, value_name = "N")]
    pub minutes: Option<u64>,
    /// How many faults the schedule of a seed has; not every one finds something to break.
    #[arg(long, value_name = "N", default_value_t = 130)]
    pub faults_per_seed: usize,
    /// How many coordinators; drawn from the seed unless given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(2..=5))]
    pub instances: Option<u64>,
    /// What the handler and the person at the desk do with what they cannot know: careful, or one of the mistakes
    /// blind, silence-is-no, hasty and latest-attempt, to see them found; no-memory deploys without data directories.
    #[arg(long, value_name = "NAME", default_value = "careful")]
    pub caution: Caution,
    /// Play one saved schedule, and tell what happens.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seeds", "minutes", "first"])]
    pub replay: Option<PathBuf>,
    /// Write the sums as JSON to this file.
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
}
