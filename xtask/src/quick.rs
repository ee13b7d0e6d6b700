//! `cargo xtask quick`: the verdict on a change within two minutes. It starts no server and judges the crates that
//! changed and those that depend on them. `cargo xtask check` and `cargo xtask test` judge everything.

use crate::check::{CLIPPY, FIX};
use crate::proof;
use crate::report::{Findings, Report, listed, one};
use crate::test::binaries::{self, Binary};
use crate::test::job;
use crate::test::summary::Summary;
use crate::test::units::Unit;
use crate::workspace::{Workspace, output, run as run_command};
use crate::{links, sources, words};
use cargo_metadata::{Metadata, MetadataCommand, Package};
use std::collections::BTreeSet;
use std::process::{Command, ExitCode};
use std::sync::Mutex;

/// Test binaries that start servers: package and target.
const WITH_SERVERS: [(&str, &str); 7] = [
    ("adapter-otel", "rules"),
    ("adapter-postgres", "contract"),
    ("adapter-redis", "contract"),
    ("app", "crash_points"),
    ("app", "e2e"),
    ("monitoring", "exported_rules"),
    ("testkit", "backend"),
];
/// Test binaries at once. Some wait for timeouts, so more of them than processors.
const AT_ONCE: usize = 4;
/// Changes of these concern every crate.
const EVERYWHERE: [&str; 4] = ["Cargo.toml", "Cargo.lock", "clippy.toml", ".cargo/"];
/// The package that the simulation tests.
const SIMULATED: &str = "sim";
/// A fiftieth of what `cargo xtask sim` plays.
const SEEDS: &str = "200";
const USAGE: &str =
    "usage: cargo xtask quick [--since REV]   (REV: what the checkout is compared with; default HEAD)
example: cargo xtask quick --since HEAD~1";

/// The command.
pub fn run(workspace: &Workspace, arguments: &[String]) -> ExitCode {
    let since = match arguments {
        [] => "HEAD",
        [flag, revision] if flag == "--since" => revision,
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(crate::EXIT_USAGE);
        }
    };
    match affected(workspace, since) {
        Ok(packages) => judge(workspace, since, &packages),
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn judge(workspace: &Workspace, since: &str, packages: &[Package]) -> ExitCode {
    let mut report = Report::default();
    report.step("file lengths", "split the file: one main type each", || sources::lengths(workspace));
    report.step(
        "marks in the source",
        "finish it, or give the reason on that line or the line above",
        || sources::marks(workspace),
    );
    report.step("links in *.md", "correct the path or the anchor", || links::check(workspace));
    report.step("words", words::REMEDY, || words::check(workspace));
    report.step("format", FIX, || one(run_command(&mut workspace.cargo(&["fmt", "--all", "--check"]))));
    report.step("changed crates and their dependents", "", || {
        let names: Vec<&str> = packages.iter().map(|package| package.name.as_str()).collect();
        Ok(if names.is_empty() { format!("none since {since}") } else { names.join(", ") })
    });
    if packages.is_empty() {
        return report.finish();
    }
    // With the features of the whole workspace, as `check` and `test` have them: with those of some packages most
    // dependencies would be compiled once more. What did not change is not judged again.
    report.step("clippy", FIX, || one(run_command(&mut workspace.cargo(&CLIPPY))));
    // Generated files are compared by tests.
    report.step(
        "tests without servers",
        "repair what the failed test names; a stale file: `cargo xtask codegen`",
        || tests(workspace, packages),
    );
    if packages.iter().any(|package| package.name.as_str() == SIMULATED) {
        report.step("simulation", "`cargo xtask sim --replay FILE` plays the failed seed again", || {
            let arguments = ["--seeds", SEEDS].map(str::to_owned);
            one(run_command(&mut proof::sim_command(workspace, &arguments)))
        });
    }
    report.finish()
}

/// Builds the tests that need no server, with one call of cargo, and runs those of these packages. Prints only failures.
fn tests(workspace: &Workspace, packages: &[Package]) -> Findings {
    let names: Vec<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let metadata = metadata(workspace).map_err(|problem| vec![problem])?;
    let built = binaries::build(workspace, &targets_without_servers(&metadata.packages));
    let binaries = built.map_err(|problem| vec![problem])?;
    let wanted =
        binaries.into_iter().filter(|binary| needs_no_server(binary) && names.contains(&&*binary.package));
    let jobs: Vec<_> = wanted.map(|binary| Unit { binary, test: None }.job(|_| {})).collect();
    let count = jobs.len();
    let problems = Mutex::new(Vec::new());
    job::run_all(jobs, AT_ONCE, |ended| {
        let summary = Summary::of_binary(&ended.name, &ended.output);
        if summary.failed() > 0 || ended.outcome.is_err() {
            println!("{}", ended.output);
            problems.lock().expect("no thread panics").push(format!("{} failed", ended.name));
        }
    });
    listed(problems.into_inner().expect("no thread panics"), format!("{count} test binaries"))
}

/// What cargo builds: cargo selects test binaries by name in all packages, so of two with the same name both are built, and
/// [`needs_no_server`] selects again.
fn targets_without_servers(packages: &[Package]) -> Vec<String> {
    let mut names = BTreeSet::new();
    for package in packages {
        for target in package.targets.iter().filter(|target| target.is_test()) {
            let needs_server = WITH_SERVERS.contains(&(package.name.as_str(), target.name.as_str()));
            if !needs_server && target.required_features.is_empty() {
                names.insert(target.name.clone());
            }
        }
    }
    let tests = names.into_iter().flat_map(|name| ["--test".to_owned(), name]);
    ["--lib", "--bins"].map(str::to_owned).into_iter().chain(tests).collect()
}

fn needs_no_server(binary: &Binary) -> bool {
    !WITH_SERVERS.contains(&(binary.package.as_str(), binary.target.as_str()))
}

/// The packages with a change since `revision`, and all that depend on them.
fn affected(workspace: &Workspace, revision: &str) -> Result<Vec<Package>, String> {
    let metadata = metadata(workspace)?;
    if let Some((package, target)) = WITH_SERVERS.iter().find(|named| !exists(&metadata, **named)) {
        return Err(format!("xtask/src/quick.rs names the test {target} of {package}, which does not exist"));
    }
    let names = with_dependents(
        &metadata,
        changed_packages(workspace, &metadata, &changed_files(workspace, revision)?),
    );
    Ok(metadata.packages.into_iter().filter(|package| names.contains(package.name.as_str())).collect())
}

fn metadata(workspace: &Workspace) -> Result<Metadata, String> {
    MetadataCommand::new()
        .current_dir(workspace.root())
        .no_deps()
        .other_options(["--locked".to_owned()])
        .exec()
        .map_err(|error| format!("cargo metadata: {error}"))
}

/// Dependents also in tests only, and theirs.
fn with_dependents(metadata: &Metadata, mut names: BTreeSet<String>) -> BTreeSet<String> {
    while let Some(further) = metadata.packages.iter().find(|package| {
        !names.contains(package.name.as_str())
            && package.dependencies.iter().any(|needed| names.contains(needed.name.as_str()))
    }) {
        names.insert(further.name.to_string());
    }
    names
}

fn exists(metadata: &Metadata, (package, target): (&str, &str)) -> bool {
    let mut packages = metadata.packages.iter().filter(|known| known.name.as_str() == package);
    packages.any(|package| package.targets.iter().any(|known| known.is_test() && known.name == target))
}

/// Committed or not, and new files.
fn changed_files(workspace: &Workspace, revision: &str) -> Result<Vec<String>, String> {
    let git = |arguments: &[&str]| output(Command::new("git").args(arguments).current_dir(workspace.root()));
    let changed = git(&["diff", "--name-only", "--no-renames", revision, "--"])?;
    let new = git(&["ls-files", "--others", "--exclude-standard"])?;
    Ok(changed.lines().chain(new.lines()).map(str::to_owned).collect())
}

fn changed_packages(workspace: &Workspace, metadata: &Metadata, changed: &[String]) -> BTreeSet<String> {
    let everywhere = changed.iter().any(|file| EVERYWHERE.iter().any(|prefix| file.starts_with(prefix)));
    let folder = |package: &Package| {
        let folder = package.manifest_path.parent()?.as_std_path().strip_prefix(workspace.root()).ok()?;
        Some(folder.to_owned())
    };
    let has_change = |package: &&Package| {
        folder(package)
            .is_some_and(|folder| changed.iter().any(|file| std::path::Path::new(file).starts_with(&folder)))
    };
    let packages = metadata.packages.iter().filter(|package| everywhere || has_change(package));
    packages.map(|package| package.name.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn affected_by(file: &str) -> BTreeSet<String> {
        let workspace = Workspace::find().expect("cargo runs this test");
        let metadata = metadata(&workspace).expect("a workspace");
        with_dependents(&metadata, changed_packages(&workspace, &metadata, &[file.to_owned()]))
    }

    #[test]
    fn a_change_concerns_its_crate_and_the_dependents() {
        let all = affected_by("Cargo.lock");
        assert_eq!(affected_by("xtask/src/main.rs"), ["xtask".to_owned()].into());
        assert_eq!(affected_by("crates/app/src/main.rs"), ["app".to_owned()].into());
        let mut without_xtask = all.clone();
        without_xtask.remove("xtask");
        assert_eq!(affected_by("crates/domain/src/lib.rs"), without_xtask);
    }

    #[test]
    fn a_page_concerns_no_crate() {
        assert!(affected_by("docs/signals.md").is_empty());
        assert!(affected_by("crates/application").is_empty());
    }

    #[test]
    fn tests_with_servers_are_neither_built_nor_run() {
        let metadata = metadata(&Workspace::find().expect("cargo runs this test")).expect("a workspace");
        let targets = targets_without_servers(&metadata.packages);
        assert!(targets.contains(&"scenarios".to_owned()), "{targets:?}");
        assert!(!targets.contains(&"e2e".to_owned()), "{targets:?}");
        let binary = |package: &str| Binary {
            package: package.to_owned(),
            target: "contract".to_owned(),
            program: "/bin/true".into(),
            folder: "/".into(),
        };
        // Both have the same name.
        assert!(needs_no_server(&binary("adapter-sqlite")));
        assert!(!needs_no_server(&binary("adapter-postgres")));
    }

    #[test]
    fn the_tests_with_servers_exist() {
        let metadata = metadata(&Workspace::find().expect("cargo runs this test")).expect("a workspace");
        for named in WITH_SERVERS {
            assert!(exists(&metadata, named), "{named:?}");
        }
    }
}
