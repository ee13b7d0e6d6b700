//! Commands that read or change the group through its stores, whether instances run or not.

mod demo;
mod doctor;
mod facts;
mod group;
mod health;
mod history;
mod hooks;
mod ids;
mod migrate;
mod packaging;
mod recovery;
mod remove;
mod runbook;
mod signals;
mod status;
mod step_down;
mod table;
mod terminal;
mod token;
mod why;

pub use demo::{TTL as DEMO_TTL, demo};
pub use doctor::doctor;
pub use group::{Condition, open as open_group};
pub use health::{Probe, health};
pub use history::history;
pub use hooks::hooks;
pub use migrate::migrate;
pub use packaging::{completions, man};
pub use recovery::{acknowledge_recovery, check_recovery};
pub use remove::{Removable, remove};
pub use runbook::runbook;
pub use signals::signals;
pub use status::{Extent, Form, status, watch_status};
pub use step_down::{plan_step_down, step_down};
pub use token::new_token;
pub use why::why;

use crate::compose;
use crate::config::Config;
use crate::failure::Failure;
use crate::identity::{database_in, identity};
use crate::output::line;
use domain::id::InstanceId;
use domain::ports::StoreError;
use leader_coordinator::Stores;
use std::time::Duration;
use tokio::time::timeout;

/// Timeout for an answer of a store; an operator waits for the command.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);

/// Opens the stores under a temporary id, because this process takes no part in the election. Creates nothing, so
/// an embedded store that is missing is an error.
fn open(config: &Config) -> Result<Stores, Failure> {
    let database = database_in(&config.data_dir);
    // If it cannot be known, the store reports why.
    if config.postgres.is_none() && !database.try_exists().unwrap_or(true) {
        return Err(Failure::other(format!(
            "there is no state store {}: no instance has run with this data directory. Choose another one with \
             --data-dir, or name PostgreSQL with --postgres",
            database.display()
        )));
    }
    open_or_create(config)
}

/// As [`open`], for a command that may create the embedded store.
fn open_or_create(config: &Config) -> Result<Stores, Failure> {
    let id = InstanceId::parse(&format!("command-{}", std::process::id())).expect("a word and a number");
    let identity = identity(config, id).map_err(Failure::other)?;
    compose::existing_stores(config, &identity).map_err(Failure::usage)
}

/// The answer of a store, or a failure that names the store that failed or did not answer in time.
async fn ask<T>(what: &str, answer: impl Future<Output = Result<T, StoreError>>) -> Result<T, Failure> {
    match timeout(ANSWER_TIME_MAX, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Failure::other(format!("{what}: {error}"))),
        Err(_) => Err(Failure::other(format!("{what}: no answer within {ANSWER_TIME_MAX:?}"))),
    }
}

/// Prints a value as JSON on one line.
fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(|error| Failure::other(error.to_string()))?;
    line(text)
}
