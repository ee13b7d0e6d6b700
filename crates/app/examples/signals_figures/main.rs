//! Measures the figures of the README about signals on real processes and real stores: `cargo xtask bench
//! signals`.
//!
//! The argument is the path of the binary to measure. It prints each figure as a ratio of two quantities
//! measured in this run, or of one and its limit. It judges and asserts nothing, because machines differ and
//! measurements vary.
//!
//! - `throughput`: the adapter compared with `pgbench`, which only sends the same statements.
//! - `delivery`: time from a signal's POST to its arrival at the handler, and the rate per second.
//! - `figure`: medians and percentiles.

mod delivery;
mod figure;
mod pgbench;
mod throughput;

use delivery::Service;
use figure::Spread;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::time::Instant;
use testkit::backend::{self, Postgres};

/// Settings that a database may turn off and lose data in a power failure: each is `on` here.
const DURABLE: [&str; 3] = ["fsync", "full_page_writes", "synchronous_commit"];
/// Number of writes, equal to the number of signals in a figure of delivery.
const DISK_WRITES: usize = 1_000;
/// A page of the database.
const PAGE: [u8; 8192] = [7; 8192];

fn main() {
    let program = std::env::args_os().nth(1).map(PathBuf::from).expect("the path of the binary to measure");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let settings = DURABLE.map(|name| format!("{name}=on"));
    let postgres = backend::native_postgres_with(&settings.each_ref().map(String::as_str));
    runtime.block_on(assert_durable(&postgres));
    let redis = backend::redis();
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    println!("{processors} processors, {}, one run", load());
    println!("PostgreSQL on this machine with {} on, all else as it comes\n", DURABLE.join(", "));

    throughput::measure(&postgres, &runtime);
    println!();
    disk();
    let database = || runtime.block_on(postgres.create_database());
    let on_postgres = || Service::new("PostgreSQL").argument("--postgres", &database());
    let on_both = || Service::new("PostgreSQL + Redis").argument("--postgres", &database());
    delivery::latency(&program, &on_postgres());
    delivery::latency(&program, &on_both().argument("--redis", &redis.url()));
    delivery::latency(&program, &Service::new("embedded SQLite"));
    println!();
    delivery::rate(&program, &on_postgres());
    delivery::rate(&program, &Service::new("embedded SQLite"));
    println!("\n{} at the end, this run included", load());
}

async fn assert_durable(postgres: &Postgres) {
    for name in DURABLE {
        let shown = backend::text(&postgres.url(), &format!("SHOW {name}")).await;
        assert_eq!(
            shown.as_deref(),
            Some("on"),
            "{name}: nothing is measured that a power cut could take back"
        );
    }
}

/// The load of the machine: figures of a busy machine mean little.
fn load() -> String {
    let average = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    format!("load average {}", average.split(' ').next().unwrap_or("unknown"))
}

/// Measures the disk alone: every signal waits for it at least twice on its way, when it is accepted and when
/// it is claimed. The file is next to the servers' data, which are in the temporary directory too.
fn disk() {
    let mut file: File = tempfile::tempfile().expect("a temporary file");
    let mut write = || {
        file.seek(SeekFrom::Start(0)).and_then(|_| file.write_all(&PAGE)).expect("room for a page");
        let began = Instant::now();
        file.sync_data().expect("the disk takes it");
        std::thread::sleep(delivery::PAUSE);
        began.elapsed().saturating_sub(delivery::PAUSE).as_secs_f64() * 1e3
    };
    write();
    let took: Spread = (0..DISK_WRITES).map(|_| write()).collect();
    println!(
        "the disk alone, a page written and synced: p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms of {DISK_WRITES}",
        took.part(50),
        took.part(99),
        took.most()
    );
}
