//! [`Token`]: a secret that a client presents, and [`TokenHash`]: what the server stores of it.

use sha2::{Digest, Sha256};
use std::fmt;
use subtle::{Choice, ConstantTimeEq};

/// The first characters of every token, so that people and scanners of repositories recognise one.
const PREFIX: &str = "coordinator_";
/// Random bytes in a token: 256 bits.
const SECRET_LEN: usize = 32;
/// Length of a token in characters: the prefix and two hexadecimal digits a byte.
const TOKEN_LEN: usize = PREFIX.len() + 2 * SECRET_LEN;
/// Name of the hash in the tokens file.
const ALGORITHM: &str = "sha256:";

/// A token: `coordinator_` and 256 random bits in hexadecimal. No output except [`Token::expose`] shows it.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// A new token.
    ///
    /// # Errors
    /// The operating system has no randomness.
    pub fn random() -> Result<Self, std::io::Error> {
        let mut secret = [0; SECRET_LEN];
        getrandom::fill(&mut secret)?;
        Ok(Self(format!("{PREFIX}{}", hex(&secret))))
    }

    /// Parses a token that a client presents. A text of another form is no token, so that no password of a person,
    /// which could be guessed, becomes one.
    pub fn parse(text: &str) -> Option<Self> {
        let secret = text.strip_prefix(PREFIX)?;
        unhex(secret).map(|_: [u8; SECRET_LEN]| Self(text.to_owned()))
    }

    /// The text: only to print it once, or to present it to a server.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The hash, for the tokens file.
    ///
    /// SHA-256 is enough. Slow hashes and salts protect passwords of people, which can be guessed from a list. A
    /// token has 256 random bits, so a reader of the file cannot guess it at any speed. A slow hash would only let
    /// a client without a token occupy the processor of a leader.
    pub fn hash(&self) -> TokenHash {
        TokenHash(Sha256::digest(self.0.as_bytes()).into())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

/// The SHA-256 of a token.
#[derive(Debug, Clone, Copy)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// Parses `sha256:` and 64 hexadecimal digits.
    ///
    /// # Errors
    /// The valid form, as a sentence. It repeats nothing of the text, which may be a token by mistake.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() == TOKEN_LEN && Token::parse(text).is_some() {
            return Err(
                "a token was written instead of its hash: create a new token, this one is no longer secret"
                    .to_owned(),
            );
        }
        let digits = text.strip_prefix(ALGORITHM).and_then(unhex);
        digits.map(Self).ok_or_else(|| {
            format!("a hash is {ALGORITHM} and 64 hexadecimal digits, as `coordinator token new` prints it")
        })
    }

    /// Whether both are the same hash. The time of the comparison does not depend on the first byte that differs.
    pub(super) fn equals(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ALGORITHM}{}", hex(&self.0))
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
}

/// Exactly `N` bytes in hexadecimal digits of lower case.
fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N || !digits.iter().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, at) in bytes.iter_mut().zip((0..digits.len()).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_recognised_and_only_its_hash_is_stored() {
        let token = Token::random().expect("randomness");
        let text = token.expose().to_owned();
        assert!(text.starts_with("coordinator_") && text.len() == TOKEN_LEN, "{}", text.len());
        let presented = Token::parse(&text).expect("its own form");
        let stored = TokenHash::parse(&token.hash().to_string()).expect("its own form");
        assert!(bool::from(stored.equals(&presented.hash())));
        assert!(!bool::from(stored.equals(&Token::random().expect("randomness").hash())));
        assert!(!stored.to_string().contains(&text[PREFIX.len()..]));
        assert_eq!(format!("{token:?}"), "Token(***)");
    }

    #[test]
    fn the_hash_is_the_sha_256_of_the_whole_text() {
        let token = Token::parse(&format!("coordinator_{}", "0".repeat(64))).expect("the form");
        // Computed with sha256sum.
        let expected = "sha256:108984f5b21ec0bebbedf411b96cace45f694d74dd5c8dd2539de210b8b61653";
        assert_eq!(token.hash().to_string(), expected);
    }

    #[test]
    fn a_password_is_no_token_and_a_token_is_no_hash() {
        for text in
            ["", "secret", "coordinator_", "coordinator_zz", &format!("coordinator_{}", "A".repeat(64))]
        {
            assert!(Token::parse(text).is_none(), "{text}");
            assert!(TokenHash::parse(text).is_err(), "{text}");
        }
        let token = Token::random().expect("randomness");
        let error = TokenHash::parse(token.expose()).expect_err("a token");
        assert!(error.contains("no longer secret") && !error.contains(token.expose()), "{error}");
    }
}
