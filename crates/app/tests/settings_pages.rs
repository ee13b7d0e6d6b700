//! docs/settings.md and docs/coordinator.toml: `cargo xtask codegen` writes them, `cargo test` compares.

#[path = "../../domain/tests/generated/mod.rs"]
mod generated;

use std::process::Command;

/// What `coordinator config COMMAND` prints.
fn printed(command: &str) -> String {
    let mut program = Command::new(env!("CARGO_BIN_EXE_coordinator"));
    let output = program.args(["config", command]).output().expect("the binary runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn the_reference_and_the_sample_match_the_table_of_settings() {
    generated::assert_fresh([
        ("docs/settings.md", printed("reference")),
        ("docs/coordinator.toml", printed("sample")),
    ]);
}
