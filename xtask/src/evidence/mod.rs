//! `cargo xtask evidence`: runs the proof, keeps the results of each part in docs/evidence/*.json, and writes
//! docs/evidence.md from these records. `cargo xtask check` fails if the page differs from the records.

mod long;
mod page;

use crate::proof;
use crate::workspace::{Workspace, output, run as run_command};
use page::PAGE;
pub use page::{fresh, render};
use serde_json::{Value, json};
use std::fs;
use std::process::{Command, ExitCode};

const FOLDER: &str = "docs/evidence";

/// A part of the proof; its record has its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Model,
    Mutants,
    Sim,
    Chaos,
    Signals,
    Exec,
}

const PARTS: [(Part, &str); 6] = [
    (Part::Model, "model"),
    (Part::Mutants, "mutants"),
    (Part::Sim, "sim"),
    (Part::Chaos, "chaos"),
    (Part::Signals, "signals"),
    (Part::Exec, "exec"),
];

/// The command: runs all parts, or only that of the first argument with the other arguments.
pub fn run(workspace: &Workspace, arguments: &[String]) -> ExitCode {
    let outcome = record(workspace, arguments).and_then(|()| render(workspace));
    proof::reported(outcome.inspect(|()| println!("wrote {PAGE}")))
}

fn record(workspace: &Workspace, arguments: &[String]) -> Result<(), String> {
    let Some((name, rest)) = arguments.split_first() else {
        return PARTS.iter().try_for_each(|(part, _)| measure(workspace, *part, &[]));
    };
    let known = PARTS.iter().find(|(_, known)| known == name);
    let names = PARTS.map(|(_, name)| name).join(" | ");
    let (part, _) =
        known.ok_or_else(|| format!("usage: cargo xtask evidence [{names}] [ARGUMENTS OF THAT]"))?;
    measure(workspace, *part, rest)
}

fn name(part: Part) -> &'static str {
    PARTS.iter().find(|(known, _)| *known == part).map_or("", |(_, name)| name)
}

fn measure(workspace: &Workspace, part: Part, rest: &[String]) -> Result<(), String> {
    let folder = workspace.root().join("target/evidence");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let figures = folder.join(format!("{}.json", name(part)));
    let record = ["--record".to_owned(), figures.display().to_string()];
    let arguments: Vec<String> = rest.iter().chain(&record).cloned().collect();
    let mut command = match part {
        Part::Model => proof::model_command(workspace, &arguments),
        Part::Mutants => proof::model_command(workspace, &[vec!["mutants".to_owned()], arguments].concat()),
        Part::Sim => proof::sim_command(workspace, &arguments),
        Part::Chaos => proof::built_chaos_command(workspace, &arguments)?,
        Part::Signals => {
            let asked = arguments.iter().any(|argument| argument.starts_with(proof::SIGNALS));
            let campaign = if asked { Vec::new() } else { vec![proof::SIGNALS.to_owned()] };
            proof::built_chaos_command(workspace, &[campaign, arguments].concat())?
        }
        Part::Exec => {
            let kills = rest.first().map_or(proof::EXEC_KILLS, String::as_str);
            proof::exec_command(workspace, kills, &figures)?
        }
    };
    run_command(&mut command)?;
    let text = fs::read_to_string(&figures).map_err(|error| format!("{}: {error}", figures.display()))?;
    if part == Part::Exec {
        // The run is whole: the next one begins anew.
        let _ = fs::remove_file(figures.with_extension("progress"));
    }
    let figures: Value =
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", figures.display()))?;
    if figures["sets_of_all"] == false {
        return Err("a record of the model check is of all sets".to_owned());
    }
    let record = json!({ "commit": commit(workspace)?, "date": date()?, "figures": figures });
    let path = workspace.root().join(FOLDER).join(format!("{}.json", name(part)));
    fs::write(&path, format!("{record:#}\n")).map_err(|error| format!("{}: {error}", path.display()))
}

/// The commit that was measured; a plus means that files were changed since.
pub fn commit(workspace: &Workspace) -> Result<String, String> {
    let git = |arguments: &[&str]| output(Command::new("git").args(arguments).current_dir(workspace.root()));
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--", "crates", "Cargo.toml", "Cargo.lock"])?;
    let plus = if changed.trim().is_empty() { "" } else { "+" };
    Ok(format!("{}{plus}", commit.trim()))
}

fn date() -> Result<String, String> {
    output(Command::new("date").args(["-u", "+%Y-%m-%d"])).map(|date| date.trim().to_owned())
}
