//! `cargo xtask codegen`: files that are written by a program and committed.
//!
//! A generator is an integration test of the crate that knows the facts. It renders its part of the file and
//! compares it with the committed one, so that `cargo test` alone notices a stale file; with
//! [`UPDATE_VARIABLE`] set to 1 it writes instead. To add a generated file: write such a test and add a line
//! to [`GENERATORS`].

use crate::evidence;
use crate::report::{Findings, Report, listed, one};
use crate::test::summary::Summary;
use crate::workspace::{Workspace, output};
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

/// Set to 1, a generator writes; unset, it compares.
const UPDATE_VARIABLE: &str = "UPDATE_GENERATED";

struct Generator {
    /// What it writes, for people.
    what: &'static str,
    /// Files it writes to, or directories of them, relative to the root.
    files: &'static [&'static str],
    package: &'static str,
    /// Name of the integration test.
    test: &'static str,
}

const GENERATORS: [Generator; 7] = [
    Generator {
        what: "table of roles and events",
        files: &["docs/protocol.md"],
        package: "domain",
        test: "transitions",
    },
    Generator {
        what: "what happens in the stories",
        files: &["crates/domain/tests/scenarios"],
        package: "domain",
        test: "scenarios",
    },
    Generator {
        what: "rules of Prometheus and their tests",
        files: &["docker/prometheus/rules", "docs/alerts.md"],
        package: "monitoring",
        test: "exported_rules",
    },
    Generator {
        what: "dashboard of Grafana",
        files: &[
            "docker/grafana/dashboards",
            "docker/grafana/provisioning/dashboards",
            "docker/grafana/provisioning/datasources",
        ],
        package: "monitoring",
        test: "dashboards",
    },
    Generator {
        what: "table of metrics",
        files: &["docs/metrics.md"],
        package: "monitoring",
        test: "metrics_page",
    },
    Generator {
        what: "configuration of Prometheus and Alertmanager",
        files: &["docker/prometheus/prometheus.yml", "docker/alertmanager"],
        package: "monitoring",
        test: "monitoring_config",
    },
    Generator {
        what: "table of crash points",
        files: &["docs/signals.md"],
        package: "app",
        test: "crash_table",
    },
];

/// The command.
pub fn run(workspace: &Workspace) -> ExitCode {
    let mut report = Report::default();
    report.step("generated files", "repair the generator that is named above", || write(workspace));
    report.step("evidence", "`cargo xtask evidence` makes the records anew", || {
        one(evidence::render(workspace))
    });
    report.finish()
}

/// Writes all generated files and reports which ones changed.
pub fn write(workspace: &Workspace) -> Findings {
    let mut problems = Vec::new();
    let mut changed: Vec<&str> = Vec::new();
    for generator in &GENERATORS {
        let before = contents(workspace, generator);
        match generate(workspace, generator, Mode::Write) {
            Ok(()) if contents(workspace, generator) == before => {}
            Ok(()) => changed.extend(generator.files),
            Err(problem) => problems.push(problem),
        }
    }
    let remark =
        if changed.is_empty() { "nothing changed".into() } else { format!("wrote {}", changed.join(", ")) };
    listed(problems, remark)
}

/// Compares all generated files with what the generators would write.
pub fn fresh(workspace: &Workspace) -> Findings {
    let compare = |generator| generate(workspace, generator, Mode::Compare).err();
    listed(GENERATORS.iter().filter_map(compare).collect(), format!("{} generators", GENERATORS.len()))
}

#[derive(Clone, Copy)]
enum Mode {
    Write,
    Compare,
}

fn generate(workspace: &Workspace, generator: &Generator, mode: Mode) -> Result<(), String> {
    let Generator { what, files, package, test } = generator;
    let mut cargo = workspace.cargo(&["test", "--locked", "--package", package, "--test", test]);
    match mode {
        Mode::Write => cargo.env(UPDATE_VARIABLE, "1"),
        Mode::Compare => cargo.env_remove(UPDATE_VARIABLE),
    };
    let said = output(&mut cargo).map_err(|problem| format!("{what} ({}): {problem}", files.join(", ")))?;
    if Summary::of_binary(test, &said).passed() == 0 {
        return Err(format!("{what}: no test ran in {package}/tests/{test}.rs, so nothing was generated"));
    }
    Ok(())
}

fn contents(workspace: &Workspace, generator: &Generator) -> Vec<Option<String>> {
    let below = |path: &str| -> Vec<PathBuf> {
        let path = workspace.root().join(path);
        match fs::read_dir(&path) {
            Ok(entries) => entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect(),
            Err(_) => vec![path],
        }
    };
    let mut files: Vec<PathBuf> = generator.files.iter().flat_map(|path| below(path)).collect();
    files.sort();
    files.iter().map(|file| fs::read_to_string(file).ok()).collect()
}
