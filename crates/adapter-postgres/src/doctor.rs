//! Facts about the server for `coordinator doctor`.
//!
//! The statements only read, with one exception: the latency of commits is measured with messages in the write-ahead log
//! (`pg_logical_emit_message`). They change no table and leave nothing that a query could show.
//!
//! Most facts are read on a session that nothing was set on, because the settings of the role must be seen as the server
//! gives them. These statements have no parameters, so that they also work behind a pooler in the wrong mode.

use crate::hosts::Host;
use crate::pool::Session;
use crate::state_store::PostgresStore;
use crate::{database, error, schema};
use domain::doctor::{
    Answer, ClockReading, ClockWalk, HostClock, Latencies, PostgresFacts, PostgresServer, Room, Setting,
    Standbys, Timeouts,
};
use domain::ports::StoreError;
use sqlx::postgres::{PgConnection, PgRow, PgSslMode};
use sqlx::{AssertSqlSafe, Connection, Executor, Row};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Longest measurement of commits. A server that waits for a synchronous standby answers none.
const COMMITS_TIME_MAX: Duration = Duration::from_secs(3);
/// Round trips of which the shortest is a reading of the clock.
const CLOCK_ROUND_TRIPS: u32 = 5;
/// Shortest time between the first and the last reading of the clock.
const CLOCK_WALK_MIN: Duration = Duration::from_secs(1);
/// Longest time between them: an operator waits.
const CLOCK_WALK_MAX: Duration = Duration::from_secs(3);

const SETTINGS: &str = "\
    SELECT name, setting, source FROM pg_catalog.pg_settings
    WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit', 'synchronous_standby_names', 'idle_session_timeout',
                   'transaction_timeout', 'session_replication_role')";

/// The limit of sessions is -1 where there is none.
const SERVER: &str = "\
    SELECT quote_ident(current_user) AS role, quote_ident(current_database()) AS database,
           current_setting('server_version') AS version, current_setting('server_version_num')::bigint AS number,
           r.rolsuper AS superuser,
           least(nullif(r.rolconnlimit, -1), nullif(d.datconnlimit, -1))::bigint AS session_limit,
           current_setting('max_connections')::bigint
               - current_setting('superuser_reserved_connections')::bigint AS most,
           (SELECT coalesce(sum(numbackends), 0)::bigint FROM pg_catalog.pg_stat_database) AS used,
           (SELECT ssl FROM pg_catalog.pg_stat_ssl WHERE pid = pg_backend_pid()) AS encrypted
    FROM pg_catalog.pg_roles AS r, pg_catalog.pg_database AS d
    WHERE r.rolname = current_user AND d.datname = current_database()";

/// A role without pg_read_all_stats sees the rows, and NULL in them.
const STANDBYS: &str = "\
    SELECT count(*) AS connected, count(sync_state) AS visible,
           count(*) FILTER (WHERE sync_state IN ('sync', 'quorum')) AS synchronous
    FROM pg_catalog.pg_stat_replication";

/// Triggers that keep what only the owner may change, and the audit.
const GUARDS: [(&str, &str); 9] = [
    ("coordinator_lease_kept", "coordinator_lease"),
    ("coordinator_signal_kept", "coordinator_signal"),
    ("coordinator_audit_kept", "coordinator_audit"),
    ("coordinator_audit_kept", "coordinator_signal"),
    ("coordinator_audit_inserted", "coordinator_signal"),
    ("coordinator_audit_updated", "coordinator_signal"),
    ("coordinator_audit_deleted", "coordinator_signal"),
    ("coordinator_audit_switched", "coordinator_dispatch"),
    ("coordinator_decision_kept", "coordinator_decision"),
];

/// Rights of `sql/roles.sql`: privilege, columns, relation.
const RIGHTS: [(&str, &str, &str); 22] = [
    ("SELECT", "", "coordinator_schema"),
    ("SELECT", "", "coordinator_lease"),
    ("SELECT", "", "coordinator_member"),
    ("SELECT", "", "coordinator_term"),
    ("SELECT", "", "coordinator_signal"),
    ("SELECT", "", "coordinator_dispatch"),
    ("SELECT", "", "coordinator_audit"),
    ("INSERT", "", "coordinator_lease"),
    (
        "UPDATE",
        "tl, epoch, claim, seq, holder, released, ttl_ms, renewed_at, resign, forgot_ms, epoch_floor, successor",
        "coordinator_lease",
    ),
    ("INSERT", "", "coordinator_term"),
    ("UPDATE", "to_at, reason", "coordinator_term"),
    ("INSERT", "", "coordinator_member"),
    ("UPDATE", "", "coordinator_member"),
    ("DELETE", "", "coordinator_member"),
    ("INSERT", "", "coordinator_signal"),
    ("DELETE", "", "coordinator_signal"),
    (
        "UPDATE",
        "state, asked_ms, tl, epoch, claim, attempt, claimed_at, settled_at, note, folded, folded_note, changed_by, changed_from",
        "coordinator_signal",
    ),
    ("INSERT", "", "coordinator_dispatch"),
    ("UPDATE", "claims, paused_at, reason, changed_by, changed_from", "coordinator_dispatch"),
    ("USAGE", "", "coordinator_signal_arrival_seq"),
    ("SELECT", "", "coordinator_decision"),
    (
        "INSERT",
        "group_id, who, origin, what, instance, started_ms, beat_at, recovery_code, reason",
        "coordinator_decision",
    ),
];

/// The session of an instance sets these; 0 would mean that it has no effect.
const INEFFECTIVE: &str = "\
    SELECT name FROM pg_catalog.pg_settings WHERE setting = '0'
       AND name IN ('lock_timeout', 'statement_timeout', 'idle_in_transaction_session_timeout') ORDER BY name";

/// One commit that waits for the disk, and for a standby if the server does.
const COMMIT: &str = "SELECT pg_catalog.pg_logical_emit_message(true, 'coordinator', 'doctor')";
const NOW: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now_us";

impl PostgresStore {
    /// Reads the facts about the primary. Creates nothing and changes nothing. Takes a few seconds.
    pub async fn doctor(&self, clock: HostClock) -> PostgresFacts {
        // An instance's session: it is on a primary, and has the timeouts.
        let mut instance = self.service.take().await.map_err(reason)?;
        let (mut plain, host) = self.hosts.connect_plainly().await.map_err(reason)?;
        let facts = self.facts(&mut plain, host, &mut instance, clock).await;
        // The session holds nothing, so a failure to close it has no effect.
        let _ = plain.close().await;
        facts.map_err(|error| reason(error::after_sending(&error)))
    }

    async fn facts(
        &self,
        plain: &mut PgConnection,
        host: &Host,
        instance: &mut Session<'_>,
        clock: HostClock,
    ) -> Result<PostgresServer, sqlx::Error> {
        let begun = Instant::now();
        let first = reading(plain, clock).await?;
        let row = plain.fetch_one(sqlx::raw_sql(SERVER)).await?;
        let standbys = plain.fetch_one(sqlx::raw_sql(STANDBYS)).await?;
        let settings = settings(plain).await?;
        let schema = self.me.names.schema().as_str();
        let owned = plain.fetch_one(sqlx::raw_sql(AssertSqlSafe(owned(schema)))).await?.try_get("owned")?;
        let unguarded = names(plain, guards(schema)).await?;
        let lacking = names(plain, rights(schema)).await?;
        let encrypted: Option<bool> = row.try_get("encrypted")?;

        let connection = instance.connection();
        let pooler = judged(database::has_sessions(&self.hosts, connection).await);
        // Behind a pooler that shares sessions, prepared statements fail by chance.
        let shared = matches!(pooler, Ok(Err(_)));
        let unshared = |refusal: &str| format!("not checked, because the pooler shares sessions ({refusal})");
        let (encoding, timeline, tables, timeouts) = if shared {
            let why = unshared("postgres.pooler");
            (Err(why.clone()), Err(why.clone()), Err(why.clone()), Err(why))
        } else {
            (
                judged(database::has_encoding(connection).await),
                judged(database::has_timeline(connection).await),
                judged(schema::check(connection, &self.me).await),
                timeouts(connection).await.map_err(|error| reason(error::after_sending(&error))),
            )
        };
        let commits = commits(connection).await;
        let enough = ClockWalk::long_enough(first).clamp(CLOCK_WALK_MIN, CLOCK_WALK_MAX);
        // The rate shows only over time. Nothing is waited for.
        sleep(enough.saturating_sub(begun.elapsed())).await;
        let last = reading(plain, clock).await?;
        Ok(PostgresServer {
            role: row.try_get("role")?,
            database: row.try_get("database")?,
            schema: schema.to_owned(),
            version: row.try_get("version")?,
            version_number: row.try_get("number")?,
            settings,
            pooler,
            encoding,
            timeline,
            tables,
            standbys: Standbys {
                connected: standbys.try_get("connected")?,
                visible: standbys.try_get("visible")?,
                synchronous: standbys.try_get("synchronous")?,
            },
            superuser: row.try_get("superuser")?,
            owned,
            unguarded,
            lacking,
            timeouts,
            room: Room {
                most: row.try_get("most")?,
                used: row.try_get("used")?,
                limit: row.try_get("session_limit")?,
            },
            commits,
            encrypted: encrypted.ok_or_else(|| "pg_stat_ssl does not show this session".to_owned()),
            verified: matches!(host.options.get_ssl_mode(), PgSslMode::VerifyFull),
            remote: !host.is_local(),
            clock: Ok(ClockWalk { first, last }),
        })
    }
}

async fn settings(plain: &mut PgConnection) -> Result<BTreeMap<String, Setting>, sqlx::Error> {
    let rows = plain.fetch_all(sqlx::raw_sql(SETTINGS)).await?;
    let setting = |row: &PgRow| {
        Ok((row.try_get("name")?, Setting { value: row.try_get("setting")?, source: row.try_get("source")? }))
    };
    rows.iter().map(setting).collect()
}

/// The names that a statement returns.
async fn names(connection: &mut PgConnection, statement: String) -> Result<Vec<String>, sqlx::Error> {
    let rows = connection.fetch_all(sqlx::raw_sql(AssertSqlSafe(statement))).await?;
    rows.iter().map(|row| row.try_get("name")).collect()
}

async fn timeouts(connection: &mut PgConnection) -> Result<Timeouts, sqlx::Error> {
    Ok(Timeouts { ineffective: names(connection, INEFFECTIVE.to_owned()).await? })
}

/// Times of commits, as many as fit into [`COMMITS_TIME_MAX`].
async fn commits(connection: &mut PgConnection) -> Answer<Latencies> {
    let (begun, mut times) = (Instant::now(), Vec::with_capacity(Latencies::WANTED));
    while times.len() < Latencies::WANTED {
        let Some(left) = COMMITS_TIME_MAX.checked_sub(begun.elapsed()) else { break };
        let sent = Instant::now();
        match timeout(left, connection.execute(sqlx::raw_sql(COMMIT))).await {
            Ok(Ok(_)) => times.push(sent.elapsed()),
            Ok(Err(error)) => return Err(reason(error::after_sending(&error))),
            Err(_) => break,
        }
    }
    Latencies::of(times)
        .ok_or_else(|| format!("no commit was acknowledged within {} s", COMMITS_TIME_MAX.as_secs()))
}

/// The reading with the shortest round trip of a few.
async fn reading(connection: &mut PgConnection, clock: HostClock) -> Result<ClockReading, sqlx::Error> {
    let mut best: Option<ClockReading> = None;
    for _ in 0..CLOCK_ROUND_TRIPS {
        let before = clock();
        let row = connection.fetch_one(sqlx::raw_sql(NOW)).await?;
        let reading = ClockReading::between(before, row.try_get("now_us")?, clock());
        best = Some(best.filter(|best| best.bound_us <= reading.bound_us).unwrap_or(reading));
    }
    Ok(best.expect("at least one round trip"))
}

/// A refusal is an answer; everything else leaves the fact unknown.
fn judged<T>(answer: Result<T, StoreError>) -> Answer<Result<T, String>> {
    match answer {
        Ok(fine) => Ok(Ok(fine)),
        Err(StoreError::Corrupt(refusal)) => Ok(Err(refusal)),
        Err(StoreError::Unavailable(why) | StoreError::Unknown(why)) => Err(why),
    }
}

fn reason(error: StoreError) -> String {
    match error {
        StoreError::Unavailable(why) | StoreError::Unknown(why) | StoreError::Corrupt(why) => why,
    }
}

/// A schema consists of letters, digits and underscores, so it can be part of a literal.
fn owned(schema: &str) -> String {
    format!(
        "SELECT count(*) AS owned FROM pg_catalog.pg_class AS c
         JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
         WHERE n.nspname = '{schema}' AND c.relkind IN ('r', 'p') AND c.relname LIKE 'coordinator\\_%'
           AND pg_has_role(c.relowner, 'USAGE')"
    )
}

/// Guards that are missing, or that a session of this role would not fire.
fn guards(schema: &str) -> String {
    let wanted: Vec<String> = GUARDS.iter().map(|(name, table)| format!("('{name}', '{table}')")).collect();
    format!(
        "SELECT wanted.guard || ' ON {schema}.' || wanted.relation AS name
         FROM (VALUES {}) AS wanted (guard, relation)
         WHERE NOT EXISTS (
             SELECT FROM pg_catalog.pg_trigger AS t
             JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid
             JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
             WHERE n.nspname = '{schema}' AND c.relname = wanted.relation AND t.tgname = wanted.guard
               AND t.tgenabled IN ('O', 'A'))
         ORDER BY name",
        wanted.join(", ")
    )
}

/// Rights that this role lacks, in the syntax of GRANT. A relation or column that does not exist lacks none.
fn rights(schema: &str) -> String {
    let wanted: Vec<String> = RIGHTS
        .iter()
        .flat_map(|(privilege, columns, relation)| {
            columns.split(", ").map(move |column| format!("('{privilege}', '{column}', '{relation}')"))
        })
        .collect();
    format!(
        "SELECT 'USAGE ON SCHEMA ' || quote_ident(nspname) AS name FROM pg_catalog.pg_namespace
         WHERE nspname = '{schema}' AND NOT has_schema_privilege(oid, 'USAGE')
         UNION ALL
         SELECT privilege || coalesce(' (' || string_agg(nullif(wanted.column_name, ''), ', ') || ')', '')
                || CASE c.relkind WHEN 'S' THEN ' ON SEQUENCE ' ELSE ' ON ' END || '{schema}.' || wanted.relation
         FROM (VALUES {}) AS wanted (privilege, column_name, relation)
         JOIN pg_catalog.pg_class AS c ON c.relname = wanted.relation
         JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname = '{schema}'
         LEFT JOIN pg_catalog.pg_attribute AS a
             ON a.attrelid = c.oid AND a.attname = wanted.column_name AND a.attnum > 0 AND NOT a.attisdropped
         WHERE NOT CASE WHEN c.relkind = 'S' THEN has_sequence_privilege(c.oid, privilege)
                        WHEN wanted.column_name = '' THEN has_table_privilege(c.oid, privilege)
                        ELSE coalesce(has_column_privilege(c.oid, a.attnum, privilege), true) END
         GROUP BY privilege, wanted.relation, c.relkind
         ORDER BY name",
        wanted.join(", ")
    )
}
