//! What a registry needs of the crates that a service depends on: facts in the manifests, files in the packages, and a
//! public API that changes only as the version says. Nothing is published from here.

use crate::report::{Findings, listed};
use crate::workspace::{Workspace, output};
use cargo_metadata::{MetadataCommand, Package};

/// The one crate that a service names.
const FACADE: &str = "leader-coordinator";
/// The facade and everything that it ships with.
const PUBLISHED: [&str; 9] = [
    FACADE,
    "domain",
    "coordinator",
    "monitoring",
    "adapter-http",
    "adapter-otel",
    "adapter-postgres",
    "adapter-redis",
    "adapter-sqlite",
];
/// A registry takes at most this many keywords, and as many categories.
const WORDS_MAX: usize = 5;

pub const REMEDY: &str =
    "complete the manifest; docs/decisions/0006-names-and-the-registry.md lists what is wanted";

/// The manifests and the packages; then the API, if the program for that is installed.
pub fn check(workspace: &Workspace) -> Findings {
    let mut problems = facts_missing(workspace).map_err(|problem| vec![problem])?;
    match packaged(workspace).and_then(|()| files_left_out(workspace)) {
        Ok(left_out) => problems.extend(left_out),
        Err(problem) => problems.push(problem),
    }
    let api = public_api(workspace)?;
    listed(problems, api)
}

/// The facts that the manifests of the published crates lack.
fn facts_missing(workspace: &Workspace) -> Result<Vec<String>, String> {
    let metadata = MetadataCommand::new()
        .current_dir(workspace.root())
        .no_deps()
        .other_options(["--locked".to_owned()])
        .exec()
        .map_err(|error| format!("cargo metadata: {error}"))?;
    let mut problems = Vec::new();
    for name in PUBLISHED {
        match metadata.packages.iter().find(|package| package.name.as_str() == name) {
            Some(package) => problems.extend(missing(package)),
            None => {
                problems.push(format!("{name} is not a member: correct the list in xtask/src/registry.rs"));
            }
        }
    }
    Ok(problems)
}

/// What the manifest of a published crate lacks.
fn missing(package: &Package) -> Vec<String> {
    let mut wanted = vec![
        ("description", package.description.is_some()),
        ("license", package.license.is_some()),
        ("rust-version", package.rust_version.is_some()),
    ];
    let is_few = |words: &[String]| (1..=WORDS_MAX).contains(&words.len());
    if package.name.as_str() == FACADE {
        wanted.extend([
            ("readme", package.readme.is_some()),
            ("1 to 5 keywords", is_few(&package.keywords)),
            ("1 to 5 categories", is_few(&package.categories)),
            ("package.metadata.docs.rs", package.metadata["docs"]["rs"].is_object()),
        ]);
    }
    let missing = wanted.into_iter().filter(|(_, is_there)| !is_there);
    missing.map(|(what, _)| format!("{} has no {what}", package.name)).collect()
}

/// Makes the packages, without a build of them. A lockfile is left out of them: it would be resolved against the registry,
/// where other projects have the short names of our parts.
fn packaged(workspace: &Workspace) -> Result<(), String> {
    let mut package =
        workspace.cargo(&["package", "--no-verify", "--exclude-lockfile", "--allow-dirty", "--offline"]);
    output(package.args(PUBLISHED.iter().flat_map(|name| ["--package", name]))).map(drop)
}

/// The files that the documentation of the facade or its readers need and that its package does not have.
fn files_left_out(workspace: &Workspace) -> Result<Vec<String>, String> {
    let arguments = ["package", "--list", "--allow-dirty", "--offline", "--package", FACADE];
    let listed = output(&mut workspace.cargo(&arguments))?;
    let files: Vec<&str> = listed.lines().map(str::trim).collect();
    let wanted = ["README.md", "src/lib.rs", "examples/embedded.rs"];
    let left_out = wanted.into_iter().filter(|file| !files.contains(file));
    Ok(left_out.map(|file| format!("the package of {FACADE} lacks {file}")).collect())
}

/// cargo-semver-checks is a separate program that takes minutes to build. It compares with the latest release.
fn public_api(workspace: &Workspace) -> Result<String, Vec<String>> {
    if output(&mut workspace.cargo(&["semver-checks", "--version"])).is_err() {
        let remark = "public API NOT CHECKED: cargo-semver-checks is not installed (`cargo install --locked cargo-semver-checks`)";
        return Ok(remark.to_owned());
    }
    let mut git = std::process::Command::new("git");
    git.args(["describe", "--tags", "--abbrev=0", "--match", "v*"]).current_dir(workspace.root());
    let Ok(release) = output(&mut git) else {
        return Ok("public API NOT CHECKED: there is no release (a tag v*) to compare with".to_owned());
    };
    let release = release.trim();
    let arguments = ["semver-checks", "--package", FACADE, "--all-features", "--baseline-rev", release];
    output(&mut workspace.cargo(&arguments))
        .map(|_| format!("the public API agrees with the version, compared with {release}"))
        .map_err(|problem| vec![problem])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, rest: &str) -> Package {
        let text = format!(
            r#"{{"name":"{name}","version":"0.1.0","id":"{name} 0.1.0","source":null,"dependencies":[],"targets":[],
                "features":{{}},"manifest_path":"/Cargo.toml"{rest}}}"#
        );
        serde_json::from_str(&text).expect("the metadata of a package")
    }

    #[test]
    fn a_manifest_without_the_facts_is_refused() {
        let all = missing(&package(FACADE, ""));
        assert_eq!(all.len(), 7, "{all:?}");
        let some = missing(&package("domain", r#","description":"d","license":"Apache-2.0""#));
        assert_eq!(some, ["domain has no rust-version"]);
    }

    #[test]
    fn more_words_than_a_registry_takes_are_refused() {
        let words = r#"["a","b","c","d","e","f"]"#;
        let found = missing(&package(FACADE, &format!(r#","keywords":{words},"categories":["a"]"#)));
        assert!(found.contains(&format!("{FACADE} has no 1 to 5 keywords")), "{found:?}");
        assert!(!found.iter().any(|problem| problem.contains("categories")), "{found:?}");
    }

    #[test]
    fn the_packages_of_this_checkout_are_complete() {
        let workspace = Workspace::find().expect("tests run under cargo");
        assert_eq!(facts_missing(&workspace), Ok(Vec::new()));
        assert_eq!(files_left_out(&workspace), Ok(Vec::new()));
    }
}
