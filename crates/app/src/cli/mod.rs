//! The command line.

mod flags;
mod help;
mod remote;
mod token;
mod value;

pub use flags::Flags;
pub use help::definition;
pub use remote::Remote;
pub use token::TokenCommand;

use crate::secret::mask_urls;
use adapter_http::HISTORY_LIMIT_MAX;
use clap::error::ErrorKind;
use clap::{FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
use domain::ledger::{Label, SignalId, StateName};
use domain::ports::SIGNALS_READ_MAX;
use std::ffi::OsString;
use std::path::PathBuf;
use value::{label, reason, signal_id, state};

/// Default number of terms in the history: one screen.
const HISTORY_LIMIT_DEFAULT: u32 = 20;
/// Default number of signals in a list: one screen.
const SIGNALS_LIMIT_DEFAULT: u32 = 20;
/// Default number of requests to hooks: one screen.
const HOOKS_LIMIT_DEFAULT: u32 = 20;
/// Most requests to hooks: more than ten instances remember.
const HOOKS_LIMIT_MAX: u32 = 1_200;
/// Most rounds of a demonstration: an hour or two.
const ROUNDS_MAX: u32 = 1_000;
/// Part of clap's error about a `resolve` without a verdict.
const NO_VERDICT: &str = "\n  <--executed|--not-executed>\n";
/// Verdicts that such a command line may contain; printed after the error.
const VERDICTS: &str = "\nVerdicts:\n  --executed                                the signal is done\n  \
    --not-executed                            it is rejected and never sent\n  \
    --not-executed --send-again --attempt N   the leader sends it again\n";

/// The parsed command line.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "coordinator",
    version,
    about = "Runs a service on several machines; at most one instance at a time leads and acts.",
    after_help = "Examples:\n  coordinator\n  coordinator run --listen 127.0.0.1:5001\n  coordinator status\n\n\
                  Settings come from the --config file, then the environment (COORDINATOR_..., LEADER_TTL), \
                  then flags; a later source overrides an earlier one.\n\n\
                  Logs are on standard error: text on a terminal, JSON lines otherwise. RUST_LOG sets their level \
                  (error, warn, info, debug, trace), also for single modules: RUST_LOG=info,coordinator=debug. Without it, the \
                  level is info, and warn for libraries."
)]
pub struct Cli {
    /// Settings that every command accepts.
    #[command(flatten)]
    pub flags: Flags,
    /// The server that some commands can use.
    #[command(flatten)]
    pub remote: Remote,
    /// The command; without one, `run`.
    #[command(subcommand)]
    command: Option<Command>,
}

impl Cli {
    /// Parses the arguments; the first is the program's name. The error is a usage error, or the requested
    /// help or version.
    pub fn read(args: impl IntoIterator<Item = OsString>) -> Result<Self, Stop> {
        let matched =
            definition().try_get_matches_from(args).and_then(|matches| Self::from_arg_matches(&matches));
        matched.map_err(|error| {
            let (mut text, exit_code) = (error.render().to_string(), error.exit_code());
            if exit_code != 0 && text.contains(NO_VERDICT) {
                text.push_str(VERDICTS);
            }
            // Only an error repeats the arguments. Help contains URLs as examples; a command without its
            // subcommand prints help as an error.
            let is_help =
                exit_code == 0 || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
            let text = if is_help { text } else { mask_urls(&text) };
            Stop { text, exit_code: u8::try_from(exit_code).unwrap_or(2) }
        })
    }

    /// The command; `run` if there is none.
    pub fn chosen(&self) -> Command {
        self.command.clone().unwrap_or_default()
    }
}

/// A command line without a command to run: the text to print, and the exit code (0 for help, 2 for a usage
/// error).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// Text for standard output if the exit code is 0, otherwise for standard error. Passwords are masked.
    pub text: String,
    /// The exit code of the process.
    pub exit_code: u8,
}

/// A command.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Run one instance (this is the default)
    #[command(after_help = "Example:\n  coordinator run --listen 127.0.0.1:5001 --leader-ttl 3s")]
    Run {
        /// Print role changes on standard output, one JSON object a line
        #[arg(long)]
        events_json: bool,
    },
    /// Run a command only while this instance leads; it is dead before another instance can lead
    #[command(after_help = "\
        The command gets COORDINATOR_EPOCH, COORDINATOR_FENCE (TIMELINE.EPOCH.CLAIM) and COORDINATOR_INSTANCE_ID in \
        its environment. When the leadership ends, it gets SIGTERM and then SIGKILL, and is started again with the \
        next leadership.\n\n\
        Exit code: that of the command when it ends on its own (128 + N after signal N); 126 if it cannot be \
        executed, 127 if it is not found; 0 after SIGTERM, SIGINT, SIGHUP or SIGQUIT; with --once 1 \
        if the leadership ended.\n\n\
        Example:\n  coordinator exec --group desk --leader-ttl 5s -- ./service --port 8080")]
    Exec {
        /// Exit when the leadership ends, instead of waiting for the next one
        #[arg(long)]
        once: bool,
        /// The command and its arguments, after `--`
        #[arg(last = true, required = true, value_name = "CMD")]
        command: Vec<OsString>,
    },
    /// Run three instances, kill the leader again and again, and print the time of each failover
    #[command(after_help = "Example:\n  coordinator demo --rounds 3")]
    Demo {
        /// End after this many failovers; without it, run until interrupted
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(ROUNDS_MAX)))]
        rounds: Option<u32>,
    },
    /// Show the instances, the leader, the kill switch and the alerts; exit 0 only if exactly one instance leads
    #[command(
        after_help = "Exit code: 0 if exactly one live instance leads and acts; 1 if not, or if the state \
            store does not answer.\n\nColours are only on a terminal, and not if NO_COLOR is set.\n\n\
            Examples:\n  coordinator status --watch\n  coordinator status --wide"
    )]
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Keep running and show every change, until interrupted: redrawn on a terminal, otherwise as JSON lines
        #[arg(long)]
        watch: bool,
        /// Show whole ids and every column, also in lines of more than 80 characters
        #[arg(long, conflicts_with = "json")]
        wide: bool,
    },
    /// Say in sentences which instance leads, what is wrong, and what to do next; also while the state store does not answer
    #[command(after_help = "Example:\n  coordinator why")]
    Why {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the terms of the leaders: start, end, and why they ended
    #[command(after_help = "Example:\n  coordinator history --limit 50 --json")]
    History {
        /// Number of terms, the latest first
        #[arg(long, value_name = "N", default_value_t = HISTORY_LIMIT_DEFAULT,
              value_parser = clap::value_parser!(u32).range(1..=i64::from(HISTORY_LIMIT_MAX)))]
        limit: u32,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Hand leadership over to another instance, and wait for it to lead
    #[command(after_help = "Example:\n  coordinator step-down --reason \"kernel update\"\n  \
            coordinator step-down --to desk-2 --reason \"kernel update\"\n  coordinator step-down --to desk-2 --dry-run\n\n\
            With --to, the other instances leave the lease to that instance for LEADER_TTL. If it leads already, nothing is \
            requested and the exit code is 0. The exit code is 1 if another instance leads afterwards.")]
    StepDown {
        /// Reason for the history: 1 to 256 characters
        #[arg(long, value_name = "TEXT", value_parser = reason, required_unless_present = "dry_run")]
        reason: Option<String>,
        /// Hand over to this instance: its id, or a unique beginning of it
        #[arg(long, value_name = "ID", conflicts_with = "force")]
        to: Option<String>,
        /// Request it even if no instance can take over, or the leader's heartbeat is late
        #[arg(long)]
        force: bool,
        /// Request nothing; print which instances can take over, how long that takes and what can go wrong
        #[arg(long, conflicts_with = "force")]
        dry_run: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove an instance that was shut down for good: it is no longer shown, and its StaleHeartbeat ends
    #[command(
        after_help = "An instance that is alive, or holds the lease, is refused: stop it first. One that stops cleanly \
            needs no removal. An instance that writes a heartbeat after its removal is shown again.\n\n\
            Example:\n  coordinator remove desk-3 --reason \"the host was returned\""
    )]
    Remove {
        /// Id of the instance, or a unique beginning of it
        #[arg(value_name = "ID")]
        id: String,
        /// Reason for the record: 1 to 256 characters
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: String,
        /// Remove it although its last heartbeat is recent, because its process has just ended
        #[arg(long)]
        force: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the runbook of an alert, or the list of all alerts
    #[command(after_help = "Example:\n  coordinator runbook SignalsInDoubt")]
    Runbook {
        /// Name of the alert or of its page; without it, the list
        #[arg(value_name = "NAME")]
        name: Option<String>,
    },
    /// Check crash recovery, and acknowledge failed recoveries
    #[command(after_help = "Example:\n  coordinator recovery check")]
    Recovery {
        /// The command about recovery.
        #[command(subcommand)]
        command: RecoveryCommand,
    },
    /// List, inspect and resolve signals; pause and resume their delivery
    #[command(after_help = "Example:\n  coordinator signals list --state in_doubt")]
    Signals {
        /// The command about signals.
        #[command(subcommand)]
        command: SignalsCommand,
    },
    /// Try out hooks, to which other systems post alerts, and show their latest requests
    #[command(after_help = "Example:\n  coordinator hooks tail")]
    Hooks {
        /// The command about hooks.
        #[command(subcommand)]
        command: HooksCommand,
    },
    /// Bring the database's schema up to date, as every start does
    #[command(after_help = "Example:\n  coordinator migrate --check")]
    Migrate {
        /// Change nothing; only print the state of the schema
        #[arg(long)]
        check: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Check what the guarantees depend on: stores, this host, instances; name what to change
    #[command(after_help = "\
        Leaves nothing behind. To measure commits, it writes messages that change no table into the write-ahead log of \
        PostgreSQL, and a temporary file into an existing data directory. Run it on the host of each instance, as the \
        user of the instance.\n\n\
        Exit code: 0 if every guarantee holds, also with warnings; 1 if one does not hold; 2 if the command line or the \
        configuration is wrong; 3 if none failed and one could not be checked.\n\n\
        Example:\n  coordinator doctor --config coordinator.toml")]
    Doctor {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Probe the instance on this host: exit 0 if it is alive, otherwise 1
    #[command(after_help = "Examples:\n  coordinator health\n  coordinator health --ready")]
    Health {
        /// Exit 0 only if it can take over leadership
        #[arg(long, conflicts_with = "leader")]
        ready: bool,
        /// Exit 0 only if it is the active leader
        #[arg(long)]
        leader: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the completions of a shell
    #[command(after_help = "Example:\n  coordinator completions bash")]
    Completions {
        /// The shell
        #[arg(value_name = "SHELL")]
        shell: Shell,
    },
    /// Write the manual pages of all commands
    #[command(after_help = "Example:\n  coordinator man --dir man1")]
    Man {
        /// Directory of the pages; created if it is missing
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
    },
    /// Create tokens, with which clients use the HTTP server
    #[command(
        after_help = "Example:\n  coordinator token new --name desk-a --role submit --file tokens.toml"
    )]
    Token {
        /// The command about tokens.
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// Check the configuration, or print a file with every setting
    #[command(after_help = "Example:\n  coordinator config check --config coordinator.toml")]
    Config {
        /// The command about the configuration.
        #[command(subcommand)]
        command: ConfigCommand,
    },
}

impl Default for Command {
    fn default() -> Self {
        Self::Run { events_json: false }
    }
}

/// A command about recovery.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum RecoveryCommand {
    /// Check the portfolio in the database as a new leader would; changes nothing
    #[command(after_help = "Example:\n  coordinator recovery check --json")]
    Check {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Record that you take responsibility for the failed recoveries; trading does not resume because of it
    #[command(
        after_help = "Ends RecoveryFailures and RepeatedRecoveryFailures if a recovery has passed since. While the \
            recovery fails, every alert about it continues, and no signal is sent.\n\n\
            Example:\n  coordinator recovery acknowledge --reason \"order 4711 was booked by hand\""
    )]
    Acknowledge {
        /// Reason for the record: 1 to 256 characters
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// A command about signals.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum SignalsCommand {
    /// List signals, the latest first, and summarise what is open
    #[command(after_help = "Example:\n  coordinator signals list --state in_doubt --limit 50 --json")]
    List {
        /// Only signals in this state
        #[arg(long, value_name = "STATE", value_parser = state)]
        state: Option<StateName>,
        /// Only signals of this instrument
        #[arg(long, value_name = "NAME", value_parser = label)]
        instrument: Option<Label>,
        /// Only signals with a lower arrival number; the last line of a full page names the number for the next page
        #[arg(long, value_name = "ARRIVAL")]
        before: Option<u64>,
        /// Number of signals
        #[arg(long, value_name = "N", default_value_t = SIGNALS_LIMIT_DEFAULT,
              value_parser = clap::value_parser!(u32).range(1..=i64::from(SIGNALS_READ_MAX)))]
        limit: u32,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one signal and its audit
    #[command(after_help = "Example:\n  coordinator signals show s-1")]
    Show {
        /// Id of the signal, or a unique beginning of it
        #[arg(value_name = "ID", value_parser = signal_id)]
        id: SignalId,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Resolve a signal in doubt, after you have queried the broker
    #[command(
        group = clap::ArgGroup::new("verdict").required(true).multiple(true),
        after_help = "Example:\n  coordinator signals resolve s-1 --executed --reason \"order 4711 at the broker\"\n  \
                            coordinator signals resolve s-1 --not-executed --send-again --attempt 1 --reason \"no order at the broker\""
    )]
    Resolve {
        /// Id of the signal; of an id that the coordinator has computed, a unique beginning of at least 8 characters
        #[arg(value_name = "ID", value_parser = signal_id)]
        id: SignalId,
        /// The signal was executed: it becomes done
        #[arg(long, group = "verdict", conflicts_with = "not_executed")]
        executed: bool,
        /// The signal was not executed, and must not be executed any more: it becomes rejected
        #[arg(long, group = "verdict")]
        not_executed: bool,
        /// The signal was certainly not executed, and the leader must send it again
        #[arg(long, requires_all = ["not_executed", "attempt"], conflicts_with = "executed")]
        send_again: bool,
        /// The attempt that you have checked, as `show` prints it; may be left out if there was only one and
        /// nothing is sent again
        #[arg(long, value_name = "N")]
        attempt: Option<u32>,
        /// Reason for the audit: 1 to 256 characters
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Acknowledge that a signal expired unsent: it becomes rejected, and its alert ends
    #[command(after_help = "Example:\n  coordinator signals acknowledge s-1 --reason \"the trader knows\"")]
    Acknowledge {
        /// Id of the signal; of an id that the coordinator has computed, a unique beginning of at least 8 characters
        #[arg(value_name = "ID", value_parser = signal_id)]
        id: SignalId,
        /// Reason for the audit: 1 to 256 characters
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Turn the kill switch on: no leader sends any signal until it is resumed
    #[command(after_help = "Example:\n  coordinator signals pause --reason \"broker outage\"")]
    Pause {
        /// Reason for the audit: 1 to 256 characters
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Turn the kill switch off: the leader sends the waiting signals
    #[command(after_help = "Example:\n  coordinator signals resume --reason \"broker works again\"")]
    Resume {
        /// Reason for the audit: 1 to 256 characters
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// A command about hooks.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum HooksCommand {
    /// Show the signal that a body on standard input would become, field by field, or why it is refused; stores nothing
    #[command(after_help = "Exit code: 0 if the body would be stored, 1 if it is refused.\n\n\
                      Example:\n  coordinator hooks test tv --config coordinator.toml")]
    Test {
        /// Name of the hook
        #[arg(value_name = "NAME")]
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the latest requests to the hooks of every running instance, with the verdicts; secrets are removed
    #[command(after_help = "Example:\n  coordinator hooks tail --limit 50")]
    Tail {
        /// Number of requests, the latest last
        #[arg(long, value_name = "N", default_value_t = HOOKS_LIMIT_DEFAULT,
              value_parser = clap::value_parser!(u32).range(1..=i64::from(HOOKS_LIMIT_MAX)))]
        limit: u32,
        /// Print JSON, one request a line
        #[arg(long)]
        json: bool,
    },
}

/// A command about the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum ConfigCommand {
    /// Check every setting and print the effective values, secrets masked
    #[command(after_help = "Example:\n  LEADER_TTL=5s coordinator config check --config coordinator.toml")]
    Check {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print a configuration file with every setting, its meaning and its default
    #[command(after_help = "Example:\n  coordinator config sample")]
    Sample,
    /// Print the reference of all settings as Markdown
    #[command(after_help = "Example:\n  coordinator config reference")]
    Reference,
}

#[cfg(test)]
mod tests;
