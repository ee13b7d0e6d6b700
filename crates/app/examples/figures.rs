//! Measures the figures of the README on real processes and real stores: `cargo xtask bench`.
//!
//! The argument is the path of the binary to measure; a second one, `kills`, limits it to the kills on one host. It prints each figure with its limit and the ratio to
//! it. It judges and asserts nothing, because machines differ and measurements vary.

use adapter_postgres::{PostgresConfig, PostgresStore};
use contract::event::EventKind;
use contract::signal_ledger::{client, signal};
use domain::id::{ClaimId, GroupId, InstanceId, Nonce};
use domain::identity::Identity;
use domain::lease::{Epoch, Timeline, Token};
use domain::ledger::Limits;
use domain::ports::{SignalClaim, SignalLedger};
use rustix::time::{ClockId, clock_gettime};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;
use testkit::backend::{self, Postgres, Redis, Reply};
use testkit::process::{Coordinator, Launch};
use testkit::proxy::{Direction, Mode, Proxy};

/// LEADER_TTL of the failovers: short, because each waits for it.
const TTL: Duration = Duration::from_secs(2);
/// LEADER_TTL of the steady state, as in the promise.
const TTL_STEADY: Duration = Duration::from_secs(5);
const STEADY: Duration = Duration::from_secs(30);
const CRASHES: usize = 15;
/// LEADER_TTL of the kills on one host: its default, because no kill waits for its end.
const TTL_ONE_HOST: Duration = Duration::from_secs(10);
/// Kills on one host, for each store.
const KILLS: usize = 20;
const HANDOVERS: usize = 15;
const CUTS: usize = 5;
/// Timeout of every wait.
const PATIENCE: Duration = Duration::from_secs(30);
/// Two heartbeats: every standby instance has read a renewal of the leader that is killed next.
const SETTLE: Duration = Duration::from_millis(1500);

fn main() {
    let program = std::env::args_os().nth(1).map(PathBuf::from).expect("the path of the binary to measure");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (redis, postgres) = (backend::redis(), backend::postgres());
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    println!("{processors} processors, real Redis and PostgreSQL on this machine, one run\n");
    kills_on_one_host(&program, &redis, &postgres, &runtime);
    if std::env::args().nth(2).as_deref() == Some("kills") {
        return;
    }
    let group = || Group::new(&program, &redis, &runtime.block_on(postgres.create_database()), TTL);

    crashes("crash failover past the end of the lease, Redis + PostgreSQL", &mut group());
    let sqlite = tempfile::tempdir().expect("a directory");
    crashes(
        "crash failover past the end of the lease, SQLite",
        &mut Group::embedded(&program, sqlite.path()),
    );
    handovers(&mut group());
    cuts(&program, &redis, &postgres, &runtime);
    steady(&program, &redis, &postgres, &runtime);
}

/// Three instances and their stores.
struct Group {
    launch: Launch,
    members: Vec<Coordinator>,
    arguments: Vec<String>,
    program: PathBuf,
    /// Name of the group in the stores.
    name: String,
}

impl Group {
    fn new(program: &Path, redis: &Redis, database: &str, ttl: Duration) -> Self {
        let ttl = format!("{}ms", ttl.as_millis());
        // Every database is new, so with one prefix for all, the ticket would still belong to another group.
        let name = database.rsplit('/').next().unwrap_or("figures").to_owned();
        let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
        let redis = redis.url();
        let arguments = ["--redis", &redis, "--postgres", database, "--leader-ttl", &ttl, "--group", &name]
            .map(str::to_owned);
        Self::start(program, arguments.to_vec(), &name, |launch| launch)
    }

    fn embedded(program: &Path, data_dir: &Path) -> Self {
        let ttl = format!("{}ms", TTL.as_millis());
        Self::start(program, vec!["--leader-ttl".to_owned(), ttl], "default", |launch| {
            launch.data_dir(data_dir)
        })
    }

    /// Its instances have evidence of the end of each other's processes.
    fn on_one_host(program: &Path, redis: Option<&Redis>, database: &str, locks: &Path) -> Self {
        let ttl = format!("{}ms", TTL_ONE_HOST.as_millis());
        let mut arguments = ["--postgres", database, "--leader-ttl", &ttl].map(str::to_owned).to_vec();
        // Every database is new, so with one group for all, the ticket would still belong to another one.
        let name = database.rsplit('/').next().unwrap_or("figures");
        let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
        arguments.extend(["--group".to_owned(), name.clone()]);
        arguments.extend(redis.into_iter().flat_map(|redis| ["--redis".to_owned(), redis.url()]));
        Self::start(program, arguments, &name, |launch| launch.lock_dir(locks))
    }

    /// As [`Self::on_one_host`], with one SQLite file.
    fn embedded_on_one_host(program: &Path, data_dir: &Path) -> Self {
        let ttl = format!("{}ms", TTL_ONE_HOST.as_millis());
        Self::start(program, vec!["--leader-ttl".to_owned(), ttl], "default", |launch| {
            launch.data_dir(data_dir).lock_dir(&data_dir.join("locks"))
        })
    }

    fn start(program: &Path, arguments: Vec<String>, name: &str, place: impl Fn(Launch) -> Launch) -> Self {
        let launch = arguments.iter().fold(Launch::new(program, "instance"), Launch::argument);
        let launch = place(launch);
        let mut members: Vec<Coordinator> = (0..3).map(|_| launch.start()).collect();
        for member in &mut members {
            member.wait_for(EventKind::Ready, PATIENCE);
        }
        Self { launch, members, arguments, program: program.to_owned(), name: name.to_owned() }
    }

    /// The index of the instance that answers 200 on /leader.
    fn leader(&self) -> usize {
        loop {
            let leads = |member: &Coordinator| member.get("/leader").is_ok_and(|answer| answer.status == 200);
            if let Some(place) = self.members.iter().position(leads) {
                return place;
            }
            // The events are measured, not this poll.
            sleep(Duration::from_millis(20));
        }
    }

    /// The first instance to lead after `after`; returns the begin of its term.
    fn next_lead(&mut self, after: u64) -> u64 {
        let place = self.leader();
        let events = self.members[place].record().events;
        let lead = events.iter().rev().find(|event| event.kind == EventKind::Lead).expect("it leads");
        assert!(lead.t >= after, "it led before");
        lead.t
    }
}

fn crashes(name: &str, group: &mut Group) {
    let mut past = Vec::new();
    for _ in 0..CRASHES {
        let leader = group.leader();
        sleep(SETTLE);
        let mut killed = group.members.remove(leader);
        killed.kill();
        let record = killed.record();
        let renewed = record.events.iter().rev().find_map(|event| event.sent).expect("it led");
        let end = renewed + nanos(TTL);
        let next = group.next_lead(end);
        past.push(ms(next.saturating_sub(end)));
        let mut fresh = group.launch.start();
        fresh.wait_for(EventKind::Ready, PATIENCE);
        group.members.push(fresh);
    }
    print(name, &mut past, "ms", 15.0);
}

fn kills_on_one_host(program: &Path, redis: &Redis, postgres: &Postgres, runtime: &tokio::runtime::Runtime) {
    for (name, redis) in [("PostgreSQL", None), ("Redis + PostgreSQL", Some(redis))] {
        let locks = tempfile::tempdir().expect("a directory");
        let database = runtime.block_on(postgres.create_database());
        kills(name, &mut Group::on_one_host(program, redis, &database, locks.path()));
    }
    let sqlite = tempfile::tempdir().expect("a directory");
    kills("SQLite", &mut Group::embedded_on_one_host(program, sqlite.path()));
}

/// Kills the leader again and again, and measures from just before the SIGKILL to the begin of the next term.
fn kills(store: &str, group: &mut Group) {
    let mut took = Vec::new();
    for _ in 0..KILLS {
        let leader = group.leader();
        sleep(SETTLE);
        let mut killed = group.members.remove(leader);
        let before = monotonic();
        killed.kill();
        took.push(ms(group.next_lead(before) - before));
        let mut fresh = group.launch.start();
        fresh.wait_for(EventKind::Ready, PATIENCE);
        group.members.push(fresh);
    }
    took.sort_by(f64::total_cmp);
    println!(
        "kill -9 of a leader on one host, {store}, LEADER_TTL {TTL_ONE_HOST:?}: to the next leader median {:.1} ms, p99 {:.1} ms ({KILLS} kills, least {:.1} ms)",
        took[KILLS / 2],
        took[KILLS * 99 / 100],
        took[0]
    );
}

/// CLOCK_MONOTONIC in nanoseconds, as in the events of the instances.
fn monotonic() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec * 1_000_000_000 + now.tv_nsec).expect("after the start of the machine")
}

fn handovers(group: &mut Group) {
    let mut gaps = Vec::new();
    for _ in 0..HANDOVERS {
        let leader = group.leader();
        sleep(SETTLE * 2);
        let asked = Command::new(&group.program)
            .args(["step-down", "--reason", "measured"])
            .args(&group.arguments)
            .output()
            .expect("the command runs");
        assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
        let events = group.members[leader].record().events;
        let resigned =
            events.iter().rev().find(|event| event.kind == EventKind::Resign).expect("it resigned");
        let next = group.next_lead(resigned.t);
        gaps.push(ms(next - resigned.t));
    }
    print("handover, Redis + PostgreSQL", &mut gaps, "ms", 5.0);
}

/// Cuts a leader off from PostgreSQL, and measures from the end of its valid lease to the begin of the next
/// term.
fn cuts(program: &Path, redis: &Redis, postgres: &Postgres, runtime: &tokio::runtime::Runtime) {
    let mut gaps = Vec::new();
    let mut accepted = 0;
    for _ in 0..CUTS {
        let database = runtime.block_on(postgres.create_database());
        let proxy = runtime.block_on(Proxy::start(postgres.address()));
        let through = database.replacen(&postgres.address(), &proxy.address().to_string(), 1);
        let mut alone = Group::new(program, redis, &through, TTL);
        alone.members.truncate(1);
        let leader = alone.leader();
        let mut others = Group::new(program, redis, &database, TTL);
        sleep(SETTLE);
        let token = runtime.block_on(token(&database, &alone.name));
        runtime.block_on(proxy.set(Mode::Swallow(Direction::Both)));
        let lost = alone.members[leader].wait_for(EventKind::Lost, PATIENCE).t;
        let next = others.next_lead(0);
        gaps.push(ms(next) - ms(lost));
        accepted += usize::from(runtime.block_on(effect(&database, &alone.name, &token)));
    }
    gaps.sort_by(f64::total_cmp);
    println!(
        "leader cut off from PostgreSQL: its successor appeared {:.1} ms (least of {CUTS}) after its valid lease had ended",
        gaps[0]
    );
    println!("effects sent under the token of such a leader: {accepted} of {CUTS} accepted");
}

/// The fencing token of the lease.
async fn token(database: &str, group: &str) -> Token {
    let query = format!(
        "select tl || ' ' || epoch || ' ' || claim from coordinator_lease where group_id = '{group}'"
    );
    let row = backend::text(database, &query).await.expect("the group has a row");
    let mut parts = row.split(' ');
    let mut part = || parts.next().expect("three parts");
    let timeline = Timeline(part().parse().expect("a timeline"));
    let epoch = Epoch(part().parse().expect("an epoch"));
    let claim = ClaimId::from_u128(u128::from_str_radix(&part().replace('-', ""), 16).expect("a uuid"));
    Token { timeline, epoch, claim }
}

/// Whether the database accepts an effect under `token`: the claim of a waiting signal.
async fn effect(database: &str, group: &str, token: &Token) -> bool {
    let identity = Identity {
        group: GroupId::parse(group).expect("an id"),
        id: InstanceId::parse("stale").expect("an id"),
        nonce: Nonce::new(1),
        host: "bench".to_owned(),
        ttl: TTL_STEADY,
    };
    let store = PostgresStore::new(PostgresConfig::new(database, identity));
    let store = store.expect("a good URL");
    store.submit_one(&signal("signal"), &client()).await.expect("the database is there");
    let answer = store.claim_signals(token, Limits::NONE, 1).await.expect("the database is there");
    store.close().await;
    answer != SignalClaim::Fenced
}

fn steady(program: &Path, redis: &Redis, postgres: &Postgres, runtime: &tokio::runtime::Runtime) {
    let database = runtime.block_on(postgres.create_database());
    let group = Group::new(program, redis, &database, TTL_STEADY);
    group.leader();
    sleep(TTL_STEADY);
    let before = (requests(redis), statements(&group));
    sleep(STEADY);
    let after = (requests(redis), statements(&group));
    // A float represents any number of requests in half a minute.
    #[allow(clippy::cast_precision_loss, reason = "small numbers")]
    let rate = |before: u64, after: u64| (after - before) as f64 / STEADY.as_secs_f64() / 3.0;
    one("steady state, requests to Redis", rate(before.0, after.0), "a second and instance", 1.0);
    one("steady state, requests to PostgreSQL", rate(before.1, after.1), "a second and instance", 1.0);
    let resident = group.members.iter().map(resident_mb).fold(0.0, f64::max);
    one("resident memory, the largest of three", resident, "MB", 25.0);
}

/// Requests that Redis received: scripts and pings. Commands inside a script are not requests.
fn requests(redis: &Redis) -> u64 {
    let Reply::Value(text) = redis.command(&["INFO", "commandstats"]) else { panic!("INFO answers a text") };
    let text = String::from_utf8_lossy(&text).into_owned();
    let calls = |line: &str| {
        let rest = line.strip_prefix("cmdstat_eval").or_else(|| line.strip_prefix("cmdstat_ping"))?;
        rest.split("calls=").nth(1)?.split(',').next()?.parse::<u64>().ok()
    };
    text.lines().filter_map(calls).sum()
}

/// Statements that PostgreSQL received: the instances' own count of syncs, and a heartbeat every LEADER_TTL.
/// (The server's transaction counter also counts the notifications that it delivers.)
fn statements(group: &Group) -> u64 {
    let syncs = |member: &Coordinator| {
        let text = member.get("/metrics").expect("it listens").body;
        let line = text.lines().find_map(|line| line.strip_prefix("portfolio_manager_db_sync_total "));
        line.and_then(|count| count.parse::<u64>().ok()).expect("the metric is there")
    };
    let uptime = nanos(now()) / nanos(TTL_STEADY);
    group.members.iter().map(|member| syncs(member) + uptime).sum()
}

/// Time since this process started.
fn now() -> Duration {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed()
}

fn resident_mb(member: &Coordinator) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", member.pid())).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("the kernel reports it");
    let kilobytes: f64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number");
    kilobytes / 1024.0
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).expect("a short time")
}

#[allow(clippy::cast_precision_loss, reason = "for a operator")]
fn ms(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}

fn print(name: &str, values: &mut [f64], unit: &str, limit: f64) {
    values.sort_by(f64::total_cmp);
    let median = values[values.len() / 2];
    let (least, most) = (values[0], values[values.len() - 1]);
    println!(
        "{name}: median {median:.1} {unit} of {} (least {least:.1}, most {most:.1}); {:.2} of the limit of {limit} {unit}",
        values.len(),
        median / limit
    );
}

fn one(name: &str, value: f64, unit: &str, limit: f64) {
    println!("{name}: {value:.2} {unit}; {:.2} of the limit of {limit}", value / limit);
}
