//! The coordinator binary: reads the command line and the configuration, and runs one command.

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
mod stops;
mod telemetry;

use cli::{Cli, Command, ConfigCommand, Flags, RecoveryCommand};
use command::{Extent, Form, Probe, Removable, Wanted};
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
            let outcome = runtime.block_on(carry_out(&cli.chosen(), &cli.flags, errors));
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

/// Carries out a command that needs no configuration: the configuration may be the fault. `None` if it needs one.
fn without_configuration(command: &Command) -> Option<Result<(), Failure>> {
    match command {
        Command::Runbook { name } => Some(command::runbook(name.as_deref())),
        Command::Completions { shell } => Some(command::completions(*shell)),
        Command::Man { dir } => Some(command::man(dir)),
        Command::Config { command: ConfigCommand::Sample } => Some(output::write(config::sample())),
        Command::Config { command: ConfigCommand::Reference } => Some(output::write(config::reference())),
        _ => None,
    }
}

async fn carry_out(command: &Command, flags: &Flags, errors: &Lines) -> Result<(), Failure> {
    if let Some(outcome) = without_configuration(command) {
        return outcome;
    }
    let config = configuration(flags)?;
    let form = |json: bool| if json { Form::Json } else { Form::Table };
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
                command::watch_status(&config, form(*json), extent).await
            } else {
                command::status(&config, form(*json), extent).await
            }
        }
        Command::Why { json } => command::why(&config, form(*json)).await,
        Command::History { limit, json } => command::history(&config, form(*json), *limit).await,
        Command::StepDown { dry_run: true, json, .. } => command::plan_step_down(&config, form(*json)).await,
        Command::StepDown { reason, force, dry_run: _, json } => {
            let reason = reason.as_deref().unwrap_or_default();
            let wanted = if *force { Wanted::Always } else { Wanted::WithSuccessor };
            command::step_down(&config, reason, wanted, form(*json)).await
        }
        Command::Remove { id, reason, force, json } => {
            let removable = if *force { Removable::Ended } else { Removable::Stale };
            command::remove(&config, id, reason, removable, form(*json)).await
        }
        Command::Recovery { command: RecoveryCommand::Check { json } } => {
            command::check_recovery(&config, form(*json)).await
        }
        Command::Recovery { command: RecoveryCommand::Acknowledge { reason, json } } => {
            command::acknowledge_recovery(&config, reason, form(*json)).await
        }
        Command::Signals { command } => command::signals(&config, command).await,
        Command::Hooks { command } => command::hooks(&config, command).await,
        Command::Migrate { check, json } => {
            let how = if *check { Migrate::Check } else { Migrate::Apply };
            command::migrate(&config, how, form(*json)).await
        }
        Command::Doctor { json } => command::doctor(&config, form(*json)).await,
        Command::Health { ready, leader, json } => {
            let probe = match (ready, leader) {
                (true, _) => Probe::Ready,
                (false, true) => Probe::Leader,
                (false, false) => Probe::Alive,
            };
            command::health(&config, probe, form(*json)).await
        }
        Command::Runbook { .. }
        | Command::Completions { .. }
        | Command::Man { .. }
        | Command::Config { command: ConfigCommand::Sample | ConfigCommand::Reference } => Ok(()),
        Command::Config { command: ConfigCommand::Check { json } } => match form(*json) {
            Form::Json => output::line(config::as_json(&config)),
            Form::Table => output::write(config::render(&config)),
        },
    }
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
