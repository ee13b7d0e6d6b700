//! The relations that crash recovery reads, by name.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;

/// Longest part of a name, in bytes: PostgreSQL cuts longer ones without an error.
pub const RELATION_PART_LEN_MAX: usize = 63;

/// A table or view, `name` or `schema.name`, exactly as the database stores it (letters keep their case).
///
/// The only text of a user that becomes part of a statement. Its parts are letters, digits and underscores, so an adapter
/// can put each part between quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelationName {
    schema: Option<String>,
    name: String,
}

/// A text does not name a relation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a relation: `name` or `schema.name`, each 1 to 63 of A-Z a-z 0-9 _ and no digit first")]
pub struct InvalidRelationName(pub String);

impl RelationName {
    /// Name of the positions unless configured. The migration creates this relation if it does not exist.
    pub const POSITIONS_DEFAULT: &'static str = "portfolio_positions";
    /// Name of the portfolio row's relation unless configured. The migration creates this relation if it does not exist.
    pub const PORTFOLIO_DEFAULT: &'static str = "portfolio_state";

    /// Parses `name` or `schema.name`.
    pub fn parse(text: &str) -> Result<Self, InvalidRelationName> {
        let (schema, name) = match text.split_once('.') {
            Some((schema, name)) => (Some(schema), name),
            None => (None, text),
        };
        if schema.is_none_or(is_relation_part) && is_relation_part(name) {
            Ok(Self { schema: schema.map(str::to_owned), name: name.to_owned() })
        } else {
            // The error is printed: it shows the start of the text, never megabytes of it.
            Err(InvalidRelationName(text.chars().take(2 * RELATION_PART_LEN_MAX).collect()))
        }
    }

    /// [`POSITIONS_DEFAULT`](Self::POSITIONS_DEFAULT).
    pub fn positions_default() -> Self {
        Self { schema: None, name: Self::POSITIONS_DEFAULT.to_owned() }
    }

    /// [`PORTFOLIO_DEFAULT`](Self::PORTFOLIO_DEFAULT).
    pub fn portfolio_default() -> Self {
        Self { schema: None, name: Self::PORTFOLIO_DEFAULT.to_owned() }
    }

    /// The part before the dot.
    pub fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// The part behind the dot, or all of it.
    pub fn name(&self) -> &str {
        &self.name
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

/// Whether a text can be quoted without an escape and names what the database stores.
pub fn is_relation_part(text: &str) -> bool {
    text.len() <= RELATION_PART_LEN_MAX
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_relation_has_a_name_and_perhaps_a_schema() {
        for (text, schema, name) in
            [("order", None, "order"), ("_x", None, "_x"), ("Desk.open_2", Some("Desk"), "open_2")]
        {
            let relation = RelationName::parse(text).unwrap();
            assert_eq!((relation.schema(), relation.name()), (schema, name));
            assert_eq!(relation.to_string(), text);
        }
        assert!(RelationName::parse(&"a".repeat(RELATION_PART_LEN_MAX)).is_ok());
        for (default, text) in [
            (RelationName::positions_default(), RelationName::POSITIONS_DEFAULT),
            (RelationName::portfolio_default(), RelationName::PORTFOLIO_DEFAULT),
        ] {
            assert_eq!(RelationName::parse(text), Ok(default));
        }
    }

    #[test]
    fn a_text_that_could_be_more_than_a_name_is_refused() {
        let too_long = "a".repeat(RELATION_PART_LEN_MAX + 1);
        for text in ["", ".", "a.", ".a", "a.b.c", "1a", "a b", "a\"b", "a;b", "a--", "é", too_long.as_str()]
        {
            assert!(RelationName::parse(text).is_err(), "{text:?}");
        }
    }
}
