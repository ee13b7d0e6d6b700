//! The build of the mutants: a copy of the sources with every edit, each behind a switch that an environment variable
//! sets. The shipped sources contain no switch.

use crate::mutant::{Change, Edit, New, SWITCHED};
use crate::mutants;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The environment variable that names the mutant to switch on.
pub const SWITCH: &str = "COORDINATOR_MUTANT";

/// The shipped domain has no std; its copy needs it for the switch.
const STD: &str = "\nextern crate std;\n";
/// The switch in the copy.
const SWITCH_MODULE: &str = r#"
/// Which rule is taken away, by the environment; read once.
pub(crate) fn mutant(name: &str) -> bool {
    static ACTIVE: std::sync::OnceLock<Option<std::string::String>> = std::sync::OnceLock::new();
    ACTIVE.get_or_init(|| std::env::var("COORDINATOR_MUTANT").ok()).as_deref() == Some(name)
}
"#;

/// Copies the sources below `root` into `folder`, edits and builds them, and returns the path of the program.
pub fn build(root: &Path, folder: &Path) -> Result<PathBuf, String> {
    let sources = folder.join("sources");
    copy_crates(root, &sources, &["domain", "model"])?;
    let edits = mutants::all().filter_map(|mutant| match mutant.change {
        Change::Elector(edits) => Some((mutant.name, edits)),
        Change::Statement(_) => None,
    });
    mutate(&sources.join("crates/domain/src"), edits, STD)?;
    let target = folder.join("build");
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "--quiet", "--package", "model"])
        .current_dir(&sources)
        .env("CARGO_TARGET_DIR", &target)
        // An edit may leave a variable unused.
        .env("RUSTFLAGS", "--cap-lints allow -A warnings")
        .status()
        .map_err(|error| format!("cargo: {error}"))?;
    if !status.success() {
        return Err(format!("the mutated sources in {} do not compile", sources.display()));
    }
    Ok(target.join("release/model"))
}

/// Creates a workspace in `sources` with only these crates.
pub fn copy_crates(root: &Path, sources: &Path, names: &[&str]) -> Result<(), String> {
    if sources.exists() {
        fs::remove_dir_all(sources).map_err(|error| format!("{}: {error}", sources.display()))?;
    }
    for name in names {
        copy(&root.join("crates").join(name), &sources.join("crates").join(name))?;
    }
    fs::copy(root.join("Cargo.lock"), sources.join("Cargo.lock"))
        .map_err(|error| format!("Cargo.lock: {error}"))?;
    let manifest = read(&root.join("Cargo.toml"))?;
    write(&sources.join("Cargo.toml"), &of_copied_members(&manifest)?)
}

/// Makes every edit in the crate whose sources are in `folder`, each behind its mutant's switch. `before` precedes
/// the switch.
pub fn mutate<'m>(
    folder: &Path,
    mutants: impl IntoIterator<Item = (&'m str, &'m [Edit])>,
    before: &str,
) -> Result<(), String> {
    for (name, edits) in mutants {
        for edit in edits {
            apply(folder, name, edit)?;
        }
    }
    let lib = folder.join("lib.rs");
    let text = read(&lib)?;
    // The lints apply to the shipped code: an edit may have unnecessary parentheses.
    write(&lib, &format!("#![allow(warnings)]\n{text}{before}{SWITCH_MODULE}"))
}

/// The workspace's manifest with only the copied members.
fn of_copied_members(manifest: &str) -> Result<String, String> {
    let members = r#"members = ["crates/*", "xtask"]"#;
    let default = r#"default-members = ["crates/app"]"#;
    if !manifest.contains(members) || !manifest.contains(default) {
        return Err(
            "the root manifest's members are written differently: adapt crates/model/src/workshop.rs".into(),
        );
    }
    Ok(manifest.replace(members, r#"members = ["crates/*"]"#).replace(default, ""))
}

fn apply(folder: &Path, name: &str, edit: &Edit) -> Result<(), String> {
    let path = folder.join(edit.file);
    let text = read(&path)?;
    let Edit { file, old, .. } = edit;
    if text.matches(old).count() != 1 {
        let times = text.matches(old).count();
        return Err(format!(
            "{name}: {old:?} occurs {times} times in {file}; it must occur once: adapt the mutant in crates/model/src"
        ));
    }
    let switch = format!("crate::mutant({name:?})");
    let new = match edit.new {
        New::Instead(new) if old.ends_with(';') => format!("if {switch} {{ {new} }} else {{ {old} }}"),
        New::Instead(new) if old.ends_with(',') => {
            let old = old.trim_end_matches(',');
            format!("if {switch} {{ {new} }} else {{ {old} }},")
        }
        New::Instead(new) => format!("(if {switch} {{ {new} }} else {{ {old} }})"),
        New::Also(new) => format!("{old} if {switch} {{ {new} }}\n"),
        New::Text(new) => new.replace(SWITCHED, &switch),
    };
    write(&path, &text.replacen(old, &new, 1))
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    fs::create_dir_all(to).map_err(|error| format!("{}: {error}", to.display()))?;
    let entries = fs::read_dir(from).map_err(|error| format!("{}: {error}", from.display()))?;
    for entry in entries {
        let entry = entry.map_err(|error| format!("{}: {error}", from.display()))?;
        let (source, copied) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy(&source, &copied)?;
        } else {
            fs::copy(&source, &copied).map_err(|error| format!("{}: {error}", source.display()))?;
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
