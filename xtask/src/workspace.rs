//! The checkout: where it is, its files, and how cargo is called in it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Directories that hold no source: build output, git's own, the data of a started instance.
const NOT_SOURCE: [&str; 3] = ["target", ".git", "coordinator-data"];

/// What `cargo run` sets for the program that it starts. The build script of `ring` asks cargo to run it again when one of
/// them changes, and then ring, the TLS library and everything above them are compiled anew: so a cargo that is started by
/// another one must not see them.
pub const OF_THE_RUNNING_PACKAGE: [&str; 8] = [
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_LINKS",
    "CARGO_MANIFEST_PATH",
    "CARGO_PKG_NAME",
    "CARGO_PKG_VERSION_MAJOR",
    "CARGO_PKG_VERSION_MINOR",
    "CARGO_PKG_VERSION_PATCH",
    "CARGO_PKG_VERSION_PRE",
];

/// The root of the checkout.
pub struct Workspace {
    root: PathBuf,
}

/// A text file of the checkout.
#[derive(Debug)]
pub struct SourceFile {
    /// Relative to the root, with forward slashes.
    pub path: String,
    /// What is in it.
    pub text: String,
}

impl Workspace {
    /// The workspace that this program belongs to, as cargo reports it at run time: a path kept from
    /// compilation would be wrong after the checkout moved.
    pub fn find() -> Result<Self, String> {
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR").ok_or("start this as `cargo xtask`")?;
        let root = Path::new(&manifest).parent().ok_or("the directory of xtask has no parent")?;
        Ok(Self { root: root.to_owned() })
    }

    /// The root directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where cargo builds.
    pub fn target(&self) -> PathBuf {
        std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| self.root.join("target"), |set| self.root.join(set))
    }

    /// `cargo ARGUMENTS` at the root: the cargo that runs us, without colours, so that output can be read
    /// by a program too.
    pub fn cargo(&self, arguments: &[&str]) -> Command {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(arguments).current_dir(&self.root).env("CARGO_TERM_COLOR", "never");
        for variable in OF_THE_RUNNING_PACKAGE {
            command.env_remove(variable);
        }
        command
    }

    /// All text files whose name ends in one of `extensions`, sorted by path.
    pub fn files(&self, extensions: &[&str]) -> Result<Vec<SourceFile>, String> {
        let mut paths = Vec::new();
        collect(&self.root, extensions, &mut paths)
            .map_err(|error| format!("reading the checkout: {error}"))?;
        paths.sort();
        paths.iter().map(|path| self.read(path)).collect()
    }

    fn read(&self, path: &Path) -> Result<SourceFile, String> {
        let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let relative = path.strip_prefix(&self.root).unwrap_or(path);
        Ok(SourceFile { path: relative.to_string_lossy().into_owned(), text })
    }
}

fn collect(directory: &Path, extensions: &[&str], into: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let path = entry.path();
        let kind = entry.file_type()?;
        if kind.is_dir() {
            if !NOT_SOURCE.iter().any(|name| entry.file_name() == *name) {
                collect(&path, extensions, into)?;
            }
        } else if kind.is_file() {
            let extension = path.extension().and_then(OsStr::to_str);
            if extension.is_some_and(|extension| extensions.contains(&extension)) {
                into.push(path);
            }
        }
    }
    Ok(())
}

/// Runs `command` with our own output and returns how it failed.
pub fn run(command: &mut Command) -> Result<(), String> {
    let shown = show(command);
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{shown}` ended with {status}")),
        Err(error) => Err(format!("`{shown}` could not be started: {error}")),
    }
}

/// Runs `command` and returns what it wrote to standard output.
pub fn output(command: &mut Command) -> Result<String, String> {
    let shown = show(command);
    match command.output() {
        Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Ok(output) => {
            let said = [output.stdout, output.stderr].concat();
            Err(format!("`{shown}` ended with {}: {}", output.status, String::from_utf8_lossy(&said).trim()))
        }
        Err(error) => Err(format!("`{shown}` could not be started: {error}")),
    }
}

fn show(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let mut shown = program.to_string_lossy().into_owned();
    for argument in command.get_args() {
        shown.push(' ');
        shown.push_str(&argument.to_string_lossy());
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nested_cargo_does_not_see_the_package_that_runs() {
        let workspace = Workspace::find().expect("cargo runs this test");
        let cargo = workspace.cargo(&["build"]);
        for variable in OF_THE_RUNNING_PACKAGE {
            assert!(cargo.get_envs().any(|(name, value)| name == variable && value.is_none()), "{variable}");
        }
    }
}
