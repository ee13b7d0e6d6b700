//! The group's largest epochs and their claim as this data directory remembers them, in a file that survives
//! the loss of the store.

use async_trait::async_trait;
use coordinator::EpochMemory;
use domain::election::Epochs;
use domain::id::{ClaimId, GroupId};
use domain::lease::{Epoch, Seq};
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// First line of the file.
const FORMAT: &str = "coordinator epochs, format 1";
/// Largest number in the file. At ten terms, or ten renewals, a second, a group reaches it after 3,400 years.
const NUMBER_MAX: u64 = 1 << 40;
/// Only the owner may read and write.
const MODE: u32 = 0o600;

/// The store in which the epochs were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// One SQLite file.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

impl StoreKind {
    /// The name of the database for operators.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }

    /// Prefix of the files' names.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Sqlite => "epochs-sqlite-",
            Self::Postgres => "epochs-postgres-",
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Sqlite => Self::Postgres,
            Self::Postgres => Self::Sqlite,
        }
    }
}

/// The file of one group and kind of store. Processes that share a data directory share it.
#[derive(Debug, Clone)]
pub struct EpochFile {
    path: PathBuf,
    kept: Epochs,
    /// The latest content written by this process, to restore a file that is deleted while it runs.
    latest: Arc<Mutex<Epochs>>,
    /// Whether the last durable write failed. Only a successful durable write proves that the next one can
    /// succeed.
    has_failed: Arc<AtomicBool>,
    /// Held by the call that uses the disk, until it ends, also if its caller has stopped waiting. So a disk that does not
    /// answer holds one blocking thread of the service's runtime and not one for each heartbeat.
    disk: Arc<tokio::sync::Mutex<()>>,
}

impl EpochFile {
    /// Reads the files of `group` in `directory`; before the first claim there are none. If a group was moved
    /// from one kind of store to the other, its numbers continue to grow, and the new store has not forgotten
    /// what it never had.
    ///
    /// # Errors
    /// If a file cannot be read, or this binary did not write it: a number that is too low would be
    /// dangerous.
    pub fn open(directory: &Path, store: StoreKind, group: &GroupId) -> Result<Self, String> {
        let kept_of = |kind: StoreKind| {
            // A group's name is valid as a file name: it has no slash, and is short enough.
            let path = directory.join(format!("{}{group}", kind.prefix()));
            read(&path)
                .map(|kept| Self {
                    path,
                    kept,
                    latest: Arc::new(Mutex::new(Epochs::NONE)),
                    has_failed: Arc::default(),
                    disk: Arc::default(),
                })
                .map_err(|fault| fault.to_string())
        };
        let own = kept_of(store)?;
        let elsewhere = kept_of(store.other())?.kept.floor();
        let kept = own.kept.and(Epochs { asked: elsewhere, ..Epochs::NONE });
        Ok(Self { kept, latest: Arc::new(Mutex::new(own.kept)), ..own })
    }

    /// A file that belongs to no group: the names of groups' files begin with a [`StoreKind::prefix`].
    fn beside(&self, what: &str) -> PathBuf {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        self.path.with_file_name(format!("{what}-{name}"))
    }

    fn unwritable(&self, error: io::Error) -> Fault {
        Fault::Unwritable { path: self.path.clone(), error }
    }

    /// Locks the file. Until the lock is dropped, no other process writes the file or its draft.
    fn lock(&self) -> io::Result<File> {
        let lock = OpenOptions::new().create(true).append(true).mode(MODE).open(self.beside("lock"))?;
        flock(&lock, FlockOperation::LockExclusive)?;
        Ok(lock)
    }

    fn draft(&self, epochs: Epochs) -> io::Result<File> {
        let path = self.beside("draft");
        let mut draft = OpenOptions::new().create(true).write(true).truncate(true).mode(MODE).open(path)?;
        let Epochs { seen, claim, seq, asked } = epochs;
        write!(draft, "{FORMAT}\nseen {seen}\nseq {}\nasked {asked}\nclaim {claim}\n", seq.0)?;
        Ok(draft)
    }

    /// Keeps the higher of each number. Returns the earlier content: that of the file, or what this process had written
    /// if the file was deleted since.
    fn write(&self, epochs: Epochs) -> Result<Epochs, Fault> {
        for (what, number) in [("epoch", epochs.seen.0), ("seq", epochs.seq.0), ("epoch", epochs.asked.0)] {
            if number > NUMBER_MAX {
                return Err(Fault::Absurd { what, number });
            }
        }
        let unwritable = |error| self.unwritable(error);
        let _lock = self.lock().map_err(unwritable)?;
        let known = read(&self.path)?;
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.and(*latest);
        let epochs = before.and(epochs);
        if epochs == known {
            return Ok(before);
        }
        let replaced = self.replace(epochs);
        self.has_failed.store(replaced.is_err(), Relaxed);
        replaced.map_err(unwritable)?;
        *latest = epochs;
        Ok(before)
    }

    /// Replaces the file. Durable when it returns. Requires the lock.
    fn replace(&self, epochs: Epochs) -> io::Result<()> {
        self.draft(epochs)?.sync_all()?;
        fs::rename(self.beside("draft"), &self.path)?;
        let directory = self.path.parent().unwrap_or(Path::new("."));
        File::open(directory)?.sync_all()
    }

    /// Returns the content of the file, and writes a draft of the same size in its directory. Restores the file if it
    /// was deleted. The draft is not synced, so that it costs the disk nothing: a full disk or quota refuses the write
    /// itself. After a failed durable write, it replaces the file durably instead.
    fn try_write(&self) -> Result<Epochs, Fault> {
        if !self.path.exists() {
            self.write(Epochs::NONE)?;
        }
        let unwritable = |error| self.unwritable(error);
        let _lock = self.lock().map_err(unwritable)?;
        let known = read(&self.path)?;
        if self.has_failed.load(Relaxed) {
            self.replace(known).map_err(unwritable)?;
            self.has_failed.store(false, Relaxed);
            return Ok(known);
        }
        self.draft(known).and_then(|_| fs::remove_file(self.beside("draft"))).map_err(unwritable)?;
        Ok(known)
    }
}

impl EpochFile {
    /// Runs `task` on a blocking thread after earlier calls have ended. The task ends even if this future is dropped.
    async fn on_disk(
        &self,
        task: impl FnOnce(&Self) -> Result<Epochs, Fault> + Send + 'static,
    ) -> Result<Epochs, String> {
        let (disk, file) = (Arc::clone(&self.disk).lock_owned().await, self.clone());
        let done = tokio::task::spawn_blocking(move || {
            let _disk = disk;
            task(&file)
        });
        match done.await {
            Ok(done) => done.map_err(|fault| fault.to_string()),
            Err(panicked) => Err(panicked.to_string()),
        }
    }
}

#[async_trait]
impl EpochMemory for EpochFile {
    fn kept(&self) -> Epochs {
        self.kept
    }

    async fn keep(&self, epochs: Epochs) -> Result<Epochs, String> {
        self.on_disk(move |file| file.write(epochs)).await
    }

    async fn check(&self) -> Result<Epochs, String> {
        self.on_disk(Self::try_write).await
    }
}

/// A fault of a file, with the remedy for the operator.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(
        "the file of epochs {} cannot be written: {error}. {}", .path.display(), remedy(.error)
    )]
    Unwritable { path: PathBuf, error: io::Error },
    #[error("the file of epochs {} cannot be read: {error}. Give this user the permission to read it", .path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error(
        "the file of epochs {} is damaged: {what}. Stop the instance, then replace the file with that of another instance \
         of the group, or delete it (docs/integration.md)",
        .path.display()
    )]
    Damaged { path: PathBuf, what: String },
    #[error(
        "the lease has the {what} {number}, which no group can reach: repair its row, and then start the instances again"
    )]
    Absurd { what: &'static str, number: u64 },
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "Make room there; no restart is needed",
        _ => "This user must be able to create files in its directory; no restart is needed",
    }
}

fn read(path: &Path) -> Result<Epochs, Fault> {
    let damaged = |what: String| Fault::Damaged { path: path.to_owned(), what };
    let text = match fs::read(path) {
        Ok(bytes) => String::from_utf8(bytes).unwrap_or_default(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Epochs::NONE),
        Err(error) => return Err(Fault::Unreadable { path: path.to_owned(), error }),
    };
    let mut lines = text.lines();
    if lines.next() != Some(FORMAT) {
        return Err(damaged(format!("its first line is not {FORMAT:?}")));
    }
    let mut number = |name: &str| {
        let line = lines.next().unwrap_or_default();
        let number = line.strip_prefix(name).and_then(|number| number.trim_start().parse::<u64>().ok());
        match number {
            Some(number) if number <= NUMBER_MAX => Ok(number),
            Some(number) => Err(damaged(format!("{name} is {number}, which no group can reach"))),
            None => Err(damaged(format!("it has no number {name}"))),
        }
    };
    let (seen, seq, asked) = (number("seen")?, number("seq")?, number("asked")?);
    let claim = match lines.next().map(|line| line.strip_prefix("claim ").and_then(ClaimId::parse)) {
        Some(Some(claim)) => claim,
        Some(None) => return Err(damaged("it has no claim".to_owned())),
        // An earlier version wrote the file.
        None => ClaimId::NIL,
    };
    Ok(Epochs { seen: Epoch(seen), claim, seq: Seq(seq), asked: Epoch(asked) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn group() -> GroupId {
        GroupId::parse("g").unwrap()
    }

    fn epochs(seen: u64, asked: u64) -> Epochs {
        Epochs {
            seen: Epoch(seen),
            claim: ClaimId::from_u128(seen.into()),
            seq: Seq(seen * 2),
            asked: Epoch(asked),
        }
    }

    #[tokio::test]
    async fn the_highest_of_all_processes_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let open = || EpochFile::open(directory.path(), StoreKind::Sqlite, &group()).unwrap();
        let (first, second) = (open(), open());
        assert_eq!(first.kept(), Epochs::NONE);
        assert_eq!(first.keep(epochs(3, 4)).await, Ok(Epochs::NONE));
        assert_eq!(
            second.check().await,
            Ok(epochs(3, 4)),
            "a process that runs learns what another one has kept"
        );
        assert_eq!(second.keep(epochs(2, 7)).await, Ok(epochs(3, 4)));
        assert_eq!(first.keep(epochs(3, 5)).await, Ok(epochs(3, 7)), "before it claims");
        assert_eq!(open().kept(), epochs(3, 7));
        let h = GroupId::parse("h").unwrap();
        let other = EpochFile::open(directory.path(), StoreKind::Sqlite, &h).unwrap();
        assert_eq!(other.kept(), Epochs::NONE, "another group has its own");
        let moved = EpochFile::open(directory.path(), StoreKind::Postgres, &group()).unwrap();
        let expected = Epochs { asked: Epoch(7), ..Epochs::NONE };
        assert_eq!(moved.kept(), expected, "numbers grow, and the other store has forgotten nothing");
    }

    /// Results of [`EpochMemory::keep`], [`EpochMemory::check`] and the start of a process for a file with
    /// this content.
    async fn said_of(content: &str) -> [Result<(), String>; 3] {
        let directory = tempfile::tempdir().unwrap();
        let open = || EpochFile::open(directory.path(), StoreKind::Sqlite, &group());
        let file = open().unwrap();
        fs::write(&file.path, content).unwrap();
        let kept = file.keep(epochs(1, 1)).await.map(drop);
        let said = [kept, file.check().await.map(drop), open().map(drop)];
        assert_eq!(fs::read_to_string(&file.path).unwrap(), content, "it is never overwritten");
        said
    }

    #[tokio::test]
    async fn a_damaged_file_is_refused_with_its_name_the_cause_and_the_remedy() {
        for (content, cause) in [
            (String::new(), "its first line is not"),
            (format!("{FORMAT}\nseen 9"), "it has no number seq"),
            (format!("{FORMAT}\nseen 9\nseq x\nasked 9\n"), "it has no number seq"),
            (
                format!("{FORMAT}\nseen {}\nseq 0\nasked 9\n", u64::MAX),
                "seen is 18446744073709551615, which no group can reach",
            ),
            (format!("{FORMAT}\nseen 9\nseq 1\nasked 9\nclaim x\n"), "it has no claim"),
            (format!("{FORMAT}\nseen 9\nseq 1\nasked {}\n", i64::MAX), "asked is 9223372036854775807, which"),
            (format!("{FORMAT}\nseen 9\nseq {}\nasked 9\n", NUMBER_MAX + 1), "seq is 1099511627777, which"),
        ] {
            for said in said_of(&content).await {
                let said = said.unwrap_err();
                for part in ["epochs-sqlite-g", "is damaged: ", cause, "Stop the instance", "or delete it"] {
                    assert!(said.contains(part), "{part}: {said}");
                }
            }
        }
        let most = format!("{FORMAT}\nseen {NUMBER_MAX}\nseq {NUMBER_MAX}\nasked {NUMBER_MAX}\n");
        assert_eq!(said_of(&most).await, [Ok(()), Ok(()), Ok(())]);
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_written_is_noticed_before_it_is_needed() {
        let directory = tempfile::tempdir().unwrap();
        let file = EpochFile::open(directory.path(), StoreKind::Sqlite, &group()).unwrap();
        assert_eq!(file.check().await, Ok(Epochs::NONE));
        let in_the_way = file.beside("draft");
        fs::create_dir(&in_the_way).unwrap();
        for said in [file.check().await, file.keep(epochs(1, 1)).await] {
            let said = said.unwrap_err();
            assert!(said.contains("epochs-sqlite-g cannot be written: Is a directory"), "{said}");
            assert!(said.contains("no restart is needed"), "{said}");
        }
        fs::remove_dir(in_the_way).unwrap();
        assert_eq!(file.check().await, Ok(Epochs::NONE));
        assert_eq!(file.keep(epochs(1, 1)).await, Ok(Epochs::NONE));
        let left: Vec<_> =
            fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "the file and its lock: {left:?}");
    }

    #[tokio::test]
    async fn a_file_that_is_deleted_while_the_process_runs_is_written_again() {
        let directory = tempfile::tempdir().unwrap();
        let open = || EpochFile::open(directory.path(), StoreKind::Sqlite, &group()).unwrap();
        let file = open();
        file.keep(epochs(3, 4)).await.unwrap();
        for next in [None, Some(epochs(2, 5))] {
            fs::remove_file(&file.path).unwrap();
            match next {
                None => file.check().await.unwrap(),
                Some(lower) => file.keep(lower).await.unwrap(),
            };
            assert_eq!(open().kept(), epochs(3, next.map_or(4, |lower| lower.asked.0)));
        }
    }

    #[tokio::test]
    async fn a_number_that_no_group_reaches_is_not_written() {
        let directory = tempfile::tempdir().unwrap();
        let file = EpochFile::open(directory.path(), StoreKind::Sqlite, &group()).unwrap();
        file.keep(epochs(3, 4)).await.unwrap();
        let said = file.keep(epochs(NUMBER_MAX + 1, 4)).await.unwrap_err();
        assert!(said.contains("the lease has the epoch 1099511627777"), "{said}");
        assert_eq!(read(&file.path).unwrap(), epochs(3, 4), "the file is as it was");
    }

    #[test]
    fn a_full_disk_has_a_remedy() {
        for code in [rustix::io::Errno::NOSPC, rustix::io::Errno::DQUOT] {
            assert_eq!(remedy(&code.into()), "Make room there; no restart is needed");
        }
    }

    /// The lock stands for a disk that does not answer.
    #[test]
    fn a_disk_that_does_not_answer_holds_one_thread_of_the_service() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_time()
            .worker_threads(1)
            .max_blocking_threads(2)
            .build()
            .unwrap();
        let directory = tempfile::tempdir().unwrap();
        let file = EpochFile::open(directory.path(), StoreKind::Sqlite, &group()).unwrap();
        let held = file.lock().unwrap();
        runtime.block_on(async {
            for _ in 0..3 {
                let heartbeat = Duration::from_millis(20);
                assert!(tokio::time::timeout(heartbeat, file.check()).await.is_err(), "the disk is locked");
            }
            let own = tokio::task::spawn_blocking(|| "the service's own file");
            let patience = Duration::from_secs(30);
            tokio::time::timeout(patience, own).await.expect("a thread is left").expect("no panic");
            drop(held);
            assert_eq!(file.check().await, Ok(Epochs::NONE), "the disk answers again");
        });
    }
}
