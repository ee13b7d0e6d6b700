//! The schema of the tables, and statements in which each of our names is qualified with it.
//!
//! Every statement of this crate is made here or is part of the migration, which sets its own search path.
//! The `search_path` of the role, the database or the session therefore has no effect.

use crate::pool::Statement;
use domain::recovery::{RELATION_PART_LEN_MAX, is_relation_part};
use sqlx::AssertSqlSafe;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// Prefix of our tables, sequences and functions. No column and no alias begins with it.
const PREFIX: &str = "coordinator_";

/// Name of a schema, exactly as PostgreSQL stores it (letters keep their case).
///
/// It becomes part of statements. It consists of letters, digits and underscores, and it is quoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaName(String);

/// Error for a text that does not name a schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not the name of a schema: 1 to 63 of A-Z a-z 0-9 _, no digit first, and none of PostgreSQL's own (pg_...)"
)]
pub struct InvalidSchema(pub String);

impl SchemaName {
    /// Parses a name.
    pub fn parse(text: &str) -> Result<Self, InvalidSchema> {
        if is_relation_part(text) && !text.starts_with("pg_") && text != "information_schema" {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidSchema(text.chars().take(2 * RELATION_PART_LEN_MAX).collect()))
        }
    }

    /// The name, unquoted.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `public`, where PostgreSQL creates tables unless another schema is named.
impl Default for SchemaName {
    fn default() -> Self {
        Self("public".to_owned())
    }
}

impl fmt::Display for SchemaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Makes statements on the tables of one schema.
#[derive(Debug)]
pub(crate) struct Names {
    schema: SchemaName,
    /// Each constant statement with its qualified form. The map has at most one entry for each statement of
    /// the crate.
    known: RwLock<HashMap<&'static str, Arc<str>>>,
}

impl Names {
    pub(crate) fn new(schema: SchemaName) -> Self {
        Self { schema, known: RwLock::default() }
    }

    pub(crate) fn schema(&self) -> &SchemaName {
        &self.schema
    }

    /// The statement, qualified.
    pub(crate) fn query<'q>(&self, statement: &'static str) -> Statement<'q> {
        sqlx::query(AssertSqlSafe(self.sql(statement)))
    }

    /// The qualified text.
    pub(crate) fn sql(&self, statement: &'static str) -> Arc<str> {
        // Nothing can panic while the lock is held: a poisoned map is whole.
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).get(statement).cloned();
        known.unwrap_or_else(|| {
            let qualified: Arc<str> = self.qualified(statement).into();
            self.known
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(statement, Arc::clone(&qualified));
            qualified
        })
    }

    /// `statement`, with the quoted schema before every whole word that begins with [`PREFIX`], also in a
    /// literal (`'coordinator_signal_arrival_seq'`), where the server accepts a qualified name too.
    pub(crate) fn qualified(&self, statement: &str) -> String {
        let mut qualified = String::with_capacity(statement.len() + 512);
        let mut rest = statement;
        while let Some(at) = rest.find(PREFIX) {
            let (before, name) = rest.split_at(at);
            qualified.push_str(before);
            let is_in_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let end = name.find(|c: char| !is_in_name(c)).unwrap_or(name.len());
            let begins = !before.ends_with(|c: char| is_in_name(c) || matches!(c, '.' | '"'));
            if begins && end > PREFIX.len() {
                qualified.push('"');
                qualified.push_str(&self.schema.0);
                qualified.push_str("\".");
            }
            qualified.push_str(&name[..end]);
            rest = &name[end..];
        }
        qualified.push_str(rest);
        qualified
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_ours_is_qualified_and_nothing_else() {
        let names = Names::new(SchemaName::parse("Desk_1").unwrap());
        for (statement, expected) in [
            ("SELECT 1 FROM coordinator_lease", r#"SELECT 1 FROM "Desk_1".coordinator_lease"#),
            (
                "coordinator_term AS t, coordinator_term",
                r#""Desk_1".coordinator_term AS t, "Desk_1".coordinator_term"#,
            ),
            ("GROUP BY coordinator_signal.state", r#"GROUP BY "Desk_1".coordinator_signal.state"#),
            ("nextval('coordinator_x_seq')", r#"nextval('"Desk_1".coordinator_x_seq')"#),
            (
                "'coordinator_' || md5('coordinator_lease ' || $1)",
                r#"'coordinator_' || md5('"Desk_1".coordinator_lease ' || $1)"#,
            ),
            (
                "set_config('coordinator.changed_by', $7, true)",
                "set_config('coordinator.changed_by', $7, true)",
            ),
            (
                r#"app.coordinator_lease "coordinator_lease" my_coordinator_lease"#,
                r#"app.coordinator_lease "coordinator_lease" my_coordinator_lease"#,
            ),
        ] {
            assert_eq!(&*names.sql(statement), expected);
            assert_eq!(&*names.sql(statement), expected, "the second time it comes from the map");
        }
    }

    #[test]
    fn only_a_plain_name_is_a_schema() {
        let too_long = "a".repeat(64);
        for text in ["", "a.b", "1a", "a b", "a\"b", "$user", "é", "pg_temp", "information_schema", &too_long]
        {
            assert!(SchemaName::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(SchemaName::parse("Desk").unwrap().as_str(), "Desk");
        assert_eq!(SchemaName::default().as_str(), "public");
    }
}
