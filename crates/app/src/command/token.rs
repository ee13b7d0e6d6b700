//! `coordinator token new`: a token, printed once, and its line in the tokens file.

use crate::access::{append, entry};
use crate::failure::Failure;
use crate::lines::Lines;
use crate::output::line;
use adapter_http::{Credential, Role, Token};
use jiff::{SignedDuration, Timestamp};
use std::path::Path;

/// Creates a token. With a file, only the token is on standard output, so that a script can store it.
pub fn new_token(
    name: &str,
    roles: &[Role],
    days: Option<u16>,
    file: Option<&Path>,
    errors: &Lines,
) -> Result<(), Failure> {
    Credential::name(name).map_err(Failure::usage)?;
    let token = Token::random().map_err(|error| Failure::other(format!("no randomness: {error}")))?;
    let expires = days.map(expiry).transpose()?;
    let lines = entry(name, roles, &token.hash(), expires);
    let Some(file) = file else {
        return line(format_args!(
            "{}\n\nThe token is not shown again. Add these lines to the file of access.tokens_file:\n\n{}",
            token.expose(),
            lines.trim_end()
        ));
    };
    append(file, &lines).map_err(Failure::usage)?;
    errors.line(format_args!("added {name} to {}; the token is not shown again", file.display()));
    line(token.expose())
}

/// The end of a validity, in whole seconds.
fn expiry(days: u16) -> Result<Timestamp, Failure> {
    let seconds = Timestamp::now().as_second();
    let now = Timestamp::from_second(seconds).map_err(|error| Failure::other(error.to_string()))?;
    now.checked_add(SignedDuration::from_hours(24 * i64::from(days)))
        .map_err(|error| Failure::other(error.to_string()))
}
