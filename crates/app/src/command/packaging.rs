//! `coordinator completions` and `coordinator man`: files for packages, from the definition of the command line.

use crate::cli::definition;
use crate::failure::Failure;
use crate::output::{line, write};
use clap_complete::Shell;
use std::path::Path;

/// Prints the completions of a shell.
pub fn completions(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut definition(), "coordinator", &mut script);
    write(String::from_utf8_lossy(&script))
}

/// Writes one page of section 1 for the program and for each command.
pub fn man(directory: &Path) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::other(format!("{}: {error}", directory.display()));
    std::fs::create_dir_all(directory).map_err(failed)?;
    clap_mangen::generate_to(definition(), directory).map_err(failed)?;
    line(format_args!("the pages are in {}", directory.display()))
}
