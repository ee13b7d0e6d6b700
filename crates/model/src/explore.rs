//! Runs of the checker: over all fault sets, and over all mutants.

use crate::coverage::Coverage;
use crate::fault_set::{self, BEYOND, Clocks, FaultSet, SETS};
use crate::model::ElectionModel;
use crate::mutant::{Change, Mutant};
use crate::mutants::all as all_mutants;
use crate::{counterexample, workshop};
use serde_json::{Value, json};
use stateright::{Checker, HasDiscoveries, Model};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Steps explored of one set in a nightly run.
const NIGHTLY_STATES: usize = 10_000_000;
/// Steps explored of one set in CI, breadth first.
const CI_STATES: usize = 2_000_000;
/// Steps explored of one set depth first, in addition to those breadth first: only long runs reach the check which
/// instance leads at the end.
const DEEP_STATES: usize = 400_000;
/// Minimum of distinct states in all sets, for each length.
const CI_STATES_MIN: usize = 1_000_000;
const NIGHTLY_STATES_MIN: usize = 50_000_000;
/// A mutant must be noticed within this number of states.
const MUTANT_STATES_MAX: usize = 3_000_000;
/// Number of mutants checked at a time, one thread each.
const MUTANTS_AT_ONCE: usize = 2;
/// Interval between two polls of a running check.
const POLL_EVERY: Duration = Duration::from_millis(50);

/// Extent of an exploration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// Breadth first, deeper than the depth at which every mutant is noticed.
    Ci,
    /// One more fault in a run, ten times as many states.
    Nightly,
}

/// Explores `only`, or all sets. Returns an error if a property breaks or an item of the coverage never occurred.
pub fn check(only: Option<&str>, length: Length, folder: &Path) -> Result<Value, String> {
    let sets: Vec<&FaultSet> = match only {
        Some(name) => vec![fault_set::find(name).ok_or_else(|| unknown_set(name))?],
        None => SETS.iter().chain([&BEYOND]).collect(),
    };
    let coverage = Arc::new(Coverage::default());
    let (mut problems, mut figures, mut states) = (Vec::new(), Vec::new(), 0);
    for set in sets {
        let explored = explore(set, length, &coverage, folder)?;
        states += explored.states;
        problems.extend(explored.broken.iter().map(|broken| format!("{}: {broken}", set.name)));
        figures.push(explored.figures);
    }
    if only.is_none() {
        let missing = coverage.missing();
        let promised = if length == Length::Nightly { NIGHTLY_STATES_MIN } else { CI_STATES_MIN };
        if states < promised {
            problems.push(format!("only {states} states instead of {promised}: enlarge a set"));
        }
        problems.extend(missing.iter().map(|name| format!("never occurred: {name}")));
    }
    println!("{states} distinct states");
    if !problems.is_empty() {
        return Err(problems.join("\n"));
    }
    let length = if length == Length::Nightly { "nightly" } else { "ci" };
    Ok(json!({ "length": length, "sets_of_all": only.is_none(), "states": states, "sets": figures }))
}

fn unknown_set(name: &str) -> String {
    let names: Vec<&str> = SETS.iter().map(|set| set.name).collect();
    format!("there is no fault set {name:?}; there are {}", names.join(", "))
}

struct Explored {
    states: usize,
    broken: Vec<String>,
    figures: Value,
}

/// Explores one set breadth first, for the shortest counterexamples, then partly depth first, to reach the ends of
/// runs.
fn explore(set: &FaultSet, length: Length, all: &Arc<Coverage>, folder: &Path) -> Result<Explored, String> {
    let (extra, states_max) = match length {
        Length::Ci => (0, CI_STATES),
        Length::Nightly => (1, NIGHTLY_STATES),
    };
    let set = FaultSet { budget: set.budget + extra, ..set.clone() };
    let FaultSet { name, about, budget, clocks, .. } = set;
    let started = Instant::now();
    let own = Arc::new(Coverage::default());
    let checker = |states| {
        let model = ElectionModel { set: set.clone(), broken: None, coverage: Arc::clone(&own) };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        model.checker().finish_when(HasDiscoveries::AnyFailures).threads(threads).target_state_count(states)
    };
    let broad = checker(states_max).spawn_bfs().join();
    let mut broken = counterexamples(&broad, folder)?;
    if broken.is_empty() {
        broken = counterexamples(&checker(DEEP_STATES).spawn_dfs().join(), folder)?;
    }
    all.add(&own);
    let (states, tails) = (broad.unique_state_count(), own.tails());
    let whole = broad.state_count() < states_max;
    let end = if whole { "complete" } else { "breadth first" };
    println!(
        "{name:<17} {states:>9} states ({end}), {tails} ends of runs, {budget} faults in a run, {:.0?}: {about}",
        started.elapsed()
    );
    if tails == 0 {
        broken.push("no run reached its end, so the leader after it was not checked".to_owned());
    }
    if clocks == Clocks::Beyond {
        println!(
            "{name:<17} two instances held valid leases at once in {} steps, as expected in this set",
            own.overlaps()
        );
        if own.overlaps() == 0 {
            broken.push("two instances never hold valid leases at once: the model's clocks do not have the configured rates".to_owned());
        }
    }
    let figures = json!({
        "name": name,
        "about": about,
        "states": states,
        "ends": tails,
        "faults": budget,
        "whole": whole,
        "overlaps": own.overlaps(),
    });
    Ok(Explored { states, broken, figures })
}

/// The broken properties, each with its counterexample, which is printed and saved.
fn counterexamples(checker: &impl Checker<ElectionModel>, folder: &Path) -> Result<Vec<String>, String> {
    let mut broken = Vec::new();
    for (property, path) in checker.discoveries() {
        let path = path.into_vec();
        println!("{}", counterexample::text_of(checker.model(), property, &path));
        let file = counterexample::save(checker.model(), (property, property), &path, folder)?;
        broken.push(format!("{property}; replay it: cargo xtask model replay {}", file.display()));
    }
    Ok(broken)
}

// --- mutants ------------------------------------------------------------------------------------------

/// Builds the mutants and checks each. Returns an error if one is not noticed.
pub fn mutants(root: &Path, folder: &Path) -> Result<Value, String> {
    eprintln!("building the mutants in {}", folder.join("mutants").display());
    let program = workshop::build(root, &folder.join("mutants"))?;
    let mut verdicts = Vec::new();
    let mut waiting = all_mutants();
    let mut running = Vec::new();
    loop {
        while running.len() < MUTANTS_AT_ONCE
            && let Some(mutant) = waiting.next()
        {
            running.push((mutant, start(&program, mutant, folder)?));
        }
        let Some(at) = running.iter_mut().position(|(_, child)| !matches!(child.try_wait(), Ok(None))) else {
            if running.is_empty() {
                break;
            }
            std::thread::sleep(POLL_EVERY);
            continue;
        };
        let (mutant, child) = running.swap_remove(at);
        let output = child.wait_with_output().map_err(|error| format!("{}: {error}", mutant.name))?;
        let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        println!("{:<34} {:<9} {said}", mutant.name, mutant.rule);
        verdicts.push((mutant, output.status.success(), said));
    }
    let missed: Vec<&str> =
        verdicts.iter().filter(|verdict| !verdict.1).map(|verdict| verdict.0.name).collect();
    println!("{} mutants, {} noticed", verdicts.len(), verdicts.len() - missed.len());
    if !missed.is_empty() {
        return Err(format!("not noticed: {}", missed.join(", ")));
    }
    verdicts.sort_by_key(|(mutant, ..)| all_mutants().position(|other| other.name == mutant.name));
    let table: Vec<Value> = verdicts.iter().filter_map(|(mutant, _, said)| line(mutant, said)).collect();
    Ok(json!({ "mutants": table }))
}

fn start(program: &Path, mutant: &Mutant, folder: &Path) -> Result<std::process::Child, String> {
    Command::new(program)
        .args(["mutant", mutant.name])
        .arg(folder.join("mutants"))
        .env(workshop::SWITCH, mutant.name)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .map_err(|error| format!("{}: {error}", program.display()))
}

/// Separator between the parts of a verdict.
const APART: &str = " | ";

fn line(mutant: &Mutant, said: &str) -> Option<Value> {
    let (property, rest) = said.split_once(APART)?;
    let (depth, states) = rest.split_once(APART)?;
    Some(json!({
        "name": mutant.name,
        "rule": mutant.rule,
        "does": mutant.does,
        "set": mutant.set,
        "property": property,
        "depth": depth.trim_start_matches("depth "),
        "states": states.trim_end_matches(" states"),
    }))
}

/// Explores with the rule removed and prints the broken property, in one line.
pub fn mutant(name: &str, folder: &Path) -> Result<(), String> {
    let mutant = all_mutants().find(|mutant| mutant.name == name).ok_or("there is no such mutant")?;
    let set = fault_set::find(mutant.set).ok_or_else(|| unknown_set(mutant.set))?;
    let set = FaultSet { budget: mutant.budget, ..set.clone() };
    let broken = match mutant.change {
        Change::Statement(rule) => Some(rule),
        Change::Elector(_) => None,
    };
    let model = ElectionModel { set, broken, coverage: Arc::new(Coverage::default()) };
    let checker = model
        .checker()
        .finish_when(HasDiscoveries::AnyFailures)
        .threads(1)
        .target_state_count(MUTANT_STATES_MAX)
        .spawn_bfs()
        .join();
    let states = checker.unique_state_count();
    // Two may break in the same step; take the first by name.
    match checker.discoveries().into_iter().min_by_key(|(property, _)| *property) {
        Some((property, path)) => {
            let path = path.into_vec();
            // With the shipped rules, the same actions break nothing, as far as they are possible at all.
            counterexample::save(checker.model(), (name, counterexample::NOTHING), &path, folder)?;
            println!("{property}{APART}depth {}{APART}{states} states", path.len() - 1);
            Ok(())
        }
        None => {
            println!("NOT NOTICED in {states} states");
            Err(format!("{name} is not noticed"))
        }
    }
}
