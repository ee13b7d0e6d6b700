//! `cargo xtask nightly`: the simulation and chaos for longer than one session, in parts that are recorded
//! one by one.
//!
//! A part is one run of the program that `cargo xtask sim` or `cargo xtask chaos` starts, with seeds that
//! follow from its number. It is counted only when it has ended: a run that is killed leaves an interrupted
//! part in the record, which the next run repeats from its first seed. Invariant: every seed or fault from
//! the first to the last is in exactly one counted part, and all parts are of one commit.

mod record;

use crate::EXIT_USAGE;
use crate::evidence::commit;
use crate::proof;
use crate::workspace::{Workspace, output, run as run_command};
use record::{Done, Record};
use serde_json::Value;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const HELP: &str = "\
usage: cargo xtask nightly sim   [--faults N] [--part SEEDS] [--first SEED] [--record FILE] [--parts N]
       cargo xtask nightly chaos [--faults N] [--part FAULTS] [--first SEED] [--record FILE] [--parts N]

Runs parts until N faults were counted (simulation: 100,000,000; chaos: 20,000), and keeps a record of each: its seeds
or faults from .. to, commit, machine, beginning, end and result. Start the same command again after it was stopped or
killed: it continues with the first part that was not counted. It stops at the first part with a violation. A record
is of one commit without changes, so use a separate checkout (`git worktree add`). A record, finished or not, goes
into docs/evidence as nightly-sim.json or nightly-chaos.json; then run `cargo xtask codegen`.

  --part     size of a part: seeds of the simulation (25,000, some 6 minutes), faults of chaos (500, some 15 minutes)
  --first    the first seed of the record (1); part P of chaos has the seed FIRST + P
  --record   the record's file (target/nightly/sim.json, target/nightly/chaos.json)
  --parts    end after that many parts, although the record is not complete";

/// The program to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Campaign {
    /// A part is a number of seeds; the number of effective faults is known afterwards.
    Sim,
    /// A part is a number of faults, drawn from one seed.
    Chaos,
}

impl Campaign {
    fn name(self) -> &'static str {
        match self {
            Self::Sim => "sim",
            Self::Chaos => "chaos",
        }
    }

    /// The faults of a finished record.
    pub fn faults(self) -> u64 {
        match self {
            Self::Sim => 100_000_000,
            Self::Chaos => 20_000,
        }
    }

    fn part(self) -> u64 {
        match self {
            Self::Sim => 25_000,
            Self::Chaos => 500,
        }
    }
}

/// The command line.
struct Wishes {
    campaign: Campaign,
    faults: u64,
    part: u64,
    first: u64,
    record: PathBuf,
    parts: Option<u64>,
}

/// The command.
pub fn run(workspace: &Workspace, arguments: &[String]) -> ExitCode {
    if matches!(arguments.first().map(String::as_str), Some("--help" | "-h" | "help")) {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    match Wishes::parse(workspace, arguments) {
        Ok(wishes) => proof::reported(go_on(workspace, &wishes)),
        Err(problem) => {
            eprintln!("error: {problem}\n{HELP}");
            ExitCode::from(EXIT_USAGE)
        }
    }
}

impl Wishes {
    fn parse(workspace: &Workspace, arguments: &[String]) -> Result<Self, String> {
        let (name, mut rest) = arguments.split_first().ok_or("`sim` or `chaos` is required")?;
        let campaigns = [Campaign::Sim, Campaign::Chaos];
        let known = campaigns.into_iter().find(|campaign| campaign.name() == name);
        let campaign = known.ok_or_else(|| format!("{name:?} is neither `sim` nor `chaos`"))?;
        let record = workspace.target().join(format!("nightly/{name}.json"));
        let (faults, part) = (campaign.faults(), campaign.part());
        let mut wishes = Self { campaign, faults, part, first: 1, record, parts: None };
        while let [option, value, further @ ..] = rest {
            let number = || match value.parse::<u64>() {
                Ok(number) if number > 0 => Ok(number),
                _ => Err(format!("{option} {value:?}: a number above 0 is required")),
            };
            match option.as_str() {
                "--faults" => wishes.faults = number()?,
                "--part" => wishes.part = number()?,
                "--first" => wishes.first = number()?,
                "--parts" => wishes.parts = Some(number()?),
                "--record" => wishes.record = workspace.root().join(value),
                _ => return Err(format!("unknown option {option:?}")),
            }
            rest = further;
        }
        match rest {
            [] => Ok(wishes),
            [option, ..] => Err(format!("{option} has no value")),
        }
    }
}

/// Runs parts until the record is complete.
fn go_on(workspace: &Workspace, wishes: &Wishes) -> Result<(), String> {
    let here = unchanged_commit(workspace)?;
    let (campaign, path) = (wishes.campaign.name(), wishes.record.as_path());
    let mut record = Record::open(path, campaign, &here, wishes.part, wishes.first, &now()?)?;
    println!("{}", record.state());
    record.refuse_after_a_failure()?;
    // Before the first part begins, because the record contains the time of its begin.
    match wishes.campaign {
        Campaign::Sim => run_command(&mut proof::sim_build(workspace))?,
        Campaign::Chaos => drop(proof::built_chaos_command(workspace, &[])?),
    }
    let mut ran = 0;
    while record.faults() < wishes.faults && wishes.parts.is_none_or(|most| ran < most) {
        record.refuse_after_a_failure()?;
        let (from, to) = record.next();
        record.begin(&now()?, &machine()?)?;
        let done = part(workspace, wishes, &record, from, to)?;
        if unchanged_commit(workspace)? != here {
            return Err(format!("the sources have changed during part {from} to {to}: it is not counted"));
        }
        record.count(done, &now()?)?;
        println!("{}", record.state());
        ran += 1;
    }
    record.refuse_after_a_failure()
}

/// Runs a part. An error means that it did not run: a server did not start, or the disk is full.
fn part(workspace: &Workspace, wishes: &Wishes, record: &Record, from: u64, to: u64) -> Result<Done, String> {
    // The name contains this process's id: a part that outlives a killed run writes elsewhere.
    let name = format!("{}-{from}-{}.json", wishes.campaign.name(), std::process::id());
    let figures = record.directory().join(name);
    let mut arguments = match wishes.campaign {
        Campaign::Sim => {
            vec!["--first".to_owned(), from.to_string(), "--seeds".to_owned(), (to - from + 1).to_string()]
        }
        Campaign::Chaos => {
            let seed = record.seed_of_the_next();
            vec!["--faults".to_owned(), (to - from + 1).to_string(), "--seed".to_owned(), seed.to_string()]
        }
    };
    arguments.extend(["--record".to_owned(), figures.display().to_string()]);
    let command = match wishes.campaign {
        Campaign::Sim => proof::sim_command(workspace, &arguments),
        Campaign::Chaos => proof::built_chaos_command(workspace, &arguments)?,
    };
    let status =
        dies_with_us(&command).status().map_err(|error| format!("setpriv (package util-linux): {error}"))?;
    let text = fs::read_to_string(&figures).map_err(|_| {
        format!("part {from} to {to} ended with {status} and left no figures: it is not counted")
    })?;
    let figures_of: Value =
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", figures.display()))?;
    fs::remove_file(&figures).map_err(|error| format!("{}: {error}", figures.display()))?;
    let result = if status.success() { "nothing broke".to_owned() } else { format!("FAILED: {status}") };
    Ok(Done { result, figures: figures_of })
}

/// The same command, which the kernel kills when this process ends: a killed run must not continue in
/// parallel with the next one. `cargo run` replaces itself by the program, which keeps this setting.
fn dies_with_us(command: &Command) -> Command {
    let mut bound = Command::new("setpriv");
    bound.args(["--pdeathsig", "SIGKILL", "--"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => bound.env(name, value),
            None => bound.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        bound.current_dir(directory);
    }
    bound
}

/// The commit; refused if files are changed, because a record must name a commit that can be checked out.
fn unchanged_commit(workspace: &Workspace) -> Result<String, String> {
    let commit = commit(workspace)?;
    if commit.ends_with('+') {
        return Err(format!(
            "there are changes that are not in commit {commit}: a record names the commit that it is of"
        ));
    }
    Ok(commit)
}

fn now() -> Result<String, String> {
    output(Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"])).map(|now| now.trim().to_owned())
}

/// The machine, without the name of the host.
fn machine() -> Result<String, String> {
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let kernel = output(Command::new("uname").arg("-r"))?;
    let model = model.map_or("unknown model", |(_, model)| model);
    Ok(format!("{processors} processors ({model}), Linux {}", kernel.trim()))
}

/// The directory of a file; created if it does not exist.
fn directory_of(path: &Path) -> Result<PathBuf, String> {
    let directory = path.parent().filter(|parent| *parent != OsStr::new("")).unwrap_or(Path::new("."));
    fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    Ok(directory.to_owned())
}
