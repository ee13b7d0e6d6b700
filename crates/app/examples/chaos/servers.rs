//! Redis, PostgreSQL and its standby, and the harness's own looks into them.

use crate::fault::TTL;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};
use std::future::Future;
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::Duration;
use testkit::backend::{self, Postgres, Redis, Reply};
use testkit::proxy::{Direction, Mode, Proxy};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Connections that PostgreSQL has: what three instances, the client and the harness use, and some more.
const CONNECTIONS: &str = "max_connections=60";
/// A standby looks for its primary again this soon.
const RETRIEVE: &str = "wal_retrieve_retry_interval=200ms";
/// By this name the harness knows its own sessions.
const OURS: &str = "chaos";
/// A look of the harness's own at a healthy server.
const LOOK_TIME_MAX: Duration = Duration::from_secs(10);
/// Between two attempts to take the connection that somebody gave back.
const GRAB_AGAIN: Duration = Duration::from_millis(20);
/// By how much a host's clock jumps back.
const CLOCK_JUMP: Duration = Duration::from_hours(1);

const _: () = assert!(CLOCK_JUMP.as_millis() > 20 * TTL.as_millis(), "longer than any fault lasts");

/// Runs what is asynchronous, on one runtime: a proxy's task outlives the call that started it.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    runtime().block_on(future)
}

/// The runtime of everything asynchronous here.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
    })
}

/// The servers of all runs.
pub struct Servers {
    /// Without persistence unless it is told to save.
    pub redis: Redis,
    /// Where everybody writes.
    pub primary: Postgres,
    standby: Postgres,
    /// The standby reaches its primary through it.
    replication: Proxy,
}

/// How a primary ends before its standby takes its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// In an orderly way, so that the standby gets everything.
    Stopped,
    /// As a power cut would have it.
    Killed,
}

impl Servers {
    /// Starts them.
    pub fn start() -> Self {
        let redis = backend::redis();
        let primary = backend::native_postgres_with(&[CONNECTIONS, RETRIEVE]);
        let replication = block_on(Proxy::start(primary.address()));
        let standby = primary.standby_through(replication.address().port());
        Self { redis, primary, standby, replication }
    }

    /// The standby rests: nothing of this run needs it, and it takes a part of the processors.
    pub fn rest_standby(&self) {
        self.standby.stop();
    }

    /// The URL under which a client of that proxy finds the primary.
    pub fn primary_through(&self, proxy: &Proxy) -> String {
        self.primary.url().replacen(&self.primary.address(), &proxy.address().to_string(), 1)
    }

    /// What the standby is sent from now on gets lost.
    pub fn cut_replication(&self) {
        block_on(self.replication.set(Mode::Swallow(Direction::Replies)));
    }

    /// The primary ends and the standby takes its place. Nobody who goes through a proxy reaches the new
    /// primary before the proxy is told. [`Self::bury`] has to follow.
    pub fn promote(&mut self, end: End) {
        match end {
            End::Stopped => self.primary.stop(),
            End::Killed => self.primary.kill(),
        }
        block_on(self.standby.promote());
        std::mem::swap(&mut self.primary, &mut self.standby);
    }

    /// Looks into the old primary, which nobody else can reach, and puts a new standby in its place.
    pub fn bury<T>(&mut self, look: impl FnOnce(&str) -> T) -> T {
        self.standby.start();
        let seen = look(&self.standby.url());
        block_on(self.replication.retarget(self.primary.address()));
        block_on(self.replication.set(Mode::Pass));
        self.standby = self.primary.standby_through(self.replication.address().port());
        seen
    }

    /// From now on a commit is answered when the standby has it.
    pub fn wait_for_standby(&self) {
        self.configure("ALTER SYSTEM SET synchronous_standby_names = '*'");
    }

    /// Whether every transaction of the primary is read-only.
    pub fn set_access(&self, access: Access) {
        let change = match access {
            Access::ReadOnly => "ALTER SYSTEM SET default_transaction_read_only = on",
            Access::Writable => "ALTER SYSTEM RESET default_transaction_read_only",
        };
        self.configure(change);
    }

    fn configure(&self, change: &str) {
        // One by one: ALTER SYSTEM cannot be in a transaction with anything else.
        for statement in [change, "SELECT pg_reload_conf()"] {
            ask(&self.primary.url(), statement).expect("the primary answers the harness");
        }
    }

    /// Ends every session and takes every connection there is, until the guard is dropped.
    pub fn exhaust(&self) -> Hoard {
        let url = self.primary.url();
        let end_all = format!(
            "SELECT count(pg_terminate_backend(pid))::text, '' FROM pg_stat_activity
             WHERE backend_type = 'client backend' AND application_name <> '{OURS}'"
        );
        ask(&url, &end_all).expect("the primary answers the harness");
        Hoard(runtime().spawn(async move {
            let mut hoard = Vec::new();
            loop {
                match options(&url).connect().await {
                    Ok(connection) => hoard.push(connection),
                    // The fault that was asked for lasts until the guard is dropped.
                    Err(_) => tokio::time::sleep(GRAB_AGAIN).await,
                }
            }
        }))
    }

    /// Redis keeps what it has over a restart, or does not.
    pub fn save_redis(&self, memory: Memory) {
        if memory == Memory::Empty {
            self.redis.command(&["FLUSHALL"]);
        }
        self.redis.command(&["SAVE"]);
    }

    /// What a jump of the clock of Redis's host does to its keys.
    pub fn jump_redis_clock(&self, jump: Jump) {
        let Reply::List(keys) = self.redis.command(&["KEYS", "*"]) else { return };
        for key in keys {
            let Reply::Value(key) = key else { continue };
            let remaining = match (jump, self.redis.command(&[b"PTTL".as_slice(), &key])) {
                (Jump::Ahead, _) => "0".to_owned(),
                (Jump::Back, Reply::Number(left)) if left > 0 => {
                    (CLOCK_JUMP.as_millis() + u128::from(left.unsigned_abs())).to_string()
                }
                // It has expired since it was listed.
                (Jump::Back, _) => continue,
            };
            self.redis.command(&[b"PEXPIRE".as_slice(), &key, remaining.as_bytes()]);
        }
    }
}

/// What the primary lets its clients do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read.
    ReadOnly,
    /// Everything.
    Writable,
}

/// What Redis knows after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// Nothing.
    Empty,
    /// What it knew.
    Kept,
}

/// Where a clock jumps to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Jump {
    /// Beyond every expiry.
    Ahead,
    /// An hour.
    Back,
}

/// All connections of a server. Dropped: they are free again.
pub struct Hoard(JoinHandle<()>);

impl Drop for Hoard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The rows of a query as pairs of texts (NULL is empty); of what has only one column the second is empty.
///
/// # Errors
/// What went wrong, in a sentence.
pub fn ask(url: &str, query: &str) -> Result<Vec<(String, String)>, String> {
    let looked = async {
        let mut connection = options(url).connect().await?;
        let rows = sqlx::raw_sql(AssertSqlSafe(query)).fetch_all(&mut connection).await?;
        let _ = connection.close().await;
        Ok::<_, sqlx::Error>(rows)
    };
    let rows = match block_on(async { timeout(LOOK_TIME_MAX, looked).await }) {
        Ok(answer) => answer.map_err(|error| format!("{query}: {error}"))?,
        Err(_) => return Err(format!("{query}: no answer")),
    };
    let column = |row: &sqlx::postgres::PgRow, at| {
        row.try_get::<Option<String>, usize>(at).ok().flatten().unwrap_or_default()
    };
    Ok(rows.iter().map(|row| (column(row, 0), column(row, 1))).collect())
}

fn options(url: &str) -> PgConnectOptions {
    PgConnectOptions::from_str(url).expect("the server's own URL").application_name(OURS)
}

/// A connection of the harness's own.
///
/// # Errors
/// When there is none to be had.
pub async fn connect(url: &str) -> Result<PgConnection, sqlx::Error> {
    options(url).connect().await
}
