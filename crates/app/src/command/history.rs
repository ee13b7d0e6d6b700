//! `coordinator history`: who led, from when to when, and why it ended.

use super::table::{date, table};
use super::{ask, open, print_json};
use crate::command::status::Form;
use crate::config::Config;
use crate::failure::Failure;
use crate::output::line;
use adapter_http::TermJson;
use domain::member::Term;

/// Prints the latest `limit` leaderships, newest first.
pub async fn history(config: &Config, form: Form, limit: u32) -> Result<(), Failure> {
    let stores = open(config)?;
    let answer = ask("the state store", stores.state.history(limit)).await;
    stores.close().await;
    let terms = answer?;
    match form {
        Form::Json => print_json(&terms.iter().map(TermJson::from).collect::<Vec<_>>()),
        Form::Table => line(render(&terms)),
    }
}

fn render(terms: &[Term]) -> String {
    let rows: Vec<Vec<String>> = terms
        .iter()
        .map(|term| {
            vec![
                term.epoch.to_string(),
                term.timeline.0.to_string(),
                term.holder.to_string(),
                term.host.escape_debug().to_string(),
                date(term.from_ms),
                term.to_ms.map_or_else(|| "now".to_owned(), date),
                term.reason.as_deref().unwrap_or_default().escape_debug().to_string(),
            ]
        })
        .collect();
    table(&["EPOCH", "TIMELINE", "HOLDER", "HOST", "FROM (UTC)", "TO", "REASON"], &rows)
}
