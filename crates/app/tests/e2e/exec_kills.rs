//! Random kills of `coordinator exec`: at every fault the command of the former leader, and the child that it has
//! started in another session, must write nothing more when the next command has begun.
//!
//! The guarantee needs a processor within the reserve (docs/exec.md). Where the whole machine stood still for longer, which a
//! witness measures, an overlap is reported and not judged.
//!
//! The test is short. `cargo xtask evidence exec` runs it with many kills, in several groups at once; each kill is
//! a line of its progress file, and a run that was interrupted continues behind them.

use crate::execs::{Execs, Run, signal};
use crate::wait::block_on;
use rustix::process::{Pid, Signal};
use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use testkit::backend;
use testkit::proxy::{Direction, Mode, Proxy};

/// LEADER_TTL of the campaign: short, for many kills.
const TTL: Duration = Duration::from_secs(2);
/// The part of it that is reserved for killing, in ms: an eighth.
const RESERVE_MS: u64 = 250;
/// Largest share of kills that need not be judged, in per cent.
const NOT_JUDGED_MAX: usize = 10;
const KILLS: u64 = 40;
const GROUPS: u64 = 2;
/// Longest time that a command runs before its fault, in ms: more than a heartbeat, so that faults hit all phases.
const SPREAD_MS: u64 = 900;
const NAMES: [&str; 2] = ["a", "b"];

/// A fault of the leading instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    KillParent,
    KillGuardian,
    KillCommand,
    TerminateParent,
    StopParent,
    CutOff,
    StopGuardianAndCutOff,
    StopGuardianAndTerminateParent,
}

impl Fault {
    const ALL: [Self; 8] = [
        Self::KillParent,
        Self::KillGuardian,
        Self::KillCommand,
        Self::TerminateParent,
        Self::StopParent,
        Self::CutOff,
        Self::StopGuardianAndCutOff,
        Self::StopGuardianAndTerminateParent,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::KillParent => "kill -9 of the parent",
            Self::KillGuardian => "kill -9 of the guardian",
            Self::KillCommand => "kill -9 of the command",
            Self::TerminateParent => "SIGTERM to the parent",
            Self::StopParent => "SIGSTOP of the parent",
            Self::CutOff => "cut off from PostgreSQL",
            Self::StopGuardianAndCutOff => "SIGSTOP of the guardian, then cut off",
            Self::StopGuardianAndTerminateParent => "SIGSTOP of the guardian, then SIGTERM to the parent",
        }
    }
}

/// Instances on PostgreSQL, each behind a proxy.
pub struct Field {
    execs: Execs,
    /// The proxy of each instance, and the URL through it.
    proxies: BTreeMap<&'static str, (Proxy, String)>,
}

impl Field {
    /// Two instances of that group, of which one leads: on one host, where a kill is noticed at once, or on two.
    pub fn start(ttl: Duration, address: &str, url: &str, group: &str, on_one_host: bool) -> Self {
        let proxied = |name| {
            let proxy = block_on(Proxy::start(address.to_owned()));
            let url = url.replace(address, &proxy.address().to_string());
            (name, (proxy, url))
        };
        let execs = Execs::new(ttl, &["--group", group]);
        let mut field = Self {
            execs: if on_one_host { execs.on_one_host() } else { execs },
            proxies: NAMES.map(proxied).into_iter().collect(),
        };
        field.start_all();
        field.execs.wait_run(0);
        field
    }

    fn start_all(&mut self) {
        for (name, (_, url)) in &self.proxies {
            self.execs.start(name, &["--postgres", url]);
        }
    }

    fn cut(&self, name: &str, mode: Mode) {
        block_on(self.proxies[name].0.set(mode));
    }

    /// Injects the fault into the leader, waits for the next run of the command, and repairs the former leader.
    /// Returns false if no run followed, because the leadership had changed just before the fault.
    pub fn inject(&mut self, fault: Fault) -> bool {
        let Run { pid, instance: name, .. } = self.execs.last().expect("it runs");
        let before = self.execs.judge.runs();
        let command = Pid::from_raw(pid).expect("a process id");
        let guardian = self.execs.guardian(&name);
        let to_guardian = |which| guardian.iter().for_each(|pid| signal(*pid, which));
        match fault {
            Fault::KillParent => self.execs.signal(&name, Signal::KILL),
            Fault::KillGuardian => to_guardian(Signal::KILL),
            Fault::KillCommand => signal(command, Signal::KILL),
            Fault::TerminateParent => self.execs.signal(&name, Signal::TERM),
            Fault::StopParent => self.execs.signal(&name, Signal::STOP),
            Fault::CutOff => self.cut(&name, Mode::Swallow(Direction::Both)),
            Fault::StopGuardianAndCutOff => {
                to_guardian(Signal::STOP);
                self.cut(&name, Mode::Swallow(Direction::Both));
            }
            Fault::StopGuardianAndTerminateParent => {
                to_guardian(Signal::STOP);
                self.execs.signal(&name, Signal::TERM);
            }
        }
        let followed = self.execs.follows(before);
        self.execs.signal(&name, Signal::CONT);
        to_guardian(Signal::CONT);
        self.cut(&name, Mode::Pass);
        self.start_all();
        self.execs.wait_run(0);
        followed
    }

    pub fn finish(self) {
        self.execs.finish();
    }

    /// Ends every instance. Returns the number of overlaps in all.
    fn end(mut self) -> usize {
        self.execs.end();
        self.execs.judge.overlaps.len()
    }
}

/// A thread that wakes every 5 ms, as the command does. How late it wakes shows how long the machine stood still.
struct Witness {
    /// Longest time between two wakes since it was taken, in ms.
    pause_ms: Arc<AtomicU64>,
}

impl Witness {
    /// The thread ends with the value.
    fn start() -> Self {
        let pause_ms = Arc::new(AtomicU64::new(0));
        let seen = Arc::downgrade(&pause_ms);
        thread::spawn(move || {
            let mut last = Instant::now();
            while let Some(pause_ms) = seen.upgrade() {
                // What is measured is how much longer it takes.
                thread::sleep(Duration::from_millis(5));
                let pause = u64::try_from(last.elapsed().as_millis()).expect("short");
                pause_ms.fetch_max(pause, Ordering::Relaxed);
                last = Instant::now();
            }
        });
        Self { pause_ms }
    }

    fn take(&self) -> u64 {
        self.pause_ms.swap(0, Ordering::Relaxed)
    }
}

/// A generator of fault schedules (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// A setting of the campaign from the environment.
fn setting(name: &str) -> Option<String> {
    env::var(format!("EXEC_KILLS_{name}")).ok()
}

/// The results so far, in a file with a line for each kill: the numbers of runs, lines and overlaps since the last line,
/// the longest pause of the machine in ms, whether a run followed, and the fault.
struct Progress {
    done: Vec<String>,
    file: Option<File>,
    kills: u64,
}

impl Progress {
    fn open() -> Self {
        let kills = setting("COUNT").map_or(KILLS, |count| count.parse().expect("a number of kills"));
        let Some(path) = setting("PROGRESS") else { return Self { done: Vec::new(), file: None, kills } };
        let done: Vec<String> =
            fs::read_to_string(&path).unwrap_or_default().lines().map(str::to_owned).collect();
        let file =
            File::options().create(true).append(true).open(&path).expect("the progress can be written");
        Self { done, file: Some(file), kills }
    }

    fn is_complete(&self) -> bool {
        self.done.len() as u64 >= self.kills
    }

    fn add(&mut self, line: String) {
        if let Some(file) = &mut self.file {
            writeln!(file, "{line}").expect("the progress can be written");
        }
        self.done.push(line);
    }
}

#[test]
fn no_command_outlives_its_leadership_under_random_kills() {
    let began = Instant::now();
    let postgres = backend::postgres();
    let url = block_on(postgres.create_database());
    let groups: u64 = setting("GROUPS").map_or(GROUPS, |groups| groups.parse().expect("a number of groups"));
    let progress = Arc::new(Mutex::new(Progress::open()));
    let first = progress.lock().expect("no panic").done.len() as u64;
    thread::scope(|scope| {
        for group in 0..groups {
            let (progress, url, address) = (Arc::clone(&progress), url.clone(), postgres.address());
            scope.spawn(move || {
                let mut field = Field::start(TTL, &address, &url, &format!("group-{group}"), group % 2 == 0);
                let mut random = Random(first * groups + group);
                let witness = Witness::start();
                let (mut runs, mut lines, mut overlaps) = (0, 0, 0);
                while !progress.lock().expect("no panic").is_complete() {
                    let fault = Fault::ALL[usize::try_from(random.below(8)).expect("below 8")];
                    // The phase of the election in which the fault hits; not a wait for a state.
                    thread::sleep(Duration::from_millis(random.below(SPREAD_MS)));
                    let followed = field.inject(fault);
                    let judge = &field.execs.judge;
                    let (new_runs, new_lines, new_overlaps) =
                        (judge.runs() - runs, judge.lines - lines, judge.overlaps.len() - overlaps);
                    (runs, lines, overlaps) = (judge.runs(), judge.lines, judge.overlaps.len());
                    for overlap in judge.overlaps.iter().rev().take(new_overlaps) {
                        eprintln!("{}: {overlap}\n{}", fault.name(), field.execs.logs());
                    }
                    let pause_ms = witness.take();
                    let line = format!(
                        "{new_runs} {new_lines} {new_overlaps} {pause_ms} {followed} {}",
                        fault.name()
                    );
                    progress.lock().expect("no panic").add(line);
                }
                assert_eq!(field.end(), overlaps, "overlaps at the end");
            });
        }
    });
    let progress = progress.lock().expect("no panic");
    if let Some(path) = setting("RECORD").map(PathBuf::from) {
        let mut record = summary(&progress.done);
        record["groups"] = groups.into();
        record["leader_ttl_ms"] = u64::try_from(TTL.as_millis()).expect("short").into();
        record["processors"] = thread::available_parallelism().map_or(0, usize::from).into();
        record["wall_seconds"] = began.elapsed().as_secs().into();
        record["kills_before_an_interruption"] = first.into();
        // What else the machine did, for a reader of the record.
        record["conditions"] = setting("CONDITIONS").into();
        fs::write(path, format!("{record:#}\n")).expect("the record can be written");
    }
    let summary = summary(&progress.done);
    assert_eq!(summary["overlaps"], 0, "{:#?}", progress.done);
    let not_judged = usize::try_from(summary["kills_not_judged"].as_u64().expect("a number")).expect("few");
    let kills = progress.done.len();
    assert!(not_judged * 100 <= kills * NOT_JUDGED_MAX, "the machine is too busy: {:#?}", progress.done);
}

/// A kill is judged if the machine gave the processes a processor within the reserve.
fn summary(done: &[String]) -> serde_json::Value {
    let mut faults: BTreeMap<&str, u64> = BTreeMap::new();
    let [mut runs, mut lines, mut overlaps, mut not_judged, mut without_a_run] = [0_u64; 5];
    for line in done {
        let words: Vec<&str> = line.splitn(6, ' ').collect();
        let number = |at: usize| words[at].parse::<u64>().expect("a number");
        runs += number(0);
        lines += number(1);
        if number(3) < RESERVE_MS {
            overlaps += number(2);
        } else {
            not_judged += 1;
        }
        without_a_run += u64::from(words[4] == "false");
        *faults.entry(words[5]).or_default() += 1;
    }
    serde_json::json!({
        "kills": done.len(), "faults": faults, "runs": runs, "lines": lines, "overlaps": overlaps,
        "kills_not_judged": not_judged, "kills_without_a_next_run": without_a_run,
    })
}

/// Test of the judgement.
#[test]
fn an_overlap_counts_unless_the_machine_stood_still() {
    let line =
        |overlaps: u64, pause_ms: u64| format!("2 900 {overlaps} {pause_ms} true SIGSTOP of the parent");
    let summary = summary(&[line(1, 20), line(0, 300), line(2, RESERVE_MS)]);
    assert_eq!((&summary["overlaps"], &summary["kills_not_judged"]), (&1.into(), &2.into()));
}
