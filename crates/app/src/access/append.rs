//! Appends a credential to the tokens file: the file is replaced as a whole, so an instance never reads a part.

use super::file::{FILE_MODE, parse, read};
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// Appends the lines of a credential to the file at `path`, or creates it with mode 0600. An existing file keeps its
/// owner and its mode. The result must be valid, otherwise nothing changes.
///
/// # Errors
/// Why nothing was written, as a sentence.
pub fn append(path: &Path, lines: &str) -> Result<(), String> {
    let failed = |error: io::Error| format!("{} cannot be written: {error}", path.display());
    // A link keeps leading to the file.
    let path = match fs::canonicalize(path) {
        Ok(path) => path,
        Err(error) if error.kind() == ErrorKind::NotFound => path.to_owned(),
        Err(error) => return Err(failed(error)),
    };
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let folder = File::open(&directory).map_err(failed)?;
    // Two commands at the same time must not lose the credential of one of them. Closing it ends the lock.
    flock(&folder, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
    let before = match fs::metadata(&path) {
        Ok(seen) => Some((read(&path)?, seen)),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(failed(error)),
    };
    let text = before.as_ref().map_or("", |(text, _)| text);
    let gap = if text.is_empty() || text.ends_with("\n\n") {
        ""
    } else if text.ends_with('\n') {
        "\n"
    } else {
        "\n\n"
    };
    let text = format!("{text}{gap}{lines}");
    parse(&text).map_err(|why| format!("{}: {why}", path.display()))?;

    let draft = directory.join(format!(".tokens-{}.draft", std::process::id()));
    let written = (|| {
        let mut out = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&draft)?;
        if let Some((_, seen)) = &before {
            fchown(&out, Some(seen.uid()), Some(seen.gid()))?;
            out.set_permissions(fs::Permissions::from_mode(seen.mode()))?;
        }
        out.write_all(text.as_bytes())?;
        out.sync_all()?;
        fs::rename(&draft, &path)?;
        folder.sync_all()
    })();
    if written.is_err() {
        // It may not exist.
        let _ = fs::remove_file(&draft);
    }
    written.map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::super::entry;
    use super::*;
    use adapter_http::{Role, Token};

    fn lines(name: &str) -> String {
        entry(name, &[Role::Read], &Token::random().expect("randomness").hash(), None)
    }

    fn names(path: &Path) -> Vec<String> {
        let text = read(path).expect("a file");
        parse(&text).expect("valid").iter().map(|one| one.name.to_string()).collect()
    }

    #[test]
    fn a_file_is_created_for_its_owner_and_keeps_its_mode() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("tokens.toml");
        append(&path, &lines("a")).expect("created");
        let mode = || fs::metadata(&path).expect("a file").permissions().mode() & 0o7777;
        assert_eq!((mode(), names(&path)), (0o600, vec!["a".to_owned()]));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("changed");
        append(&path, &lines("b")).expect("appended");
        assert_eq!((mode(), names(&path)), (0o640, vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 1, "no draft remains");
    }

    #[test]
    fn a_file_with_a_fault_is_not_changed() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("tokens.toml");
        fs::write(&path, "[[tokens]]\n").expect("written");
        assert!(append(&path, &lines("a")).expect_err("a fault").contains("line 1"));
        assert_eq!(fs::read_to_string(&path).expect("text"), "[[tokens]]\n");
    }
}
