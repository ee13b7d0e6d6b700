//! Files that a test generates and the repository contains: `cargo xtask codegen` writes them, `cargo test` compares.

use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Compares each file, named from the root, with its wanted text; or writes it if `UPDATE_GENERATED` is set.
#[track_caller]
pub fn assert_fresh<File: AsRef<str>, Text: AsRef<str>>(files: impl IntoIterator<Item = (File, Text)>) {
    let named = files.into_iter().filter(|(file, wanted)| is_stale(file.as_ref(), wanted.as_ref()));
    let stale: Vec<String> = named.map(|(file, _)| file.as_ref().to_owned()).collect();
    assert!(stale.is_empty(), "{stale:?}: cargo xtask codegen writes them");
}

fn is_stale(file: &str, wanted: &str) -> bool {
    let path = root().join(file);
    if std::fs::read_to_string(&path).is_ok_and(|text| text == wanted) {
        return false;
    }
    if std::env::var_os("UPDATE_GENERATED").is_none() {
        return true;
    }
    std::fs::create_dir_all(path.parent().expect("a path below the root")).expect("a writable repository");
    std::fs::write(&path, wanted).expect("a writable file");
    false
}
