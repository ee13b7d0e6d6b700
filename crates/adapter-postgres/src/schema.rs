//! The schema and its version.
//!
//! The version is a row in a table of ours and not sqlx's migration table, because the database may belong to
//! an application that uses sqlx's table for its own migrations.

use crate::database::{self, Remains};
use crate::error;
use crate::fence::timeline;
use crate::hosts::Hosts;
use crate::pool::Lane;
use crate::row::{self, Columns};
use crate::state_store::Process;
use domain::SCHEMA_VERSION;
use domain::ports::{Migrate, Schema, StoreError};
use domain::recovery::RelationName;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor};

/// One list of statements per version. The first creates version 1 in an empty schema.
const MIGRATIONS: [&str; SCHEMA_VERSION as usize] = [
    include_str!("../migrations/0001_coordinator.sql"),
    include_str!("../migrations/0002_signals.sql"),
    include_str!("../migrations/0003_forgotten_and_settings.sql"),
    include_str!("../migrations/0004_decisions.sql"),
    include_str!("../migrations/0005_hooks.sql"),
    include_str!("../migrations/0006_successor_and_latency.sql"),
];

/// In the form of the current version, which the migrations gave them.
const REPAIRS: [(&str, &str); 4] = [
    ("coordinator_member", include_str!("../migrations/repair_member.sql")),
    ("coordinator_term", include_str!("../migrations/repair_term.sql")),
    ("coordinator_dispatch", include_str!("../migrations/repair_dispatch.sql")),
    ("coordinator_decision", include_str!("../migrations/0004_decisions.sql")),
];

/// Advisory lock that serialises the migrations of all groups of a database: "coordina" in ASCII.
const LOCK: i64 = 0x636f_6f72_6469_6e61;

/// READ COMMITTED (set on every session): each statement after the lock sees what the previous holder of the
/// lock committed. The timeouts allow for one migration while others wait for it; the election does not use
/// them.
const BEGIN: &str = "BEGIN; SET LOCAL lock_timeout = '30s'; SET LOCAL statement_timeout = '30s'";

/// The migration's statements name no schema. This statement sets the schema for the migration's transaction,
/// whatever the role's search_path is. Temporary tables come last; the server's own names come first without
/// being listed.
const IN_SCHEMA: &str = "SELECT set_config('search_path', quote_ident($1) || ', pg_temp', true)";
/// $1 schema.
const SCHEMA_IS_THERE: &str = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1) AS found";

const HAS_SCHEMA: &str = "SELECT to_regclass('coordinator_schema') IS NOT NULL AS found";
/// The version's table alone was dropped: the others say which version it was.
const CREATE_VERSION: &str = "\
    CREATE TABLE IF NOT EXISTS coordinator_schema (
        version integer NOT NULL CHECK (version >= 0),
        one_row boolean PRIMARY KEY DEFAULT true CHECK (one_row)
    )";
const VERSION: &str = "SELECT coalesce(max(version), 0)::bigint AS version FROM coordinator_schema";
const SET_VERSION: &str = "\
    INSERT INTO coordinator_schema (version) VALUES ($1)
    ON CONFLICT (one_row) DO UPDATE SET version = excluded.version";

/// $1 group, $2 ttl in ms. Creates a released lease on the server's timeline, with the highest epoch in the
/// history, because a row that was deleted and created again must not repeat an epoch.
const CREATE_ROW: &str = concat!(
    "INSERT INTO coordinator_lease (group_id, tl, epoch, claim, seq, released, ttl_ms)
     SELECT $1, ",
    timeline!(),
    ", coalesce(max(epoch), 0), '00000000-0000-0000-0000-000000000000', 0, true, $2
     FROM coordinator_term WHERE group_id = $1
     ON CONFLICT (group_id) DO NOTHING"
);

/// $1 group. Sets the kill switch as the audit last recorded it: deleting the row must not turn it off.
const CREATE_SWITCH: &str = "\
    INSERT INTO coordinator_dispatch (group_id, paused_at, reason, changed_by, changed_from)
    SELECT $1, CASE last.what WHEN 'paused' THEN last.at END, left(last.note, 256), left(last.who, 128),
           left(last.origin, 128)
    FROM (VALUES (1)) AS always LEFT JOIN (
        SELECT what, at, note, who, origin FROM coordinator_audit
        WHERE group_id = $1 AND signal_id IS NULL ORDER BY number DESC LIMIT 1) AS last ON true
    ON CONFLICT (group_id) DO NOTHING";

/// Relations of the recovery that the migration creates if they are configured and absent. A relation with
/// any other name belongs to the team.
const DEFAULTS: [(&str, &str); 2] = [
    (RelationName::POSITIONS_DEFAULT, include_str!("../migrations/default_positions.sql")),
    (RelationName::PORTFOLIO_DEFAULT, include_str!("../migrations/default_portfolio.sql")),
];

/// Runs in one transaction, on a session that is closed if the future is dropped. Nothing stays half done,
/// and a caller that stopped waiting learns the outcome from the next call.
pub(crate) async fn migrate(
    lane: &Lane,
    hosts: &Hosts,
    me: &Process,
    apply: Migrate,
    positions: &RelationName,
    portfolio: &RelationName,
) -> Result<Schema, StoreError> {
    let mut session = lane.take().await?;
    let connection = session.connection();
    let answer = async {
        database::has_sessions(hosts, connection).await?;
        database::is_suitable(connection).await?;
        match apply {
            Migrate::Check => check(connection, me).await,
            Migrate::Apply => bring_up_to_date(connection, me, [positions, portfolio]).await,
        }
    };
    let answer = answer.await;
    session.answered(answer)
}

/// What `coordinator migrate --check` answers; writes nothing.
pub(crate) async fn check(connection: &mut PgConnection, me: &Process) -> Result<Schema, StoreError> {
    database::is_nowhere_else(connection, me).await?;
    let found = found(connection, me).await?;
    let schema = judge(found);
    if schema == Schema::Current || found == 0 && database::remains(connection, me).await? == Remains::Part {
        let missing = database::missing(connection, me).await?;
        if !missing.is_empty() && missing.iter().all(|table| repair_of(table).is_some()) {
            return Err(StoreError::Corrupt(format!(
                "schema {} has lost {}: run `coordinator migrate`, which creates it again",
                me.names.schema(),
                missing.join(", ")
            )));
        }
        database::is_whole(connection, me).await?;
    }
    Ok(schema)
}

async fn bring_up_to_date(
    connection: &mut PgConnection,
    me: &Process,
    relations: [&RelationName; 2],
) -> Result<Schema, StoreError> {
    script(connection, BEGIN).await?;
    run(connection, sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK)).await?;
    database::is_nowhere_else(connection, me).await?;
    enter_schema(connection, me).await?;
    let mut found = found(connection, me).await?;
    if found == 0 {
        match database::remains(connection, me).await? {
            Remains::Nothing => {}
            Remains::WhatMatters => {
                script(connection, CREATE_VERSION).await?;
                run(connection, me.names.query(SET_VERSION).bind(i64::from(SCHEMA_VERSION))).await?;
                found = SCHEMA_VERSION;
            }
            Remains::Part => database::is_whole(connection, me).await?,
        }
    }
    let schema = match judge(found) {
        Schema::Newer { found } => Schema::Newer { found },
        Schema::Current | Schema::Older { .. } => {
            apply_from(connection, me, found).await?;
            for statements in database::missing(connection, me).await?.into_iter().filter_map(repair_of) {
                script(connection, statements).await?;
            }
            database::is_whole(connection, me).await?;
            let ttl_ms = row::milliseconds(me.identity.ttl);
            run(connection, me.names.query(CREATE_ROW).bind(me.identity.group.as_str()).bind(ttl_ms)).await?;
            run(connection, me.names.query(CREATE_SWITCH).bind(me.identity.group.as_str())).await?;
            for (name, statements) in DEFAULTS {
                if relations.iter().any(|relation| relation.to_string() == name) {
                    create_if_absent(connection, name, statements).await?;
                }
            }
            Schema::Current
        }
    };
    script(connection, "COMMIT").await?;
    Ok(schema)
}

/// What creates a table again that was dropped, where what was in it comes back, is in another table, or is not missed.
fn repair_of(table: &str) -> Option<&'static str> {
    REPAIRS.into_iter().find(|(name, _)| *name == table).map(|(_, statements)| statements)
}

/// Makes the schema the place of the migration; creates it when it is absent.
async fn enter_schema(connection: &mut PgConnection, me: &Process) -> Result<(), StoreError> {
    let schema = me.names.schema();
    let row = sqlx::query(SCHEMA_IS_THERE).bind(schema.as_str()).fetch_one(&mut *connection).await;
    let row = row.map_err(|error| error::after_sending(&error))?;
    if !Columns::of("pg_namespace", &row).required::<bool>("found")? {
        let create = AssertSqlSafe(format!("CREATE SCHEMA \"{schema}\""));
        run(connection, sqlx::query(create)).await?;
    }
    run(connection, sqlx::query(IN_SCHEMA).bind(schema.as_str())).await
}

/// Compares the version `found` with that of this binary.
fn judge(found: u32) -> Schema {
    match found.cmp(&SCHEMA_VERSION) {
        std::cmp::Ordering::Less => Schema::Older { found },
        std::cmp::Ordering::Equal => Schema::Current,
        std::cmp::Ordering::Greater => Schema::Newer { found },
    }
}

/// The database's version, 0 without a schema.
async fn found(connection: &mut PgConnection, me: &Process) -> Result<u32, StoreError> {
    let row = me.names.query(HAS_SCHEMA).fetch_one(&mut *connection).await;
    let row = row.map_err(|error| error::after_sending(&error))?;
    if !Columns::of("pg_class", &row).required::<bool>("found")? {
        return Ok(0);
    }
    let row = me.names.query(VERSION).fetch_one(connection).await;
    let row = row.map_err(|error| error::after_sending(&error))?;
    Columns::of("coordinator_schema", &row).number("version")
}

async fn apply_from(connection: &mut PgConnection, me: &Process, found: u32) -> Result<(), StoreError> {
    let done = usize::try_from(found).expect("not above SCHEMA_VERSION");
    if done == MIGRATIONS.len() {
        return Ok(());
    }
    for statements in &MIGRATIONS[done..] {
        script(connection, statements).await?;
    }
    run(connection, me.names.query(SET_VERSION).bind(i64::from(SCHEMA_VERSION))).await
}

async fn create_if_absent(
    connection: &mut PgConnection,
    name: &str,
    statements: &'static str,
) -> Result<(), StoreError> {
    let row =
        sqlx::query("SELECT to_regclass($1) IS NULL AS absent").bind(name).fetch_one(&mut *connection).await;
    let row = row.map_err(|error| error::after_sending(&error))?;
    if Columns::of("pg_class", &row).required("absent")? {
        script(connection, statements).await?;
    }
    Ok(())
}

/// Statements without arguments, all in one message.
async fn script(connection: &mut PgConnection, statements: &'static str) -> Result<(), StoreError> {
    let done = connection.execute(sqlx::raw_sql(statements)).await;
    done.map(|_| ()).map_err(|error| error::after_sending(&error))
}

async fn run(connection: &mut PgConnection, statement: crate::pool::Statement<'_>) -> Result<(), StoreError> {
    statement.execute(connection).await.map(|_| ()).map_err(|error| error::after_sending(&error))
}
