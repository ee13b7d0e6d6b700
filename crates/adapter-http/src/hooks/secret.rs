//! [`Secrets`]: the credential of a hook. Nothing here is ever printed, and every comparison takes the same time.

use axum::http::HeaderMap;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;

/// Shortest secret in bytes: `openssl rand -hex 16` has 32, and a word is too short.
pub(super) const SECRET_LEN_MIN: usize = 16;
/// Longest secret in bytes: it may be a part of a path.
pub(super) const SECRET_LEN_MAX: usize = 256;
/// Most secrets of a hook: the present one and the next, while it is rotated.
pub(super) const SECRETS_MAX: usize = 2;

/// The place of a secret in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// The last part of the path.
    Path,
    /// A member of the body's object.
    Field(String),
    /// HMAC-SHA256 over the body, in hexadecimal digits, in this header.
    Hmac(String),
    /// There is no secret: only the address of the sender counts.
    None,
}

/// The secrets of a hook.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secrets {
    pub(super) place: Place,
    texts: Vec<String>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Secrets {
    /// Checks the secrets; an error shows nothing of them.
    pub(super) fn new(place: Place, texts: Vec<String>) -> Result<Self, String> {
        let wrong = |what: &str| Err(format!("{what} (the secret is not shown)"));
        match (&place, texts.len()) {
            (Place::None, 0) => {}
            (Place::None, _) => return wrong("has no effect with secret_in = \"none\""),
            (_, 0) => {
                return Err("missing: a file with a secret of at least 16 characters, such as the output of `openssl \
                            rand -hex 16`"
                    .to_owned());
            }
            (_, 1..=SECRETS_MAX) => {}
            (_, _) => {
                return wrong(
                    "more than two lines: the present secret, and the next one while it is rotated",
                );
            }
        }
        for text in &texts {
            if !(SECRET_LEN_MIN..=SECRET_LEN_MAX).contains(&text.len()) {
                return wrong("the secret must have 16 to 256 characters");
            }
            let in_path = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
            if place == Place::Path && !text.bytes().all(in_path) {
                return wrong("a secret in the path must consist of A-Z a-z 0-9 . _ ~ -");
            }
            if text.trim() != text || text.contains(char::is_control) {
                return wrong("the secret must not begin or end with a space, or have control characters");
            }
        }
        Ok(Self { place, texts })
    }

    /// Whether a text is one of the secrets. Compares hashes, so the time depends on neither text.
    pub(super) fn has(&self, given: &str) -> bool {
        let given = Sha256::digest(given.as_bytes());
        self.texts.iter().fold(false, |found, text| {
            let own = Sha256::digest(text.as_bytes());
            found | bool::from(own.as_slice().ct_eq(given.as_slice()))
        })
    }

    /// Whether a header has the signature of this body under one of the secrets.
    pub(super) fn signed(&self, header: &str, headers: &HeaderMap, body: &[u8]) -> Result<(), String> {
        let mut values = headers.get_all(header).into_iter();
        let value = match (values.next(), values.next()) {
            (None, _) => return Err(format!("the header {header} with the signature is missing")),
            (Some(_), Some(_)) => return Err(format!("the header {header} occurs more than once")),
            (Some(value), None) => value.to_str().unwrap_or_default().trim(),
        };
        let digits = value.strip_prefix("sha256=").unwrap_or(value);
        let Some(given) = bytes_of(digits) else {
            return Err(format!(
                "the header {header} must have HMAC-SHA256 of the body in 64 hexadecimal digits"
            ));
        };
        let valid = self.texts.iter().fold(false, |found, text| {
            let mut mac =
                <Hmac<Sha256> as KeyInit>::new_from_slice(text.as_bytes()).expect("a key has any length");
            mac.update(body);
            found | mac.verify_slice(&given).is_ok()
        });
        if valid { Ok(()) } else { Err(format!("the signature in the header {header} is wrong")) }
    }

    /// A text without the secrets.
    pub(super) fn masked(&self, text: &str) -> String {
        self.texts.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "***"))
    }
}

fn bytes_of(digits: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "0123456789abcdef";
    const OTHER: &str = "fedcba9876543210";

    fn secrets(place: Place, texts: &[&str]) -> Result<Secrets, String> {
        Secrets::new(place, texts.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn both_secrets_are_valid_while_one_is_rotated() {
        let secrets = secrets(Place::Path, &[ONE, OTHER]).expect("two");
        assert!(secrets.has(ONE) && secrets.has(OTHER));
        for wrong in ["", "0123456789abcde", "0123456789abcdef0", "0123456789abcdeF"] {
            assert!(!secrets.has(wrong), "{wrong}");
        }
        let shown = format!("{secrets:?} {}", secrets.masked(&format!("a {ONE} b {OTHER}")));
        assert!(!shown.contains(ONE) && !shown.contains(OTHER) && shown.ends_with("a *** b ***"), "{shown}");
    }

    /// The signature is what `openssl dgst -sha256 -hmac SECRET` prints.
    #[test]
    fn a_signature_is_that_of_openssl() {
        let secrets = secrets(Place::Hmac("x-signature".to_owned()), &[OTHER, ONE]).expect("two");
        let signature = "c85c4662ae838092539c3a6cf8b714d2312e8318dc36c4e2af0329b57f68697d";
        let signed = |value: &str, body: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-signature", value.parse().expect("a header"));
            secrets.signed("X-Signature", &headers, body.as_bytes())
        };
        assert_eq!(signed(signature, "BUY NIFTY @ 24310"), Ok(()));
        assert_eq!(signed(&format!("sha256={}", signature.to_uppercase()), "BUY NIFTY @ 24310"), Ok(()));
        assert!(signed(signature, "BUY NIFTY @ 24311").is_err());
        for wrong in ["", "sha256=", "+1", &signature[1..], &"g".repeat(64), "\u{a0}"] {
            assert!(signed(wrong, "BUY NIFTY @ 24310").is_err(), "{wrong}");
        }
        assert!(
            secrets.signed("X-Signature", &HeaderMap::new(), b"").is_err_and(|why| why.contains("missing"))
        );
    }

    #[test]
    fn a_secret_that_can_be_guessed_is_refused() {
        for wrong in [&[][..], &["short"], &[ONE, OTHER, ONE], &["0123456789 abcdef"], &["0123456789abcde/"]]
        {
            let why = secrets(Place::Path, wrong).expect_err("refused");
            assert!(wrong.iter().all(|text| !why.contains(text)), "{why}");
        }
        assert!(secrets(Place::None, &[ONE]).is_err() && secrets(Place::None, &[]).is_ok());
    }
}
