//! Checks whether a database can hold a group, before the schema is checked: its encoding, the functions that
//! return the timeline, the pooler in front of it, missing tables, and the same group in another schema.
//!
//! Each refusal is [`StoreError::Corrupt`], which ends the start, and names the remedy: waiting would not
//! help.

use crate::error;
use crate::hosts::Hosts;
use crate::row::Columns;
use crate::state_store::Process;
use domain::ports::StoreError;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection, Executor, Row};

const ENCODING: &str = "SELECT getdatabaseencoding() AS encoding, current_database() AS name";

/// The functions that return the timeline; NULL: the server does not have the function.
///
/// There is no other source. After a promotion, `pg_control_checkpoint()` still returns the former timeline
/// until the first checkpoint has ended, and in that time a token of the former primary would pass the fence.
const FUNCTIONS: &str = "\
    SELECT name, has_function_privilege(to_regprocedure(name), 'EXECUTE') AS allowed, quote_ident(current_user) AS role
    FROM unnest(ARRAY['pg_catalog.pg_current_wal_lsn()', 'pg_catalog.pg_walfile_name(pg_lsn)']) AS name";

/// Every other table with the name of the lease table, and whether this role can read its groups.
const ELSEWHERE: &str = "\
    SELECT n.nspname AS schema, quote_ident(n.nspname) AS quoted,
           has_schema_privilege(n.oid, 'USAGE')
           AND coalesce(has_column_privilege(c.oid, a.attnum, 'SELECT'), false) AS readable
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'group_id' AND NOT a.attisdropped
    WHERE c.relname = 'coordinator_lease' AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
      AND n.nspname <> $1
    ORDER BY n.nspname";

/// The tables of the current version of the schema.
const TABLES: [&str; 8] = [
    "coordinator_lease",
    "coordinator_member",
    "coordinator_term",
    "coordinator_signal",
    "coordinator_dispatch",
    "coordinator_audit",
    "coordinator_decision",
    "coordinator_schema",
];
/// $1 names, $2 schema.
const MISSING: &str = "\
    SELECT name FROM unnest($1::text[]) AS name
    WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_class AS c
                      WHERE c.relname = name AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $2))";

/// $1 names, $2 schema. Whether those that cannot be made up are there in the current version, by columns that it brought.
const REMAINING: &str = "\
    SELECT count(DISTINCT c.relname) AS tables,
           count(DISTINCT c.relname) FILTER (WHERE (c.relname, a.attname) IN (('coordinator_lease', 'successor'),
               ('coordinator_audit', 'number'), ('coordinator_signal', 'folded'))) = 3 AS current
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE n.nspname = $2 AND c.relname = ANY ($1::text[])";

/// $1 schema. The tables of ours that remain.
const LEFT: &str = "\
    SELECT (SELECT coalesce(string_agg(format('%I.%I', $1::text, relname), ', ' ORDER BY relname), '')
            FROM pg_catalog.pg_class WHERE relnamespace = n.oid AND relkind IN ('r', 'p')
              AND relname LIKE 'coordinator\\_%') AS tables,
           (SELECT coalesce(string_agg(format('%I.%I', $1::text, proname), ', ' ORDER BY proname), '')
            FROM pg_catalog.pg_proc WHERE pronamespace = n.oid AND proname LIKE 'coordinator\\_%') AS functions
    FROM pg_catalog.pg_namespace AS n WHERE n.nspname = $1";

/// Refuses a database whose encoding or whose timeline is unsuitable.
pub(crate) async fn is_suitable(connection: &mut PgConnection) -> Result<(), StoreError> {
    has_encoding(connection).await?;
    has_timeline(connection).await
}

/// Refuses a database that cannot store every character.
pub(crate) async fn has_encoding(connection: &mut PgConnection) -> Result<(), StoreError> {
    let row = sqlx::query(ENCODING).fetch_one(&mut *connection).await;
    let row = row.map_err(|error| error::after_sending(&error))?;
    let columns = Columns::of("pg_database", &row);
    let (encoding, name): (&str, &str) = (columns.required("encoding")?, columns.required("name")?);
    if encoding != "UTF8" {
        return Err(StoreError::Corrupt(format!(
            "database {name} has encoding {encoding}, which cannot store every character of a result: \
             create one with CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0, and use that"
        )));
    }
    Ok(())
}

/// Refuses a role that cannot read the timeline.
pub(crate) async fn has_timeline(connection: &mut PgConnection) -> Result<(), StoreError> {
    let rows = sqlx::query(FUNCTIONS).fetch_all(&mut *connection).await;
    for row in rows.map_err(|error| error::after_sending(&error))? {
        let columns = Columns::of("pg_proc", &row);
        let (function, role): (&str, &str) = (columns.required("name")?, columns.required("role")?);
        match columns.optional("allowed")? {
            Some(true) => {}
            Some(false) => {
                return Err(StoreError::Corrupt(format!(
                    "this role may not execute {function}, which returns the timeline: \
                     GRANT EXECUTE ON FUNCTION {function} TO {role} (no other function returns it in time)"
                )));
            }
            None => {
                return Err(StoreError::Corrupt(format!(
                    "this server has no function {function}, which returns the timeline: use a server that has it"
                )));
            }
        }
    }
    Ok(())
}

/// Refuses a group that the same database has in another schema: each would have its own leader.
pub(crate) async fn is_nowhere_else(connection: &mut PgConnection, me: &Process) -> Result<(), StoreError> {
    let (group, ours) = (&me.identity.group, me.names.schema());
    let rows = sqlx::query(ELSEWHERE).bind(ours.as_str()).fetch_all(&mut *connection).await;
    for row in rows.map_err(|error| error::after_sending(&error))? {
        let columns = Columns::of("pg_namespace", &row);
        let (schema, quoted): (&str, &str) = (columns.required("schema")?, columns.required("quoted")?);
        if !columns.required::<bool>("readable")? {
            return Err(StoreError::Corrupt(format!(
                "schema {schema} of this database has a coordinator_lease that this role cannot read, so group \
                 {group} may be there and in schema {ours}: if it is there, set postgres.schema = \"{schema}\"; if not, \
                 GRANT USAGE ON SCHEMA {quoted} and SELECT (group_id) ON {quoted}.coordinator_lease to this role"
            )));
        }
        let there = format!(
            "SELECT EXISTS (SELECT FROM {quoted}.coordinator_lease WHERE group_id::text = $1) AS there"
        );
        let row = sqlx::query(AssertSqlSafe(there)).bind(group.as_str()).fetch_one(&mut *connection).await;
        let row = row.map_err(|error| error::after_sending(&error))?;
        if Columns::of("coordinator_lease", &row).required("there")? {
            return Err(StoreError::Corrupt(format!(
                "group {group} is in schema {schema} of this database, and this instance is set to schema {ours}: two \
                 leaders would be possible. Set postgres.schema = \"{schema}\", or choose another group; if the group \
                 in {schema} is no longer used, delete its row of {quoted}.coordinator_lease"
            )));
        }
    }
    Ok(())
}

/// What there is of our tables where the version's table is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remains {
    /// No table, as before the first migration. Functions may have outlived theirs.
    Nothing,
    /// The tables that hold what cannot be made up, in the current version.
    WhatMatters,
    /// Others of our tables.
    Part,
}

/// Answers for a schema without `coordinator_schema`.
pub(crate) async fn remains(connection: &mut PgConnection, me: &Process) -> Result<Remains, StoreError> {
    let schema = me.names.schema();
    let query = sqlx::query(REMAINING).bind(&TABLES[..]).bind(schema.as_str());
    let row = query.fetch_one(connection).await.map_err(|error| error::after_sending(&error))?;
    let columns = Columns::of("pg_class", &row);
    let (tables, current): (i64, bool) = (columns.required("tables")?, columns.required("current")?);
    Ok(match usize::try_from(tables) {
        Ok(0) => Remains::Nothing,
        Ok(_) | Err(_) if current => Remains::WhatMatters,
        Ok(_) | Err(_) => Remains::Part,
    })
}

/// The tables that a schema of the current version has lost.
pub(crate) async fn missing(
    connection: &mut PgConnection,
    me: &Process,
) -> Result<Vec<&'static str>, StoreError> {
    let schema = me.names.schema();
    let rows = sqlx::query(MISSING).bind(&TABLES[..]).bind(schema.as_str()).fetch_all(&mut *connection).await;
    let rows = rows.map_err(|error| error::after_sending(&error))?;
    let missing: Vec<String> =
        rows.iter().map(|row| Columns::of("pg_class", row).required("name")).collect::<Result<_, _>>()?;
    Ok(TABLES.into_iter().filter(|table| missing.iter().any(|name| name == table)).collect())
}

/// Refuses a schema of the current version that has lost a table. The version says that there is nothing to migrate, and
/// what was in the table cannot be made up.
pub(crate) async fn is_whole(connection: &mut PgConnection, me: &Process) -> Result<(), StoreError> {
    let schema = me.names.schema();
    let missing = missing(connection, me).await?;
    if missing.is_empty() {
        return Ok(());
    }
    let row = sqlx::query(LEFT).bind(schema.as_str()).fetch_one(connection).await;
    let row = row.map_err(|error| error::after_sending(&error))?;
    let columns = Columns::of("pg_class", &row);
    let (tables, functions): (&str, &str) = (columns.required("tables")?, columns.required("functions")?);
    let mut drop = format!("DROP TABLE {tables} CASCADE");
    if !functions.is_empty() {
        drop = format!("{drop}; DROP FUNCTION {functions}");
    }
    Err(StoreError::Corrupt(format!(
        "schema {schema} has lost {}, and `coordinator migrate` cannot bring back what was in it. Stop every instance and \
         restore the database from its latest backup. Without a backup `{drop}` lets `coordinator migrate` create them \
         empty: every signal is forgotten then. Keep the data \
         directories of the instances: with them the next epoch is above every one that was given out",
        missing.join(", ")
    )))
}

/// Refuses a pooler that gives the session to another client between two statements: timeouts, warnings,
/// hints and transactions of one request would affect another.
///
/// Two connections are open at the same time. If one of them ever has the server process of the other, or its
/// own changes, sessions are shared. The check uses only statements without parameters: prepared ones fail at
/// such a pooler.
pub(crate) async fn has_sessions(hosts: &Hosts, connection: &mut PgConnection) -> Result<(), StoreError> {
    for _ in 0..POOLER_PROBES {
        let (mut other, _) = hosts.connect_plainly().await?;
        let probed = async {
            let before = process(connection).await?;
            other.execute(sqlx::raw_sql("BEGIN")).await?;
            let (theirs, after) = (process(&mut other).await?, process(connection).await?);
            other.execute(sqlx::raw_sql("ROLLBACK")).await?;
            Ok::<_, sqlx::Error>(before != theirs && before == after)
        };
        let probed = probed.await;
        // The connection holds nothing, so a failure to close it has no effect.
        let _ = other.close().await;
        match probed {
            Ok(true) => {}
            Ok(false) => return Err(StoreError::Corrupt(POOLER.to_owned())),
            // In statement mode a transaction is not allowed.
            Err(sqlx::Error::Database(reported)) if reported.code().as_deref() == Some("08P01") => {
                return Err(StoreError::Corrupt(format!("{}: {POOLER}", reported.message())));
            }
            Err(error) => return Err(error::after_sending(&error)),
        }
    }
    Ok(())
}

/// Number of probes. Traffic of the pooler's other clients may hide a shared session from one probe.
const POOLER_PROBES: usize = 2;
/// Message for a pooler in the wrong mode.
pub(crate) const POOLER: &str = "the connection goes through a pooler in transaction or statement mode (PgBouncer's \
    pool_mode), which hands one server session to several clients: set pool_mode = session for this database, or connect \
    to PostgreSQL directly";

async fn process(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    let row: PgRow = connection.fetch_one(sqlx::raw_sql("SELECT pg_backend_pid() AS process")).await?;
    row.try_get("process")
}
