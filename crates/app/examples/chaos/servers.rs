//! [`Servers`]: Redis, PostgreSQL and its standby, and the harness's own queries.

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

/// Connections of PostgreSQL: enough for three instances, the client and the harness, and some more.
const CONNECTIONS: &str = "max_connections=60";
/// Interval at which a standby tries to reach its primary again.
const RETRIEVE: &str = "wal_retrieve_retry_interval=200ms";
/// Application name of the harness's own sessions.
const OURS: &str = "chaos";
/// Timeout of the harness's own query to a healthy server.
const QUERY_TIME_MAX: Duration = Duration::from_secs(10);
/// Pause between two attempts to take a connection that another client has closed.
const GRAB_AGAIN: Duration = Duration::from_millis(20);
/// Time by which a host's clock jumps back.
const CLOCK_JUMP: Duration = Duration::from_hours(1);

const _: () = assert!(CLOCK_JUMP.as_millis() > 20 * TTL.as_millis(), "longer than any fault lasts");

/// Runs a future on one runtime, because a proxy's task outlives the call that started it.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    runtime().block_on(future)
}

/// The runtime of all futures here.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
    })
}

/// The servers of all runs.
pub struct Servers {
    /// Without persistence unless [`Self::save_redis`] turns it on.
    pub redis: Redis,
    /// The primary, which accepts writes.
    pub primary: Postgres,
    standby: Postgres,
    /// The standby reaches its primary through this proxy.
    replication: Proxy,
}

/// End of a primary before its standby replaces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Orderly, so that the standby receives everything.
    Stopped,
    /// As by a power failure.
    Killed,
}

impl Servers {
    /// Starts the servers.
    pub fn start() -> Self {
        let redis = backend::redis();
        let primary = backend::native_postgres_with(&[CONNECTIONS, RETRIEVE]);
        let replication = block_on(Proxy::start(primary.address()));
        let standby = primary.standby_through(replication.address().port());
        Self { redis, primary, standby, replication }
    }

    /// Stops the standby: this run does not need it, and it would use the processors.
    pub fn rest_standby(&self) {
        self.standby.stop();
    }

    /// The URL of the primary for a client of that proxy.
    pub fn primary_through(&self, proxy: &Proxy) -> String {
        self.primary.url().replacen(&self.primary.address(), &proxy.address().to_string(), 1)
    }

    /// Discards everything that the primary sends to the standby from now on.
    pub fn cut_replication(&self) {
        block_on(self.replication.set(Mode::Swallow(Direction::Replies)));
    }

    /// Ends the primary, and the standby replaces it. No client of a proxy reaches the new primary before the
    /// proxy is changed. [`Self::bury`] must follow.
    pub fn promote(&mut self, end: End) {
        match end {
            End::Stopped => self.primary.stop(),
            End::Killed => self.primary.kill(),
        }
        block_on(self.standby.promote());
        std::mem::swap(&mut self.primary, &mut self.standby);
    }

    /// Calls `read` with the URL of the old primary, which no other client can reach, and puts a new standby
    /// in its place.
    pub fn bury<T>(&mut self, read: impl FnOnce(&str) -> T) -> T {
        self.standby.start();
        let seen = read(&self.standby.url());
        block_on(self.replication.retarget(self.primary.address()));
        block_on(self.replication.set(Mode::Pass));
        self.standby = self.primary.standby_through(self.replication.address().port());
        seen
    }

    /// From now on a commit is answered when the standby has it.
    pub fn wait_for_standby(&self) {
        self.configure("ALTER SYSTEM SET synchronous_standby_names = '*'");
    }

    /// Sets whether every transaction of the primary is read-only.
    pub fn set_access(&self, access: Access) {
        let change = match access {
            Access::ReadOnly => "ALTER SYSTEM SET default_transaction_read_only = on",
            Access::Writable => "ALTER SYSTEM RESET default_transaction_read_only",
        };
        self.configure(change);
    }

    fn configure(&self, change: &str) {
        // One by one: ALTER SYSTEM cannot be in a transaction with another statement.
        for statement in [change, "SELECT pg_reload_conf()"] {
            ask(&self.primary.url(), statement).expect("the primary answers the harness");
        }
    }

    /// Ends every session and takes all connections, until the guard is dropped.
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
                    // The fault lasts until the guard is dropped.
                    Err(_) => tokio::time::sleep(GRAB_AGAIN).await,
                }
            }
        }))
    }

    /// Sets whether Redis keeps its data over a restart.
    pub fn save_redis(&self, memory: Memory) {
        if memory == Memory::Empty {
            self.redis.command(&["FLUSHALL"]);
        }
        self.redis.command(&["SAVE"]);
    }

    /// Applies the effect of a clock jump on Redis's host to its keys.
    pub fn jump_redis_clock(&self, jump: Jump) {
        let Reply::List(keys) = self.redis.command(&["KEYS", "*"]) else { return };
        for key in keys {
            let Reply::Value(key) = key else { continue };
            let remaining = match (jump, self.redis.command(&[b"PTTL".as_slice(), &key])) {
                (Jump::Ahead, _) => "0".to_owned(),
                (Jump::Back, Reply::Number(left)) if left > 0 => {
                    (CLOCK_JUMP.as_millis() + u128::from(left.unsigned_abs())).to_string()
                }
                // The key has expired since it was listed.
                (Jump::Back, _) => continue,
            };
            self.redis.command(&[b"PEXPIRE".as_slice(), &key, remaining.as_bytes()]);
        }
    }
}

/// Operations that the primary allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reads only.
    ReadOnly,
    /// Reads and writes.
    Writable,
}

/// Redis's data after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// No data.
    Empty,
    /// The data before the restart.
    Kept,
}

/// Direction of a clock jump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Jump {
    /// Beyond every expiry.
    Ahead,
    /// Back by an hour.
    Back,
}

/// All connections of a server. When it is dropped, they are free again.
pub struct Hoard(JoinHandle<()>);

impl Drop for Hoard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The rows of a query as pairs of texts (NULL is empty). If there is only one column, the second text is
/// empty.
///
/// # Errors
/// The failure, as a sentence.
pub fn ask(url: &str, query: &str) -> Result<Vec<(String, String)>, String> {
    let looked = async {
        let mut connection = options(url).connect().await?;
        let rows = sqlx::raw_sql(AssertSqlSafe(query)).fetch_all(&mut connection).await?;
        let _ = connection.close().await;
        Ok::<_, sqlx::Error>(rows)
    };
    let rows = match block_on(async { timeout(QUERY_TIME_MAX, looked).await }) {
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

/// A separate connection for the harness.
///
/// # Errors
/// If no connection is available.
pub async fn connect(url: &str) -> Result<PgConnection, sqlx::Error> {
    options(url).connect().await
}
