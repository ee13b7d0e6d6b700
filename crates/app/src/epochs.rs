//! The group's fencing number as this data directory remembers it, in a file that survives the store.

use async_trait::async_trait;
use coordinator::EpochMemory;
use domain::election::Epochs;
use domain::id::GroupId;
use domain::lease::{Epoch, Seq};
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// What the file begins with.
const FORMAT: &str = "coordinator epochs, format 1";
/// Only the owner reads and writes.
const MODE: u32 = 0o600;

/// Which store the epochs were seen in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    Sqlite,
    Postgres,
}

impl StoreKind {
    /// With what the names of the files begin.
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
}

impl EpochFile {
    /// Reads the files of `group` in `directory`; none is there before the first claim. A group that was moved from one
    /// kind of store to the other keeps its numbers growing, and the new store has not forgotten what it never had.
    ///
    /// # Errors
    /// When one cannot be read, or is not what this binary writes: a number that is too low would be dangerous.
    pub fn open(directory: &Path, store: StoreKind, group: &GroupId) -> Result<Self, String> {
        let kept_of = |kind: StoreKind| {
            // A group's name is one of a file too: it has no slash, and is short enough.
            let path = directory.join(format!("{}{group}", kind.prefix()));
            let kept = read(&path).map_err(|error| {
                format!("the epochs in {} cannot be read: {error} (restore the file)", path.display())
            });
            kept.map(|kept| Self { path, kept })
        };
        let own = kept_of(store)?;
        let elsewhere = kept_of(store.other())?.kept.floor();
        let kept = own.kept.and(Epochs { asked: elsewhere, ..Epochs::NONE });
        Ok(Self { kept, ..own })
    }

    /// A file that belongs to no group: the names of those begin with a [`StoreKind::prefix`].
    fn beside(&self, what: &str) -> PathBuf {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        self.path.with_file_name(format!("{what}-{name}"))
    }

    fn write(&self, epochs: Epochs) -> io::Result<()> {
        let lock = self.beside("lock");
        let lock = OpenOptions::new().create(true).append(true).mode(MODE).open(lock)?;
        flock(&lock, FlockOperation::LockExclusive)?;
        let known = read(&self.path)?;
        let epochs = known.and(epochs);
        if epochs == known {
            return Ok(());
        }
        let draft = self.beside("draft");
        let mut out = OpenOptions::new().create(true).write(true).truncate(true).mode(MODE).open(&draft)?;
        write!(out, "{FORMAT}\nseen {}\nseq {}\nasked {}\n", epochs.seen.0, epochs.seq.0, epochs.asked.0)?;
        out.sync_all()?;
        fs::rename(&draft, &self.path)?;
        let directory = self.path.parent().unwrap_or(Path::new("."));
        File::open(directory)?.sync_all()
    }
}

#[async_trait]
impl EpochMemory for EpochFile {
    fn kept(&self) -> Epochs {
        self.kept
    }

    async fn keep(&self, epochs: Epochs) -> Result<(), String> {
        let file = self.clone();
        let written = tokio::task::spawn_blocking(move || file.write(epochs)).await;
        let told = written.unwrap_or_else(|error| Err(io::Error::other(error)));
        told.map_err(|error| format!("{}: {error}", self.path.display()))
    }
}

fn read(path: &Path) -> io::Result<Epochs> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Epochs::NONE),
        Err(error) => return Err(error),
    };
    let mut lines = text.lines();
    let format = lines.next() == Some(FORMAT);
    let mut number = |name| lines.next()?.strip_prefix(name)?.parse().ok();
    match (format, number("seen "), number("seq "), number("asked ")) {
        (true, Some(seen), Some(seq), Some(asked)) => {
            Ok(Epochs { seen: Epoch(seen), seq: Seq(seq), asked: Epoch(asked) })
        }
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "it is damaged, or another version's")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group() -> GroupId {
        GroupId::parse("g").unwrap()
    }

    fn epochs(seen: u64, asked: u64) -> Epochs {
        Epochs { seen: Epoch(seen), seq: Seq(seen * 2), asked: Epoch(asked) }
    }

    #[tokio::test]
    async fn the_highest_of_all_processes_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let open = || EpochFile::open(directory.path(), StoreKind::Sqlite, &group()).unwrap();
        let (first, second) = (open(), open());
        assert_eq!(first.kept(), Epochs::NONE);
        first.keep(epochs(3, 4)).await.unwrap();
        second.keep(epochs(2, 7)).await.unwrap();
        assert_eq!(open().kept(), epochs(3, 7));
        let h = GroupId::parse("h").unwrap();
        let other = EpochFile::open(directory.path(), StoreKind::Sqlite, &h).unwrap();
        assert_eq!(other.kept(), Epochs::NONE, "another group has its own");
        let moved = EpochFile::open(directory.path(), StoreKind::Postgres, &group()).unwrap();
        let expected = Epochs { asked: Epoch(7), ..Epochs::NONE };
        assert_eq!(moved.kept(), expected, "numbers grow, and the other store has forgotten nothing");
    }

    #[tokio::test]
    async fn a_damaged_file_is_refused_and_never_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let file = EpochFile::open(directory.path(), StoreKind::Sqlite, &group()).unwrap();
        fs::write(&file.path, format!("{FORMAT}\nseen 9")).unwrap();
        assert!(
            EpochFile::open(directory.path(), StoreKind::Sqlite, &group()).unwrap_err().contains("damaged")
        );
        assert!(file.keep(epochs(1, 1)).await.is_err());
        assert_eq!(fs::read_to_string(&file.path).unwrap(), format!("{FORMAT}\nseen 9"));
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_written_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let file = EpochFile::open(&directory.path().join("gone"), StoreKind::Sqlite, &group()).unwrap();
        assert!(file.keep(epochs(1, 1)).await.is_err());
    }
}
