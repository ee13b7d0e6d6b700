//! Translation of SQLite's result codes: what the caller may conclude, and what the operator can do.

use domain::ports::StoreError;
use std::path::Path;

// Primary result codes of SQLite, https://www.sqlite.org/rescode.html: the low byte of every code.
const ERROR: i32 = 1;
const PERM: i32 = 3;
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const READONLY: i32 = 8;
const IOERR: i32 = 10;
const CORRUPT: i32 = 11;
const FULL: i32 = 13;
const CANTOPEN: i32 = 14;
const PROTOCOL: i32 = 15;
const TOOBIG: i32 = 18;
const CONSTRAINT: i32 = 19;
const MISMATCH: i32 = 20;
const AUTH: i32 = 23;
const NOTADB: i32 = 26;

/// Translates `error` into what the caller may conclude; the message names the file.
pub(crate) fn judge(path: &Path, error: &sqlx::Error) -> StoreError {
    let is_missing = path.try_exists().is_ok_and(|exists| !exists);
    let path = path.display();
    let sqlx::Error::Database(reported) = error else {
        return match error {
            // These errors occur before anything is sent: the path is no text, or the connection has no
            // thread.
            sqlx::Error::Io(_) | sqlx::Error::Configuration(_) | sqlx::Error::Encode(_) => {
                StoreError::Unavailable(format!("{path} cannot be used: {error}"))
            }
            _ => StoreError::Unknown(format!("{path}: {error}")),
        };
    };
    match code(error) {
        // In WAL mode a statement acquires the write lock before it does anything, and a commit needs no
        // further lock: after "busy", nothing has changed.
        BUSY | LOCKED | PROTOCOL => StoreError::Unavailable(format!(
            "{path} is locked by another connection: {reported}. Close open shells and backups of it"
        )),
        // SQLite did not write the frame that would commit, so nothing has changed.
        FULL => StoreError::Unavailable(format!(
            "{path} cannot grow: {reported}. The disk or a quota is full: make room, nothing needs a restart"
        )),
        READONLY | PERM | AUTH => StoreError::Unavailable(format!(
            "{path} cannot be written: {reported}. The file and its directory must be writable by this user"
        )),
        CANTOPEN if is_missing => StoreError::Unavailable(format!(
            "{path} does not exist. If instances have used it before, stop every one and put it back with its -wal and \
             -shm, or restore its latest backup: a new file would know no signal. For a new group, \
             `coordinator run` creates it"
        )),
        CANTOPEN => StoreError::Unavailable(format!(
            "{path} cannot be opened: {reported}. It and its directory must be readable and writable by this user"
        )),
        NOTADB => StoreError::Corrupt(format!(
            "{path} is not a SQLite database: {reported}. Move it away or choose another --data-dir"
        )),
        CORRUPT => StoreError::Corrupt(format!(
            "{path} is damaged: {reported}. Stop every instance and restore the file from a backup"
        )),
        // Our statements are constant. If one does not compile or fit, the schema is not ours.
        ERROR | CONSTRAINT | MISMATCH => StoreError::Corrupt(format!(
            "{path} is not as this version needs it: {reported}. `coordinator migrate --check` says what is missing"
        )),
        // SQLite refused the statement for its size, so nothing has changed.
        TOOBIG => StoreError::Unavailable(format!("{path}: {reported}. Send less at once")),
        // A failed write or sync may still reach the disk, and recovery after a crash would find it.
        IOERR => StoreError::Unknown(format!("{path}: {reported}. Check the disk")),
        _ => StoreError::Unknown(format!("{path}: {reported}")),
    }
}

/// Error for a file next to the database that cannot be used; nothing was done.
pub(crate) fn path_unusable(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Unavailable(format!(
        "{} cannot be used: {error}. It and its directory must be writable by this user",
        path.display()
    ))
}

/// Whether another connection held the lock. Nothing was done, and the connection remains usable.
pub(crate) fn is_busy(error: &sqlx::Error) -> bool {
    code(error) == BUSY
}

/// The primary result code; 0 if the error is not SQLite's.
fn code(error: &sqlx::Error) -> i32 {
    let sqlx::Error::Database(reported) = error else { return 0 };
    reported.code().and_then(|code| code.parse::<i32>().ok()).map_or(0, |code| code & 0xff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::ConnectOptions;
    use sqlx::sqlite::SqliteConnectOptions;

    /// The translation of SQLite's own error for `sql` on a new file.
    async fn judged(sql: &'static str) -> StoreError {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("c.db");
        let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let mut connection = options.connect().await.unwrap();
        let error = sqlx::raw_sql(sql).execute(&mut connection).await.expect_err(sql);
        let judged = judge(&path, &error);
        assert!(judged.to_string().contains("c.db"), "{judged}");
        judged
    }

    #[tokio::test]
    async fn a_full_disk_is_a_refusal_with_advice() {
        let full = "CREATE TABLE t (x); PRAGMA max_page_count = 2; INSERT INTO t VALUES (zeroblob(100000))";
        let StoreError::Unavailable(reported) = judged(full).await else { panic!("nothing was written") };
        assert!(reported.contains("make room"), "{reported}");
    }

    #[tokio::test]
    async fn a_read_only_file_is_a_refusal() {
        let StoreError::Unavailable(reported) = judged("PRAGMA query_only = 1; CREATE TABLE t (x)").await
        else {
            panic!("nothing was written")
        };
        assert!(reported.contains("must be writable"), "{reported}");
    }

    #[tokio::test]
    async fn a_statement_that_does_not_fit_the_schema_is_corrupt() {
        for sql in ["SELECT x FROM nowhere", "CREATE TABLE t (x NOT NULL); INSERT INTO t VALUES (NULL)"] {
            assert!(matches!(judged(sql).await, StoreError::Corrupt(_)), "{sql}");
        }
    }

    #[test]
    fn a_connection_that_died_leaves_the_outcome_open() {
        for error in [sqlx::Error::WorkerCrashed, sqlx::Error::Protocol("x".to_owned())] {
            assert!(matches!(judge(Path::new("c.db"), &error), StoreError::Unknown(_)), "{error}");
        }
    }
}
