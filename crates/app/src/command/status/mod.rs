//! `coordinator status`: the instances, the leader according to both stores, the kill switch and the alerts.

mod json;
mod seen;
mod table;
#[cfg(test)]
mod tests;
mod watch;

pub use table::Extent;

use super::group::Group;
use super::print_json;
use super::terminal::Colour;
use crate::failure::Failure;
use crate::output::line;
use json::StatusJson;
use seen::Seen;

/// Form of an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A table.
    Table,
    /// A JSON object on one line.
    Json,
}

/// Prints the status once; an error unless exactly one live instance leads and acts.
pub async fn status(group: &dyn Group, form: Form, extent: Extent) -> Result<(), Failure> {
    let shown = once(group, form, extent).await;
    group.close().await;
    shown
}

/// Shows the status until it is interrupted: redrawn in place on a terminal, otherwise as JSON lines.
pub async fn watch_status(group: &dyn Group, form: Form, extent: Extent) -> Result<(), Failure> {
    let shown = watch::follow(group, form, extent).await;
    group.close().await;
    shown
}

async fn once(group: &dyn Group, form: Form, extent: Extent) -> Result<(), Failure> {
    let mut seen = Seen::read(group, None).await;
    if let Some(mut failure) = seen.failure.take() {
        failure.message.push_str("\n`coordinator why` says what that means and what to do next");
        return Err(failure);
    }
    match form {
        Form::Json => print_json(&StatusJson::of(&seen))?,
        Form::Table => line(table::render(&seen, extent, Colour::of_stdout()))?,
    }
    match seen.overview.inactive() {
        None => Ok(()),
        Some(reason) => Err(Failure::other(reason)),
    }
}
