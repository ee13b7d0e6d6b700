//! Deterministic simulation; run it by `cargo xtask sim`.

use std::process::ExitCode;

#[cfg(simulated)]
fn main() -> ExitCode {
    use clap::Parser;
    let arguments = sim::cli::Arguments::parse();
    sim::campaign::run(&arguments).unwrap_or_else(|error| {
        eprintln!("sim: {error}");
        ExitCode::FAILURE
    })
}

/// An ordinary build has real clocks, with which nothing can be simulated.
#[cfg(not(simulated))]
fn main() -> ExitCode {
    eprintln!("sim: run it by `cargo xtask sim`");
    ExitCode::from(2)
}
