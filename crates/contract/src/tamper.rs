//! Direct writes to a store, as an operator or an attacker with its password could make them.

use domain::id::GroupId;
use std::fmt;
use std::time::Duration;

/// The schema's constraints forbid the write: the best answer to a hostile write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused(pub String);

/// A column's new value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// NULL.
    Null,
    /// A whole number.
    Number(i64),
    /// A text without a NUL character.
    Text(String),
}

/// A column of `coordinator_lease`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LeaseColumn {
    /// `tl`, a number.
    Timeline,
    /// `epoch`, a number.
    Epoch,
    /// `claim`; only NULL has the same form in every store.
    Claim,
    /// `seq`, a number.
    Seq,
    /// `holder`, a text.
    Holder,
    /// `released`; only NULL has the same form in every store.
    Released,
    /// `ttl_ms`, a number.
    TtlMs,
    /// `resign`, a text.
    Resign,
}

impl LeaseColumn {
    /// The name of the column.
    pub fn name(self) -> &'static str {
        match self {
            Self::Timeline => "tl",
            Self::Epoch => "epoch",
            Self::Claim => "claim",
            Self::Seq => "seq",
            Self::Holder => "holder",
            Self::Released => "released",
            Self::TtlMs => "ttl_ms",
            Self::Resign => "resign",
        }
    }
}

/// A direct write. `Display` gives one SQL statement that PostgreSQL and SQLite both accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tamper {
    /// Overwrites a column of the group's lease.
    Lease {
        /// The group of the lease.
        group: GroupId,
        /// The column.
        column: LeaseColumn,
        /// The new value.
        value: Value,
    },
    /// Deletes the group's lease.
    DeleteLease {
        /// The group of the lease.
        group: GroupId,
    },
    /// Sets the version of the schema. Affects every group of the database.
    SchemaVersion(u32),
    /// Creates a table of text columns.
    CreateRelation {
        /// Its name, an identifier.
        name: String,
        /// Its columns, identifiers.
        columns: Vec<&'static str>,
    },
    /// Inserts rows; `None` is NULL.
    Insert {
        /// The relation.
        relation: String,
        /// The columns given.
        columns: Vec<&'static str>,
        /// A value for each column, row by row.
        rows: Vec<Vec<Option<String>>>,
    },
}

impl fmt::Display for Tamper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lease { group, column, value } => {
                let column = column.name();
                write!(
                    f,
                    "UPDATE coordinator_lease SET {column} = {value} WHERE group_id = {}",
                    quoted(group.as_str())
                )
            }
            Self::DeleteLease { group } => {
                write!(f, "DELETE FROM coordinator_lease WHERE group_id = {}", quoted(group.as_str()))
            }
            Self::SchemaVersion(version) => write!(f, "UPDATE coordinator_schema SET version = {version}"),
            Self::CreateRelation { name, columns } => {
                write!(f, "CREATE TABLE {name} ({} TEXT)", columns.join(" TEXT, "))
            }
            Self::Insert { relation, columns, rows } => {
                let rows: Vec<String> = rows.iter().map(|row| tuple(row)).collect();
                write!(f, "INSERT INTO {relation} ({}) VALUES {}", columns.join(", "), rows.join(", "))
            }
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(&quoted(text)),
        }
    }
}

fn tuple(row: &[Option<String>]) -> String {
    let values: Vec<String> =
        row.iter().map(|value| value.as_deref().map_or_else(|| "NULL".to_owned(), quoted)).collect();
    format!("({})", values.join(", "))
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A direct write to the leader store's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TicketTamper {
    /// Removes the expiry from the key.
    Persist,
    /// Sets the expiry of the key to this time from now.
    Expire(Duration),
    /// Replaces it with a string that expires.
    Text(Vec<u8>, Duration),
    /// Replaces it with a list.
    List,
}

impl TicketTamper {
    /// The Redis commands for the write to `key`.
    pub fn commands(&self, key: &str) -> Vec<Vec<Vec<u8>>> {
        let millis = |duration: &Duration| duration.as_millis().to_string().into_bytes();
        let key = key.as_bytes().to_vec();
        match self {
            Self::Persist => vec![vec![b"PERSIST".to_vec(), key]],
            Self::Expire(after) => vec![vec![b"PEXPIRE".to_vec(), key, millis(after)]],
            Self::Text(text, after) => {
                vec![vec![b"SET".to_vec(), key, text.clone(), b"PX".to_vec(), millis(after)]]
            }
            Self::List => vec![
                vec![b"DEL".to_vec(), key.clone()],
                vec![b"RPUSH".to_vec(), key, b"not".to_vec(), b"a ticket".to_vec()],
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_in_a_value_stays_inside_it() {
        let group = GroupId::parse("g").unwrap();
        let what = Tamper::Lease { group, column: LeaseColumn::Holder, value: Value::Text("o'neill".into()) };
        assert_eq!(what.to_string(), "UPDATE coordinator_lease SET holder = 'o''neill' WHERE group_id = 'g'");
    }

    #[test]
    fn an_insert_carries_null() {
        let rows = vec![vec![Some("1".to_owned()), None]];
        let what = Tamper::Insert { relation: "p".to_owned(), columns: vec!["a", "b"], rows };
        assert_eq!(what.to_string(), "INSERT INTO p (a, b) VALUES ('1', NULL)");
    }
}
