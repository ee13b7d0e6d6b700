//! [`Credential`]: a token or a client certificate, with its name and its roles.

use super::{Role, Token, TokenHash};
use std::sync::Arc;

/// Longest name in characters; the audit keeps 128.
const NAME_LEN_MAX: usize = 64;

/// One valid proof of a name. A name can have several, so that a new token works before the old one is removed.
#[derive(Debug, Clone)]
pub struct Credential {
    /// The name in the audit, the logs and the answers.
    pub name: Arc<str>,
    /// What it permits.
    pub roles: Vec<Role>,
    /// What the client must present.
    pub proof: Proof,
    /// The end of its validity, in unix milliseconds; `None`: it does not expire.
    pub expires_ms: Option<i64>,
}

/// What a client presents.
#[derive(Debug, Clone)]
pub enum Proof {
    /// The token with this hash.
    Token(TokenHash),
    /// A client certificate with this verified name.
    Certificate(String),
}

impl Credential {
    /// Parses a name: 1 to 64 characters that are harmless in logs, headers and tables.
    ///
    /// # Errors
    /// What is allowed, as a sentence.
    pub fn name(text: &str) -> Result<Arc<str>, String> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._:@-".contains(c);
        if (1..=NAME_LEN_MAX).contains(&text.len()) && text.chars().all(allowed) {
            Ok(text.into())
        } else {
            Err(format!("a name is 1 to {NAME_LEN_MAX} of the characters A-Z a-z 0-9 . _ : @ -"))
        }
    }

    /// Whether it permits what the role permits.
    pub(super) fn permits(&self, role: Role) -> bool {
        self.roles.iter().any(|own| own.includes().contains(&role))
    }
}

/// The credential of a token. Compares with every stored hash, so that the time does not depend on which one matches.
pub(super) fn of_token<'a>(credentials: &'a [Credential], token: &Token) -> Option<&'a Credential> {
    let presented = token.hash();
    credentials.iter().fold(None, |found, credential| match &credential.proof {
        Proof::Token(stored) if bool::from(stored.equals(&presented)) => Some(credential),
        Proof::Token(_) | Proof::Certificate(_) => found,
    })
}

/// The credential of a verified name of a client certificate.
pub(super) fn of_certificate<'a>(credentials: &'a [Credential], name: &str) -> Option<&'a Credential> {
    let is_named = |one: &&Credential| matches!(&one.proof, Proof::Certificate(own) if own == name);
    credentials.iter().find(is_named)
}
