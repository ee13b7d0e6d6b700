//! [`TokenCommand`]: the commands about the credentials of clients and operators.

use super::value::role;
use adapter_http::Role;
use clap::Subcommand;
use std::path::PathBuf;

/// A command about tokens.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum TokenCommand {
    /// Create a token: print it once, and print or append its entry of the tokens file (access.tokens_file)
    #[command(after_help = "\
        To replace a token without an interruption, create another one with the same name, give it to the client, and \
        remove the old entry from the file. Running instances read the file again within seconds, or at SIGHUP.\n\n\
        Examples:\n  coordinator token new --name desk-a --role submit\n  \
        coordinator token new --name asha --role operate --role resolve --days 90 --file tokens.toml")]
    New {
        /// Name of the client or the operator, for the audit and the logs
        #[arg(long, value_name = "NAME")]
        name: String,
        /// What the token permits; repeat the option for several roles
        #[arg(long, value_name = "ROLE", required = true, value_parser = role)]
        role: Vec<Role>,
        /// Days until the token expires; without it, the token does not expire
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..=3_653))]
        days: Option<u16>,
        /// Append the entry to this file (created with mode 0600), and print only the token
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
}
