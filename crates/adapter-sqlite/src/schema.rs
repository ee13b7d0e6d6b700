//! The schema: ownership of the file, version, and migration.

use crate::config::SqliteConfig;
use crate::error::{is_busy, judge};
use crate::fence::TIMELINE;
use crate::identity::Identity;
use crate::session::{connect, lock, options};
use crate::statement::Statement;
use crate::stored::{Stored, millis_up, now_text};
use domain::SCHEMA_VERSION;
use domain::id::ClaimId;
use domain::ports::{Migrate, Schema, StoreError};
use domain::recovery::RelationName;
use sqlx::{AssertSqlSafe, Connection, Row, SqliteConnection};
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// "COOR", which marks a file as ours (`PRAGMA application_id`, written by the first migration).
const APPLICATION_ID: i64 = 0x434f_4f52;

/// Statements that bring the schema from version `index` to `index + 1`.
const MIGRATIONS: [&str; SCHEMA_VERSION as usize] = [
    include_str!("../migrations/0001_lease_members_history_signals.sql"),
    include_str!("../migrations/0002_signals.sql"),
    include_str!("../migrations/0003_forgotten_and_settings.sql"),
    include_str!("../migrations/0004_decisions.sql"),
    include_str!("../migrations/0005_hooks.sql"),
    include_str!("../migrations/0006_successor_and_latency.sql"),
];

/// Default relations of recovery, with the statements that create them.
const PORTFOLIO_RELATIONS: [(&str, &str); 2] = [
    (RelationName::POSITIONS_DEFAULT, include_str!("../migrations/portfolio_positions.sql")),
    (RelationName::PORTFOLIO_DEFAULT, include_str!("../migrations/portfolio_state.sql")),
];

/// Pause between two attempts to turn a new file to WAL while another process writes to it or turns it. The
/// statement reads first and then needs to write; SQLite never waits in this case, because two such
/// statements would wait for each other.
const WAL_RETRY: Duration = Duration::from_millis(5);

/// See [`domain::ports::StateStore::migrate`].
///
/// It works on a separate connection: a dropped future closes it, and SQLite rolls back what it had begun. No
/// other statement can ever run inside the transaction.
pub(crate) async fn migrate(config: &SqliteConfig, apply: Migrate) -> Result<Schema, StoreError> {
    let path = config.path.as_path();
    let options = options(path, config.lock_wait());
    if matches!(apply, Migrate::Apply) {
        create_directory(path).await?;
    } else if !tokio::fs::try_exists(path).await.unwrap_or(true) {
        return Ok(Schema::Older { found: 0 });
    }
    let mut lock = lock(path, config.lock_wait()).await?;
    let mut connection = match apply {
        Migrate::Apply => {
            Identity::create(path)?;
            connect(path, &options.create_if_missing(true)).await?
        }
        Migrate::Check => connect(path, &options).await?,
    };
    let schema = match apply {
        Migrate::Apply => {
            turn_to_wal(path, &mut connection, config.lock_wait()).await?;
            bring_up_to_date(config, &mut connection).await?
        }
        Migrate::Check => check(path, &mut connection).await?,
    };
    Identity::tighten(path);
    lock.share(path, Identity::of(path))?;
    connection.close().await.map_err(|error| judge(path, &error))?;
    Ok(schema)
}

/// What `coordinator migrate --check` answers; writes nothing.
pub(crate) async fn check(path: &Path, connection: &mut SqliteConnection) -> Result<Schema, StoreError> {
    let found = version(path, connection).await?;
    if found == SCHEMA_VERSION || found == 0 && remains(path, connection).await? == Remains::Part {
        check_whole(path, connection).await?;
    }
    Ok(state(found))
}

/// Refuses a file that is marked as another application's. A file without a mark may be new, or contain the
/// portfolio tables that a team created before the first start.
pub(crate) async fn refuse_foreign(path: &Path, connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let found: i64 = one(path, connection, "PRAGMA application_id").await?;
    if found == 0 || found == APPLICATION_ID {
        return Ok(());
    }
    Err(StoreError::Corrupt(format!(
        "{} is the database of another application (application_id {found}). \
         Move it away or choose another --data-dir",
        path.display()
    )))
}

async fn create_directory(path: &Path) -> Result<(), StoreError> {
    let Some(directory) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) else {
        return Ok(());
    };
    tokio::fs::create_dir_all(directory).await.map_err(|error| {
        StoreError::Unavailable(format!(
            "the directory {} cannot be created: {error}. Create it writable for this user \
             or choose another --data-dir",
            directory.display()
        ))
    })
}

/// Turns the file to WAL mode, in which readers and the writer never wait for each other. It is a lasting
/// property of the file.
async fn turn_to_wal(
    path: &Path,
    connection: &mut SqliteConnection,
    patience: Duration,
) -> Result<(), StoreError> {
    let give_up = Instant::now() + patience;
    loop {
        let answer = sqlx::query("PRAGMA journal_mode = WAL").fetch_all(&mut *connection).await;
        match answer {
            Ok(rows) => {
                let mode: Option<String> = rows.first().and_then(|row| row.try_get(0).ok());
                return if mode.as_deref() == Some("wal") { Ok(()) } else { Err(no_wal(path)) };
            }
            Err(error) if is_busy(&error) && Instant::now() < give_up => {
                tokio::time::sleep(WAL_RETRY).await;
            }
            Err(error) => return Err(judge(path, &error)),
        }
    }
}

fn no_wal(path: &Path) -> StoreError {
    StoreError::Unavailable(format!(
        "the file system of {} cannot share memory between processes (a network share?). \
         Choose a --data-dir on a local disk",
        path.display()
    ))
}

/// Migrates in one transaction. Starting instances wait in turn for its write lock.
async fn bring_up_to_date(
    config: &SqliteConfig,
    connection: &mut SqliteConnection,
) -> Result<Schema, StoreError> {
    let path = config.path.as_path();
    let judged = |error: sqlx::Error| judge(path, &error);
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(judged)?;

    let mut found = version(path, &mut transaction).await?;
    if found > SCHEMA_VERSION {
        return Ok(Schema::Newer { found });
    }
    if found == 0 {
        match remains(path, &mut transaction).await? {
            Remains::Nothing => {}
            Remains::WhatMatters => {
                restore_version(path, &mut transaction).await?;
                found = SCHEMA_VERSION;
            }
            Remains::Part => is_whole(path, &mut transaction).await?,
        }
    }
    for migration in MIGRATIONS.into_iter().skip(found as usize) {
        sqlx::raw_sql(migration).execute(&mut *transaction).await.map_err(judged)?;
    }
    let mut missing = missing(path, &mut transaction).await?;
    missing.retain(|table| is_repairable(table));
    for statement in statements_of(path, &missing).await? {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *transaction).await.map_err(judged)?;
    }
    is_whole(path, &mut transaction).await?;
    for (name, create) in PORTFOLIO_RELATIONS {
        let wanted = [config.positions(), config.portfolio()].contains(&name);
        if wanted && !exists(path, &mut transaction, name).await? {
            sqlx::raw_sql(create).execute(&mut *transaction).await.map_err(judged)?;
        }
    }
    for row in [open_row(config), kill_switch(config)] {
        row.query().execute(&mut *transaction).await.map_err(judged)?;
    }
    transaction.commit().await.map_err(judged)?;
    Ok(Schema::Current)
}

/// Creates the group's lease, released, unless it exists. Its epoch starts where the history ends, so that
/// deleting the row does not make old tokens valid again.
fn open_row(config: &SqliteConfig) -> Statement {
    const SQL: &str = concat!(
        "INSERT INTO coordinator_lease (group_id, tl, epoch, claim, seq, released, ttl_ms, renewed_at) ",
        "SELECT ?1, ?2, coalesce(max(epoch), 0), ?3, 0, 1, ?4, ",
        now_text!(),
        " FROM coordinator_term WHERE group_id = ?1 ",
        "ON CONFLICT (group_id) DO NOTHING"
    );
    Statement::new(SQL)
        .bind(config.identity.group.as_str().to_owned())
        .bind(i64::from(TIMELINE.0))
        .bind(ClaimId::NIL.to_string())
        .bind(millis_up(config.identity.ttl))
}

/// Creates the group's kill switch unless it exists. It is set as the audit last recorded it, so that
/// deleting the row does not resume the delivery of signals.
fn kill_switch(config: &SqliteConfig) -> Statement {
    const SQL: &str = "INSERT INTO coordinator_dispatch (group_id, paused_reason, paused_by, paused_ms, \
         changed_by, changed_from, changed_why) \
         SELECT ?1, CASE WHEN at_ms IS NOT NULL THEN coalesce(note, '') END, who, at_ms, \
         coalesce(who, 'coordinator migrate'), coalesce(origin, ''), note \
         FROM (SELECT 1) LEFT JOIN (SELECT at_ms, who, origin, note, what FROM coordinator_audit \
         WHERE group_id = ?1 AND signal_id IS NULL AND what IN ('paused', 'resumed') \
         ORDER BY number DESC LIMIT 1) ON what = 'paused' \
         WHERE true ON CONFLICT (group_id) DO NOTHING";
    Statement::new(SQL).bind(config.identity.group.as_str().to_owned())
}

fn state(found: u32) -> Schema {
    match found.cmp(&SCHEMA_VERSION) {
        std::cmp::Ordering::Less => Schema::Older { found },
        std::cmp::Ordering::Equal => Schema::Current,
        std::cmp::Ordering::Greater => Schema::Newer { found },
    }
}

/// Tables of a file of the current version.
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

/// The tables that `migrate` creates again if they were dropped: what was in them comes back with the next heartbeat, is
/// in the audit, or is not missed.
fn is_repairable(table: &str) -> bool {
    ["coordinator_member", "coordinator_term", "coordinator_dispatch", "coordinator_decision"]
        .contains(&table)
}

/// What is left of our tables in a file without a version.
#[derive(PartialEq, Eq)]
enum Remains {
    /// No table.
    Nothing,
    /// The lease, the signals and the audit, as the current version has them.
    WhatMatters,
    /// Some tables, or tables of an earlier version.
    Part,
}

async fn remains(path: &Path, connection: &mut SqliteConnection) -> Result<Remains, StoreError> {
    // A column of each table that nothing can replace; that of the lease came with the current version.
    const MATTERS: &str = "SELECT count(*) FROM (SELECT 1 FROM pragma_table_info('coordinator_lease') \
         WHERE name = 'successor' UNION ALL SELECT 1 FROM pragma_table_info('coordinator_signal') \
         WHERE name = 'folded' UNION ALL SELECT 1 FROM pragma_table_info('coordinator_audit') WHERE name = 'number')";
    // The version alone may be what is left: its table can be empty.
    let version = usize::from(exists(path, connection, "coordinator_schema").await?);
    if missing(path, connection).await?.len() + version == TABLES.len() {
        return Ok(Remains::Nothing);
    }
    let matters = one(path, connection, MATTERS).await? == 3;
    Ok(if matters { Remains::WhatMatters } else { Remains::Part })
}

/// Writes the current version into a file that has lost it.
async fn restore_version(path: &Path, connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let judged = |error: sqlx::Error| judge(path, &error);
    if !exists(path, connection, "coordinator_schema").await? {
        for statement in statements_of(path, &["coordinator_schema"]).await? {
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *connection).await.map_err(judged)?;
        }
    }
    let insert = sqlx::query("INSERT INTO coordinator_schema (version) VALUES (?1)").bind(SCHEMA_VERSION);
    insert.execute(connection).await.map_err(judged)?;
    Ok(())
}

/// What the migrations make of `tables`, with their indexes and triggers, as statements that create them at once.
async fn statements_of(path: &Path, tables: &[&str]) -> Result<Vec<String>, StoreError> {
    const SQL: &str =
        "SELECT sql FROM sqlite_schema WHERE tbl_name = ?1 AND sql IS NOT NULL ORDER BY type <> 'table'";
    let judged = |error: sqlx::Error| judge(path, &error);
    let mut statements = Vec::new();
    if tables.is_empty() {
        return Ok(statements);
    }
    let mut memory = SqliteConnection::connect("sqlite::memory:").await.map_err(judged)?;
    for migration in MIGRATIONS {
        sqlx::raw_sql(migration).execute(&mut memory).await.map_err(judged)?;
    }
    for table in tables {
        let of_table = sqlx::query_scalar(SQL).bind(*table).fetch_all(&mut memory).await.map_err(judged)?;
        statements.extend::<Vec<String>>(of_table);
    }
    Ok(statements)
}

/// The tables that the file has lost.
async fn missing(path: &Path, connection: &mut SqliteConnection) -> Result<Vec<&'static str>, StoreError> {
    let mut missing = Vec::new();
    for table in TABLES {
        if !exists(path, connection, table).await? {
            missing.push(table);
        }
    }
    Ok(missing)
}

/// What `migrate --check` says of a file from which a table was dropped.
async fn check_whole(path: &Path, connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let missing = missing(path, connection).await?;
    if !missing.is_empty() && missing.iter().all(|table| is_repairable(table)) {
        return Err(StoreError::Corrupt(format!(
            "{} has lost {}: run `coordinator migrate`, which creates it again",
            path.display(),
            missing.join(", ")
        )));
    }
    is_whole(path, connection).await
}

/// Refuses a file of the current version that has lost a table. By its version, there is nothing to migrate, and the lost
/// content cannot be restored.
async fn is_whole(path: &Path, connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let missing = missing(path, connection).await?;
    if missing.is_empty() {
        return Ok(());
    }
    Err(StoreError::Corrupt(format!(
        "{} has lost {}, and `coordinator migrate` cannot bring back what was in it. Stop every instance and restore the \
         file from its latest backup. Without a backup move it away with its -wal and -shm: `coordinator migrate` creates \
         it empty then; every signal is forgotten. Keep the files named epochs-... in its directory: with them the next \
         epoch is above every one that was given out",
        path.display(),
        missing.join(", ")
    )))
}

/// The version of the schema; 0 if there is none, or if it was deleted.
async fn version(path: &Path, connection: &mut SqliteConnection) -> Result<u32, StoreError> {
    if !exists(path, connection, "coordinator_schema").await? {
        return Ok(0);
    }
    let rows = sqlx::query("SELECT coalesce(max(version), 0) AS version FROM coordinator_schema")
        .fetch_all(connection)
        .await
        .map_err(|error| judge(path, &error))?;
    let row = rows.first().expect("max without GROUP BY has one row");
    Stored::new("coordinator_schema", row).number("version")
}

async fn exists(path: &Path, connection: &mut SqliteConnection, relation: &str) -> Result<bool, StoreError> {
    const SQL: &str =
        "SELECT count(*) FROM sqlite_schema WHERE type IN ('table', 'view') AND lower(name) = lower(?1)";
    let found: i64 = sqlx::query_scalar(SQL)
        .bind(relation)
        .fetch_one(connection)
        .await
        .map_err(|error| judge(path, &error))?;
    Ok(found > 0)
}

async fn one(path: &Path, connection: &mut SqliteConnection, sql: &'static str) -> Result<i64, StoreError> {
    sqlx::query_scalar(sql).fetch_one(connection).await.map_err(|error| judge(path, &error))
}
