//! What everybody writes: `SET key id NX PX ttl`, a task that renews, a flag that the work looks at.
//!
//! Not a straw man. The renewal compares before it extends, in a script; the flag falls when the renewal is
//! refused, and when the lease that was granted last has run out; every request has a limit; the flag is asked
//! before a signal is read and again before it is sent; a mark that could not be set is set again and not
//! forgotten. What it lacks is a token that the database checks, and a claim before the order is sent, and
//! that shows when a process stands still, when Redis forgets, and when a process dies in between.
//!
//! `cargo xtask chaos` runs it under the faults that the coordinator goes through. Its arguments are the
//! coordinator's, as far as it has a use for them.

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
/// From "nothing to do" to the next look.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// From one attempt to connect to the next, in milliseconds.
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
    /// Where orders go
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
    tell("ready");
    let until = Arc::new(Mutex::new(Instant::now()));
    let (url, limit) = (arguments.postgres.clone(), arguments.leader_ttl);
    let database = Database { url, limit, connection: None };
    let (broker, me) = (arguments.broker.clone(), arguments.instance_id.clone());
    let work = tokio::spawn(work(database, broker, me, Arc::clone(&until)));
    elect(&arguments, &until).await?;
    work.abort();
    Ok(())
}

/// Takes the key when it is free, and keeps it. Runs for ever.
async fn elect(arguments: &Arguments, until: &Mutex<Instant>) -> Result<(), fred::error::Error> {
    let ttl = arguments.leader_ttl;
    let performance = PerformanceConfig { default_command_timeout: ttl / 3, ..PerformanceConfig::default() };
    let policy = ReconnectPolicy::new_constant(0, RECONNECT_MS);
    let client = Client::new(Config::from_url(&arguments.redis)?, Some(performance), None, Some(policy));
    // It connects again by itself, for ever.
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
        // No answer is no refusal: what was granted last goes on to its end, and no further.
        if let Ok(holds) = answer {
            *until.lock().unwrap_or_else(PoisonError::into_inner) = if holds { asked + ttl } else { asked };
        }
        let holds = leads(until);
        if holds != led {
            tell(if holds { "lead" } else { "lost" });
        } else if holds {
            tell("renew");
        }
        // A third of the lease: two renewals may fail.
        sleep(ttl / 3).await;
    }
}

/// The flag, as people have it: up until the lease that was granted last has run out.
fn leads(until: &Mutex<Instant>) -> bool {
    Instant::now() < *until.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends what waits, and marks it, for as long as the flag is up. Runs for ever.
async fn work(mut database: Database, broker: PathBuf, me: String, until: Arc<Mutex<Instant>>) {
    let leads = || leads(&until);
    let mut to_mark: Option<String> = None;
    loop {
        if let Some(id) = to_mark.take() {
            // Whoever leads by then does not know of it, so it is marked whether this one leads or not.
            if database.run(MARK, Some(&id)).await.is_err() {
                to_mark = Some(id);
                // The database is away: it says nowhere when it is back.
                sleep(LOOK_AGAIN).await;
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
            // A poll, as people write it.
            Some(_) | None => sleep(LOOK_AGAIN).await,
        }
    }
}

/// One connection, made anew after every failure.
struct Database {
    url: String,
    limit: Duration,
    connection: Option<PgConnection>,
}

impl Database {
    /// Runs a statement; the id in its first row, if any.
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

/// The broker is a file in which everything stays that was ever sent.
fn send(broker: &PathBuf, id: &str, me: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(broker)?;
    file.write_all(format!("{id} {me}\n").as_bytes())?;
    file.sync_data()
}

/// One line of what happens, as `coordinator run --events-json` prints it. There is no epoch.
fn tell(ev: &str) {
    println!("{{\"ev\":\"{ev}\",\"t\":{},\"epoch\":0}}", monotonic_nanos());
}
