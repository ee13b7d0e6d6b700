//! The usual pattern: `SET key id NX PX ttl`, a task that renews, and a flag that the work reads.
//!
//! It is a fair implementation. The renewal compares before it extends, in a script. The flag is cleared when
//! the renewal is refused, and when the last granted lease has expired. Every request has a timeout. The flag
//! is read before a signal is read and again before it is sent. A mark that could not be set is set again and
//! not forgotten. It lacks a token that the database checks, and a claim before the order is sent. That shows
//! when a process stops, when Redis loses data, and when a process dies in between.
//!
//! `cargo xtask chaos` runs it under the same faults as the coordinator. Its arguments are those of the
//! coordinator that it needs.

use clap::Parser;
use fred::clients::Client;
use fred::interfaces::{ClientLike, KeysInterface, LuaInterface};
use fred::types::config::{Config, PerformanceConfig, ReconnectPolicy};
use fred::types::{Expiration, SetOptions};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Row};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use testkit::process::monotonic_nanos;
use tokio::time::{sleep, timeout};

/// Extends the key if it is still ours.
const RENEW: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then
    return redis.call('PEXPIRE', KEYS[1], ARGV[2]) else return 0 end";
const NEXT: &str = "SELECT id FROM naive_signal WHERE NOT done ORDER BY arrival LIMIT 1";
const MARK: &str = "UPDATE naive_signal SET done = true WHERE id = $1";
/// Pause between two polls if there is nothing to do.
const POLL_AGAIN: Duration = Duration::from_millis(20);
/// Pause between two attempts to connect, in milliseconds.
const RECONNECT_MS: u32 = 100;

/// The coordinator's arguments.
#[derive(Debug, Parser)]
struct Arguments {
    /// `run`
    command: String,
    #[arg(long)]
    events_json: bool,
    #[arg(long)]
    listen: String,
    #[arg(long)]
    data_dir: PathBuf,
    #[arg(long)]
    redis: String,
    #[arg(long)]
    postgres: String,
    #[arg(long, value_parser = millis)]
    leader_ttl: Duration,
    #[arg(long)]
    group: String,
    #[arg(long)]
    instance_id: String,
    /// File for the orders
    #[arg(long, env = "COORDINATOR_TEST_BROKER")]
    broker: PathBuf,
}

fn millis(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix("ms").and_then(|number| number.parse().ok());
    number.map(Duration::from_millis).ok_or_else(|| format!("{text}: not a number of ms"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    print_event("ready");
    let until = Arc::new(Mutex::new(Instant::now()));
    let (url, limit) = (arguments.postgres.clone(), arguments.leader_ttl);
    let database = Database { url, limit, connection: None };
    let (broker, me) = (arguments.broker.clone(), arguments.instance_id.clone());
    let work = tokio::spawn(work(database, broker, me, Arc::clone(&until)));
    elect(&arguments, &until).await?;
    work.abort();
    Ok(())
}

/// Acquires the key when it is free, and renews it. Runs for ever.
async fn elect(arguments: &Arguments, until: &Mutex<Instant>) -> Result<(), fred::error::Error> {
    let ttl = arguments.leader_ttl;
    let performance = PerformanceConfig { default_command_timeout: ttl / 3, ..PerformanceConfig::default() };
    let policy = ReconnectPolicy::new_constant(0, RECONNECT_MS);
    let client = Client::new(Config::from_url(&arguments.redis)?, Some(performance), None, Some(policy));
    // The client reconnects automatically, for ever.
    let _connection = client.connect();
    let key = format!("naive:{}:leader", arguments.group);
    let px = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
    let me = &arguments.instance_id;
    loop {
        let asked = Instant::now();
        let led = leads(until);
        let answer = if led {
            let renewed: Result<i64, _> =
                client.eval(RENEW, vec![&key], vec![me.clone(), px.to_string()]).await;
            renewed.map(|renewed| renewed == 1)
        } else {
            let expiration = Some(Expiration::PX(px));
            let set: Result<Option<String>, _> =
                client.set(&key, me, expiration, Some(SetOptions::NX), false).await;
            set.map(|set| set.is_some())
        };
        // A missing answer is no refusal: the last granted lease continues to its end, and not longer.
        if let Ok(holds) = answer {
            *until.lock().unwrap_or_else(PoisonError::into_inner) = if holds { asked + ttl } else { asked };
        }
        let holds = leads(until);
        if holds != led {
            print_event(if holds { "lead" } else { "lost" });
        } else if holds {
            print_event("renew");
        }
        // A third of the lease: two renewals may fail.
        sleep(ttl / 3).await;
    }
}

/// The flag: set until the last granted lease has expired.
fn leads(until: &Mutex<Instant>) -> bool {
    Instant::now() < *until.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends waiting signals and marks them while the flag is set. Runs for ever.
async fn work(mut database: Database, broker: PathBuf, me: String, until: Arc<Mutex<Instant>>) {
    let leads = || leads(&until);
    let mut to_mark: Option<String> = None;
    loop {
        if let Some(id) = to_mark.take() {
            // The next leader does not know of the order, so it is marked whether or not this process still
            // leads.
            if database.run(MARK, Some(&id)).await.is_err() {
                to_mark = Some(id);
                // The database is unreachable, and does not announce its return.
                sleep(POLL_AGAIN).await;
            }
            continue;
        }
        let next = if leads() { database.run(NEXT, None).await.ok().flatten() } else { None };
        match next {
            Some(id) if leads() => {
                if send(&broker, &id, &me).is_ok() {
                    to_mark = Some(id);
                }
            }
            // The usual poll.
            Some(_) | None => sleep(POLL_AGAIN).await,
        }
    }
}

/// One connection, opened again after every failure.
struct Database {
    url: String,
    limit: Duration,
    connection: Option<PgConnection>,
}

impl Database {
    /// Runs a statement; returns the id in its first row, if any.
    async fn run(&mut self, sql: &'static str, id: Option<&str>) -> Result<Option<String>, sqlx::Error> {
        let asked = timeout(self.limit, ask(&self.url, self.connection.take(), sql, id)).await;
        let (connection, id) = asked.map_err(io::Error::from)??;
        self.connection = Some(connection);
        Ok(id)
    }
}

async fn ask(
    url: &str,
    open: Option<PgConnection>,
    sql: &'static str,
    id: Option<&str>,
) -> Result<(PgConnection, Option<String>), sqlx::Error> {
    let mut connection = match open {
        Some(connection) => connection,
        None => PgConnection::connect(url).await?,
    };
    let statement = id.into_iter().fold(sqlx::query(sql), |statement, id| statement.bind(id.to_owned()));
    let row = statement.fetch_optional(&mut connection).await?;
    Ok((connection, row.map(|row| row.get("id"))))
}

/// Sends an order to the broker, a file that keeps every order.
fn send(broker: &PathBuf, id: &str, me: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(broker)?;
    file.write_all(format!("{id} {me}\n").as_bytes())?;
    file.sync_data()
}

/// Prints an event as `coordinator run --events-json` does. There is no epoch.
fn print_event(ev: &str) {
    println!("{{\"ev\":\"{ev}\",\"t\":{},\"epoch\":0}}", monotonic_nanos());
}
