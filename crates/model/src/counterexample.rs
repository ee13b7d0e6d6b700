//! Counterexamples as text: the actions and their effects, one per line. `replay` reads the same file.

use crate::action::Action;
use crate::coverage::Coverage;
use crate::fault_set;
use crate::model::ElectionModel;
use crate::world::World;
use domain::election::{Phase, Role};
use stateright::Model;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Prefix of the fault set's name in the first lines of a counterexample.
const SET: &str = "set: ";
/// Prefix of the number of the initial state.
const BEGINNING: &str = "beginning: ";
/// Prefix of the expected result: a property, or `nothing breaks`.
const ENDS: &str = "ends: ";
/// The result of a counterexample in which every property holds.
pub const NOTHING: &str = "nothing breaks";

/// The text of `path`, with the result `ends`.
pub fn text_of(model: &ElectionModel, ends: &str, path: &[(World, Option<Action>)]) -> String {
    let first = path.first().map(|(world, _)| world);
    let beginnings = model.init_states();
    let beginning = beginnings.iter().position(|world| Some(world) == first).unwrap_or(0);
    let mut text = format!("{SET}{}\n{BEGINNING}{beginning}\n{ENDS}{ends}\n", model.set.name);
    for (before, after) in path.iter().zip(path.iter().skip(1)) {
        let Some(action) = before.1 else { continue };
        let line = format!("{action}");
        let _ = writeln!(text, "{line:<24}# {}", remark(&before.0, &after.0, action));
    }
    text
}

/// Saves the text of `path` below `folder`, under `name`.
pub fn save(
    model: &ElectionModel,
    (name, ends): (&str, &str),
    path: &[(World, Option<Action>)],
    folder: &Path,
) -> Result<PathBuf, String> {
    let folder = folder.join("counterexamples");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let file = folder.join(format!("{}-{plain}.txt", model.set.name));
    fs::write(&file, text_of(model, ends, path)).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(file)
}

/// The comment on one step.
fn remark(before: &World, after: &World, action: Action) -> String {
    let seconds = std::time::Duration::from_nanos(after.now).as_secs_f64();
    let mut said = format!("{seconds:8.3} s");
    let about = match action {
        Action::Arrive(held) => before.held.get(held),
        _ => before.hot.front().filter(|_| action_takes_the_first(action)),
    };
    if let Some(message) = about {
        let _ = write!(said, "  {message}");
    }
    for (who, (old, new)) in before.nodes.iter().zip(&after.nodes).enumerate() {
        let (old, new) = (role(old.elector.role()), role(new.elector.role()));
        if old != new {
            let _ = write!(said, "; {} {new}", crate::world::name(who));
        }
    }
    if before.database != after.database {
        let token = after.database.token();
        let state = if after.database.released() { "released" } else { "held" };
        let _ =
            write!(said, "; the lease is {state}, epoch {} on timeline {}", token.epoch, token.timeline.0);
    }
    said
}

fn action_takes_the_first(action: Action) -> bool {
    matches!(
        action,
        Action::Go
            | Action::Hold
            | Action::Lose
            | Action::LoseReply
            | Action::HoldReply
            | Action::FailRecovery(_)
    )
}

fn role(role: &Role) -> &'static str {
    match role {
        Role::Follower => "follows",
        Role::Candidate(_) => "is a candidate",
        Role::Leader(leadership) => match leadership.phase {
            Phase::Recovering { .. } => "leads, recovering",
            Phase::Active => "leads, active",
            Phase::Halted(_) => "leads, halted",
            Phase::Draining { .. } => "leads, draining",
        },
        Role::Stopped => "has stopped",
    }
}

/// Replays `text`. Returns the result now, and the result that the text expects.
pub fn replay(text: &str) -> Result<(String, String), String> {
    let field = |prefix: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(prefix));
        line.map(str::trim).ok_or_else(|| format!("the counterexample has no line `{prefix}...`"))
    };
    let name = field(SET)?;
    let set = fault_set::find(name).ok_or_else(|| format!("there is no fault set {name:?}"))?.clone();
    let set = fault_set::FaultSet { budget: u8::MAX, ..set };
    let model = ElectionModel { set, broken: None, coverage: Arc::new(Coverage::default()) };
    let number: usize = field(BEGINNING)?.parse().map_err(|error| format!("{BEGINNING}{error}"))?;
    let mut world = model.init_states().into_iter().nth(number).ok_or("there is no such initial state")?;
    let actions = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    for line in actions.filter(|line| !line.is_empty() && !line.contains(':')) {
        let action = Action::parse(line).ok_or_else(|| format!("unknown action {line:?}"))?;
        let mut possible = Vec::new();
        model.actions(&world, &mut possible);
        if !possible.contains(&action) {
            return Ok((format!("the action `{line}` is not possible"), field(ENDS)?.to_owned()));
        }
        world = model.next_state(&world, action).ok_or_else(|| format!("`{line}` leads nowhere"))?;
    }
    let broken = model.properties().into_iter().find(|property| !(property.condition)(&model, &world));
    let found = broken.map_or(NOTHING, |property| property.name);
    Ok((found.to_owned(), field(ENDS)?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counterexamples of mutants, or of versions that once shipped; with all rules no property breaks.
    #[test]
    fn every_saved_counterexample_has_its_expected_result() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("counterexamples");
        let mut played = 0;
        for entry in fs::read_dir(folder).expect("the folder of counterexamples") {
            let file = entry.expect("a readable folder").path();
            let text = fs::read_to_string(&file).expect("a readable counterexample");
            let (found, said) = replay(&text).unwrap_or_else(|fault| panic!("{}: {fault}", file.display()));
            assert_eq!(found, said, "{}", file.display());
            played += 1;
        }
        assert!(played >= 10, "counterexamples are missing: only {played} are left");
    }

    #[test]
    fn a_counterexample_that_cannot_be_replayed_names_the_action() {
        let text = "set: network\nbeginning: 0\nends: nothing breaks\ntimer\ngo 3\n";
        assert!(replay(text).is_err_and(|fault| fault.contains("go 3")));
        let (found, _) = replay("set: network\nbeginning: 0\nends: x\nresume 1\n").expect("a readable text");
        assert_eq!(found, "the action `resume 1` is not possible");
    }
}
