//! [`Secret`]: a text that no output may show.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

/// Text that replaces a secret in outputs.
pub const MASK: &str = "***";

/// A text from outside that may be or contain a secret. Every output of it is [`MASK`]; only
/// [`Secret::expose`] returns it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text from every output.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself: only for opening the connection, never for a message.
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

/// Replaces everything after the scheme of every URL in `text`. For messages of other programs, which may
/// quote the command line.
pub fn mask_urls(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, url) = rest.split_at(at + "://".len());
        masked.push_str(before);
        masked.push_str(MASK);
        // A quote may belong to the password; a blank ends the argument.
        rest = &url[url.find(char::is_whitespace).unwrap_or(url.len())..];
    }
    masked.push_str(rest);
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
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
