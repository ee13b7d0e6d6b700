//! The tokens file: TOML with one `[[token]]` for each credential. Invariant: no message shows a value of the file,
//! because a token can be in it by mistake.

use adapter_http::{Credential, Proof, Role, TokenHash};
use jiff::Timestamp;
use rustix::fs::OFlags;
use serde::Deserialize;
use std::fmt::Write;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use toml::Value;

/// Largest file, in bytes: about a thousand credentials.
const FILE_LEN_MAX: u64 = 256 * 1024;
/// Longest name of a certificate in bytes; a subject or a SAN is shorter.
const CERTIFICATE_LEN_MAX: usize = 256;
/// Mode of a new file.
pub(super) const FILE_MODE: u32 = 0o600;
/// Write permissions of group and others.
const OTHERS_WRITE: u32 = 0o022;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    token: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    roles: Vec<String>,
    hash: Option<String>,
    certificate: Option<String>,
    expires: Option<Value>,
}

/// Reads the text of the file at `path`. Other users may read it, because it has only hashes, but not write it.
///
/// # Errors
/// The fault of the file and the remedy, as a sentence.
pub fn read(path: &Path) -> Result<String, String> {
    let unreadable = |error: io::Error| format!("the file cannot be read: {error}");
    // Never waits: a pipe is refused, as everything that is not a regular file.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).expect("a flag of open(2) is an int");
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(unreadable)?;
    let seen = file.metadata().map_err(unreadable)?;
    if !seen.is_file() {
        return Err("that is not a regular file".to_owned());
    }
    if seen.mode() & OTHERS_WRITE != 0 {
        return Err(
            "other users can write the file, and so give themselves any role: chmod go-w it".to_owned()
        );
    }
    let mut text = String::new();
    file.take(FILE_LEN_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > FILE_LEN_MAX {
        return Err(format!("the file is larger than {FILE_LEN_MAX} bytes"));
    }
    Ok(text)
}

/// The credentials in the text of a file.
///
/// # Errors
/// The first fault, as a sentence with its line or the name of the credential.
pub fn parse(text: &str) -> Result<Vec<Credential>, String> {
    let file: File = toml::from_str(text).map_err(|error| {
        // The error's own text quotes the value.
        let before = error.span().map_or("", |span| text.get(..span.start).unwrap_or_default());
        let line = before.matches('\n').count() + 1;
        format!(
            "line {line} is not as expected: a credential is [[token]] and below it name, roles, hash (or certificate), \
             and optionally expires"
        )
    })?;
    let mut credentials = Vec::with_capacity(file.token.len());
    let mut proofs = std::collections::BTreeSet::new();
    for entry in file.token {
        let proof = entry.hash.clone().or_else(|| entry.certificate.clone());
        let credential = credential(entry)?;
        if !proof.is_some_and(|proof| proofs.insert(proof)) {
            return Err(format!(
                "{}: another credential has the same hash or certificate: write all roles into one of them",
                credential.name
            ));
        }
        credentials.push(credential);
    }
    Ok(credentials)
}

fn credential(entry: Entry) -> Result<Credential, String> {
    // A name with a fault is not shown: it may be a token.
    let name = Credential::name(&entry.name)?;
    let fault = |why: String| format!("{name}: {why}");
    let roles: Vec<Role> =
        entry.roles.iter().map(|role| Role::parse(role)).collect::<Result<_, _>>().map_err(fault)?;
    if roles.is_empty() {
        return Err(fault("roles is empty, so the credential permits nothing".to_owned()));
    }
    let proof = match (entry.hash, entry.certificate) {
        (Some(hash), None) => Proof::Token(TokenHash::parse(&hash).map_err(fault)?),
        (None, Some(certificate)) if (1..=CERTIFICATE_LEN_MAX).contains(&certificate.len()) => {
            Proof::Certificate(certificate)
        }
        (None, Some(_)) => {
            return Err(fault(format!("a certificate's name has 1 to {CERTIFICATE_LEN_MAX} bytes")));
        }
        (Some(_), Some(_)) | (None, None) => {
            return Err(fault("exactly one of hash and certificate is required".to_owned()));
        }
    };
    let expires_ms = entry.expires.as_ref().map(expiry).transpose().map_err(fault)?;
    Ok(Credential { name: name.clone(), roles, proof, expires_ms })
}

/// A date with a time and an offset, with or without quotes.
fn expiry(value: &Value) -> Result<i64, String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Datetime(time) => time.to_string(),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Array(_) | Value::Table(_) => {
            String::new()
        }
    };
    let time = text.parse::<Timestamp>();
    time.map(Timestamp::as_millisecond)
        .map_err(|_| "expires is a time with an offset such as 2027-01-01T00:00:00Z".to_owned())
}

/// The lines of a credential with a hash.
pub fn entry(name: &str, roles: &[Role], hash: &TokenHash, expires: Option<Timestamp>) -> String {
    let roles: Vec<String> = roles.iter().map(|role| format!("\"{role}\"")).collect();
    let mut lines =
        format!("[[token]]\nname = \"{name}\"\nroles = [{}]\nhash = \"{hash}\"\n", roles.join(", "));
    if let Some(expires) = expires {
        writeln!(lines, "expires = {expires}").expect("a String takes everything");
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use adapter_http::Token;

    const CERTIFICATE: &str =
        "[[token]]\nname = \"b\"\nroles = [\"operate\", \"resolve\"]\ncertificate = \"desk-b\"\n";

    #[test]
    fn the_printed_lines_are_read_back() {
        let token = Token::random().expect("randomness");
        let expires: Timestamp = "2027-01-01T00:00:00Z".parse().expect("a time");
        let text =
            entry("desk-a", &[Role::Submit, Role::Read], &token.hash(), Some(expires)) + "\n" + CERTIFICATE;
        let credentials = parse(&text).expect("our own form");
        let [a, b] = &credentials[..] else { panic!("{credentials:?}") };
        assert_eq!((&*a.name, &a.roles[..]), ("desk-a", &[Role::Submit, Role::Read][..]));
        assert_eq!(a.expires_ms, Some(expires.as_millisecond()));
        assert!(matches!(&a.proof, Proof::Token(hash) if hash.to_string() == token.hash().to_string()));
        assert!(matches!(&b.proof, Proof::Certificate(name) if name == "desk-b") && b.expires_ms.is_none());
        assert!(parse("").is_ok_and(|none| none.is_empty()));
        let quoted = CERTIFICATE.to_owned() + "expires = \"2027-01-01T00:00:00+05:30\"";
        assert_eq!(parse(&quoted).expect("a time")[0].expires_ms, Some(1_798_741_800_000));
    }

    #[test]
    fn every_fault_is_named_and_no_value_is_shown() {
        let token = Token::random().expect("randomness");
        let (secret, hash) = (token.expose(), token.hash());
        let with = |lines: &str| format!("[[token]]\nname = \"a\"\nroles = [\"read\"]\n{lines}\n");
        let fine = with(&format!("hash = \"{hash}\""));
        for (text, why) in [
            (with(&format!("hash = \"{secret}\"")), "no longer secret"),
            (with(&format!("token = \"{secret}\"")), "line 4 is not as expected"),
            (with(&format!("hash = {secret}")), "line 4 is not as expected"),
            (fine.replace("\"a\"", &format!("\"{secret}\"")), "a name is 1 to 64"),
            (fine.replace("\"read\"", &format!("\"{secret}\"")), "a role is one of probe, read"),
            (fine.replace("[\"read\"]", "[]"), "roles is empty"),
            (fine.replace("[[token]]", "[[tokens]]"), "line 1 is not as expected"),
            (with(""), "exactly one of hash and certificate"),
            (with(&format!("hash = \"{hash}\"\ncertificate = \"x\"")), "exactly one of"),
            (with(&format!("hash = \"{hash}\"\nexpires = 2027-01-01")), "a time with an offset"),
            (with(&format!("hash = \"{hash}\"\nexpires = 7")), "a time with an offset"),
            (with("certificate = \"\""), "1 to 256 bytes"),
            (fine.clone() + &fine.replace("\"a\"", "\"b\""), "b: another credential has the same hash"),
        ] {
            let error = parse(&text).expect_err(&text);
            assert!(error.contains(why) && !error.contains('\n'), "{why}: {error}");
            assert!(!error.contains(secret.trim_start_matches("coordinator_")), "{error}");
        }
    }

    #[test]
    fn a_file_that_others_can_write_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("tokens.toml");
        std::fs::write(&path, CERTIFICATE).expect("written");
        for (mode, is_read) in [(0o600, true), (0o644, true), (0o620, false), (0o602, false)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("changed");
            assert_eq!(read(&path).is_ok(), is_read, "{mode:o}");
        }
        assert!(read(directory.path()).expect_err("a directory").contains("not a regular file"));
    }
}
