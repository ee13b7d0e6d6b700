//! `cargo xtask evidence`: runs the proof, keeps what each part found in docs/evidence/*.json, and writes
//! docs/evidence.md from these records. `cargo xtask check` fails when the page is not what the records say.

use crate::proof;
use crate::workspace::{Workspace, output, run as run_command};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::fs;
use std::process::{Command, ExitCode};

const FOLDER: &str = "docs/evidence";
const PAGE: &str = "docs/evidence.md";
/// Written by hand: what the proof found in us.
const BUGS: &str = "docs/evidence/bugs.txt";
/// Written by hand: what it does not show.
const LIMITS: &str = "docs/evidence/limits.txt";

/// A part of the proof; its record has its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Model,
    Mutants,
    Sim,
    Chaos,
}

const PARTS: [(Part, &str); 4] =
    [(Part::Model, "model"), (Part::Mutants, "mutants"), (Part::Sim, "sim"), (Part::Chaos, "chaos")];

/// The command: all parts, or the first argument's alone with the others handed on to it.
pub fn run(workspace: &Workspace, arguments: &[String]) -> ExitCode {
    let outcome = record(workspace, arguments).and_then(|()| render(workspace));
    proof::told(outcome.inspect(|()| println!("wrote {PAGE}")))
}

fn record(workspace: &Workspace, arguments: &[String]) -> Result<(), String> {
    let Some((name, rest)) = arguments.split_first() else {
        return PARTS.iter().try_for_each(|(part, _)| measure(workspace, *part, &[]));
    };
    let known = PARTS.iter().find(|(_, known)| known == name);
    let (part, _) =
        known.ok_or("usage: cargo xtask evidence [model | mutants | sim | chaos] [ARGUMENTS OF THAT]")?;
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
    };
    run_command(&mut command)?;
    let text = fs::read_to_string(&figures).map_err(|error| format!("{}: {error}", figures.display()))?;
    let figures: Value =
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", figures.display()))?;
    if figures["sets_of_all"] == false {
        return Err("a record of the model check is of all sets".to_owned());
    }
    let record = json!({ "commit": commit(workspace)?, "date": date()?, "figures": figures });
    let path = workspace.root().join(FOLDER).join(format!("{}.json", name(part)));
    fs::write(&path, format!("{record:#}\n")).map_err(|error| format!("{}: {error}", path.display()))
}

/// The commit that was measured; a plus says that files were changed since.
fn commit(workspace: &Workspace) -> Result<String, String> {
    let git = |arguments: &[&str]| output(Command::new("git").args(arguments).current_dir(workspace.root()));
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--", "crates", "Cargo.toml", "Cargo.lock"])?;
    let plus = if changed.trim().is_empty() { "" } else { "+" };
    Ok(format!("{}{plus}", commit.trim()))
}

fn date() -> Result<String, String> {
    output(Command::new("date").args(["-u", "+%Y-%m-%d"])).map(|date| date.trim().to_owned())
}

/// Writes the page from the records.
pub fn render(workspace: &Workspace) -> Result<(), String> {
    let path = workspace.root().join(PAGE);
    fs::write(&path, page(workspace)?).map_err(|error| format!("{}: {error}", path.display()))
}

/// Whether the page is what the records say.
pub fn fresh(workspace: &Workspace) -> Result<(), String> {
    let path = workspace.root().join(PAGE);
    let written = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    if written == page(workspace)? { Ok(()) } else { Err(format!("{PAGE} is not what {FOLDER} says")) }
}

struct Record {
    commit: String,
    date: String,
    figures: Value,
}

fn page(workspace: &Workspace) -> Result<String, String> {
    let read = |path: &str| {
        let path = workspace.root().join(path);
        fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let load = |part: Part| -> Result<Record, String> {
        let path = format!("{FOLDER}/{}.json", name(part));
        let record: Value =
            serde_json::from_str(&read(&path)?).map_err(|error| format!("{path}: {error}"))?;
        let field = |key: &str| record[key].as_str().map(str::to_owned).ok_or(format!("{path}: no {key}"));
        Ok(Record { commit: field("commit")?, date: field("date")?, figures: record["figures"].clone() })
    };
    let parts = [
        model(&load(Part::Model)?),
        mutants(&load(Part::Mutants)?),
        sim(&load(Part::Sim)?),
        chaos(&load(Part::Chaos)?),
    ];
    Ok(format!("{HEAD}\n{}\n{}\n{}", parts.join("\n"), read(BUGS)?.trim_end(), read(LIMITS)?))
}

const HEAD: &str = "\
# Evidence

<!-- generated by cargo xtask codegen from docs/evidence/*: do not edit -->

The claim is: at most one leads, no signal is executed twice, none is lost. This page says what was done to break it,
on which commit, and what came of it. `cargo xtask evidence` does all of it again and writes the page anew; each
section begins with the command for its part. A commit with a plus had uncommitted changes.
";

fn measured(record: &Record, command: &str) -> String {
    format!("`{command}`, commit {}, {}.\n", record.commit, record.date)
}

fn model(record: &Record) -> String {
    let figures = &record.figures;
    let mut text = format!("## Model check\n\n{}\n", measured(record, "cargo xtask model"));
    let _ = writeln!(
        text,
        "The state machine that ships, explored breadth first in every order of everything that may happen to it:\n\
         **{} distinct states**, nothing broke. Every role, every command and every report occurred, else the check\n\
         fails. The ends of runs are where it is asked who leads when faults are over. Beyond the margin two must be\n\
         seen to believe at once, and nothing else may break.\n\n\
         | fault set | what may go wrong | states | ends of runs | faults in a run |\n\
         |---|---|---|---|---|",
        number(&figures["states"])
    );
    for set in list(&figures["sets"]) {
        let whole = if set["whole"] == true { ", all there are" } else { "" };
        let _ = writeln!(
            text,
            "| {} | {} | {}{whole} | {} | {} |",
            word(&set["name"]),
            word(&set["about"]),
            number(&set["states"]),
            number(&set["ends"]),
            number(&set["faults"])
        );
    }
    text
}

fn mutants(record: &Record) -> String {
    let table = list(&record.figures["mutants"]);
    let mut text = format!("## Mutants\n\n{}\n", measured(record, "cargo xtask model mutants"));
    let _ = writeln!(
        text,
        "A check that notices nothing proves nothing. Each line takes one rule away; the check noticed all **{}**, and\n\
         the story of each is replayed by the tests where the shipped rules can live through it\n\
         ([crates/model/stories](../crates/model/stories)).\n\n\
         | mutant | rule | what it does | what broke | steps | states |\n|---|---|---|---|---|---|",
        table.len()
    );
    for mutant in table {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            word(&mutant["name"]),
            word(&mutant["rule"]),
            word(&mutant["does"]),
            word(&mutant["property"]),
            word(&mutant["depth"]),
            word(&mutant["states"])
        );
    }
    text
}

fn sim(record: &Record) -> String {
    let figures = &record.figures;
    let mut text = format!("## Simulation\n\n{}\n", measured(record, "cargo xtask sim"));
    let days = figures["simulated_seconds"].as_f64().unwrap_or_default() / 86_400.0;
    let _ = writeln!(
        text,
        "The real driver on virtual time, simulated stores held to the same contract suites as the real ones, and a\n\
         broker that accepts everything and never de-duplicates: **{} seeds, {} faults, {days:.0} simulated days**,\n\
         {} elections, {} signals. Duplicates {}, losses {}, unsettled {}.\n\n\
         Excused, because an asynchronous failover lost the very record (half of the clusters are asynchronous; the\n\
         synchronous half has no excuse):\n{}",
        number(&figures["seeds"]),
        number(&figures["faults_total"]),
        number(&figures["elections"]),
        number(&figures["signals"]),
        number(&figures["duplicates"]),
        number(&figures["losses"]),
        number(&figures["unsettled"]),
        excuses(&figures["excused"])
    );
    faults(&mut text, &figures["faults"]);
    text
}

fn chaos(record: &Record) -> String {
    let figures = &record.figures;
    let naive = &figures["naive"];
    let ratio =
        |key: &str| figures[key].as_f64().map_or_else(|| "none".to_owned(), |ratio| format!("{ratio:.2}"));
    let mut text = format!("## Chaos\n\n{}\n", measured(record, "cargo xtask chaos"));
    let _ = writeln!(
        text,
        "Three processes, a real Redis, a real PostgreSQL with a standby, a TCP proxy on every connection, and\n\
         **{} faults**; beside them, under the same kinds of faults, what everybody writes first: `SET NX PX` and a flag.\n\n\
         | | signals | executed twice | lost | unsettled | excused |\n|---|---|---|---|---|---|\n\
         | coordinator, {} faults | {} | {} | {} | {} | {} |\n| `SET NX PX` and a flag, {} faults | {} | {} | {} | | {} |\n\n\
         {} elections. A takeover took {} of its limit in the median and {} at most, a handover {} and {} (a debug\n\
         build, two processors, everything on one machine).\n",
        number(&figures["faults_total"]),
        number(&figures["faults_total"]),
        number(&figures["signals"]),
        number(&figures["duplicates"]),
        number(&figures["losses"]),
        number(&figures["unsettled"]),
        total(&figures["excused"]),
        number(&naive["faults_total"]),
        number(&naive["signals"]),
        number(&naive["duplicates"]),
        number(&naive["losses"]),
        total(&naive["excused"]),
        number(&figures["elections"]),
        ratio("takeover_ratio_median"),
        ratio("takeover_ratio_max"),
        ratio("handover_ratio_median"),
        ratio("handover_ratio_max"),
    );
    faults(&mut text, &figures["faults"]);
    text
}

fn faults(text: &mut String, by_kind: &Value) {
    let none = Map::new();
    text.push_str("| fault | times |\n|---|---|\n");
    for (kind, times) in by_kind.as_object().unwrap_or(&none) {
        let _ = writeln!(text, "| {} | {} |", kind.replace('|', "/"), number(times));
    }
}

fn excuses(by_invariant: &Value) -> String {
    let none = Map::new();
    let excuse = |(invariant, times): (&String, &Value)| format!("\n- {invariant}: {}", number(times));
    let lines: Vec<String> = by_invariant.as_object().unwrap_or(&none).iter().map(excuse).collect();
    format!("{}\n", lines.join(""))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().replace('|', "/")
}

/// With commas between thousands.
fn number(value: &Value) -> String {
    let Some(number) = value.as_u64() else { return value.to_string() };
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A number, or the sum of an object's.
fn total(value: &Value) -> String {
    match value.as_object() {
        Some(parts) => number(&json!(parts.values().filter_map(Value::as_u64).sum::<u64>())),
        None => number(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_commas_and_objects_a_sum() {
        assert_eq!(number(&json!(1_234_567)), "1,234,567");
        assert_eq!(number(&json!(999)), "999");
        assert_eq!(total(&json!({ "twice": 2, "lost": 1_000 })), "1,002");
    }
}
