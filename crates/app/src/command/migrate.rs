//! `coordinator migrate`: updates or checks the database's schema.

use super::{ask, open};
use crate::compose;
use crate::config::Config;
use crate::failure::Failure;
use crate::output::line;
use domain::SCHEMA_VERSION;
use domain::ports::{Migrate, Schema};

/// Brings the schema up to date, or only prints its state.
pub async fn migrate(config: &Config, how: Migrate) -> Result<(), Failure> {
    let stores = open(config)?;
    let answer = ask("the state store", stores.state.migrate(how)).await;
    stores.close().await;
    match answer? {
        Schema::Current => {
            line(format_args!("schema {SCHEMA_VERSION}: up to date ({})", compose::described(config)))
        }
        Schema::Newer { found } => Err(Failure::usage(format!(
            "the database has schema {found}, this binary writes schema {SCHEMA_VERSION}: use the newer binary"
        ))),
        Schema::Older { found } => Err(Failure::usage(format!(
            "the database has schema {found}, this binary needs {SCHEMA_VERSION}: run `coordinator migrate`"
        ))),
    }
}
