//! Texts that no output may show.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

/// What stands in an output where a secret would.
pub const MASK: &str = "***";

/// A text that may be or contain a secret, as it came from outside. It shows itself as [`MASK`]; whoever
/// needs it asks for it by name.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a text out of every output.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself: for the connection it opens, never for a message.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// Replaces everything behind the scheme of every URL in `text`: for messages of others that may quote
/// what was typed, where no more is known about it.
pub fn mask_urls(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, url) = rest.split_at(at + "://".len());
        masked.push_str(before);
        masked.push_str(MASK);
        // A quote may belong to the password; a blank ends what was one argument.
        rest = &url[url.find(char::is_whitespace).unwrap_or(url.len())..];
    }
    masked.push_str(rest);
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_itself_to_nobody() {
        let secret: Secret = "canary".parse().expect("never fails");
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "*** *** Some(***)");
        assert_eq!(secret.expose(), "canary");
    }

    #[test]
    fn urls_in_the_messages_of_others_are_masked() {
        let text = "unexpected argument 'redis://:can'ary@h/0' found, or postgres://u:canary@h";
        assert_eq!(mask_urls(text), "unexpected argument 'redis://*** found, or postgres://***");
        assert_eq!(mask_urls("nothing to hide: //"), "nothing to hide: //");
    }
}
