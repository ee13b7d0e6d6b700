//! The test binaries of the workspace: one call of cargo builds all of them with one set of features, and they are started
//! without cargo, so that several run at once.

use crate::workspace::Workspace;
use cargo_metadata::{Artifact, Message};
use std::io::BufReader;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// `cargo build` builds tests as tests, and examples (chaos is one) and binaries as ordinary programs too.
const ALL: &str = "--all-targets";

/// A test binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binary {
    pub package: String,
    /// The name of the target.
    pub target: String,
    pub program: PathBuf,
    /// The folder of its package, where cargo would start it.
    pub folder: PathBuf,
}

impl Binary {
    /// `package::target`, as the output names it.
    pub fn name(&self) -> String {
        format!("{}::{}", self.package, self.target)
    }

    /// Starts it as cargo does, with these arguments.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).current_dir(&self.folder).env("CARGO_MANIFEST_DIR", &self.folder);
        command
    }
}

/// Builds everything and returns the test binaries.
pub fn build_all(workspace: &Workspace) -> Result<Vec<Binary>, String> {
    run(workspace.cargo(&["build", "--workspace", ALL]))
}

/// Builds the tests of these targets, and returns them.
pub fn build(workspace: &Workspace, targets: &[String]) -> Result<Vec<Binary>, String> {
    let mut cargo = workspace.cargo(&["test", "--no-run", "--workspace"]);
    cargo.args(targets);
    run(cargo)
}

fn run(mut cargo: Command) -> Result<Vec<Binary>, String> {
    let mut child = cargo
        .args(["--locked", "--message-format=json-render-diagnostics"])
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cargo build: {error}"))?;
    let messages = child.stdout.take().ok_or("cargo build has no output")?;
    let mut binaries = Vec::new();
    for message in Message::parse_stream(BufReader::new(messages)) {
        match message.map_err(|error| format!("cargo build: {error}"))? {
            Message::CompilerArtifact(artifact) => binaries.extend(binary(artifact)),
            Message::TextLine(line) => println!("{line}"),
            _ => {}
        }
    }
    let status = child.wait().map_err(|error| format!("cargo build: {error}"))?;
    if status.success() { Ok(binaries) } else { Err(format!("cargo build ended with {status}")) }
}

fn binary(artifact: Artifact) -> Option<Binary> {
    let program = artifact.executable.filter(|_| artifact.profile.test)?.into_std_path_buf();
    let folder = artifact.manifest_path.parent()?.as_std_path().to_owned();
    let id = &artifact.package_id.repr;
    // No binary may be missing because of an id of an unknown form.
    let package = package(id).unwrap_or(id).to_owned();
    Some(Binary { package, target: artifact.target.name, program, folder })
}

/// The name in cargo's id of a package, which has it only where the folder has another name.
fn package(id: &str) -> Option<&str> {
    let (path, version) = id.rsplit_once('#')?;
    match version.split_once('@') {
        Some((name, _)) => Some(name),
        None => path.rsplit_once('/').map(|(_, folder)| folder),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_has_its_name_from_its_folder_or_from_the_id() {
        assert_eq!(package("path+file:///work/crates/app#0.1.0"), Some("app"));
        assert_eq!(package("path+file:///work/crates/library#coordinator@0.1.0"), Some("coordinator"));
        assert_eq!(package("app 0.1.0"), None);
    }
}
