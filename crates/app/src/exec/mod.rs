//! `coordinator exec -- CMD`: an instance whose work is a process.
//!
//! | part | subject |
//! |---|---|
//! | this file | the parent: it takes part in the election and starts the command under each leadership |
//! | [`schedule`] | when the command must end; pure |
//! | [`guardian`] | the process that kills the command in time, also if the parent is stopped or dead |
//! | [`ward`], [`message`] | the parent's side of the guardian, and their messages |
//! | [`family`] | all descendants, and the proof that none is left |
//! | [`gate`] | no release of the lease while a process of the command exists |
//! | [`program`] | the command: found, checked, executed |
//!
//! The invariant: another instance can lead only after the lease was released or has expired. The gate lets no
//! release pass while a process of the command exists, and the guardian kills all of them before the deadline.
//! docs/exec.md states what is guaranteed and what is not.

mod family;
mod gate;
mod guardian;
mod message;
mod program;
mod schedule;
mod ward;

use crate::compose;
use crate::config::Config;
use crate::failure::Failure;
use crate::identity::{DataDir, identity};
use crate::run::{failure, start};
use crate::stops::Stops;
use coordinator::clock::{self, Alarm};
use coordinator::{Coordinator, Ended, Leader};
use gate::Gate;
use leader_coordinator::StoreKind;
use message::Message;
use rustix::process::Signal;
use schedule::Timing;
use std::ffi::OsString;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::sync::watch;
use ward::Ward;

/// This program, also after its file was replaced by an upgrade.
const EXECUTABLE: &str = "/proc/self/exe";
/// First argument of the guardian.
const GUARDIAN: &str = "__exec-guardian";
/// First argument of the process that becomes the command.
const COMMAND: &str = "__exec-command";

/// The leaderships under which the command is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Terms {
    /// The first one.
    One,
    /// Every one.
    Every,
}

/// How a command has ended.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// On its own, with this exit code.
    Own(u8),
    /// It was ended, or not started, because the leadership has ended or was about to.
    Over,
    /// It was killed because the guardian did not do its work.
    Failed(String),
}

/// Runs a helper process if the arguments are those of one; the first is the program's name.
pub fn helper(arguments: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    match arguments.get(1)?.to_str()? {
        GUARDIAN => Some(guardian::main(&arguments[2..])),
        COMMAND => Some(program::become_command(arguments.get(2)?, &arguments[3..])),
        _ => None,
    }
}

/// Takes part in the election until the command ends on its own, or until a signal requests a stop.
pub async fn run(config: &Config, command: &[OsString], terms: Terms) -> Result<(), Failure> {
    let refused = |what: &str, error: &dyn std::fmt::Display| Failure::other(format!("{what}: {error}"));
    let mut stops =
        Stops::catch_with(&[Signal::HUP]).map_err(|error| refused("signals cannot be received", &error))?;
    if let Some(name) = command.first() {
        program::check(name)?;
    }
    family::adopt_orphans().map_err(|error| refused("processes cannot be supervised", &error))?;
    let data_dir = DataDir::open(&config.data_dir).map_err(|error| Failure::usage(error.to_string()))?;
    let store = if config.postgres.is_some() { StoreKind::Postgres } else { StoreKind::Sqlite };
    let epochs = data_dir.epochs(store, &config.group).map_err(Failure::usage)?;
    let id = config.instance_id.clone().unwrap_or_else(|| data_dir.instance());
    let identity = identity(config, id).map_err(Failure::other)?;
    let mut stores = compose::stores(config, &data_dir, &identity).map_err(Failure::usage)?;
    let (gate, occupied) = Gate::new(Arc::clone(&stores.state));
    stores.state = Arc::new(gate);
    tracing::info!(
        instance = %identity.id,
        group = %config.group,
        stores = compose::described(config),
        "waiting for leadership to start the command"
    );
    // An instance of `exec` has no page.
    let coordinator = start(config, &stores, "", epochs)?;
    let timing = Timing::new(config.leader_ttl, config.heartbeat);
    let outcome = {
        let mut work = pin!(lead(&coordinator, timing, command, terms, &occupied));
        tokio::select! {
            outcome = &mut work => outcome,
            () = stops.asked() => {
                tracing::info!("stopping: the command is ended first, then the lease is released; a second signal kills the command");
                let stopped = async { tokio::join!(&mut work, coordinator.shutdown()).0 };
                tokio::select! {
                    outcome = stopped => outcome,
                    () = stops.asked() => Err(Ended::Stopped),
                }
            }
        }
    };
    // Nothing is left, unless a second signal has stopped the work.
    family::end_all().await;
    occupied.send_replace(false);
    tokio::select! {
        () = coordinator.shutdown() => {}
        () = stops.asked() => tracing::warn!("stopped at once; the lease expires without a release"),
    }
    stores.close().await;
    match outcome {
        Ok(Outcome::Own(0)) | Err(Ended::Stopped) => Ok(()),
        Ok(Outcome::Own(exit_code)) => Err(Failure { message: String::new(), exit_code }),
        Ok(Outcome::Over) => Err(Failure::other("the leadership has ended, and the command with it")),
        Ok(Outcome::Failed(why)) => Err(Failure::other(why)),
        Err(ended) => Err(failure(&ended)),
    }
}

/// Runs the command under each leadership, and returns when no process of it is left.
async fn lead(
    coordinator: &Coordinator,
    timing: Timing,
    command: &[OsString],
    terms: Terms,
    occupied: &watch::Sender<bool>,
) -> Result<Outcome, Ended> {
    loop {
        let mut outcome = Outcome::Over;
        let ended = coordinator
            .run_until_handed_over(|leader| {
                let outcome = &mut outcome;
                async move {
                    *outcome = supervise(coordinator, &leader, timing, command, occupied).await;
                }
            })
            .await;
        family::end_all().await;
        occupied.send_replace(false);
        ended?;
        if outcome != Outcome::Over || terms == Terms::One {
            return Ok(outcome);
        }
        tracing::info!("the command has ended with the leadership");
    }
}

/// Starts the command and returns when it has ended. If this is dropped, the guardian ends it.
async fn supervise(
    coordinator: &Coordinator,
    leader: &Leader,
    timing: Timing,
    command: &[OsString],
    occupied: &watch::Sender<bool>,
) -> Outcome {
    let failed = |what: &str, error: &std::io::Error| Outcome::Failed(format!("{what}: {error}"));
    let mut seen = coordinator.leadership();
    seen.mark_unchanged();
    let (token, mut permission) = loop {
        let (Ok(token), Ok(deadline)) = (leader.token(), leader.deadline()) else { return Outcome::Over };
        let permission = timing.permission(deadline);
        if clock::now() < permission.term_at {
            break (token, permission);
        }
        // A renewal is late: the command would be ended at once. Without a renewal this future is dropped.
        if seen.changed().await.is_err() {
            return Outcome::Over;
        }
    };
    let mut alarm = match Alarm::new() {
        Ok(alarm) => alarm,
        Err(error) => return failed("no timer", &error),
    };
    occupied.send_replace(true);
    let mut ward = match Ward::start(command, coordinator.id(), &token, permission) {
        Ok(ward) => ward,
        Err(error) => return failed("the command's guardian does not start", &error),
    };
    tracing::info!(epoch = token.epoch.0, "leading: the command is started");
    // The guardian kills first. This process kills both if the guardian was stopped.
    let later = timing.reserve / 2;
    let mut kill_at = permission.kill_at + later;
    let mut stops = false;
    let mut lost = pin!(leader.lost());
    loop {
        tokio::select! {
            biased;
            message = ward.next() => return match message {
                Some(Message::Ended { code, by_itself: true }) => {
                    tracing::info!(code, "the command has ended");
                    Outcome::Own(code)
                }
                Some(_) => Outcome::Over,
                None => Outcome::Failed("the command was killed because its guardian was killed".to_owned()),
            },
            () = &mut lost, if !stops => {
                tracing::info!(epoch = token.epoch.0, "the leadership ends: the command gets SIGTERM");
                stops = true;
                ward.send(Message::Stop(timing.grace));
                kill_at = kill_at.min(clock::now() + timing.grace + later);
            }
            rung = alarm.at(kill_at) => return match rung {
                Ok(()) => {
                    tracing::warn!("the guardian has not killed the command in time; this process kills both");
                    Outcome::Over
                }
                Err(error) => failed("no timer", &error),
            },
            changed = seen.changed(), if !stops => {
                if changed.is_err() {
                    return Outcome::Over;
                }
                let deadline = leader.deadline().ok();
                let later_one = deadline.map(|deadline| timing.permission(deadline));
                if let Some(renewed) = later_one.filter(|renewed| renewed.kill_at > permission.kill_at) {
                    permission = renewed;
                    kill_at = permission.kill_at + later;
                    ward.send(Message::Extend(permission));
                }
            }
        }
    }
}
