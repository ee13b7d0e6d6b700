//! The identity of this process: a uuid kept in the data directory, the process id, and a nonce.

use crate::config::Config;
use domain::id::{GroupId, InstanceId};
use domain::identity::Identity;
use leader_coordinator::{EpochFile, StoreKind};
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// Layout of the data directory that this binary reads and writes.
const FORMAT: &str = "coordinator data directory, format 1";
/// File with the format and the uuid, a line each.
const FILE: &str = "instance";
/// Prefix of its drafts.
const DRAFT: &str = "instance.";
/// File of the embedded store.
const DATABASE: &str = "coordinator.db";
/// Prefixes of our other files: drafts of the identity, the store with its side files, the epochs, and the probe.
const OURS: [&str; 6] = [DRAFT, DATABASE, "epochs-", "lock-epochs-", "draft-epochs-", PROBE];
/// Prefix of the file with which `coordinator doctor` measures the disk.
pub const PROBE: &str = "doctor-probe-";

/// Permissions of the data directory: only one user needs the signals and the portfolio.
const DIRECTORY_MODE: u32 = 0o700;
/// Permissions of a file in it.
const FILE_MODE: u32 = 0o600;
/// Permission bits of group and others.
const OTHERS: u32 = 0o077;

/// The embedded store of the data directory `path`.
pub fn database_in(path: &Path) -> PathBuf {
    path.join(DATABASE)
}

/// The data directory, opened.
#[derive(Debug, Clone)]
pub struct DataDir {
    path: PathBuf,
    uuid: Uuid,
}

/// Error for a data directory that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// It does not exist and cannot be created, or it is not writable.
    #[error("the data directory {path} cannot be used: {error} (choose another with --data-dir)")]
    Io {
        /// Path of the directory.
        path: String,
        /// Reason.
        error: io::Error,
    },
    /// Another version or another program has written it.
    #[error(
        "the data directory {path} has the format {found:?}, and this binary expects {FORMAT:?}: it belongs to another version (choose another with --data-dir)"
    )]
    Foreign {
        /// Path of the directory.
        path: String,
        /// First line of its file.
        found: String,
    },
}

impl DataDir {
    /// Opens the directory, and creates it if it is missing. Several processes may do so at the same time.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let failed = |error| DataDirError::Io { path: path.display().to_string(), error };
        fs::DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path).map_err(failed)?;
        tighten_directory(path);
        let file = path.join(FILE);
        if !file.try_exists().map_err(failed)? {
            Self::write_identity(path, &file).map_err(failed)?;
        }
        tighten_file(&file);
        Self::read(path, &fs::read_to_string(&file).map_err(failed)?)
    }

    /// Refuses a directory of another version, and changes nothing. A directory that is missing or has no identity
    /// is no error: no instance has run there.
    pub fn check(path: &Path) -> Result<(), DataDirError> {
        match fs::read_to_string(path.join(FILE)) {
            Ok(text) => Self::read(path, &text).map(drop),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(DataDirError::Io { path: path.display().to_string(), error }),
        }
    }

    /// The directory whose file has that text.
    fn read(path: &Path, text: &str) -> Result<Self, DataDirError> {
        let mut lines = text.lines();
        let format = lines.next().unwrap_or_default();
        let uuid = lines.next().and_then(|line| Uuid::parse_str(line).ok());
        match uuid.filter(|_| format == FORMAT) {
            Some(uuid) => Ok(Self { path: path.to_owned(), uuid }),
            None => Err(DataDirError::Foreign {
                path: path.display().to_string(),
                found: format.chars().take(FORMAT.len() * 2).collect(),
            }),
        }
    }

    /// Writes the file as a whole or not at all. If several processes write, the first one's file remains.
    fn write_identity(directory: &Path, file: &Path) -> io::Result<()> {
        let uuid = Uuid::new_v4();
        let draft = directory.join(format!("{DRAFT}{uuid}"));
        let mut out = fs::OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&draft)?;
        write!(out, "{FORMAT}\n{uuid}\n")?;
        out.sync_all()?;
        let linked = fs::hard_link(&draft, file);
        fs::remove_file(&draft)?;
        match linked {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Path of the embedded store.
    pub fn database(&self) -> PathBuf {
        database_in(&self.path)
    }

    /// The epochs of `group` in that kind of store, as this directory remembers them.
    pub fn epochs(&self, store: StoreKind, group: &GroupId) -> Result<EpochFile, String> {
        EpochFile::open(&self.path, store, group)
    }

    /// `UUID-PID`: processes that share a data directory differ in the process id.
    pub fn instance(&self) -> InstanceId {
        InstanceId::parse(&format!("{}-{}", self.uuid, std::process::id()))
            .expect("a uuid and a number are an id")
    }
}

/// Removes the permissions of group and others from a directory that contains only our files, or none. A
/// directory with other files (a home, /tmp, the directory in which a service was started) keeps its
/// permissions, because other users may need them; so does one that belongs to another user. The start does
/// not fail because of it.
fn tighten_directory(path: &Path) {
    if !open_to_others(path) {
        return;
    }
    // A directory that cannot be listed may contain any files.
    let foreign = foreign_file(path).unwrap_or_else(|_| Some(OsString::from("?")));
    if foreign.is_none() && fs::set_permissions(path, fs::Permissions::from_mode(DIRECTORY_MODE)).is_ok() {
        return;
    }
    let why = match foreign {
        Some(name) => {
            let name = name.to_string_lossy();
            format!("they are not changed, because {name:?} in it is not a file of coordinator")
        }
        None => "they cannot be changed by this user".to_owned(),
    };
    let path = path.display();
    tracing::warn!(
        "other users have permissions for the data directory {path}: {why}. Run: chmod 700 {path}"
    );
}

/// The first file that does not have one of our names.
fn foreign_file(directory: &Path) -> io::Result<Option<OsString>> {
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        if name != FILE && !OURS.iter().any(|ours| name.as_encoded_bytes().starts_with(ours.as_bytes())) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// As [`tighten_directory`], for one of our files.
fn tighten_file(path: &Path) {
    if open_to_others(path) && fs::set_permissions(path, fs::Permissions::from_mode(FILE_MODE)).is_err() {
        let path = path.display();
        tracing::warn!("other users may read {path}, and this user cannot change it. Run: chmod 600 {path}");
    }
}

/// Our files in the directory for which group or others have permissions.
pub fn files_open_to_others(directory: &Path) -> io::Result<Vec<String>> {
    let mut open = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let ours = OURS.iter().any(|ours| name.as_encoded_bytes().starts_with(ours.as_bytes()));
        if (ours || name == FILE) && open_to_others(&directory.join(&name)) {
            open.push(name.to_string_lossy().into_owned());
        }
    }
    open.sort();
    Ok(open)
}

fn open_to_others(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|seen| seen.mode() & OTHERS != 0)
}

/// This start of the process as instance `id`, with a fresh nonce.
pub fn identity(config: &Config, id: InstanceId) -> Result<Identity, String> {
    leader_coordinator::identity(config.group.clone(), Some(id), config.leader_ttl)
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};
    use tracing_subscriber::fmt::MakeWriter;

    #[test]
    fn the_uuid_stays_and_concurrent_starts_agree() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("new/data");
        let open = || DataDir::open(&path).expect("a usable directory").instance();
        let ids: Vec<InstanceId> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        assert_eq!(open(), ids[0]);
        let left: Vec<_> = fs::read_dir(&path).expect("a directory").collect();
        assert_eq!(left.len(), 1, "a draft was left behind: {left:?}");
    }

    #[test]
    fn only_the_user_reads_the_directory_also_one_that_was_open_before() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("data");
        DataDir::open(&path).expect("a usable directory");
        assert_eq!((mode(&path), mode(&path.join(FILE))), (DIRECTORY_MODE, FILE_MODE));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("opened");
        fs::set_permissions(path.join(FILE), fs::Permissions::from_mode(0o644)).expect("opened");
        DataDir::open(&path).expect("a usable directory");
        assert_eq!((mode(&path), mode(&path.join(FILE))), (DIRECTORY_MODE, FILE_MODE));
    }

    /// The mode of `path`, without its type.
    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("it exists").mode() & 0o7777
    }

    /// The text that is logged while `action` runs.
    fn logged(action: impl FnOnce()) -> String {
        let log = Log::default();
        let subscriber =
            tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).without_time().finish();
        tracing::subscriber::with_default(subscriber, action);
        let bytes = log.0.lock().expect("no panic while writing").clone();
        String::from_utf8(bytes).expect("text")
    }

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic while writing").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Log {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn a_new_or_empty_directory_and_one_of_ours_is_closed_without_a_message() {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, files) in [
            ("empty", &[][..]),
            ("ours", &["coordinator.db", "coordinator.db-wal", "epochs-desk", "lock-epochs-desk"]),
        ] {
            let path = directory.path().join(name);
            fs::create_dir(&path).expect("new");
            for file in files {
                fs::write(path.join(file), "").expect("written");
            }
            fs::set_permissions(&path, fs::Permissions::from_mode(0o775)).expect("opened");
            let lines = logged(|| drop(DataDir::open(&path).expect("a usable directory")));
            assert_eq!((mode(&path), lines.as_str()), (DIRECTORY_MODE, ""), "{name}");
        }
        let lines =
            logged(|| drop(DataDir::open(&directory.path().join("new")).expect("a usable directory")));
        assert_eq!((mode(&directory.path().join("new")), lines.as_str()), (DIRECTORY_MODE, ""));
    }

    /// As with `--data-dir .`, and with /tmp.
    #[test]
    fn a_directory_with_other_files_keeps_its_permissions_and_the_operator_is_warned() {
        for open in [0o755, 0o1777, 0o750] {
            let directory = tempfile::tempdir().expect("a directory");
            let path = directory.path();
            fs::write(path.join("service.py"), "").expect("written");
            fs::set_permissions(path, fs::Permissions::from_mode(open)).expect("opened");
            // At the second start our files exist as well.
            for _ in 0..2 {
                let lines = logged(|| drop(DataDir::open(path).expect("a usable directory")));
                assert_eq!(mode(path), open);
                assert_eq!(lines.matches("WARN").count(), 1, "{lines}");
                let remedy = format!("Run: chmod 700 {}", path.display());
                assert!(lines.contains("service.py") && lines.contains(&remedy), "{lines}");
            }
            assert_eq!(mode(&path.join(FILE)), FILE_MODE);
            fs::set_permissions(path, fs::Permissions::from_mode(DIRECTORY_MODE)).expect("closed");
            assert_eq!(logged(|| drop(DataDir::open(path).expect("a usable directory"))), "");
        }
    }

    #[test]
    fn a_directory_of_another_version_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join(FILE), "coordinator data directory, format 2\nx\n").expect("a file");
        let opened = DataDir::open(directory.path()).map(drop);
        for refused in [opened, DataDir::check(directory.path())] {
            let error = refused.expect_err("it is foreign").to_string();
            assert!(error.contains("format 2") && error.contains("another version"), "{error}");
        }
    }

    #[test]
    fn a_path_that_is_a_file_is_refused_by_name() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let error = DataDir::open(file.path()).expect_err("it is a file").to_string();
        assert!(
            error.contains(&file.path().display().to_string()) && error.contains("--data-dir"),
            "{error}"
        );
    }
}
