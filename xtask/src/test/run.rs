//! One run of the tests: carries out the stages, from two threads at once, and adds up what they found.

use super::job::{self, Ended, Job};
use super::plan::Stage;
use super::python;
use super::servers::Servers;
use super::summary::{self, Summary};
use super::units::{self, Unit};
use super::{BACKEND_VARIABLE, TEMPLATES_VARIABLE, many_signals};
use crate::check;
use crate::proof::{self, Profile};
use crate::stages::Stages;
use crate::workspace::Workspace;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// Jobs of the tests at once: they mostly wait, and more would cost healthy leaders their lease on two processors.
const AT_ONCE: usize = 6;
/// Of those that need a quiet machine.
const QUIET_AT_ONCE: usize = 3;
/// How many of the slowest jobs are listed at the end.
const SLOWEST: usize = 12;
/// The tests that need a binary with crash points in it. With the features of the whole workspace only three crates are
/// compiled again for it.
const CRASH_POINTS: [&str; 7] =
    ["test", "--locked", "--workspace", "--features", "app/crash-points", "--test", "crash_points"];
/// All documentation tests.
const DOC_TESTS: [&str; 5] = ["test", "--locked", "--workspace", "--no-fail-fast", "--doc"];

/// The run.
pub struct Run<'a> {
    pub workspace: &'a Workspace,
    pub stages: Stages,
    servers: OnceLock<Servers>,
    /// Where servers of one kind share their first data directory; removed at the end.
    templates: Option<PathBuf>,
    found: Mutex<Found>,
}

/// What the stages found.
#[derive(Default)]
struct Found {
    summary: Summary,
    /// Faults other than failed tests.
    problems: Vec<String>,
    /// Of each job.
    took: Vec<(Duration, String)>,
    /// The name of each job that failed, and what it said about it.
    reasons: Vec<(String, String)>,
}

impl<'a> Run<'a> {
    /// No stage has run yet.
    pub fn new(workspace: &'a Workspace, stages: Stages) -> Self {
        // What a run that was killed has left may be half a directory. Without the folder everything only takes longer.
        let templates = workspace.target().join("tests/templates");
        let _ = std::fs::remove_dir_all(&templates);
        let templates = std::fs::create_dir_all(&templates).ok().map(|()| templates);
        Self { workspace, stages, servers: OnceLock::new(), templates, found: Mutex::default() }
    }

    /// Every later stage uses them.
    pub fn use_servers(&self, servers: Servers) {
        // Called once.
        let _ = self.servers.set(servers);
    }

    /// A fault other than a failed test.
    pub fn problem(&self, problem: String) {
        self.found().problems.push(problem);
    }

    /// Carries out a stage.
    pub fn stage(&self, stage: Stage, units: &[Unit]) {
        match stage {
            Stage::QuietTests => {
                self.stages.run("tests that need a quiet machine", || {
                    job::run_all(self.jobs(units, Unit::is_quiet), QUIET_AT_ONCE, |ended| {
                        self.tested(&ended);
                    });
                });
            }
            Stage::TestsAndChaos => {
                self.stages.run("tests, and chaos", || self.tests_and_chaos(units));
            }
            Stage::PythonClient => {
                self.part(Job {
                    name: "Python client, types".to_owned(),
                    command: python::types(self.workspace),
                });
                let mut tests = python::tests(self.workspace);
                self.prepare(&mut tests);
                self.part(Job { name: "Python client".to_owned(), command: tests });
            }
            Stage::ManySignals => {
                self.part(Job { name: "chaos, signals".to_owned(), command: self.chaos(&many_signals()) });
            }
            Stage::CrashPoints => self.cargo_tests("crash points", self.workspace.cargo(&CRASH_POINTS)),
            Stage::Checks => {
                for (name, command) in check::commands(self.workspace) {
                    self.part(Job { name: name.to_owned(), command }.at_low_priority());
                }
            }
            Stage::DocTests => self.cargo_tests("documentation tests", self.workspace.cargo(&DOC_TESTS)),
            Stage::SimulationTests => {
                self.cargo_tests("simulation, its tests", proof::sim_tests(self.workspace));
            }
            Stage::Simulation => self.proof("simulation", proof::sim_command(self.workspace, &[])),
            Stage::Model => self.proof("model check", proof::model_command(self.workspace, &[])),
            Stage::Mutants => {
                self.proof("mutants", proof::model_command(self.workspace, &["mutants".to_owned()]));
            }
        }
    }

    /// Chaos begins first, because it takes longest; it is one more job at once.
    fn tests_and_chaos(&self, units: &[Unit]) {
        std::thread::scope(|scope| {
            scope.spawn(|| self.part(Job { name: "chaos".to_owned(), command: self.chaos(&[]) }));
            job::run_all(self.jobs(units, |unit| !unit.is_quiet()), AT_ONCE, |ended| self.tested(&ended));
        });
    }

    fn jobs(&self, units: &[Unit], wanted: impl Fn(&Unit) -> bool) -> Vec<Job> {
        let jobs = units.iter().filter(|unit| wanted(unit));
        jobs.map(|unit| unit.job(|command| self.prepare(command))).collect()
    }

    fn chaos(&self, arguments: &[String]) -> Command {
        let mut command = proof::chaos_command(self.workspace, Profile::Debug, arguments);
        self.prepare(&mut command);
        command
    }

    /// Which servers a command uses, and where they are.
    fn prepare(&self, command: &mut Command) {
        let Some(servers) = self.servers.get() else { return };
        command.env(BACKEND_VARIABLE, servers.backend().as_str());
        if let Some(templates) = &self.templates {
            command.env(TEMPLATES_VARIABLE, templates);
        }
        if let Some(path) = servers.path() {
            command.env::<_, OsString>("PATH", path);
        }
    }

    /// A call of cargo that builds and runs tests.
    fn cargo_tests(&self, name: &str, mut command: Command) {
        self.prepare(&mut command);
        let job = Job { name: name.to_owned(), command };
        let job = if name == "crash points" { job } else { job.at_low_priority() };
        let (ended, _) = self.stages.run(name, || job.run());
        self.print(&ended);
        self.found().add(&ended, Summary::of_cargo(&ended.name, &ended.output));
    }

    fn proof(&self, name: &str, command: Command) {
        self.part(Job { name: name.to_owned(), command }.at_low_priority());
    }

    /// A separate program, which passed or failed.
    fn part(&self, job: Job) {
        let name = job.name.clone();
        let (ended, _) = self.stages.run(&name, || job.run());
        self.print(&ended);
        self.found().summary.part(&ended.name, ended.outcome);
    }

    /// A unit of the tests.
    fn tested(&self, ended: &Ended) {
        self.print(ended);
        let mut summary = Summary::of_binary(&ended.name, &ended.output);
        if units::is_one_test(&ended.name) && summary.passed() + summary.failed() != 1 {
            summary.part(&ended.name, Err("is not one test".to_owned()));
        }
        self.found().add(ended, summary);
    }

    /// The whole output at once. Why the job failed is kept for the end of the run, where a reader looks first.
    fn print(&self, ended: &Ended) {
        let Ended { name, output, outcome, took } = ended;
        let verdict = match outcome {
            Ok(()) => "ok".to_owned(),
            Err(why) => {
                self.found().reasons.push((name.clone(), summary::reason(output)));
                format!("FAILED: {why}")
            }
        };
        println!("---- {name}\n{}\n---- {name}: {verdict} ({:.1} s)", output.trim_end(), took.as_secs_f64());
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        // Nothing that can panic runs under this lock.
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prints the tables, what failed and the last line.
    pub fn conclude(self) -> ExitCode {
        let Found { summary, mut problems, mut took, reasons } =
            self.found.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(templates) = &self.templates {
            let _ = std::fs::remove_dir_all(templates);
        }
        took.sort_by(|a, b| b.cmp(a));
        println!("\nthe slowest jobs of the tests:");
        for (took, name) in took.iter().take(SLOWEST) {
            println!("{:>6.1} s  {name}", took.as_secs_f64());
        }
        println!("\n{}", self.stages);
        for (name, reason) in &reasons {
            println!("---- {name}\n{reason}\n");
        }
        for binary in summary.failed_binaries() {
            println!("failed: {binary}");
        }
        if summary.passed() == 0 {
            problems.push("not a single test passed".to_owned());
        }
        for problem in &problems {
            println!("error: {problem}");
        }
        println!("{} passed, {} failed", summary.passed(), summary.failed());
        if summary.failed() == 0 && problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

impl Found {
    /// Adds a job whose output `summary` was read from.
    fn add(&mut self, ended: &Ended, summary: Summary) {
        self.took.push((ended.took, ended.name.clone()));
        if let Err(why) = &ended.outcome
            && summary.failed() == 0
        {
            self.problems.push(format!("{}: {why}", ended.name));
        }
        self.summary.add(summary);
    }
}
