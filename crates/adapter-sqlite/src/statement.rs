//! [`Statement`]: a statement that can be run several times.

use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments, Encode, SqlSafeStr, SqlStr, Sqlite, Type};

/// SQL with its arguments. sqlx's own query can be run only once, and a busy file needs several attempts.
pub(crate) struct Statement {
    sql: SqlStr,
    arguments: SqliteArguments,
}

impl Statement {
    pub(crate) fn new(sql: impl SqlSafeStr) -> Self {
        Self { sql: sql.into_sql_str(), arguments: SqliteArguments::default() }
    }

    /// Adds the next argument: ?1, ?2 and so on.
    pub(crate) fn bind<'t>(mut self, value: impl Encode<'t, Sqlite> + Type<Sqlite>) -> Self {
        self.arguments.add(value).expect("numbers and texts can always be encoded");
        self
    }

    /// A query for one attempt. Texts are shared, not copied.
    pub(crate) fn query(&self) -> Query<'static, Sqlite, SqliteArguments> {
        sqlx::query_with(self.sql.clone(), self.arguments.clone())
    }
}
