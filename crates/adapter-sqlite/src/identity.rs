//! The identity of a database's three files, and the lock that makes all processes open the same three.
//!
//! A commit is in `-wal` before it is in the file, and the locks are in `-shm`. A process that has a deleted
//! file open continues without an error: its commits are lost with the file, and a process that starts then
//! opens other files. Invariant: while any connection of any process is open, the lock file names the three
//! files, and every process has these open.

use crate::error::path_unusable;
use domain::ports::StoreError;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Suffixes of the three files.
const ENDS: [&str; 3] = ["", "-wal", "-shm"];
/// Suffix of the lock file.
const LOCK_END: &str = "-lock";
/// Longest record, in bytes; three lines of two numbers are shorter.
const RECORD_BYTES_MAX: u64 = 256;

/// Mode of new files: only the user may read signals and the portfolio.
const FILE_MODE: u32 = 0o600;
/// Permission bits of group and others.
const OTHERS: u32 = 0o077;

/// Device and inode.
type FileId = (u64, u64);

/// The identities of the three files; `None` for a file that does not exist.
///
/// Reading them uses only the directory. Opening and closing the database file here would drop the locks that
/// SQLite holds on it in this process, as POSIX locks require.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity([Option<FileId>; 3]);

impl Identity {
    /// Reads the identities now.
    pub(crate) fn of(path: &Path) -> Self {
        Self(ENDS.map(|end| {
            let seen = fs::metadata(name(path, end)).ok()?;
            Some((seen.dev(), seen.ino()))
        }))
    }

    /// Whether the database file exists.
    pub(crate) fn exists(self) -> bool {
        self.0[0].is_some()
    }

    /// The first file of `self` that is missing in `now` or has another identity there.
    pub(crate) fn gone(self, now: Self, path: &Path) -> Option<PathBuf> {
        let pairs = self.0.into_iter().zip(now.0).zip(ENDS);
        pairs
            .into_iter()
            .find(|((then, now), _)| then.is_some() && then != now)
            .map(|(_, end)| name(path, end))
    }

    /// Creates an empty database file if it is missing, so that no other user can ever open it: SQLite would
    /// create it with the permissions of the umask, and gives the database's permissions to `-wal` and
    /// `-shm`. Requires the lock, and only creates a new file: no connection of this process has it open.
    pub(crate) fn create(path: &Path) -> Result<(), StoreError> {
        match OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(path_unusable(path, &error)),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Removes the permissions of group and others. Files of another user keep theirs: the store works with
    /// them.
    pub(crate) fn tighten(path: &Path) {
        for file in ENDS.map(|end| name(path, end)) {
            if fs::metadata(&file).is_ok_and(|seen| seen.mode() & OTHERS != 0)
                && let Err(error) = fs::set_permissions(&file, fs::Permissions::from_mode(FILE_MODE))
            {
                tracing::warn!(%error, "other users may read {}: its mode should be 600", file.display());
            }
        }
    }

    fn record(self) -> String {
        self.0.iter().fold(String::new(), |mut text, id| {
            let (device, inode) = id.unwrap_or_default();
            writeln!(text, "{device} {inode}").expect("a text takes any text");
            text
        })
    }

    /// `None` for a text that is not a record: no process has finished opening the files.
    fn parse(text: &str) -> Option<Self> {
        let mut ids = [None; 3];
        let mut lines = text.lines();
        for id in &mut ids {
            let (device, inode) = lines.next()?.split_once(' ')?;
            *id = Some((device.parse().ok()?, inode.parse().ok()?)).filter(|id| *id != (0, 0));
        }
        Some(Self(ids))
    }
}

/// A `-wal` that a crash has left belongs to the file that the record names. SQLite would write it into
/// another file, for example into a restored backup, and mix the two.
fn refuse_foreign_log(file: &mut File, path: &Path) -> Result<(), StoreError> {
    let mut text = String::new();
    let read = file.take(RECORD_BYTES_MAX).read_to_string(&mut text);
    read.map_err(|error| path_unusable(&name(path, LOCK_END), &error))?;
    let (Some(Identity([Some(was), Some(log_was), _])), Identity([Some(is), Some(log_is), _])) =
        (Identity::parse(&text), Identity::of(path))
    else {
        return Ok(());
    };
    if was == is || log_was != log_is {
        return Ok(());
    }
    let (path, log) = (path.display(), name(path, ENDS[1]));
    let log = log.display();
    Err(StoreError::Unavailable(format!(
        "{path} was replaced, and {log} belongs to the former file. Put that file back, or delete {log} if {path} is a \
         backup that you have restored: what was committed since is lost then"
    )))
}

/// Refuses a file with several names. Each name would have its own `-wal` and its own lock, and so its own
/// leader.
pub(crate) fn refuse_other_names(path: &Path) -> Result<(), StoreError> {
    match fs::metadata(path) {
        Ok(seen) if seen.nlink() > 1 => Err(StoreError::Unavailable(format!(
            "{} has {} names (hard links), and instances that open it under different ones would not see each other: \
             delete the other names",
            path.display(),
            seen.nlink()
        ))),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// The lock of one connection. The kernel releases it when the process ends.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    /// Content of the lock file; `None` for the first connection, which writes it.
    record: Option<Identity>,
}

impl Lock {
    /// Acquires the lock before the database is opened: exclusively if no connection is open anywhere,
    /// otherwise shared, and then the three files must be those of the record. `None`: another process is
    /// opening them at this moment.
    pub(crate) fn take(path: &Path) -> Result<Option<Self>, StoreError> {
        let failed = |error: io::Error| path_unusable(&name(path, LOCK_END), &error);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .open(name(path, LOCK_END))
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {
                refuse_foreign_log(&mut file, path)?;
                return Ok(Some(Self { file, record: None }));
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        match file.try_lock_shared() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let mut text = String::new();
        (&mut file).take(RECORD_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
        let Some(record) = Identity::parse(&text) else { return Ok(None) };
        match record.gone(Identity::of(path), path) {
            Some(gone) => Err(StoreError::Unavailable(format!(
                "{} is not the file that other instances have open: it was deleted or replaced. Stop every instance \
                 of this data directory with SIGTERM, then start them again",
                gone.display()
            ))),
            None => Ok(Some(Self { file, record: Some(record) })),
        }
    }

    /// Makes the lock shared once the database is open and was read. The first connection records the three
    /// files. For a later connection the result says whether it has the files of the record: after the lock
    /// was acquired and before this connection opened the files, the last of the others may have closed them,
    /// and SQLite deletes `-wal` and `-shm` then.
    pub(crate) fn share(&mut self, path: &Path, identity: Identity) -> Result<bool, StoreError> {
        if let Some(record) = self.record {
            return Ok(record.gone(identity, path).is_none());
        }
        let mut write = || {
            self.file.set_len(0)?;
            self.file.seek(SeekFrom::Start(0))?;
            self.file.write_all(identity.record().as_bytes())?;
            self.file.lock_shared()
        };
        write().map_err(|error| path_unusable(&name(path, LOCK_END), &error))?;
        self.record = Some(identity);
        Ok(true)
    }
}

fn name(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_database_is_closed_to_others_from_its_first_moment_and_an_old_one_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("c.db");
        Identity::create(&path).unwrap();
        let seen = fs::metadata(&path).unwrap();
        assert_eq!((seen.mode() & 0o777, seen.len()), (FILE_MODE, 0));
        fs::write(&path, "old").unwrap();
        Identity::create(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert!(Identity::create(&directory.path().join("missing/c.db")).is_err());
    }
}
