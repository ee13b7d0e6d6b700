//! [`Session`]: one connection to the file.

use crate::config::{LOCK_WAIT_MIN, SqliteConfig};
use crate::error::{is_busy, judge};
use crate::identity::{Identity, Lock, refuse_other_names};
use crate::lost_files::LostFiles;
use crate::schema;
use crate::statement::Statement;
use domain::ports::StoreError;
use futures_util::TryStreamExt;
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Page cache of each connection, in KiB. The working set is a few dozen pages, and the process, which may
/// use 25 MB, has three connections.
const CACHE_KIB: u32 = 256;
/// Prepared statements that each connection keeps; the busiest connection has about thirty.
const STATEMENTS_MAX: usize = 40;
/// Size in bytes to which the write-ahead log is cut after a checkpoint, so that one burst does not keep its
/// size.
const LOG_BYTES_MAX: u32 = 4 << 20;

/// How long SQLite itself waits for another connection's write before this module tries again. SQLite's
/// pauses grow from 1 to 100 ms, so during constant writes by other processes it would try ever less often.
/// Starting over keeps the pauses below 10 ms, so that a renewal gets its turn, and a dropped call does not
/// delay the next one longer than this.
const LOCK_ROUND: Duration = Duration::from_millis(10);
const _: () = assert!(LOCK_ROUND.as_millis() < LOCK_WAIT_MIN.as_millis());

/// A connection that is opened when it is first needed, and again after it failed.
///
/// It runs only single statements, one at a time, in the order of the calls. A dropped future therefore
/// leaves either nothing or a whole statement, which SQLite's thread finishes: there is no transaction that
/// could stay open. As with every lock, a caller must poll or drop a future before it awaits another call: a
/// future that is kept and not polled keeps the connection.
pub(crate) struct Session {
    path: PathBuf,
    options: SqliteConnectOptions,
    lock_wait: Duration,
    lost: Arc<LostFiles>,
    slot: Mutex<Slot>,
}

/// The open connection, if there is one, and the number of connections that were opened so far.
struct Slot {
    open: Option<Open>,
    openings: u64,
}

struct Open {
    connection: SqliteConnection,
    files: Identity,
    /// Released after the connection is dropped.
    _lock: Lock,
}

/// The connection that gave an answer; grows with every reconnect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Opening(u64);

impl Session {
    /// A connection of a store whose connections share `lost`.
    pub(crate) fn new(config: &SqliteConfig, lost: &Arc<LostFiles>) -> Self {
        Self {
            path: config.path.clone(),
            options: options(&config.path, config.lock_wait()),
            lock_wait: config.lock_wait(),
            lost: Arc::clone(lost),
            slot: Mutex::new(Slot { open: None, openings: 0 }),
        }
    }

    /// Runs a write. Returns how many rows it changed (triggers not counted), once the change is durable.
    pub(crate) async fn execute(&self, statement: Statement) -> Result<u64, StoreError> {
        let mut slot = self.slot.lock().await;
        let give_up = Instant::now() + self.lock_wait;
        loop {
            let result = statement.query().execute(self.connection(&mut slot).await?).await;
            match result {
                Err(error) if is_busy(&error) && Instant::now() < give_up => {}
                result => {
                    let done = self.judged(&mut slot, result)?;
                    self.kept(&slot)?;
                    return Ok(done.rows_affected());
                }
            }
        }
    }

    /// Runs a statement to its end and returns its rows.
    ///
    /// A write with RETURNING must use this too, and never `fetch_one` or `fetch_optional`: SQLite returns
    /// the rows before it commits, and those methods stop at the first row, so a commit that fails after it
    /// (a full disk) would go unnoticed and a missing effect would be acknowledged.
    pub(crate) async fn fetch(&self, statement: Statement) -> Result<Vec<SqliteRow>, StoreError> {
        self.fetch_from(statement).await.map(|(rows, _)| rows)
    }

    /// As [`Self::fetch`]; returns also which connection answered.
    pub(crate) async fn fetch_from(
        &self,
        statement: Statement,
    ) -> Result<(Vec<SqliteRow>, Opening), StoreError> {
        let mut slot = self.slot.lock().await;
        let give_up = Instant::now() + self.lock_wait;
        loop {
            let result = statement.query().fetch_all(self.connection(&mut slot).await?).await;
            match result {
                Err(error) if is_busy(&error) && Instant::now() < give_up => {}
                result => {
                    let opening = Opening(slot.openings);
                    let rows = self.judged(&mut slot, result)?;
                    self.kept(&slot)?;
                    return Ok((rows, opening));
                }
            }
        }
    }

    /// Runs a read to its end and passes each row to `take`. Only a few rows are in memory at a time. Stops
    /// at the first error of `take`.
    pub(crate) async fn each(
        &self,
        statement: Statement,
        mut take: impl FnMut(&SqliteRow) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut slot = self.slot.lock().await;
        let give_up = Instant::now() + self.lock_wait;
        loop {
            let mut taken = false;
            let result = {
                let mut rows = statement.query().fetch(self.connection(&mut slot).await?);
                loop {
                    match rows.try_next().await {
                        Ok(Some(row)) => take(&row)?,
                        Ok(None) => break Ok(()),
                        Err(error) => break Err(error),
                    }
                    taken = true;
                }
            };
            match result {
                Err(error) if !taken && is_busy(&error) && Instant::now() < give_up => {}
                result => {
                    self.judged(&mut slot, result)?;
                    return self.kept(&slot);
                }
            }
        }
    }

    /// Closes the connection and waits for its thread. The last connection on the machine moves the log into
    /// the file. A later call opens the connection again.
    pub(crate) async fn close(&self) {
        if let Some(open) = self.slot.lock().await.open.take()
            && let Err(error) = open.connection.close().await
        {
            tracing::warn!(path = %self.path.display(), %error, "the database was not closed cleanly");
        }
    }

    async fn connection<'s>(&self, slot: &'s mut Slot) -> Result<&'s mut SqliteConnection, StoreError> {
        let now = Identity::of(&self.path);
        if let Some(open) = &slot.open {
            if let Some(gone) = open.files.gone(now, &self.path) {
                // A connection to a deleted or replaced file would continue to work, and so would a leader
                // that no other instance sees. The connection stays open and keeps the lock: no instance
                // opens the current files before all have left the old ones. The last connection that is
                // closed in order writes the content of `-wal` into its file.
                // `Corrupt` ends the term of a leader.
                return Err(StoreError::Corrupt(self.lost.report(&gone)));
            } else if open.files != now {
                // The file was converted to WAL mode since it was opened: a new connection has all three files.
                slot.open = None;
            }
        }
        if slot.open.is_none() {
            slot.open = Some(self.open().await?);
            slot.openings += 1;
        }
        let open = slot.open.as_mut().expect("it was opened just now");
        Ok(&mut open.connection)
    }

    async fn open(&self) -> Result<Open, StoreError> {
        let give_up = Instant::now() + self.lock_wait;
        loop {
            if let Some(open) = self.try_open().await? {
                return Ok(open);
            }
            if Instant::now() >= give_up {
                let busy = format!("{} is being closed by another process", self.path.display());
                return Err(StoreError::Unavailable(busy));
            }
            tokio::time::sleep(LOCK_ROUND).await;
        }
    }

    /// `None` if the last other connection was closed during the call, and its files were deleted with it.
    async fn try_open(&self) -> Result<Option<Open>, StoreError> {
        let mut lock = lock(&self.path, self.lock_wait).await?;
        refuse_other_names(&self.path)?;
        let mut connection = connect(&self.path, &self.options).await?;
        let round =
            Statement::new(AssertSqlSafe(format!("PRAGMA busy_timeout = {}", LOCK_ROUND.as_millis())));
        round.query().execute(&mut connection).await.map_err(|error| judge(&self.path, &error))?;
        // SQLite opens `-wal` and `-shm` with the first read. From then on no other connection deletes them.
        let read = Statement::new("SELECT count(*) FROM sqlite_schema");
        read.query().execute(&mut connection).await.map_err(|error| judge(&self.path, &error))?;
        let files = Identity::of(&self.path);
        if !files.exists() {
            let deleted = format!("{} was deleted while it was opened", self.path.display());
            return Err(StoreError::Unavailable(deleted));
        }
        let agrees = lock.share(&self.path, files)?;
        Ok(agrees.then_some(Open { connection, files, _lock: lock }))
    }

    /// Checks that the files behind an answer still exist. Otherwise a write may be lost with them, so it is
    /// not acknowledged.
    fn kept(&self, slot: &Slot) -> Result<(), StoreError> {
        let gone = slot.open.as_ref().and_then(|open| open.files.gone(Identity::of(&self.path), &self.path));
        gone.map_or(Ok(()), |gone| Err(StoreError::Unknown(self.lost.report(&gone))))
    }

    fn judged<T>(&self, slot: &mut Slot, result: Result<T, sqlx::Error>) -> Result<T, StoreError> {
        result.map_err(|error| {
            if !is_busy(&error) {
                // A new connection is free of the failure, whatever it was.
                slot.open = None;
            }
            judge(&self.path, &error)
        })
    }
}

/// Acquires the lock of a connection before it is opened. Waits while another process opens or closes the
/// files.
pub(crate) async fn lock(path: &Path, patience: Duration) -> Result<Lock, StoreError> {
    let give_up = Instant::now() + patience;
    loop {
        let taken = Lock::take(path);
        match taken {
            Ok(Some(lock)) => return Ok(lock),
            Ok(None) | Err(StoreError::Unavailable(_)) if Instant::now() < give_up => {
                tokio::time::sleep(LOCK_ROUND).await;
            }
            Ok(None) => {
                let busy = format!("{} is being opened by another process", path.display());
                return Err(StoreError::Unavailable(busy));
            }
            Err(error) => return Err(error),
        }
    }
}

/// Options with which every connection is opened.
pub(crate) fn options(path: &Path, lock_wait: Duration) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        // Only the migration creates the file: an instance that lost it must not start a new history.
        .create_if_missing(false)
        .busy_timeout(lock_wait)
        // FULL: every commit is on the disk before it is acknowledged. Otherwise a power failure could remove
        // a grant or an accepted signal, and so cause a second leader or a lost signal.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .pragma("cache_size", format!("-{CACHE_KIB}"))
        .pragma("journal_size_limit", LOG_BYTES_MAX.to_string())
        .statement_cache_capacity(STATEMENTS_MAX)
        .disable_statement_logging()
}

/// Opens the file and refuses one of another application.
pub(crate) async fn connect(
    path: &Path,
    options: &SqliteConnectOptions,
) -> Result<SqliteConnection, StoreError> {
    let mut connection = options.connect().await.map_err(|error| judge(path, &error))?;
    schema::refuse_foreign(path, &mut connection).await?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SqliteConfig;
    use crate::schema::migrate;
    use domain::ports::{Migrate, Schema};
    use sqlx::Row;

    #[tokio::test]
    async fn every_connection_has_the_required_settings() {
        let directory = tempfile::tempdir().unwrap();
        let config = SqliteConfig::sample(directory.path());
        assert_eq!(migrate(&config, Migrate::Apply).await, Ok(Schema::Current));
        let session = Session::new(&config, &Arc::default());
        for (sql, expected) in [
            ("SELECT journal_mode FROM pragma_journal_mode", "wal"),
            ("SELECT CAST(synchronous AS TEXT) FROM pragma_synchronous", "2"),
            ("SELECT CAST(foreign_keys AS TEXT) FROM pragma_foreign_keys", "1"),
            ("SELECT CAST(timeout AS TEXT) FROM pragma_busy_timeout", "10"),
            ("SELECT CAST(cache_size AS TEXT) FROM pragma_cache_size", "-256"),
            ("SELECT CAST(journal_size_limit AS TEXT) FROM pragma_journal_size_limit", "4194304"),
        ] {
            let rows = session.fetch(Statement::new(sql)).await.unwrap();
            assert_eq!(rows[0].get::<String, _>(0), expected, "{sql}");
        }
        session.close().await;
    }
}
