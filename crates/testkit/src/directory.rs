//! Directories of instances and of embedded stores.

use rustix::fs::statvfs;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use tempfile::{Builder, TempDir};

/// A file system in memory.
const MEMORY: &str = "/dev/shm";
/// Room for the files of all tests that run at the same time, and for those of other programs.
const ROOM_BYTES: u64 = 1 << 30;

/// A temporary directory, in memory if this machine has the room. A disk that others write to may take seconds to make a
/// write durable, which costs a healthy leader its lease. Tests kill processes and not machines, so no write has to be
/// durable.
///
/// # Panics
/// If it cannot be created.
pub fn directory() -> TempDir {
    let mut new = Builder::new();
    new.prefix("coordinator-test-");
    let in_memory = has_room(MEMORY).then(|| new.tempdir_in(MEMORY).ok()).flatten();
    in_memory.unwrap_or_else(|| new.tempdir().expect("a temporary directory"))
}

/// Writes a file that only this user may read.
///
/// # Panics
/// If it cannot be written.
pub fn write_secret(path: &Path, text: &str) {
    let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

fn has_room(path: &str) -> bool {
    statvfs(path).is_ok_and(|free| free.f_bavail.saturating_mul(free.f_frsize) >= ROOM_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_removed_when_it_is_dropped() {
        let directory = directory();
        let path = directory.path().to_owned();
        std::fs::write(path.join("file"), "x").expect("it can be written");
        drop(directory);
        assert!(!path.exists());
    }

    #[test]
    fn a_place_that_is_missing_has_no_room() {
        assert!(!has_room("/nonexistent"));
    }
}
