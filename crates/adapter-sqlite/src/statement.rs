//! A statement that can be run again.

use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments, Encode, SqlSafeStr, SqlStr, Sqlite, Type};

/// SQL and its arguments. sqlx's own query is used up by one attempt; a busy file asks for several.
pub(crate) struct Statement {
    sql: SqlStr,
    arguments: SqliteArguments,
}

impl Statement {
    pub(crate) fn new(sql: impl SqlSafeStr) -> Self {
        Self { sql: sql.into_sql_str(), arguments: SqliteArguments::default() }
    }

    /// The next argument: ?1, ?2 and so on.
    pub(crate) fn bind<'t>(mut self, value: impl Encode<'t, Sqlite> + Type<Sqlite>) -> Self {
        self.arguments.add(value).expect("numbers and texts can always be encoded");
        self
    }

    /// One attempt. Texts are shared, not copied.
    pub(crate) fn query(&self) -> Query<'static, Sqlite, SqliteArguments> {
        sqlx::query_with(self.sql.clone(), self.arguments.clone())
    }
}
