//! Checks the manifests: every version is in the root manifest only, below a comment that says why the
//! dependency is needed.

use crate::report::{Findings, listed};
use crate::workspace::{SourceFile, Workspace};

/// Checks the root manifest and those of the members.
pub fn reasons(workspace: &Workspace) -> Findings {
    let manifests = workspace.files(&["toml"]).map_err(|problem| vec![problem])?;
    let mut problems = Vec::new();
    for manifest in manifests.iter().filter(|file| file.path.ends_with("Cargo.toml")) {
        problems.extend(without_reason(manifest));
        problems.extend(own_version(manifest));
    }
    listed(problems, String::new())
}

/// A comment covers the entries below it up to the next blank line.
fn without_reason(manifest: &SourceFile) -> Vec<String> {
    let mut covered = false;
    let mut problems = Vec::new();
    for (number, line) in section(manifest, |name| name == "workspace.dependencies") {
        if line.is_empty() {
            covered = false;
        } else if line.starts_with('#') {
            covered = true;
        } else if !covered && line.contains('=') {
            problems.push(format!("{}:{number}: no comment above `{}` says why", manifest.path, key(line)));
        }
    }
    problems
}

/// Members take their versions from the workspace.
fn own_version(manifest: &SourceFile) -> Vec<String> {
    let is_dependencies = |name: &str| name.ends_with("dependencies") && name != "workspace.dependencies";
    section(manifest, is_dependencies)
        .filter(|(_, line)| !line.starts_with('#') && line.contains('='))
        .filter(|(_, line)| !line.contains(".workspace") && !line.contains("workspace = true"))
        .map(|(number, line)| {
            format!("{}:{number}: `{}` belongs in [workspace.dependencies]", manifest.path, key(line))
        })
        .collect()
}

/// Numbered, trimmed lines of the sections whose name `wanted` accepts.
fn section(manifest: &SourceFile, wanted: impl Fn(&str) -> bool) -> impl Iterator<Item = (usize, &str)> {
    let mut inside = false;
    manifest.text.lines().map(str::trim).zip(1..).filter_map(move |(line, number)| {
        if let Some(header) = line.strip_prefix('[')
            && let Some(name) = header.strip_suffix(']')
        {
            inside = wanted(name);
            return None;
        }
        inside.then_some((number, line))
    })
}

fn key(line: &str) -> &str {
    line.split(['=', ' ']).next().unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(text: &str) -> SourceFile {
        SourceFile { path: "Cargo.toml".to_owned(), text: text.to_owned() }
    }

    #[test]
    fn a_comment_covers_its_paragraph_only() {
        let found = without_reason(&manifest(
            "[workspace.dependencies]\n# Why.\na = \"1\"\nb = { version = \"2\" }\n\nc = \"3\"\n[profile.dev]\nd = 1\n",
        ));
        assert_eq!(found, ["Cargo.toml:6: no comment above `c` says why"]);
    }

    #[test]
    fn a_version_in_a_member_is_found() {
        let found = own_version(&manifest(
            "[dependencies]\na.workspace = true\nb = { workspace = true }\n[dev-dependencies]\n# no\nc = \"1\"\n",
        ));
        assert_eq!(found, ["Cargo.toml:6: `c` belongs in [workspace.dependencies]"]);
    }
}
