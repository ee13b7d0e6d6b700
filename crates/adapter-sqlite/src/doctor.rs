//! Facts about the file for `coordinator doctor`. Creates no file and changes none.
//!
//! The usual connection of this crate creates `-lock`, `-wal` and `-shm`, so it is not used here. Read-only connections
//! read the file together with the log that is there. Without a log the file is complete, and SQLite reads it alone
//! (`immutable`).

use crate::config::SqliteConfig;
use crate::schema;
use crate::state_store::SqliteStore;
use domain::doctor::{Answer, FileSystem, SqliteFacts, SqliteFile, Version};
use domain::member::MemberSeen;
use domain::ports::{MemberStore, StoreError};
use rustix::fs::statfs;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Length of the header of a database file, in bytes.
const HEADER_LEN: usize = 100;
/// Places of the write version and the read version in the header. 2 means WAL.
const VERSIONS: std::ops::Range<usize> = 18..20;
const WAL_VERSION: u8 = 2;

impl SqliteStore {
    /// Reads the facts about the file.
    pub async fn doctor(&self) -> SqliteFacts {
        let path = &self.config.path;
        SqliteFacts {
            path: path.display().to_string(),
            file_system: file_system(path),
            file: file(&self.config).await,
        }
    }

    /// The instance table, if instances have the file open. Otherwise no instance runs, and a connection would create files.
    pub async fn doctor_members(&self) -> Answer<Vec<MemberSeen>> {
        let path = &self.config.path;
        if !["-wal", "-shm", "-lock"].iter().all(|end| side_file(path, end).exists()) {
            return Ok(Vec::new());
        }
        self.members().await.map_err(reason)
    }
}

async fn file(config: &SqliteConfig) -> Answer<Option<SqliteFile>> {
    let path = config.path.as_path();
    let failed = |error: io::Error| format!("{}: {error}", path.display());
    let seen = match fs::metadata(path) {
        Ok(seen) => seen,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    // No connection of this process has the file open yet, so closing it drops no lock.
    let mut header = [0; HEADER_LEN];
    let wal = match File::open(path).and_then(|mut file| file.read_exact(&mut header)) {
        Ok(()) => header[VERSIONS].iter().all(|version| *version == WAL_VERSION),
        // An empty file: the migration has created it, and has written nothing yet.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => false,
        Err(error) => return Err(failed(error)),
    };
    Ok(Some(SqliteFile { names: seen.nlink(), wal, tables: tables(path).await }))
}

async fn tables(path: &Path) -> Version {
    let log = ["-wal", "-shm"].iter().all(|end| side_file(path, end).exists());
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .immutable(!log)
        .disable_statement_logging();
    let mut connection = options.connect().await.map_err(|error| format!("{}: {error}", path.display()))?;
    let answer = async {
        schema::refuse_foreign(path, &mut connection).await?;
        schema::check(path, &mut connection).await
    };
    let answer = answer.await;
    // It only read, so a failure to close it has no effect.
    let _ = connection.close().await;
    match answer {
        Ok(found) => Ok(Ok(found)),
        Err(StoreError::Corrupt(refusal)) => Ok(Err(refusal)),
        Err(error) => Err(reason(error)),
    }
}

/// Kind of the file system of the nearest directory that exists.
fn file_system(path: &Path) -> Answer<FileSystem> {
    let existing = path.ancestors().skip(1).find(|directory| directory.exists()).unwrap_or(Path::new("/"));
    let seen = statfs(existing).map_err(|error| format!("{}: {error}", existing.display()))?;
    // The width of the type differs between architectures; a magic number has 32 bits.
    Ok(kind(u64::try_from(seen.f_type).unwrap_or(0) & 0xffff_ffff))
}

/// Magic numbers of linux/magic.h.
fn kind(magic: u64) -> FileSystem {
    match magic {
        0xEF53 => FileSystem::Local("ext4"),
        0x5846_5342 => FileSystem::Local("xfs"),
        0x9123_683E => FileSystem::Local("btrfs"),
        0xF2F5_2010 => FileSystem::Local("f2fs"),
        0x2FC1_2FC1 => FileSystem::Local("zfs"),
        0xCA45_1A4E => FileSystem::Local("bcachefs"),
        0x0102_1994 => FileSystem::Memory("tmpfs"),
        0x8584_58F6 => FileSystem::Memory("ramfs"),
        0x794C_7630 => FileSystem::Layer("overlayfs"),
        0x6969 => FileSystem::Network("NFS"),
        0x517B | 0xFE53_4D42 | 0xFF53_4D42 => FileSystem::Network("SMB/CIFS"),
        0x6573_5546 => FileSystem::Network("FUSE"),
        0x0102_1997 => FileSystem::Network("9p"),
        0x00C3_6400 => FileSystem::Network("CephFS"),
        0x0BD0_0BD0 => FileSystem::Network("Lustre"),
        0x5346_414F => FileSystem::Network("AFS"),
        other => FileSystem::Other(other),
    }
}

fn side_file(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

fn reason(error: StoreError) -> String {
    match error {
        StoreError::Unavailable(why) | StoreError::Unknown(why) | StoreError::Corrupt(why) => why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::migrate;
    use domain::ports::{Migrate, Schema};
    use std::collections::BTreeSet;

    fn names(directory: &Path) -> BTreeSet<String> {
        let entries = fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }

    #[tokio::test]
    async fn a_file_that_no_instance_has_open_is_read_and_nothing_is_created() {
        let directory = tempfile::tempdir().unwrap();
        let config = SqliteConfig::sample(directory.path());
        let store = SqliteStore::new(config.clone());
        assert_eq!(store.doctor().await.file, Ok(None));
        assert_eq!(names(directory.path()).len(), 0);

        assert_eq!(migrate(&config, Migrate::Apply).await, Ok(Schema::Current));
        let before = names(directory.path());
        let sound = SqliteFile { names: 1, wal: true, tables: Ok(Ok(Schema::Current)) };
        assert_eq!(store.doctor().await.file, Ok(Some(sound)));
        assert_eq!(store.doctor_members().await, Ok(Vec::new()));
        assert_eq!(names(directory.path()), before);
    }

    #[tokio::test]
    async fn a_file_in_another_mode_with_another_name_and_without_a_table_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let config = SqliteConfig::sample(directory.path());
        assert_eq!(migrate(&config, Migrate::Apply).await, Ok(Schema::Current));
        let options = SqliteConnectOptions::new().filename(&config.path);
        let mut connection = options.connect().await.unwrap();
        let broken = "DROP TABLE coordinator_signal; PRAGMA journal_mode = DELETE";
        sqlx::raw_sql(broken).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        fs::hard_link(&config.path, directory.path().join("other.db")).unwrap();

        let file = SqliteStore::new(config).doctor().await.file.unwrap().unwrap();
        assert_eq!((file.names, file.wal), (2, false));
        let Ok(Err(refusal)) = file.tables else { panic!("not refused: {:?}", file.tables) };
        assert!(refusal.contains("has lost coordinator_signal"), "{refusal}");
    }

    #[test]
    fn a_network_file_system_is_recognised() {
        assert_eq!(kind(0x6969), FileSystem::Network("NFS"));
        assert_eq!(kind(0xEF53), FileSystem::Local("ext4"));
        assert_eq!(kind(1), FileSystem::Other(1));
    }
}
