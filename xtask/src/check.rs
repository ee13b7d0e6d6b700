//! `cargo xtask check`: everything that can be judged without running the tests. Only reads.
//! `cargo xtask ci`: the same, together with the tests.

use crate::report::{Findings, Report, listed, one};
use crate::workspace::{Workspace, output, run as run_command};
use crate::{
    arrows, codegen, dashboards, evidence, links, manifests, proof, registry, sources, words, workflows,
};
use std::path::Path;
use std::process::{Command, ExitCode};

pub const FIX: &str = "`cargo xtask fix`, then read the difference before you commit it";

/// Quick steps first, so that a slip is reported within a second.
pub fn run(workspace: &Workspace) -> ExitCode {
    let mut report = Report::default();
    quick_steps(&mut report, workspace);
    for (name, mut command) in commands(workspace) {
        report.step(name, remedy(name), || one(run_command(&mut command)));
    }
    report.step("generated files", "`cargo xtask codegen`", || codegen::fresh(workspace));
    report.finish()
}

/// Steps that compile nothing.
pub fn quick_steps(report: &mut Report, workspace: &Workspace) {
    report.step("compiler", "install Rust with clippy and rustfmt", compiler);
    report.step("file lengths", "split the file: one main type each", || sources::lengths(workspace));
    report.step(
        "marks in the source",
        "finish it, or give the reason on that line or the line above",
        || sources::marks(workspace),
    );
    report.step("reasons of dependencies", "write the reason above it, in the root Cargo.toml", || {
        manifests::reasons(workspace)
    });
    report.step("layers", "turn the arrow round: a port in `domain`, the wiring in `app`", || {
        arrows::check(workspace)
    });
    report.step("links in *.md", "correct the path or the anchor", || links::check(workspace));
    report.step("actions of the workflows", "pin it by the hash of its release", || {
        workflows::check(workspace)
    });
    report.step("words", words::REMEDY, || words::check(workspace));
    report.step(
        "dashboards",
        "correct crates/monitoring/tests/dashboards, then `cargo xtask codegen`",
        || dashboards::check(workspace),
    );
    report.step("format", FIX, || one(run_command(&mut workspace.cargo(&["fmt", "--all", "--check"]))));
    report.step("evidence", "`cargo xtask codegen`", || one(evidence::fresh(workspace)));
    report.step("ready for a registry", registry::REMEDY, || registry::check(workspace));
    report.step(NO_STD, remedy(NO_STD), || domain_without_std(workspace));
    report.step(LICENCES, remedy(LICENCES), || Ok(dependencies_are_checked(workspace)));
}

const NO_STD: &str = "domain without std";
const LICENCES: &str = "licences, sources and advisories";

/// Steps that are a command each, by name: those that compile, and cargo-deny.
pub fn commands(workspace: &Workspace) -> Vec<(&'static str, Command)> {
    let mut doc = workspace.cargo(&["doc", "--no-deps", "--workspace", "--locked", "--keep-going"]);
    doc.env("RUSTDOCFLAGS", "-D warnings");
    let mut commands = vec![
        ("clippy", workspace.cargo(&CLIPPY)),
        ("clippy, on virtual time", proof::sim_clippy(workspace)),
        ("documentation builds", doc),
    ];
    if let Some(target) = target_without_std() {
        let arguments = ["check", "--package", "domain", "--locked", "--target", &target];
        commands.push((NO_STD, workspace.cargo(&arguments)));
    }
    if has_cargo_deny(workspace) {
        let arguments = ["deny", "--all-features", "check", "advisories", "bans", "licenses", "sources"];
        commands.push((LICENCES, workspace.cargo(&arguments)));
    }
    commands
}

fn remedy(step: &str) -> &'static str {
    match step {
        NO_STD => "keep `std` out of the domain and of what it depends on",
        LICENCES => "see the reasons in deny.toml",
        "documentation builds" => "repair the doc comment that is named above",
        _ => FIX,
    }
}

/// All crates are judged, also behind one that failed.
pub const CLIPPY: [&str; 9] = [
    "clippy",
    "--workspace",
    "--all-targets",
    // Test-only code that ordinary builds do not have.
    "--features",
    "app/crash-points",
    "--locked",
    "--keep-going",
    "--",
    "-Dwarnings",
];

/// Lints differ between compilers, so the report says which one judged.
fn compiler() -> Findings {
    output(Command::new("rustc").arg("--version"))
        .map(|version| version.trim().to_owned())
        .map_err(|problem| vec![problem])
}

/// Reads the source of the domain. [`commands`] builds it for an installed target that has no std, which proves it;
/// without such a target the words in its source have to do, and the remark says so.
fn domain_without_std(workspace: &Workspace) -> Findings {
    let problems = sources::std_in_domain(workspace).map_err(|problem| vec![problem])?;
    let remark = match target_without_std() {
        Some(target) => format!("is also compiled for {target}"),
        None => {
            "by its words only; `rustup target add x86_64-unknown-none` lets the compiler judge".to_owned()
        }
    };
    listed(problems, remark)
}

/// An installed target that has `core` but no `std`.
fn target_without_std() -> Option<String> {
    let sysroot = output(Command::new("rustc").args(["--print", "sysroot"])).ok()?;
    let targets = Path::new(sysroot.trim()).join("lib/rustlib").read_dir().ok()?;
    targets.filter_map(Result::ok).find_map(|target| {
        let libraries = target.path().join("lib");
        let bare = has_library(&libraries, "libcore-") && !has_library(&libraries, "libstd-");
        bare.then(|| target.file_name().to_string_lossy().into_owned())
    })
}

fn has_library(directory: &Path, prefix: &str) -> bool {
    directory.read_dir().is_ok_and(|mut files| {
        files.any(|file| file.is_ok_and(|file| file.file_name().to_string_lossy().starts_with(prefix)))
    })
}

/// cargo-deny is a separate program that takes minutes to build. It is used where it is installed (CI installs it);
/// otherwise a remark reports its absence.
fn dependencies_are_checked(workspace: &Workspace) -> String {
    if has_cargo_deny(workspace) {
        return String::new();
    }
    "NOT CHECKED: cargo-deny is not installed (`cargo install --locked cargo-deny`)".to_owned()
}

fn has_cargo_deny(workspace: &Workspace) -> bool {
    output(&mut workspace.cargo(&["deny", "--version"])).is_ok()
}
