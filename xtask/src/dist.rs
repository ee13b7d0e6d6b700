//! `cargo xtask dist`: builds what users install, from the commit and not from the files of the checkout, into
//! target/dist. Two builds of one commit are equal. At present that is the wheel of the Python client.

use crate::test::python;
use crate::workspace::{Workspace, output, run as run_command};
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

/// Prints the checksum and the path of each file.
pub fn run(workspace: &Workspace) -> ExitCode {
    match wheel(workspace) {
        Ok(checksums) => {
            print!("{checksums}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn wheel(workspace: &Workspace) -> Result<String, String> {
    python::provide(workspace)?;
    let (dist, source) = (workspace.target().join("dist"), workspace.target().join("dist-source"));
    for folder in [&dist, &source] {
        let _ = fs::remove_dir_all(folder);
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let archive = source.join("client.tar");
    run_command(git(workspace, &["archive", "--output"]).arg(&archive).args(["HEAD", python::FOLDER]))?;
    run_command(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(&source))?;
    // The times of the files in the wheel.
    let epoch = output(&mut git(workspace, &["log", "-1", "--format=%ct", "HEAD", "--", python::FOLDER]))?;
    output(&mut python::wheel(&source.join(python::FOLDER), &dist, epoch.trim()))?;
    output(Command::new("sh").args(["-c", "sha256sum *.whl"]).current_dir(&dist))
        .map(|checksums| at(&dist, &checksums))
}

/// The lines of sha256sum, with the folder before each name.
fn at(folder: &Path, checksums: &str) -> String {
    checksums.lines().map(|line| line.replace("  ", &format!("  {}/", folder.display())) + "\n").collect()
}

fn git(workspace: &Workspace, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    command.args(arguments).current_dir(workspace.root());
    command
}
