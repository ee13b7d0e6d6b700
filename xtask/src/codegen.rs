//! `cargo xtask codegen`: files that are written by a program and committed.
//!
//! A generator is an integration test of the crate that knows the facts. It renders its part of the file and
//! compares it with the committed one, so that `cargo test` alone notices a stale file; with
//! [`UPDATE_VARIABLE`] set to 1 it writes instead. To add a generated file: write such a test and add a line
//! to [`GENERATORS`].

use crate::evidence;
use crate::report::{Findings, Report, listed, one};
use crate::test::job::Job;
use crate::test::summary::Summary;
use crate::workspace::Workspace;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

/// Exit code for a command line that was not understood.
const EXIT_USAGE: u8 = 2;
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

const GENERATORS: [Generator; 10] = [
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
            "docker/grafana/import",
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
        what: "tables of the checks of `coordinator doctor`",
        files: &["docs/doctor.md"],
        package: "domain",
        test: "doctor_page",
    },
    Generator {
        what: "table of crash points",
        files: &["docs/signals.md"],
        package: "app",
        test: "crash_table",
    },
    Generator {
        what: "reference of the settings and sample file",
        files: &["docs/settings.md", "docs/coordinator.toml"],
        package: "app",
        test: "settings_pages",
    },
    Generator {
        what: "reference of the HTTP API",
        files: &["docs/http.md"],
        package: "adapter-http",
        test: "http_page",
    },
];

/// The address under which the runbooks are served, on one line. Generators read it.
const RUNBOOK_BASE: &str = "docker/runbook-base";
const USAGE: &str = "usage: cargo xtask codegen [--runbook-base URL]\n  \
    URL: where operators open the runbooks; alerts link to URL/NAME. Any instance serves them at /runbooks. Kept in \
    docker/runbook-base [now and by default: http://localhost:5001/runbooks, the first instance of docker compose]";

/// The command.
pub fn run(workspace: &Workspace, arguments: &[String]) -> ExitCode {
    match runbook_base(arguments) {
        Ok(None) => {}
        Ok(Some(base)) => {
            let path = workspace.root().join(RUNBOOK_BASE);
            if let Err(error) = fs::write(&path, format!("{base}\n")) {
                eprintln!("error: {}: {error}", path.display());
                return ExitCode::FAILURE;
            }
        }
        Err(problem) => {
            eprintln!("error: {problem}\n{USAGE}");
            return ExitCode::from(EXIT_USAGE);
        }
    }
    let mut report = Report::default();
    report.step("generated files", "repair the generator that is named above", || write(workspace));
    report.step("evidence", "`cargo xtask evidence` makes the records anew", || {
        one(evidence::render(workspace))
    });
    report.finish()
}

/// The address of the runbooks in the arguments, without a slash at its end.
fn runbook_base(arguments: &[String]) -> Result<Option<&str>, String> {
    let url = match arguments {
        [] => return Ok(None),
        [flag, url] if flag == "--runbook-base" => url.as_str(),
        _ => return Err(format!("unknown arguments: {}", arguments.join(" "))),
    };
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")).unwrap_or_default();
    // It becomes a text in quotes in YAML, and a link.
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~:/[]".contains(c);
    if rest.trim_matches('/').is_empty() || !rest.chars().all(allowed) {
        return Err(format!("{url} is no address such as https://wiki.example/runbooks"));
    }
    Ok(Some(url.trim_end_matches('/')))
}

/// Writes all generated files and reports which ones changed.
pub fn write(workspace: &Workspace) -> Findings {
    let all = |workspace| GENERATORS.iter().map(|generator| contents(workspace, generator)).collect();
    let before: Vec<Vec<Option<String>>> = all(workspace);
    let problems = generate(workspace, Mode::Write);
    let after: Vec<Vec<Option<String>>> = all(workspace);
    let changed: Vec<&str> = GENERATORS
        .iter()
        .zip(before.iter().zip(&after))
        .filter(|(_, (before, after))| before != after)
        .flat_map(|(generator, _)| generator.files)
        .copied()
        .collect();
    let remark =
        if changed.is_empty() { "nothing changed".into() } else { format!("wrote {}", changed.join(", ")) };
    listed(problems, remark)
}

/// Compares all generated files with what the generators would write.
pub fn fresh(workspace: &Workspace) -> Findings {
    listed(generate(workspace, Mode::Compare), format!("{} generators", GENERATORS.len()))
}

#[derive(Clone, Copy)]
enum Mode {
    Write,
    Compare,
}

/// Runs all generators with one call of cargo, which has the features of the whole workspace as the tests have: calls for
/// single packages would compile most dependencies once more. Returns what went wrong.
fn generate(workspace: &Workspace, mode: Mode) -> Vec<String> {
    let mut cargo = workspace.cargo(&["test", "--workspace", "--locked", "--no-fail-fast"]);
    cargo.args(GENERATORS.iter().flat_map(|generator| ["--test", generator.test]));
    match mode {
        Mode::Write => cargo.env(UPDATE_VARIABLE, "1"),
        Mode::Compare => cargo.env_remove(UPDATE_VARIABLE),
    };
    let ended = Job { name: "generators".to_owned(), command: cargo }.run();
    let summary = Summary::of_cargo(&ended.name, &ended.output);
    let mut problems = Vec::new();
    if ended.outcome.is_err() || summary.failed() > 0 {
        problems.push(ended.output.clone());
    }
    for Generator { what, files, package, test } in &GENERATORS {
        let ran = summary.binaries().iter().any(|(binary, passed)| ran_in(binary, test) && *passed > 0);
        if !ran && problems.is_empty() {
            let files = files.join(", ");
            problems.push(format!(
                "{what} ({files}): no test ran in {package}/tests/{test}, so nothing was generated"
            ));
        }
    }
    problems
}

/// Whether cargo's announcement `Running tests/NAME.rs (target/debug/deps/NAME-HASH)` is of that test.
fn ran_in(announced: &str, test: &str) -> bool {
    announced.rsplit_once('/').is_some_and(|(_, file)| {
        file.trim_end_matches(')').rsplit_once('-').is_some_and(|(name, _)| name == test)
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_the_runbooks_is_absolute() {
        let base = |url: &str| {
            runbook_base(&["--runbook-base".to_owned(), url.to_owned()]).map(|base| base.map(str::to_owned))
        };
        assert_eq!(
            base("https://wiki.example/runbooks/"),
            Ok(Some("https://wiki.example/runbooks".to_owned()))
        );
        for wrong in ["wiki/runbooks", "http://", "https:///", "http://a b", "http://a/'x", "javascript:x"] {
            assert!(base(wrong).is_err(), "{wrong}");
        }
        assert_eq!(runbook_base(&[]), Ok(None));
        assert!(runbook_base(&["--runbooks".to_owned()]).is_err());
    }

    #[test]
    fn a_generator_is_known_by_what_cargo_announces() {
        let announced =
            "Running tests/crash_points/document.rs (target/debug/deps/crash_table-e08874f9f78c7f92)";
        assert!(ran_in(announced, "crash_table"));
        assert!(!ran_in(announced, "table"));
        assert!(!ran_in("Doc-tests domain", "crash_table"));
    }

    /// One call of cargo runs the tests of a name in all packages.
    #[test]
    fn each_generator_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<&str> =
            GENERATORS.iter().map(|generator| generator.test).collect();
        assert_eq!(names.len(), GENERATORS.len());
    }
}
