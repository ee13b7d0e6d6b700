//! Measures a leader's renewals with and without HTTP load: `cargo xtask bench renewals`.
//!
//! The argument is the path of the binary to measure. Three instances with LEADER_TTL 1 s (a renewal every
//! 333 ms) run on Redis with a PostgreSQL with all durability settings on, and then on SQLite, which is
//! always durable. Blocks of renewals without and with load alternate, so that a machine that becomes slower
//! affects both. The load is four clients that request the leader's pages as fast as it answers. It prints
//! both 99th percentiles, their difference in ms and their ratio; the goal is a difference below 5 ms. It
//! judges nothing, because machines differ and measurements vary. It takes about 7 minutes and should run
//! alone on the machine: it prints the load average.

use contract::event::EventKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};
use testkit::backend::{self, Postgres};
use testkit::http;
use testkit::process::{Coordinator, Launch};

/// The shortest LEADER_TTL, with which a leader renews most often.
const TTL: &str = "1s";
/// Settings that a database may turn off and lose data in a power failure: each is `on` here.
const DURABLE: [&str; 3] = ["fsync", "full_page_writes", "synchronous_commit"];
/// Number of blocks, each without and with load.
const BLOCKS: usize = 6;
/// Renewals in a block: 300 of each kind, so that the 99th percentile is not a single renewal.
const RENEWALS: usize = 50;
/// Clients of the load.
const CLIENTS: usize = 4;
const PAGES: [&str; 3] = ["/metrics", "/coordinator/metrics", "/status"];
/// Largest desired difference of the two percentiles.
const GOAL_MS: f64 = 5.0;
/// Timeout of every wait.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() {
    let program = std::env::args_os().nth(1).map(PathBuf::from).expect("the path of the binary to measure");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let settings = DURABLE.map(|name| format!("{name}=on"));
    let postgres = backend::native_postgres_with(&settings.each_ref().map(String::as_str));
    runtime.block_on(assert_durable(&postgres));
    let redis = backend::redis();
    let processors = thread::available_parallelism().map_or(0, usize::from);
    println!("{processors} processors, load average {}, one run", load_average());
    println!("{CLIENTS} clients request {} as fast as the leader answers\n", PAGES.join(", "));

    let database = runtime.block_on(postgres.create_database());
    let stores = ["--redis", &redis.url(), "--postgres", &database].map(str::to_owned);
    measure(&format!("Redis + PostgreSQL with {} on", DURABLE.join(", ")), &program, &stores, None);
    let data = tempfile::tempdir().expect("a directory");
    measure("SQLite", &program, &[], Some(data.path()));
    println!("\nload average {} at the end, this run included", load_average());
}

async fn assert_durable(postgres: &Postgres) {
    for name in DURABLE {
        let shown = backend::text(&postgres.url(), &format!("SHOW {name}")).await;
        assert_eq!(shown.as_deref(), Some("on"), "{name}: a renewal must wait for the disk");
    }
}

fn load_average() -> String {
    let average = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    average.split(' ').next().unwrap_or("unknown").to_owned()
}

/// Measures the renewals of the leader of three instances on these stores.
fn measure(name: &str, program: &Path, stores: &[String], data: Option<&Path>) {
    let launch = Launch::new(program, "instance").argument("--leader-ttl").argument(TTL);
    let launch = stores.iter().fold(launch, Launch::argument);
    let launch = data.map_or(launch.clone(), |data| launch.data_dir(data));
    let mut members: Vec<Coordinator> = (0..3).map(|_| launch.start()).collect();
    for member in &mut members {
        member.wait_for(EventKind::Ready, PATIENCE);
    }
    let place = leader_of(&members);
    let leader = &mut members[place];
    let (mut without, mut with) = (Vec::new(), Vec::new());
    let (mut answered, mut loaded) = (0, Duration::ZERO);
    // The first renewals meet cold plans and caches.
    renewals(leader);
    for _ in 0..BLOCKS {
        without.extend(renewals(leader));
        let began = Instant::now();
        let (took, answers) = under_load(leader);
        with.extend(took);
        answered += answers;
        loaded += began.elapsed();
    }
    let (quiet, busy) = (Spread::of(without), Spread::of(with));
    println!("{name}: renewals, {} without and {} with load", quiet.0.len(), busy.0.len());
    println!("  without HTTP load: {}", quiet.shown());
    println!("  with HTTP load:    {} ({} pages a second)", busy.shown(), answered / loaded.as_secs().max(1));
    let (without, with) = (quiet.part(99), busy.part(99));
    println!(
        "  p99 with load minus p99 without: {:.2} ms (goal: less than {GOAL_MS} ms apart), ratio {:.2}",
        with - without,
        with / without
    );
}

/// The index of the instance that answers 200 on /leader.
fn leader_of(members: &[Coordinator]) -> usize {
    let began = Instant::now();
    loop {
        let leads = |member: &Coordinator| member.get("/leader").is_ok_and(|answer| answer.status == 200);
        if let Some(place) = members.iter().position(leads) {
            return place;
        }
        assert!(began.elapsed() < PATIENCE, "no instance leads");
        // A pause between two polls; nothing is measured yet.
        thread::sleep(Duration::from_millis(20));
    }
}

/// A block of renewals while clients request pages, and the number of pages that they received.
fn under_load(leader: &mut Coordinator) -> (Vec<f64>, u64) {
    let (address, over, answered) = (leader.address(), AtomicBool::new(false), AtomicU64::new(0));
    let took = thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                for page in PAGES.iter().cycle().take_while(|_| !over.load(Relaxed)) {
                    // The result does not matter: it is only load.
                    let answer = http::request(&address, "GET", page, &[], "");
                    answered.fetch_add(u64::from(answer.is_ok()), Relaxed);
                }
            });
        }
        let took = renewals(leader);
        over.store(true, Relaxed);
        took
    });
    (took, answered.into_inner())
}

/// Milliseconds from the request to its acknowledgement, for the next [`RENEWALS`] renewals.
fn renewals(leader: &mut Coordinator) -> Vec<f64> {
    let from = testkit::process::monotonic_nanos();
    let mut took = Vec::with_capacity(RENEWALS);
    while took.len() < RENEWALS {
        let event = leader.wait_for(EventKind::Renew, PATIENCE);
        let sent = event.sent.expect("a renewal was sent");
        if sent >= from {
            took.push(Duration::from_nanos(event.t - sent).as_secs_f64() * 1e3);
        }
    }
    took
}

/// Measured values, sorted.
struct Spread(Vec<f64>);

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// The smallest value that this many in a hundred do not exceed.
    fn part(&self, in_a_hundred: usize) -> f64 {
        let rank = (self.0.len() * in_a_hundred).div_ceil(100);
        self.0[rank.saturating_sub(1)]
    }

    fn shown(&self) -> String {
        let [median, p99, most] = [50, 99, 100].map(|part| self.part(part));
        format!("median {median:.2} ms, p99 {p99:.2} ms, longest {most:.2} ms")
    }
}
