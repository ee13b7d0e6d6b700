//! Judges the embedded store: one file in the data directory of this host.

use super::postgres::version_of_tables;
use super::{Answer, Check, Finding};
use crate::ports::Schema;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// The embedded store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteFacts {
    /// Path of the database file.
    pub path: String,
    /// The file system of its directory.
    pub file_system: Answer<FileSystem>,
    /// The file; `None` if it does not exist yet.
    pub file: Answer<Option<SqliteFile>>,
}

/// Kind of a file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileSystem {
    /// On a disk of this host.
    Local(&'static str),
    /// In memory: it is lost with a restart of the host.
    Memory(&'static str),
    /// The layer of a container: it is lost with the container.
    Layer(&'static str),
    /// On another host, or in a process that may be anything (FUSE).
    Network(&'static str),
    /// A magic number that is not known.
    Other(u64),
}

/// The database file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteFile {
    /// Number of its names.
    pub names: u64,
    /// Its header says WAL mode.
    pub wal: bool,
    /// State of the schema, or the refusal of it.
    pub tables: Version,
}

/// State of the schema, or the refusal of it.
pub type Version = Answer<Result<Schema, String>>;

/// All findings about the embedded store.
pub(crate) fn judge(facts: &SqliteFacts) -> Vec<Finding> {
    let mut findings = vec![file_system(facts)];
    match &facts.file {
        Ok(Some(file)) => findings.extend([names(facts, file), journal(file), tables(facts, file)]),
        Ok(None) => findings.push(Finding::warning(
            Check::SqliteFile,
            format!("{} does not exist yet; the first start creates it", facts.path),
            "start an instance, or name its --data-dir",
        )),
        Err(why) => findings.push(Finding::unknown(
            Check::SqliteFile,
            why.clone(),
            "run this command as the user of the instances",
        )),
    }
    findings
}

fn file_system(facts: &SqliteFacts) -> Finding {
    let check = Check::SqliteFileSystem;
    match &facts.file_system {
        Ok(FileSystem::Local(name)) => Finding::ok(check, format!("{name}, a local file system")),
        Ok(FileSystem::Memory(name)) => Finding::failed(
            check,
            format!("{name}: a restart of the host loses every signal and every epoch"),
            check.remedy(),
        ),
        Ok(FileSystem::Layer(name)) => Finding::warning(
            check,
            format!("{name}: if this is the layer of a container, everything is lost with the container"),
            "put the data directory on a volume",
        ),
        Ok(FileSystem::Network(name)) => Finding::failed(
            check,
            format!("{name}: the locks of SQLite do not work there reliably"),
            check.remedy(),
        ),
        Ok(FileSystem::Other(magic)) => Finding::unknown(
            check,
            format!("the file system has the type {magic:#x}, which this version does not know"),
            "make sure that it is on a local disk (`stat -f`), or use one that is known (ext4, xfs, btrfs)",
        ),
        Err(why) => Finding::unknown(check, why.clone(), "name the --data-dir of the instances"),
    }
}

fn names(facts: &SqliteFacts, file: &SqliteFile) -> Finding {
    let check = Check::SqliteFile;
    if file.names > 1 {
        let found = format!(
            "{} has {} names (hard links), and each would have its own leader",
            facts.path, file.names
        );
        Finding::failed(check, found, "delete the other names")
    } else {
        Finding::ok(check, format!("{} has one name", facts.path))
    }
}

fn journal(file: &SqliteFile) -> Finding {
    let check = Check::SqliteJournal;
    if file.wal {
        Finding::ok(check, "WAL mode; every connection of an instance sets synchronous = FULL")
    } else {
        Finding::failed(check, "the file is not in WAL mode", check.remedy())
    }
}

fn tables(facts: &SqliteFacts, file: &SqliteFile) -> Finding {
    let check = Check::SqliteSchema;
    match &file.tables {
        Ok(Ok(state)) => version_of_tables(check, *state, &facts.path),
        Ok(Err(refusal)) => Finding::refused(check, refusal),
        Err(why) => Finding::unknown(check, why.clone(), "run this command as the user of the instances"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{Verdict, worst};

    fn sound() -> SqliteFile {
        SqliteFile { names: 1, wal: true, tables: Ok(Ok(Schema::Current)) }
    }

    fn facts(file: Answer<Option<SqliteFile>>) -> SqliteFacts {
        SqliteFacts { path: "/d/c.db".into(), file_system: Ok(FileSystem::Local("ext4")), file }
    }

    #[test]
    fn each_fault_is_found_by_its_check() {
        assert_eq!(worst(&judge(&facts(Ok(Some(sound()))))), Verdict::Ok);
        for (file, check, verdict) in [
            (Ok(None), Check::SqliteFile, Verdict::Warning),
            (Err("permission denied".into()), Check::SqliteFile, Verdict::Unknown),
            (Ok(Some(SqliteFile { names: 2, ..sound() })), Check::SqliteFile, Verdict::Failed),
            (Ok(Some(SqliteFile { wal: false, ..sound() })), Check::SqliteJournal, Verdict::Failed),
            (
                Ok(Some(SqliteFile { tables: Ok(Ok(Schema::Older { found: 1 })), ..sound() })),
                Check::SqliteSchema,
                Verdict::Failed,
            ),
            (
                Ok(Some(SqliteFile { tables: Err("busy".into()), ..sound() })),
                Check::SqliteSchema,
                Verdict::Unknown,
            ),
        ] {
            let findings = judge(&facts(file));
            let wrong: Vec<_> = findings.iter().filter(|finding| finding.verdict != Verdict::Ok).collect();
            assert_eq!(wrong.len(), 1, "{wrong:?}");
            assert_eq!((wrong[0].check, wrong[0].verdict), (check, verdict));
        }
    }

    #[test]
    fn only_a_local_disk_is_fine() {
        for (file_system, verdict) in [
            (FileSystem::Local("ext4"), Verdict::Ok),
            (FileSystem::Layer("overlayfs"), Verdict::Warning),
            (FileSystem::Other(7), Verdict::Unknown),
            (FileSystem::Network("NFS"), Verdict::Failed),
            (FileSystem::Memory("tmpfs"), Verdict::Failed),
        ] {
            let findings = judge(&SqliteFacts { file_system: Ok(file_system), ..facts(Ok(Some(sound()))) });
            assert_eq!(findings[0].verdict, verdict, "{:?}", findings[0]);
        }
    }
}
