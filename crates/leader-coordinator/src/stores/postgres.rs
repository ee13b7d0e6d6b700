//! PostgreSQL as the database that decides.

use crate::error::OpenError;
use adapter_postgres::{PostgresConfig, PostgresStore, SchemaName};
use domain::identity::Identity;
use domain::recovery::RelationName;
use domain::transport::{Protection, TlsPolicy};
use std::fmt;

/// PostgreSQL. [`Builder::start`](crate::Builder::start) checks the settings; the first connection is made when it is
/// needed. `Debug` shows no password.
#[derive(Clone)]
pub struct Postgres {
    url: String,
    schema: Option<String>,
    relations: Option<[String; 2]>,
    tls: TlsPolicy,
}

impl Postgres {
    /// As libpq has it: `postgres://user:password@host1:5432,host2:5432/database`. Only a primary is used. A server on
    /// another host needs `sslmode=verify-full`; see [`tls`](Self::tls).
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), schema: None, relations: None, tls: TlsPolicy::Required }
    }

    /// Whether a server on another host may be reached without a verified certificate; `Required` unless set.
    #[must_use]
    pub fn tls(self, tls: TlsPolicy) -> Self {
        Self { tls, ..self }
    }

    /// The protection of the connections that `url` leads to. The error is the reason why it cannot be used; it shows no
    /// value of the URL.
    pub fn protection(url: &str) -> Result<Protection, String> {
        adapter_postgres::protection(url).map_err(|fault| fault.reason().to_owned())
    }

    /// What protects a connection to a server on another host.
    pub const REMEDY: &str = "Set up TLS on the server, and put sslmode=verify-full into the URL, with \
                              sslrootcert=FILE for a private authority";

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
        let permitted = Self::protection(&self.url)
            .and_then(|protection| self.tls.permits(&protection, Self::REMEDY, "tls"));
        permitted.map_err(|why| OpenError::refused("PostgreSQL", &why))?;
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
        let Self { url: _, schema, relations, tls } = self;
        f.debug_struct("Postgres")
            .field("schema", schema)
            .field("relations", relations)
            .field("tls", tls)
            .finish_non_exhaustive()
    }
}
