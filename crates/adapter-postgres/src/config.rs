//! [`PostgresConfig`]: the identity of this process, its database, and the names of the relations. Every name
//! that becomes part of a statement is checked here.

use crate::hosts;
use crate::names::SchemaName;
use domain::identity::Identity;
use domain::recovery::RelationName;
use std::fmt;

/// Configuration of a [`PostgresStore`](crate::PostgresStore). `Debug` shows no password.
#[derive(Clone)]
pub struct PostgresConfig {
    /// URL in libpq's form:
    /// `postgres://user:password@host1:5432,host2:5432/db?target_session_attrs=read-write`. The store tries
    /// the hosts in turn and accepts only a primary, whatever `target_session_attrs` says.
    pub url: String,
    /// The process that opens the store. Its LEADER_TTL bounds how long a statement of the election may take or hold a
    /// lock.
    pub identity: Identity,
    /// Schema of the lease and of all other tables. What `search_path` says plays no part.
    pub schema: SchemaName,
    /// Relation of the open positions. A name without a schema is in [`schema`](Self::schema).
    pub positions: RelationName,
    /// Relation of the portfolio row. A name without a schema is in [`schema`](Self::schema).
    pub portfolio: RelationName,
}

impl PostgresConfig {
    /// The database at `url` with the default schema and the default relations of recovery.
    pub fn new(url: impl Into<String>, identity: Identity) -> Self {
        Self {
            url: url.into(),
            identity,
            schema: SchemaName::default(),
            positions: RelationName::positions_default(),
            portfolio: RelationName::portfolio_default(),
        }
    }
}

impl fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresConfig")
            .field("url", &hosts::without_secrets(&self.url))
            .field("identity", &self.identity)
            .field("schema", &self.schema)
            .field("positions", &self.positions)
            .field("portfolio", &self.portfolio)
            .finish()
    }
}

/// As a statement has it: every part in double quotes. A name alone is in `schema`.
pub(crate) fn quoted(relation: &RelationName, schema: &SchemaName) -> String {
    match relation.schema() {
        Some(schema) => format!("\"{schema}\".\"{}\"", relation.name()),
        None => format!("\"{schema}\".\"{}\"", relation.name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::id::{GroupId, InstanceId, Nonce};
    use domain::lease::TTL_DEFAULT;

    #[test]
    fn a_relation_is_quoted_part_by_part() {
        let schema = SchemaName::parse("Ours").unwrap();
        assert_eq!(quoted(&RelationName::parse("positions").unwrap(), &schema), r#""Ours"."positions""#);
        assert_eq!(quoted(&RelationName::parse("Desk.open_2").unwrap(), &schema), r#""Desk"."open_2""#);
    }

    #[test]
    fn debug_shows_no_password() {
        let identity = Identity {
            group: GroupId::parse("g").unwrap(),
            id: InstanceId::parse("i").unwrap(),
            nonce: Nonce::new(1),
            host: "here".to_owned(),
            ttl: TTL_DEFAULT,
        };
        let config = PostgresConfig::new("postgres://u:s3cret@h:1/d?password=s3cret", identity);
        let shown = format!("{config:?}");
        assert!(!shown.contains("s3cret"), "{shown}");
        assert!(shown.contains("h:1"), "{shown}");
    }
}
