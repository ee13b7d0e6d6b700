//! The coordinator binary: reads the command line and the configuration, and runs one command.

mod access;
mod broker;
mod cli;
mod command;
mod compose;
mod config;
mod elections;
mod events;
mod exec;
mod failure;
mod identity;
mod lines;
mod logs;
mod network;
mod output;
mod run;
mod secret;
mod service_manager;
mod stops;
mod telemetry;

use cli::{Cli, Command, ConfigCommand, Flags, RecoveryCommand, Remote, TokenCommand};
use command::{Condition, Extent, Form, Probe, Removable};
use config::Config;
use domain::ports::Migrate;
use exec::Terms;
use failure::Failure;
use lines::Lines;
use run::Output;
use rustix::process::{Resource, Rlimit, setrlimit};
use std::io::IsTerminal;
use std::process::ExitCode;

/// Threads that serve pages, signals and everything else. The election has a separate thread.
const THREADS: usize = 2;

fn main() -> ExitCode {
    no_core_dumps();
    if let Some(exit_code) = exec::helper(std::env::args_os()) {
        return exit_code;
    }
    let errors = Lines::to("standard error", std::io::stderr());
    let exit_code = carry_out_all(&errors);
    errors.flush();
    exit_code
}

/// Disables core dumps, which would contain payloads of signals and passwords. A failure has no other effect,
/// so it is ignored.
fn no_core_dumps() {
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
}

fn carry_out_all(errors: &Lines) -> ExitCode {
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(stop) if stop.exit_code == 0 => {
            return output::write(stop.text)
                .map_or_else(|failure| failed(errors, &failure), |()| ExitCode::SUCCESS);
        }
        Err(stop) => {
            errors.line(stop.text.trim_end_matches('\n'));
            return ExitCode::from(stop.exit_code);
        }
    };
    logs::init(errors);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => {
            let outcome = runtime.block_on(carry_out(&cli.chosen(), &cli.flags, &cli.remote, errors));
            // A reader that does not read our output must not prevent the end of the process.
            runtime.shutdown_background();
            outcome
        }
        Err(error) => Err(Failure::other(format!("the runtime did not start: {error}"))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failed(errors, &failure),
    }
}

fn failed(errors: &Lines, failure: &Failure) -> ExitCode {
    for line in failure.message.lines() {
        errors.line(format_args!("coordinator: {line}"));
    }
    ExitCode::from(failure.exit_code)
}

async fn carry_out(command: &Command, flags: &Flags, remote: &Remote, errors: &Lines) -> Result<(), Failure> {
    if remote.server.is_some() && !can_be_remote(command) {
        return Err(Failure::usage(
            "--server has no effect on this command: it is for status, why, history, step-down, recovery and signals; the \
             others need the stores",
        ));
    }
    if let Some(done) = without_configuration(command, errors) {
        return done;
    }
    let config = configuration(flags)?;
    let form = |json: bool| if json { Form::Json } else { Form::Table };
    let group = || command::open_group(&config, remote);
    match command {
        Command::Run { events_json } => {
            let output = if *events_json { Output::Events } else { Output::Text };
            run::run(&config, output, errors).await.map_err(as_record)
        }
        Command::Exec { once, command } => {
            exec::run(&config, command, if *once { Terms::One } else { Terms::Every }).await
        }
        Command::Demo { rounds } => command::demo(&config, *rounds).await,
        Command::Status { json, watch, wide } => {
            let extent = if *wide { Extent::Wide } else { Extent::Narrow };
            if *watch {
                command::watch_status(&*group()?, form(*json), extent).await
            } else {
                command::status(&*group()?, form(*json), extent).await
            }
        }
        Command::Why { json } => command::why(&*group()?, form(*json)).await,
        Command::History { limit, json } => command::history(&*group()?, form(*json), *limit).await,
        Command::StepDown { dry_run: true, to, json, .. } => {
            command::plan_step_down(&*group()?, to.as_deref(), form(*json)).await
        }
        Command::StepDown { reason, to, force, dry_run: _, json } => {
            let reason = reason.as_deref().unwrap_or_default();
            let wanted = if *force { Condition::Always } else { Condition::WithSuccessor };
            command::step_down(&*group()?, reason, wanted, to.as_deref(), form(*json)).await
        }
        Command::Remove { id, reason, force, json } => {
            let removable = if *force { Removable::Ended } else { Removable::Stale };
            command::remove(&config, id, reason, removable, form(*json)).await
        }
        Command::Recovery { command: RecoveryCommand::Check { json } } => {
            command::check_recovery(&*group()?, form(*json)).await
        }
        Command::Recovery { command: RecoveryCommand::Acknowledge { reason, json } } => {
            command::acknowledge_recovery(&*group()?, reason, form(*json)).await
        }
        Command::Signals { command } => command::signals(&*group()?, command).await,
        Command::Hooks { command } => command::hooks(&config, command, remote).await,
        Command::Migrate { check, json } => {
            let how = if *check { Migrate::Check } else { Migrate::Apply };
            command::migrate(&config, how, form(*json)).await
        }
        Command::Doctor { json } => command::doctor(&config, form(*json)).await,
        Command::Health { json, .. } => command::health(&config, probe(command), form(*json)).await,
        Command::Runbook { .. }
        | Command::Completions { .. }
        | Command::Man { .. }
        | Command::Token { .. }
        | Command::Config { command: ConfigCommand::Sample | ConfigCommand::Reference } => Ok(()),
        Command::Config { command: ConfigCommand::Check { json } } => check_config(&config, form(*json)),
    }
}

/// The probe that the flags of `health` name.
fn probe(command: &Command) -> Probe {
    match command {
        Command::Health { ready: true, .. } => Probe::Ready,
        Command::Health { leader: true, .. } => Probe::Leader,
        _ => Probe::Alive,
    }
}

/// Runs a command that needs no configuration, because the configuration may be the fault; `None` for any other.
fn without_configuration(command: &Command, errors: &Lines) -> Option<Result<(), Failure>> {
    Some(match command {
        Command::Runbook { name } => command::runbook(name.as_deref()),
        Command::Completions { shell } => command::completions(*shell),
        Command::Man { dir } => command::man(dir),
        Command::Token { command: TokenCommand::New { name, role, days, file } } => {
            command::new_token(name, role, *days, file.as_deref(), errors)
        }
        Command::Config { command: ConfigCommand::Sample } => output::write(config::sample()),
        Command::Config { command: ConfigCommand::Reference } => output::write(config::reference()),
        _ => return None,
    })
}

/// Checks the files that an instance would read at its start, and prints the effective configuration.
fn check_config(config: &Config, form: Form) -> Result<(), Failure> {
    if let Some(path) = &config.tokens_file {
        access::check(path)?;
    }
    match form {
        Form::Json => output::line(config::as_json(config)),
        Form::Table => output::write(config::render(config)),
    }
}

/// Whether a command can use the HTTP server of an instance instead of the stores.
fn can_be_remote(command: &Command) -> bool {
    matches!(
        command,
        Command::Status { .. }
            | Command::Why { .. }
            | Command::History { .. }
            | Command::StepDown { .. }
            | Command::Recovery { .. }
            | Command::Signals { .. }
    )
}

/// A failure of an instance whose logs are JSON lines is a record as well: no other line may be among them.
fn as_record(failure: Failure) -> Failure {
    if std::io::stderr().is_terminal() {
        return failure;
    }
    tracing::error!(exit_code = failure.exit_code, "{}", failure.message);
    Failure { message: String::new(), ..failure }
}

/// Loads the configuration. The error has all faults, a line each.
fn configuration(flags: &Flags) -> Result<Config, Failure> {
    config::load_from_process(flags).map_err(|faults| {
        let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
        Failure::usage(lines.join("\n"))
    })
}
