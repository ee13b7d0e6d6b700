//! [`PostgresConfig`]: the identity of this process, its database, and the names of the relations. Every name
//! that becomes part of a statement is checked here.

use crate::hosts;
use crate::names::SchemaName;
use domain::id::{GroupId, InstanceId, Nonce};
use std::fmt;
use std::time::Duration;

/// Longest identifier that PostgreSQL keeps, in bytes. It truncates longer ones without an error.
pub(crate) const IDENTIFIER_LEN_MAX: usize = 63;

/// Configuration of a [`PostgresStore`](crate::PostgresStore). `Debug` shows no password.
#[derive(Clone)]
pub struct PostgresConfig {
    /// URL in libpq's form:
    /// `postgres://user:password@host1:5432,host2:5432/db?target_session_attrs=read-write`. The store tries
    /// the hosts in turn and accepts only a primary, whatever `target_session_attrs` says.
    pub url: String,
    /// Election group of this process.
    pub group: GroupId,
    /// Id of this instance.
    pub id: InstanceId,
    /// Nonce of this start of the process.
    pub nonce: Nonce,
    /// Host of this process, shown in the history.
    pub host: String,
    /// LEADER_TTL. It bounds how long a statement of the election may run or hold a lock.
    pub ttl: Duration,
    /// Schema of the lease and of all other tables; `search_path` has no effect.
    pub schema: SchemaName,
    /// Relation with the open positions.
    pub positions: RelationName,
    /// Relation with the portfolio row.
    pub portfolio: RelationName,
}

impl fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresConfig")
            .field("url", &hosts::without_secrets(&self.url))
            .field("group", &self.group)
            .field("id", &self.id)
            .field("nonce", &self.nonce)
            .field("host", &self.host)
            .field("ttl", &self.ttl)
            .field("schema", &self.schema)
            .field("positions", &self.positions)
            .field("portfolio", &self.portfolio)
            .finish()
    }
}

/// Name of a table or view, `name` or `schema.name`, exactly as PostgreSQL stores it (letters keep their
/// case). A `name` without a schema is in [`PostgresConfig::schema`].
///
/// It is the only text that becomes part of a statement. Its parts are letters, digits and underscores, and
/// they are quoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelationName {
    schema: Option<String>,
    name: String,
}

/// Error for a text that does not name a relation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a relation: `name` or `schema.name`, each 1 to 63 of A-Z a-z 0-9 _ and no digit first")]
pub struct InvalidRelation(pub String);

impl RelationName {
    /// Parses `name` or `schema.name`.
    pub fn parse(text: &str) -> Result<Self, InvalidRelation> {
        let (schema, name) = match text.split_once('.') {
            Some((schema, name)) => (Some(schema), name),
            None => (None, text),
        };
        if schema.is_none_or(is_identifier) && is_identifier(name) {
            Ok(Self { schema: schema.map(str::to_owned), name: name.to_owned() })
        } else {
            Err(InvalidRelation(text.chars().take(2 * IDENTIFIER_LEN_MAX).collect()))
        }
    }

    /// The name for a statement: every part in double quotes. A name without a schema is in `schema`.
    pub(crate) fn quoted(&self, schema: &SchemaName) -> String {
        match &self.schema {
            Some(schema) => format!("\"{schema}\".\"{}\"", self.name),
            None => format!("\"{schema}\".\"{}\"", self.name),
        }
    }
}

impl fmt::Display for RelationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Whether PostgreSQL stores the quoted text unchanged.
pub(crate) fn is_identifier(text: &str) -> bool {
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    starts_well
        && text.len() <= IDENTIFIER_LEN_MAX
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relation_is_quoted_part_by_part() {
        let schema = SchemaName::parse("Ours").unwrap();
        assert_eq!(RelationName::parse("positions").unwrap().quoted(&schema), r#""Ours"."positions""#);
        assert_eq!(RelationName::parse("Desk.open_2").unwrap().quoted(&schema), r#""Desk"."open_2""#);
    }

    #[test]
    fn a_text_that_is_more_than_a_name_is_refused() {
        let too_long = "a".repeat(64);
        for text in ["", ".", "a.", ".a", "a.b.c", "1a", "a b", "a\"b", "a;b", "a--", "é", too_long.as_str()]
        {
            assert!(RelationName::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn debug_shows_no_password() {
        let config = PostgresConfig {
            url: "postgres://u:s3cret@h:1/d?password=s3cret".to_owned(),
            group: GroupId::parse("g").unwrap(),
            id: InstanceId::parse("i").unwrap(),
            nonce: Nonce::new(1),
            host: "here".to_owned(),
            ttl: Duration::from_secs(10),
            schema: SchemaName::default(),
            positions: RelationName::parse("p").unwrap(),
            portfolio: RelationName::parse("q").unwrap(),
        };
        let shown = format!("{config:?}");
        assert!(!shown.contains("s3cret"), "{shown}");
        assert!(shown.contains("h:1"), "{shown}");
    }
}
