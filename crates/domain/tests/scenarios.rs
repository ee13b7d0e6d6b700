//! The scenarios in `scenarios/*.txt`, run by the shipped state machine.
//!
//! Each file has a summary, then actions and expectations (`at 12s expect leader b`), then, below a line of dashes,
//! the trace. The expectations are written by hand. `cargo xtask codegen` (`UPDATE_GENERATED=1`) writes the trace; it
//! cannot accept a failed expectation or a broken invariant, which fail either way.

mod world;

use domain::election::{Phase, Resign, TicketUse};
use domain::recovery::RecoveryCode;
use std::path::Path;
use std::time::Duration;
use world::{Reach, Store, World};

const LINE: &str = "----";

#[test]
fn every_scenario_has_its_trace() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("the folder of scenarios")
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "txt"))
        .collect();
    files.sort();
    assert!(files.len() >= 13, "scenarios are missing: {files:?}");
    let failures: Vec<String> = files.iter().filter_map(|file| run(file).err()).collect();
    assert!(failures.is_empty(), "\n{}", failures.join("\n\n"));
}

/// Runs one file; the error is the text to show.
fn run(file: &Path) -> Result<(), String> {
    let name = file.file_name().expect("a file").to_string_lossy().into_owned();
    let text = std::fs::read_to_string(file).expect("a readable scenario");
    let (script, recorded) = text.split_once(LINE).unwrap_or((&text, ""));
    let trace = play(script).map_err(|fault| format!("{name}: {fault}"))?;
    let happened = format!("{}\n", trace.join("\n"));
    if recorded.trim_start_matches('-').trim_start_matches('\n') == happened {
        return Ok(());
    }
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::write(file, format!("{script}{LINE}\n{happened}")).expect("a writable scenario");
        return Ok(());
    }
    Err(format!("{name} has another trace now (cargo xtask codegen writes it):\n{happened}"))
}

fn play(script: &str) -> Result<Vec<String>, String> {
    let mut world = World::new(Duration::from_secs(10), TicketUse::Redis);
    let mut faults = Vec::new();
    for (number, line) in script.lines().enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] | ["#", ..] | ["stores", "redis", "postgres"] => {}
            ["stores", "postgres"] => world = World::new(Duration::from_secs(10), TicketUse::None),
            ["at", at, rest @ ..] => {
                world.run_until(duration(at));
                if let Err(fault) = act(&mut world, rest) {
                    faults.push(format!("line {}: {line}: {fault}", number + 1));
                }
            }
            _ => return Err(format!("line {}: cannot read {line:?}", number + 1)),
        }
    }
    faults.append(&mut world.violations);
    if faults.is_empty() {
        Ok(world.trace)
    } else {
        Err(format!("{}\n{}", faults.join("\n"), world.trace.join("\n")))
    }
}

fn act(world: &mut World, words: &[&str]) -> Result<(), String> {
    if words.first() != Some(&"expect") {
        world.log(&format!("-- {}", words.join(" ")));
    }
    match words {
        ["end"] => {}
        ["start", name] => world.start(name),
        ["crash", name] => world.crash(name),
        ["kill", name] => world.kill(name),
        ["restart", name] => {
            world.crash(name);
            world.start(name);
        }
        ["pause", name] => world.pause(name),
        ["resume", name] => world.resume(name),
        ["stop", name] => world.resign(name, Resign::Stop),
        ["step-down", name, reason @ ..] => {
            world.resign(name, Resign::StepDown { reason: reason.join(" ") });
        }
        ["hand-over", name, "to", to] => world.hand_over(name, to),
        ["work", "of", name, "hangs"] => world.work_hangs(name),
        ["recovery", "of", name, outcome] => world.recovery(name, recovery(outcome)?),
        ["hints", "lost"] => world.hints(false),
        ["hints", "every", every, "for", time] => world.storm(duration(every), duration(time)),
        ["redis", "flushed"] => world.flush(),
        ["ticket", "held", "by", name, "for", time] => world.foreign_ticket(name, duration(time)),
        ["standby", "lags"] => world.standby_lags(),
        ["standby", "promoted"] => world.promote(),
        ["requests", "of", name, "to", to, "take", time] => world.delay(name, store(to)?, duration(time)),
        [which @ ("redis" | "postgres"), state] => world.reach("*", store(which)?, reach(state)?),
        [which @ ("redis" | "postgres"), "for", name, state] => {
            world.reach(name, store(which)?, reach(state)?);
        }
        ["effect", "of", name, "is", expected] => {
            let outcome = world.effect(name);
            if outcome != *expected {
                return Err(format!("it was {outcome}"));
            }
        }
        ["expect", "leader", name] => expect(world, &format!("{name} Active"))?,
        ["expect", "halted", name] => expect(world, &format!("{name} Halted"))?,
        ["expect", "no", "leader"] => expect(world, "")?,
        ["expect", "a", "leader"] => {
            if world.leaders().len() != 1 {
                return Err("no instance leads".into());
            }
        }
        _ => return Err("unknown action in a scenario".into()),
    }
    Ok(())
}

fn expect(world: &World, expected: &str) -> Result<(), String> {
    let phase = |phase: &Phase| match phase {
        Phase::Recovering { .. } => "Recovering",
        Phase::Active => "Active",
        Phase::Halted(_) => "Halted",
        Phase::Draining { .. } => "Draining",
    };
    let found: Vec<String> =
        world.leaders().into_iter().map(|(name, p)| format!("{name} {}", phase(p))).collect();
    let found = found.join(", ");
    if found == expected { Ok(()) } else { Err(format!("found {found:?}")) }
}

fn duration(text: &str) -> Duration {
    let ms = text.strip_suffix("ms").map(|number| number.parse::<f64>().map(|ms| ms / 1000.0));
    let s = text.strip_suffix('s').map(str::parse::<f64>);
    let seconds = ms.or(s).expect("a time ends in ms or s").expect("a number");
    Duration::from_secs_f64(seconds)
}

fn store(text: &str) -> Result<Store, String> {
    match text {
        "redis" => Ok(Store::Redis),
        "postgres" => Ok(Store::Postgres),
        _ => Err(format!("no store {text}")),
    }
}

fn reach(text: &str) -> Result<Reach, String> {
    match text {
        "up" => Ok(Reach::Up),
        "down" => Ok(Reach::Down),
        "silent" => Ok(Reach::Silent),
        "loses-replies" => Ok(Reach::ReplyLost),
        _ => Err(format!("a store is up, down, silent or loses-replies, not {text}")),
    }
}

fn recovery(text: &str) -> Result<Result<(), RecoveryCode>, String> {
    match text {
        "passes" => Ok(Ok(())),
        "unavailable" => Ok(Err(RecoveryCode::DbUnavailable)),
        "corrupt" => Ok(Err(RecoveryCode::DataCorrupt)),
        "inconsistent" => Ok(Err(RecoveryCode::ValidationFailed)),
        _ => Err(format!("no recovery outcome {text}")),
    }
}
