//! The files of `sslrootcert`, `sslcert` and `sslkey`. sqlx reads them for every new session, so a renewed certificate
//! needs no restart; this check finds a wrong path when the settings are read.

use crate::hosts::InvalidUrl;
use std::fs::File;
use std::io::Read;

/// Largest file, in bytes: a bundle of every public authority has a quarter of it.
const FILE_LEN_MAX: u64 = 1 << 20;
/// The parameter's names, and the label of what its file must contain.
const FILES: [(&[&str], &str); 3] = [
    (&["sslrootcert", "ssl-root-cert", "ssl-ca"], "CERTIFICATE"),
    (&["sslcert", "ssl-cert"], "CERTIFICATE"),
    (&["sslkey", "ssl-key"], "PRIVATE KEY"),
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
        let mut text = Vec::new();
        match File::open(&path).and_then(|file| file.take(FILE_LEN_MAX).read_to_end(&mut text)) {
            Err(error) => return fault(&format!("a file that cannot be read: {error}")),
            Ok(_) if !String::from_utf8_lossy(&text).contains(&format!("{label}-----")) => {
                return fault(&format!("a file without a \"{label}\" in PEM"));
            }
            Ok(_) => {}
        }
    }
    if seen[1] != seen[2] {
        return Err(InvalidUrl::because("sslcert and sslkey belong together: set both or none".to_owned()));
    }
    Ok(())
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
    fn a_path_may_be_encoded() {
        assert_eq!(decoded("%2Fetc%2fca+1.pem").as_deref(), Some("/etc/ca 1.pem"));
        assert_eq!(decoded("%f"), None);
    }
}
