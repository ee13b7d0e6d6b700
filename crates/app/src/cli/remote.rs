//! [`Remote`]: the server that a command uses instead of the stores, and the operator's token.

use crate::config::read_secret_line;
use crate::failure::Failure;
use adapter_http::{Server, Token};
use clap::Args;

/// The server and the token, as they were written. They are no settings: an instance has no use for them.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Server")]
pub struct Remote {
    /// Use the HTTP server of an instance at this address instead of the stores
    #[arg(long, global = true, value_name = "URL")]
    pub server: Option<String>,
    /// File with the operator's token on one line; only its owner may have permissions
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<String>,
}

impl Remote {
    /// The server; `None` if the command uses the stores.
    ///
    /// # Errors
    /// The address is wrong.
    pub fn server(&self) -> Result<Option<Server>, Failure> {
        let parse = |text: &String| Server::parse(text);
        let server = self.server.as_ref().map(parse).transpose();
        server.map_err(|why| Failure::usage(format!("--server: {why}")))
    }

    /// The token; `None` without a file.
    ///
    /// # Errors
    /// The fault of the file.
    pub fn token(&self) -> Result<Option<Token>, Failure> {
        let Some(path) = &self.token_file else { return Ok(None) };
        let fault = |why: String| Failure::usage(format!("--token-file: is {why}"));
        let line = read_secret_line(path).map_err(fault)?;
        let wrong = || {
            // The content is not shown: it may be another secret.
            fault(format!(
                "{path:?}, a file without a token: a token begins with coordinator_ and has 76 characters"
            ))
        };
        Token::parse(&line).map(Some).ok_or_else(wrong)
    }
}
