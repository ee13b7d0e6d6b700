//! PostgreSQL as the database that decides.

use crate::error::OpenError;
use adapter_postgres::{PostgresConfig, PostgresStore, SchemaName};
use domain::identity::Identity;
use domain::recovery::RelationName;
use std::fmt;

/// PostgreSQL. [`Builder::start`](crate::Builder::start) checks the settings; the first connection is made when it is
/// needed. `Debug` shows no password.
#[derive(Clone)]
pub struct Postgres {
    url: String,
    schema: Option<String>,
    relations: Option<[String; 2]>,
}

impl Postgres {
    /// As libpq has it: `postgres://user:password@host1:5432,host2:5432/database`. Only a primary is used.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), schema: None, relations: None }
    }

    /// Whether `url` can be used. The error is the reason; it shows no value of the URL.
    pub fn check_url(url: &str) -> Result<(), String> {
        adapter_postgres::check_url(url).map_err(|fault| fault.reason().to_owned())
    }

    /// The schema of the tables; `public` unless set.
    #[must_use]
    pub fn schema(self, name: impl Into<String>) -> Self {
        Self { schema: Some(name.into()), ..self }
    }

    /// The tables or views that the recovery of a portfolio reads, `name` or `schema.name`; `portfolio_positions` and
    /// `portfolio_state` unless set.
    #[must_use]
    pub fn portfolio_relations(self, positions: impl Into<String>, portfolio: impl Into<String>) -> Self {
        Self { relations: Some([positions.into(), portfolio.into()]), ..self }
    }

    pub(crate) fn open(&self, identity: &Identity) -> Result<PostgresStore, OpenError> {
        let mut config = PostgresConfig::new(&self.url, identity.clone());
        if let Some(schema) = &self.schema {
            config.schema = SchemaName::parse(schema).map_err(OpenError::because)?;
        }
        if let Some([positions, portfolio]) = &self.relations {
            config.positions = RelationName::parse(positions).map_err(OpenError::because)?;
            config.portfolio = RelationName::parse(portfolio).map_err(OpenError::because)?;
        }
        PostgresStore::new(config).map_err(OpenError::because)
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url: _, schema, relations } = self;
        f.debug_struct("Postgres")
            .field("schema", schema)
            .field("relations", relations)
            .finish_non_exhaustive()
    }
}
