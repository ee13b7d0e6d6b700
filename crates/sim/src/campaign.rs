//! A campaign: many seeds on all cores. Each seed runs on one thread from start to end, so its result does not depend
//! on the number of seeds.

use crate::cli::Arguments;
use crate::judge::Recording;
use crate::outcome::Outcome;
use crate::plan::{Plan, Wishes};
use crate::shrink::shrink;
use crate::tally::Tally;
use crate::world::play;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Interval between reports of the progress.
const PROGRESS: Duration = Duration::from_secs(5);
/// Folder for failing schedules, from the root of the checkout.
const FAILURES: &str = "target/sim/failures";
/// Maximum number of failures that are shrunk and saved: a bug that breaks every seed does not need them all.
const FAILURES_SAVED_MAX: u64 = 10;

/// Runs the command line.
///
/// # Errors
/// If a file cannot be read or written, with its name.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    match &arguments.replay {
        Some(file) => replay(file),
        None => play_all(arguments),
    }
}

fn replay(file: &Path) -> Result<ExitCode, Box<dyn Error>> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let plan: Plan = text.parse().map_err(|error| format!("{}: {error}", file.display()))?;
    let outcome = play(&plan, Recording::Everything);
    for line in &outcome.events {
        println!("{line}");
    }
    println!("trace {:016x}", outcome.trace);
    for violation in &outcome.violations {
        println!("FAILED {violation}");
    }
    Ok(if outcome.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn play_all(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    let begin = Instant::now();
    let instances = arguments.instances.and_then(|instances| usize::try_from(instances).ok());
    let wishes = Wishes { faults: arguments.faults_per_seed, instances, caution: arguments.caution };
    let end = arguments.minutes.map(|minutes| begin + Duration::from_secs(minutes * 60));
    let next = AtomicU64::new(arguments.first);
    let beyond = arguments.first.saturating_add(arguments.seeds);
    let goes_on = |seed: u64| end.map_or(seed < beyond, |end| Instant::now() < end);
    let (done, outcomes) = mpsc::channel::<(Plan, Outcome)>();
    let mut tally = Tally::default();
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            let (done, next, goes_on) = (done.clone(), &next, &goes_on);
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if !goes_on(seed) {
                        return;
                    }
                    let plan = Plan::draw(seed, &wishes);
                    let outcome = play(&plan, Recording::Nothing);
                    // The receiver is gone only if saving a failure failed.
                    if done.send((plan, outcome)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(done);
        collect(&outcomes, &mut tally)
    })?;
    println!("{tally}");
    if let Some(file) = &arguments.record {
        fs::write(file, format!("{:#}\n", tally.json(begin.elapsed())))
            .map_err(|error| format!("{}: {error}", file.display()))?;
    }
    let never = tally.never();
    for kind in &never {
        println!("FAILED {kind} never took effect: run more seeds");
    }
    Ok(if tally.failed == 0 && never.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn collect(outcomes: &mpsc::Receiver<(Plan, Outcome)>, tally: &mut Tally) -> Result<(), Box<dyn Error>> {
    let mut reported_at = Instant::now();
    for (plan, outcome) in outcomes {
        tally.add(&outcome);
        if let Some(violation) = outcome.violations.first() {
            println!("FAILED seed {}: {violation}", plan.seed);
            if tally.failed <= FAILURES_SAVED_MAX {
                let file = save(&plan, &outcome)?;
                println!("  replay it: cargo xtask sim --replay {}", file.display());
            }
        }
        if reported_at.elapsed() >= PROGRESS {
            reported_at = Instant::now();
            let (seeds, faults, failed) = (tally.seeds, tally.faults_total(), tally.failed);
            eprintln!(
                "{seeds} seeds, {faults} faults, {} s simulated, {failed} failed",
                tally.simulated_seconds()
            );
        }
    }
    Ok(())
}

/// Saves the shrunk plan, with the broken invariants as a comment.
fn save(plan: &Plan, outcome: &Outcome) -> Result<PathBuf, Box<dyn Error>> {
    let file = Path::new(FAILURES).join(format!("{}.txt", plan.seed));
    let small = shrink(plan);
    let broken: Vec<String> = outcome.violations.iter().map(|violation| format!("# {violation}")).collect();
    let text = format!("# of {} faults\n{}\n{small}", plan.faults.len(), broken.join("\n"));
    fs::create_dir_all(FAILURES)
        .and_then(|()| fs::write(&file, text))
        .map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(file)
}
