//! Deterministic simulation; run it with `cargo xtask sim`.

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

/// An ordinary build has real clocks and cannot simulate.
#[cfg(not(simulated))]
fn main() -> ExitCode {
    eprintln!("sim: run it with `cargo xtask sim`");
    ExitCode::from(2)
}
