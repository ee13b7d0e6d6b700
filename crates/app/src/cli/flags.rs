//! [`Flags`]: the settings of the command line.

use crate::secret::Secret;
use clap::Args;
use std::path::PathBuf;

/// Settings as they were written. They are checked together with the file and the environment, so that all
/// faults are reported at once. [`definition`](super::definition) adds the help of each from the table of settings.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Settings")]
pub struct Flags {
    /// Configuration file (TOML) [default: none]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<String>,
    #[arg(long, global = true, value_name = "URL")]
    pub redis: Option<Secret>,
    #[arg(long, global = true, value_name = "FILE")]
    pub redis_url_file: Option<String>,
    #[arg(long, global = true, value_name = "POLICY")]
    pub redis_tls: Option<String>,
    #[arg(long, global = true, value_name = "URL")]
    pub postgres: Option<Secret>,
    #[arg(long, global = true, value_name = "FILE")]
    pub postgres_url_file: Option<String>,
    #[arg(long, global = true, value_name = "NAME")]
    pub postgres_schema: Option<String>,
    #[arg(long, global = true, value_name = "POLICY")]
    pub postgres_tls: Option<String>,
    #[arg(long, global = true, value_name = "NAME")]
    pub group: Option<String>,
    #[arg(long, global = true, value_name = "TTL")]
    pub leader_ttl: Option<String>,
    #[arg(long, global = true, value_name = "ADDRESS:PORT")]
    pub listen: Vec<String>,
    #[arg(long, global = true, value_name = "URL")]
    pub advertise: Option<String>,
    #[arg(long, global = true)]
    pub insecure_network: bool,
    #[arg(long, global = true, value_name = "NAME")]
    pub instance_id: Option<String>,
    #[arg(long, global = true, value_name = "URL")]
    pub handler: Option<String>,
}
