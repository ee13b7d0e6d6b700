//! The premise of stability: while the state store answers every request within a heartbeat and the process
//! runs, a term does not end. A [`Watch`] measures both for one leader, so that a term that ended on a
//! starved machine does not count as a fault of the election, and a fault of the election is not excused.
//!
//! - The leader exports the store's answers: requests that failed or had no answer, and their durations.
//! - The kernel reports whether the process runs: how long the leader's election thread was ready and had no
//!   processor. The leader's log cannot show it, because a renewal that the elector forgets appears the same
//!   there.
//!
//! The limits are stricter than the premise: values within them are certainly within the premise, whatever
//! the order of requests. Values beyond them may be within it, and are not judged.

use crate::process::Coordinator;
use domain::lease::margin;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Heartbeats in a LEADER_TTL.
const HEARTBEATS: u32 = 3;
/// The thread of the leader that renews the lease.
const THREAD: &str = "election";
const DURATIONS: &str = "portfolio_manager_db_sync_duration_seconds";
const FAILURES: &str = "portfolio_manager_db_sync_failure_total";

/// Limits for a leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    ttl: Duration,
}

impl Limits {
    /// The limits for this LEADER_TTL.
    pub fn new(ttl: Duration) -> Self {
        Self { ttl }
    }

    /// Longest time that the election thread may wait for a processor in one LEADER_TTL if every answer takes
    /// at most `answer`; `None` if such an answer alone is too slow. A renewal is due one heartbeat after the
    /// last one was sent. Then an earlier request may have to end, and the renewal needs its answer; the rest
    /// of the lease is for the processor.
    fn wait(self, answer: Duration) -> Option<Duration> {
        let heartbeat = self.ttl / HEARTBEATS;
        let left = self.ttl.checked_sub(margin(self.ttl) + heartbeat + answer * 2)?;
        (answer <= heartbeat && !left.is_zero()).then_some(left)
    }
}

/// Whether the premise held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Premise {
    /// Every value was within its limit.
    Held,
    /// A value was beyond its limit.
    Broken(Broken),
}

/// The reason why it did not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Broken {
    /// This number of requests to the state store failed or had no answer in time.
    Failed(u64),
    /// An answer of the state store took up to this time, by the exported bound; `None`: longer than every
    /// bound.
    Slow(Option<Duration>),
    /// Within one LEADER_TTL the election thread waited this long for a processor, or was not observed for
    /// this long.
    Starved(Duration),
    /// The leader's page or thread could not be read.
    Unknown,
}

impl Broken {
    /// The same name for every amount, for counting.
    pub fn name(self) -> &'static str {
        match self {
            Self::Failed(_) => "requests to the state store failed",
            Self::Slow(_) => "answers of the state store were slow",
            Self::Starved(_) => "the election thread had no processor",
            Self::Unknown => "the leader could not be observed",
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name();
        match self {
            Self::Failed(times) => write!(f, "{name}: {times}"),
            Self::Slow(Some(bound)) => write!(f, "{name}: up to {} ms", bound.as_millis()),
            Self::Slow(None) => write!(f, "{name}: longer than every exported bound"),
            Self::Starved(wait) => write!(f, "{name} for {} ms of one LEADER_TTL", wait.as_millis()),
            Self::Unknown => f.write_str(name),
        }
    }
}

/// Measures one leader from [`Watch::begin`] to [`Watch::end`].
#[derive(Debug)]
pub struct Watch {
    limits: Limits,
    began: Instant,
    before: Option<Answers>,
    schedstat: Option<PathBuf>,
    waits: Waits,
}

impl Watch {
    /// Begins to measure this leader.
    pub fn begin(leader: &Coordinator, limits: Limits) -> Self {
        let schedstat = thread_of(leader.pid()).map(|thread| thread.join("schedstat"));
        let before = answers_of(leader);
        let mut watch = Self { limits, began: Instant::now(), before, schedstat, waits: Waits::default() };
        watch.sample();
        watch
    }

    /// Reads how long the thread has waited. Call it at least every tenth of a heartbeat, because a wait
    /// counts when it ends.
    pub fn sample(&mut self) {
        let waited = self.schedstat.as_deref().and_then(waited);
        self.waits.add(self.began.elapsed(), waited);
    }

    /// Judges the measured time. Call it a heartbeat after that time, when its requests have their answers.
    pub fn end(mut self, leader: &Coordinator) -> Premise {
        self.sample();
        self.waits.judge(self.limits, self.before.as_ref(), answers_of(leader).as_ref())
    }
}

/// Answers of the store since the start of a leader.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Answers {
    failed: u64,
    all: u64,
    /// For each exported bound, ascending: number of answers that took at most that long.
    within: Vec<(Duration, u64)>,
}

fn answers_of(leader: &Coordinator) -> Option<Answers> {
    let page = leader.get("/metrics").ok().filter(|page| page.status == 200)?;
    Answers::parse(&page.body)
}

impl Answers {
    fn parse(page: &str) -> Option<Self> {
        let number = |line: &str| -> Option<u64> {
            page.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' '))?.parse().ok()
        };
        let bucket = |bound: Duration| {
            let within = number(&format!("{DURATIONS}_bucket{{le=\"{}\"}}", bound.as_secs_f64()))?;
            Some((bound, within))
        };
        let within = domain::metrics::BOUNDS.into_iter().map(bucket).collect::<Option<_>>()?;
        Some(Self { failed: number(FAILURES)?, all: number(&format!("{DURATIONS}_count"))?, within })
    }

    /// The smallest bound that no answer since `before` exceeded.
    fn slowest_since(&self, before: &Self) -> Option<Duration> {
        let all = self.all.saturating_sub(before.all);
        let both = self.within.iter().zip(&before.within);
        let mut enough = both.filter(|((_, now), (_, then))| now.saturating_sub(*then) >= all);
        enough.next().map(|((bound, _), _)| *bound)
    }
}

/// Waits of the thread for a processor since its start, at several times.
#[derive(Debug, Default)]
struct Waits {
    /// The time of the sample, and the wait by then.
    samples: Vec<(Duration, Duration)>,
    unreadable: bool,
}

impl Waits {
    fn add(&mut self, at: Duration, waited: Option<Duration>) {
        match waited {
            Some(waited) => self.samples.push((at, waited)),
            None => self.unreadable = true,
        }
    }

    /// The longest wait in any `window`: an upper bound from the samples, never too small.
    fn longest_in(&self, window: Duration) -> Duration {
        let mut longest = Duration::ZERO;
        let mut first = 0;
        for &(at, waited) in &self.samples {
            // The last sample before the window, because what was counted after it may have passed within the
            // window.
            while self.samples.get(first + 1).is_some_and(|(next, _)| *next + window <= at) {
                first += 1;
            }
            longest = longest.max(waited.saturating_sub(self.samples[first].1));
        }
        longest
    }

    /// The longest time between two samples.
    fn longest_gap(&self) -> Duration {
        let gaps = self.samples.windows(2).map(|two| two[1].0.saturating_sub(two[0].0));
        gaps.max().unwrap_or_default()
    }

    fn judge(&self, limits: Limits, before: Option<&Answers>, after: Option<&Answers>) -> Premise {
        let (Some(before), Some(after)) = (before, after) else { return Premise::Broken(Broken::Unknown) };
        if self.unreadable {
            return Premise::Broken(Broken::Unknown);
        }
        let failed = after.failed.saturating_sub(before.failed);
        if failed > 0 {
            return Premise::Broken(Broken::Failed(failed));
        }
        let slowest = after.slowest_since(before);
        let Some(limit) = slowest.and_then(|slowest| limits.wait(slowest)) else {
            return Premise::Broken(Broken::Slow(slowest));
        };
        // If the observer did not run, the whole machine may have stood still, which the kernel does not
        // count.
        let waited = self.longest_in(limits.ttl).max(self.longest_gap());
        if waited > limit { Premise::Broken(Broken::Starved(waited)) } else { Premise::Held }
    }
}

/// The directory of the process's election thread.
fn thread_of(pid: u32) -> Option<PathBuf> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let named =
        |thread: &PathBuf| fs::read_to_string(thread.join("comm")).is_ok_and(|name| name.trim() == THREAD);
    threads.filter_map(|thread| Some(thread.ok()?.path())).find(named)
}

/// The second number: nanoseconds ready to run and not running.
fn waited(schedstat: &Path) -> Option<Duration> {
    let text = fs::read_to_string(schedstat).ok()?;
    text.split_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits::new(Duration::from_secs(1))
    }

    /// Answers: number up to 100 ms, up to 250 ms, up to 500 ms, and longer than every bound.
    fn answers(failed: u64, [quick, medium, slow, slower]: [u64; 4]) -> Answers {
        let within = domain::metrics::BOUNDS.map(|bound| {
            let counted = [(ms(100), quick), (ms(250), medium), (ms(500), slow)];
            (bound, counted.iter().filter(|(at_most, _)| *at_most <= bound).map(|(_, times)| times).sum())
        });
        Answers { failed, all: quick + medium + slow + slower, within: within.to_vec() }
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn waits(samples: &[(u64, u64)]) -> Waits {
        let samples = samples.iter().map(|(at, waited)| (ms(*at), ms(*waited))).collect();
        Waits { samples, unreadable: false }
    }

    #[test]
    fn the_limits_are_within_a_lease() {
        let ttl = Duration::from_secs(1);
        for answer in [ms(5), ms(250)] {
            let wait = limits().wait(answer).expect("quick enough");
            assert_eq!(wait + margin(ttl) + ttl / 3 + answer * 2, ttl);
        }
        assert_eq!((limits().wait(ms(333)), limits().wait(ms(500))), (None, None));
    }

    #[test]
    fn answers_are_read_from_the_leaders_page() {
        let wanted = answers(1, [7, 1, 0, 2]);
        let buckets = wanted.within.iter().map(|(bound, within)| {
            format!("{DURATIONS}_bucket{{le=\"{}\"}} {within}\n", bound.as_secs_f64())
        });
        let page = format!("{}{DURATIONS}_count 10\n{FAILURES} 1\n", buckets.collect::<String>());
        assert_eq!(Answers::parse(&page), Some(wanted));
        assert_eq!(Answers::parse(""), None);
    }

    #[test]
    fn waits_count_within_one_lease() {
        let apart = waits(&[(0, 100), (500, 200), (1_000, 200), (1_600, 290), (2_000, 290)]);
        assert_eq!(apart.longest_in(ms(1_000)), ms(100));
        assert_eq!(waits(&[(0, 100), (500, 180), (1_000, 260)]).longest_in(ms(1_000)), ms(160));
        assert_eq!(waits(&[]).longest_in(ms(1_000)), ms(0));
    }

    #[test]
    fn what_breaks_the_premise_is_named() {
        let before = answers(3, [5, 0, 3, 1]);
        let judge = |waits: &Waits, after: Answers| waits.judge(limits(), Some(&before), Some(&after));
        let same = || answers(3, [9, 0, 3, 1]);
        let quick = waits(&[(0, 5), (50, 5), (100, 10)]);
        assert_eq!(judge(&quick, same()), Premise::Held);
        let starved = |waited| Premise::Broken(Broken::Starved(ms(waited)));
        assert_eq!(judge(&quick, answers(4, [5, 0, 3, 1])), Premise::Broken(Broken::Failed(1)));
        assert_eq!(judge(&quick, answers(3, [5, 0, 4, 1])), Premise::Broken(Broken::Slow(Some(ms(500)))));
        assert_eq!(judge(&quick, answers(3, [5, 0, 3, 2])), Premise::Broken(Broken::Slow(None)));
        let waited = waits(&[(0, 5), (50, 305)]);
        assert_eq!(judge(&waited, same()), Premise::Held, "answers within 100 ms leave 463 ms");
        assert_eq!(judge(&waited, answers(3, [5, 1, 3, 1])), starved(300), "answers within 250 ms do not");
        assert_eq!(judge(&waits(&[(0, 5), (700, 5)]), same()), starved(700), "the observer did not run");
        assert_eq!(quick.judge(limits(), Some(&before), None), Premise::Broken(Broken::Unknown));
        let mut unreadable = waits(&[(0, 5)]);
        unreadable.add(ms(50), None);
        assert_eq!(judge(&unreadable, same()), Premise::Broken(Broken::Unknown));
    }

    #[test]
    fn the_kernel_counts_the_waits_of_a_thread() {
        let own = std::thread::Builder::new().name(THREAD.to_owned()).spawn(|| {
            let thread = thread_of(std::process::id()).expect("this thread");
            waited(&thread.join("schedstat"))
        });
        assert!(own.expect("a thread").join().expect("it ends").is_some());
    }
}
