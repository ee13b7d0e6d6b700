//! Reads a file that contains secrets (the URL of a store, a token, the secrets of a hook), so that none is on a command line or in
//! the environment. The check of the settings uses it. Invariant: no message shows anything of the file's
//! content.

use super::fault::shown;
use rustix::fs::OFlags;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

/// Largest file, in bytes: larger than the longest accepted URL, so that a longer URL is refused as such.
const FILE_LEN_MAX: u64 = 16 * 1024;
/// Longest path that Linux opens, in bytes.
const PATH_LEN_MAX: usize = 4_096;
/// Permission bits of group and others.
const OTHERS: u32 = 0o077;
/// Permission bits of any file, without its type.
const PERMISSIONS: u32 = 0o7777;

/// Reads the one line of the file at `path`. A newline at its end is not part of it.
///
/// # Errors
/// The fault of the file and the remedy; completes a sentence that begins with "is".
pub fn read(path: &str) -> Result<String, String> {
    let text = text(path)?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err(format!("{}, a file whose first line is empty", shown(path)));
    }
    if line.contains(['\n', '\r']) {
        let wanted = "it must have the secret and nothing else";
        return Err(format!("{}, a file with more than one line: {wanted}", shown(path)));
    }
    Ok(line.to_owned())
}

/// Reads the lines of the file at `path`, each of which is a secret.
///
/// # Errors
/// As [`read`].
pub fn lines(path: &str) -> Result<Vec<String>, String> {
    let text = text(path)?;
    if text.trim().is_empty() {
        return Err(format!("{}, an empty file", shown(path)));
    }
    Ok(text.lines().map(str::to_owned).collect())
}

/// Reads a file that only its owner may read.
fn text(path: &str) -> Result<String, String> {
    if path.is_empty() || path.len() > PATH_LEN_MAX || path.contains("://") {
        return Err(format!("{}, not the path of a file", shown(path)));
    }
    let unreadable = |error: io::Error| format!("{}, a file that cannot be read: {error}", shown(path));
    let file = open(path).map_err(unreadable)?;
    // Queries the open file, because the path can name another one a moment later.
    let seen = file.metadata().map_err(unreadable)?;
    if !seen.is_file() {
        return Err(format!("{}, not a regular file", shown(path)));
    }
    if seen.mode() & OTHERS != 0 {
        let mode = seen.mode() & PERMISSIONS;
        return Err(format!(
            "{}, a file that other users have permissions for (mode {mode:03o}): chmod 600 {}",
            shown(path),
            path.escape_debug()
        ));
    }
    let mut bytes = Vec::new();
    file.take(FILE_LEN_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_LEN_MAX {
        return Err(format!("{}, a file larger than {FILE_LEN_MAX} bytes", shown(path)));
    }
    String::from_utf8(bytes)
        .map_err(|_| format!("{}, a file that is not UTF-8 text (its content is not shown)", shown(path)))
}

/// Opens the file and never waits: a pipe without a writer is refused, as everything that is not a regular
/// file.
fn open(path: &str) -> io::Result<File> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).expect("a flag of open(2) is an int");
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}
