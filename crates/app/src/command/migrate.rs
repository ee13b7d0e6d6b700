//! `coordinator migrate`: updates or checks the database's schema.

use super::{Form, ask, open_or_create, print_json};
use crate::compose;
use crate::config::Config;
use crate::failure::Failure;
use crate::identity::DataDir;
use crate::output::line;
use domain::SCHEMA_VERSION;
use domain::ports::{Migrate, Schema};
use serde::Serialize;

#[derive(Serialize)]
struct MigrateJson {
    /// `current`, `older` or `newer` than this binary.
    state: &'static str,
    found: u32,
    needed: u32,
    store: String,
}

/// Brings the schema up to date, or only prints its state.
pub async fn migrate(config: &Config, how: Migrate, form: Form) -> Result<(), Failure> {
    if how == Migrate::Apply && config.postgres.is_none() {
        // The embedded store is in it, and only its owner may read it.
        DataDir::open(&config.data_dir).map_err(|error| Failure::usage(error.to_string()))?;
    }
    let stores = open_or_create(config)?;
    let answer = ask("the state store", stores.state.migrate(how)).await;
    stores.close().await;
    let schema = answer?;
    let (state, found) = match schema {
        Schema::Current => ("current", SCHEMA_VERSION),
        Schema::Newer { found } => ("newer", found),
        Schema::Older { found } => ("older", found),
    };
    let store = compose::described(config);
    match (form, schema) {
        (Form::Json, _) => print_json(&MigrateJson { state, found, needed: SCHEMA_VERSION, store })?,
        (Form::Table, Schema::Current) => {
            line(format_args!("schema {SCHEMA_VERSION}: up to date ({store})"))?;
        }
        (Form::Table, _) => {}
    }
    match schema {
        Schema::Current => Ok(()),
        Schema::Newer { found } => Err(Failure::usage(format!(
            "the database has schema {found}, this binary writes schema {SCHEMA_VERSION}: use the newer binary"
        ))),
        Schema::Older { found } => Err(Failure::usage(format!(
            "the database has schema {found}, this binary needs {SCHEMA_VERSION}: run `coordinator migrate`"
        ))),
    }
}
