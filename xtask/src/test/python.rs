//! The tests of the Python client in docs/clients/python, with Debian's Python and the frameworks in Debian's packages.

use super::provision;
use crate::workspace::{Workspace, output};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Debian's packages contain modules for this Python only. Another one that is first on PATH does not have them.
const PYTHON: &str = "/usr/bin/python3";
/// Debian's packages, which include the services' frameworks, the databases' drivers and the type checker. The examples of the
/// other clients, which the same tests run, need the last three.
const PACKAGES: [&str; 12] = [
    "python3",
    "python3-flask",
    "python3-fastapi",
    "python3-uvicorn",
    "python3-psycopg",
    "python3-sqlalchemy",
    "python3-setuptools",
    "python3-wheel",
    "mypy",
    "curl",
    "jq",
    "nodejs",
];
/// Fails with the name of the first module or program that is missing.
const PROBE: &str = "import shutil, sys
import flask, fastapi, uvicorn, psycopg, sqlalchemy, setuptools, wheel, mypy
missing = [name for name in ('curl', 'jq', 'node') if shutil.which(name) is None]
sys.exit(f'no {missing[0]}' if missing else 0)";
/// The package, in the checkout.
pub const FOLDER: &str = "docs/clients/python";

/// Finds what the tests need, or installs it. The error is a sentence for the operator.
pub fn provide(workspace: &Workspace) -> Result<(), String> {
    if probe().is_ok() {
        return Ok(());
    }
    println!("not here, installing: {}", PACKAGES.join(" "));
    provision::install(workspace, &PACKAGES)?;
    probe().map(drop).map_err(|problem| {
        format!(
            "the tests of the Python client need Debian's packages {}, and after installing them: {problem}",
            PACKAGES.join(" ")
        )
    })
}

fn probe() -> Result<String, String> {
    // `-I` ignores the working directory and the variables of another Python.
    output(Command::new(PYTHON).args(["-I", "-c", PROBE]))
}

/// Checks the types of the package.
pub fn types(workspace: &Workspace) -> Command {
    let mut command = python(workspace);
    command.args(["-m", "mypy", "--cache-dir"]).arg(workspace.target().join("tests/mypy"));
    command
}

/// Runs all tests of the package against the debug build of `coordinator`.
pub fn tests(workspace: &Workspace) -> Command {
    let mut command = python(workspace);
    command.args(["-m", "unittest", "discover", "--verbose", "--start-directory", "tests"]);
    command.env("TEST_COORDINATOR", workspace.target().join("debug/coordinator"));
    command
}

/// Builds the wheel of the package in `source` into `folder`. `epoch` is the time of its files in Unix seconds.
pub fn wheel(source: &Path, folder: &Path, epoch: &str) -> Command {
    let mut command = Command::new(PYTHON);
    let build = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])";
    command.args(["-W", "ignore", "-c", build]).arg(folder).current_dir(source);
    command.env("SOURCE_DATE_EPOCH", epoch);
    command
}

fn python(workspace: &Workspace) -> Command {
    let folder: PathBuf = workspace.root().join(FOLDER);
    let mut command = Command::new(PYTHON);
    // No files of the interpreter between the sources.
    command.arg("-B").env("PYTHONPATH", folder.join("src")).current_dir(folder);
    command
}
