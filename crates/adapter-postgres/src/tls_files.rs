//! The files of `sslrootcert`, `sslcert` and `sslkey`. sqlx reads them for every new session, so a renewed certificate
//! needs no restart; this check finds a wrong path when the settings are read.

use crate::hosts::InvalidUrl;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;

/// Largest file, in bytes: a bundle of every public authority has a quarter of it.
const FILE_LEN_MAX: u64 = 1 << 20;
/// The permissions of everybody but the owner.
const OTHERS: u32 = 0o077;
/// The permission bits of a mode.
const PERMISSIONS: u32 = 0o7777;
/// The label of a private key.
const KEY: &str = "PRIVATE KEY";
/// The parameter's names, and the label of what its file must contain.
const FILES: [(&[&str], &str); 3] = [
    (&["sslrootcert", "ssl-root-cert", "ssl-ca"], "CERTIFICATE"),
    (&["sslcert", "ssl-cert"], "CERTIFICATE"),
    (&["sslkey", "ssl-key"], KEY),
];

/// Checks the files that the parameters of a URL name. No message shows a path: `sslkey` may be the key itself.
pub(crate) fn check(query: &str) -> Result<(), InvalidUrl> {
    let mut seen = [false; FILES.len()];
    for (name, value) in query.split('&').filter_map(|parameter| parameter.split_once('=')) {
        let Some(at) = FILES.iter().position(|(names, _)| names.contains(&name)) else { continue };
        seen[at] = true;
        let (names, label) = FILES[at];
        let Some(path) = decoded(value) else { continue };
        // PEM in the URL itself, which sqlx accepts.
        if path.starts_with("-----BEGIN") {
            continue;
        }
        let fault = |what: &str| Err(InvalidUrl::because(format!("{} names {what}", names[0])));
        let unreadable = |error: io::Error| format!("a file that cannot be read: {error}");
        if let Err(what) = usable(&path, label, unreadable) {
            return fault(&what);
        }
    }
    if seen[1] != seen[2] {
        return Err(InvalidUrl::because("sslcert and sslkey belong together: set both or none".to_owned()));
    }
    Ok(())
}

/// Reads only a regular file, because a pipe without a writer would never answer.
fn usable(path: &str, label: &str, unreadable: impl Fn(io::Error) -> String) -> Result<(), String> {
    let seen = fs::metadata(path).map_err(&unreadable)?;
    if !seen.is_file() {
        return Err("something else than a regular file".to_owned());
    }
    if label == KEY && seen.mode() & OTHERS != 0 {
        let mode = seen.mode() & PERMISSIONS;
        return Err(format!("a file that other users have permissions for (mode {mode:03o}): chmod 600"));
    }
    let mut text = Vec::new();
    File::open(path).and_then(|file| file.take(FILE_LEN_MAX).read_to_end(&mut text)).map_err(&unreadable)?;
    if String::from_utf8_lossy(&text).contains(&format!("{label}-----")) {
        return Ok(());
    }
    Err(format!("a file without a \"{label}\" in PEM"))
}

/// A value of a URL, percent-decoded; `None` if it is not UTF-8.
fn decoded(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        let hex = |rest: &mut std::str::Bytes<'_>| {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            let pair = digit(rest.next()?)? * 16 + digit(rest.next()?)?;
            u8::try_from(pair).ok()
        };
        bytes.push(match byte {
            b'%' => hex(&mut rest)?,
            b'+' => b' ',
            _ => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_that_cannot_serve_is_named_by_its_parameter() {
        let own = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        for (query, fault) in [
            (
                "sslrootcert=/nowhere/canary.pem".to_owned(),
                "sslrootcert names a file that cannot be read: No such file",
            ),
            (format!("ssl-ca={own}"), "sslrootcert names a file without a \"CERTIFICATE\" in PEM"),
            ("sslkey=-----BEGIN%20PRIVATE KEY-----canary".to_owned(), "sslcert and sslkey belong together"),
        ] {
            let found = check(&query).expect_err(&query).to_string();
            assert!(found.contains(fault) && !found.contains("canary"), "{found}");
        }
        check("sslmode=verify-full&user=x").unwrap();
    }

    #[test]
    fn a_private_key_is_for_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("canary.key");
        fs::write(&path, "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n").unwrap();
        let query = format!("sslcert=-----BEGIN CERTIFICATE-----&sslkey={}", path.display());
        for (mode, accepted) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let found = check(&query).map_err(|error| error.to_string());
            assert_eq!(found.is_ok(), accepted, "{mode:o}: {found:?}");
            let named = |why: &String| why.contains(&format!("mode {mode:o}")) && !why.contains("canary");
            assert!(found.as_ref().err().is_none_or(named), "{found:?}");
        }
        let query = format!("sslrootcert={}", directory.path().display());
        assert!(check(&query).unwrap_err().to_string().contains("than a regular file"));
    }

    #[test]
    fn a_path_may_be_encoded() {
        assert_eq!(decoded("%2Fetc%2fca+1.pem").as_deref(), Some("/etc/ca 1.pem"));
        assert_eq!(decoded("%f"), None);
    }
}
