//! Judges PostgreSQL: what the adapter read on a new session becomes findings.

#[cfg(test)]
mod tests;

use super::{Answer, Check, ClockWalk, Finding, Latencies, clock};
use crate::SCHEMA_VERSION;
use crate::ports::Schema;
use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

/// `server_version_num` of the first version whose settings the sessions need (`plan_cache_mode`, `tcp_user_timeout`).
const VERSION_MIN: i64 = 120_000;
/// Sessions of one instance.
const SESSIONS_OF_AN_INSTANCE: i64 = 7;

/// PostgreSQL as this host sees it. The error says why no session on a primary could be opened.
pub type PostgresFacts = Answer<PostgresServer>;

/// Facts about the primary. Names are quoted as an SQL statement needs them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresServer {
    /// The role of the session.
    pub role: String,
    /// The database.
    pub database: String,
    /// The schema of the tables.
    pub schema: String,
    /// `server_version`.
    pub version: String,
    /// `server_version_num`.
    pub version_number: i64,
    /// Settings by name, as a new session has them; one that the server does not have is missing.
    pub settings: BTreeMap<String, Setting>,
    /// The refusal of a pooler that shares sessions.
    pub pooler: Answer<Result<(), String>>,
    /// The refusal of the encoding.
    pub encoding: Answer<Result<(), String>>,
    /// The refusal for lack of the functions that return the timeline.
    pub timeline: Answer<Result<(), String>>,
    /// State of the schema, or the refusal of it.
    pub tables: Answer<Result<Schema, String>>,
    /// Standbys.
    pub standbys: Standbys,
    /// The role is a superuser.
    pub superuser: bool,
    /// Our tables whose owner the role is.
    pub owned: i64,
    /// Triggers of ours that are missing or disabled, as `trigger ON table`.
    pub unguarded: Vec<String>,
    /// Rights that the role lacks, as `PRIVILEGE ON relation`.
    pub lacking: Vec<String>,
    /// Timeouts of an instance's session.
    pub timeouts: Answer<Timeouts>,
    /// Sessions that are left.
    pub room: Room,
    /// Times of commits.
    pub commits: Answer<Latencies>,
    /// The session is encrypted; unknown if the server does not answer for it.
    pub encrypted: Answer<bool>,
    /// The URL requires the certificate to be checked for the name of the host.
    pub verified: bool,
    /// The server is not on this host.
    pub remote: bool,
    /// Its clock against this host's.
    pub clock: Answer<ClockWalk>,
}

/// Value of a setting and where it comes from (`pg_settings.source`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The value.
    pub value: String,
    /// The source.
    pub source: String,
}

/// Rows of `pg_stat_replication`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standbys {
    /// Connected standbys.
    pub connected: i64,
    /// Those whose state this role may see.
    pub visible: i64,
    /// Those that commits may wait for.
    pub synchronous: i64,
}

/// What an instance's session has after it was set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// Timeouts that the instance sets and that have no effect.
    pub ineffective: Vec<String>,
}

/// Sessions at the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// `max_connections` without the reserved ones.
    pub most: i64,
    /// Sessions in use.
    pub used: i64,
    /// Limit of the role or of the database, whichever is lower; `None`: no limit.
    pub limit: Option<i64>,
}

/// All findings about PostgreSQL and its clock.
pub(crate) fn judge(facts: &PostgresFacts, ttl: Duration) -> Vec<Finding> {
    let server = match facts {
        Ok(server) => server,
        Err(why) => {
            let found = format!("{why}. Nothing else about PostgreSQL could be checked");
            return vec![Finding::failed(Check::PostgresSession, found, Check::PostgresSession.remedy())];
        }
    };
    let mut findings = vec![
        Finding::ok(
            Check::PostgresSession,
            format!("{} on database {}, a primary that accepts writes", server.role, server.database),
        ),
        version(server),
        refusal(Check::PostgresPooler, &server.pooler, "sessions are not shared"),
        refusal(Check::PostgresEncoding, &server.encoding, "UTF8"),
        refusal(Check::PostgresTimeline, &server.timeline, "the role may execute both functions"),
        tables(server),
        durable(server, Check::PostgresFsync, "fsync"),
        durable(server, Check::PostgresFullPageWrites, "full_page_writes"),
        synchronous_commit(server),
        standby(server),
        role(server),
        guards(server),
        rights(server),
        timeouts(server),
        connections(server),
        commits(server, ttl),
        encryption(server),
    ];
    findings.extend(clock::judge(&server.clock, "PostgreSQL"));
    findings
}

fn version(server: &PostgresServer) -> Finding {
    let check = Check::PostgresVersion;
    if server.version_number < VERSION_MIN {
        Finding::failed(check, format!("PostgreSQL {}", server.version), check.remedy())
    } else {
        Finding::ok(check, format!("PostgreSQL {}", server.version))
    }
}

fn refusal(check: Check, answer: &Answer<Result<(), String>>, fine: &str) -> Finding {
    match answer {
        Ok(Ok(())) => Finding::ok(check, fine),
        Ok(Err(refusal)) => Finding::refused(check, refusal),
        Err(why) => Finding::unknown(
            check,
            why.clone(),
            "repair the fault that is named, then run this command again",
        ),
    }
}

fn tables(server: &PostgresServer) -> Finding {
    let check = Check::PostgresSchema;
    let schema = &server.schema;
    match &server.tables {
        Ok(Ok(state)) => version_of_tables(check, *state, &format!("schema {schema}")),
        Ok(Err(refusal)) => Finding::refused(check, refusal),
        Err(why) => Finding::unknown(
            check,
            why.clone(),
            "repair the fault that is named, then run this command again",
        ),
    }
}

/// The finding for a version of the tables in `place`.
pub(crate) fn version_of_tables(check: Check, state: Schema, place: &str) -> Finding {
    match state {
        Schema::Current => Finding::ok(check, format!("version {SCHEMA_VERSION} in {place}")),
        Schema::Older { found: 0 } => Finding::warning(
            check,
            format!("{place} has no tables yet; the first start creates them if its role may"),
            "run `coordinator migrate` as the role that should own the tables",
        ),
        Schema::Older { found } => Finding::failed(
            check,
            format!("{place} has version {found}, and this binary needs {SCHEMA_VERSION}"),
            "run `coordinator migrate` as the owner of the tables, then update every instance",
        ),
        Schema::Newer { found } => Finding::failed(
            check,
            format!("{place} has version {found}, and this binary needs {SCHEMA_VERSION}"),
            "use the newer binary",
        ),
    }
}

/// A setting that must be on.
fn durable(server: &PostgresServer, check: Check, name: &str) -> Finding {
    match server.settings.get(name) {
        Some(setting) if setting.value == "on" => Finding::ok(check, format!("{name} = on")),
        Some(setting) => {
            let found = format!("{name} = {} ({})", setting.value, setting.source);
            Finding::failed(check, found, set(server, name, setting, "on"))
        }
        None => unreadable(check, name),
    }
}

fn unreadable(check: Check, name: &str) -> Finding {
    Finding::unknown(
        check,
        format!("the server does not show {name}"),
        "GRANT pg_read_all_settings to this role",
    )
}

/// The statement that changes a setting at the place where it was set.
fn set(server: &PostgresServer, name: &str, setting: &Setting, value: &str) -> String {
    let (role, database) = (&server.role, &server.database);
    match setting.source.as_str() {
        "command line" => {
            format!(
                "start the server without {name} on its command line, and with {name} = {value} in postgresql.conf"
            )
        }
        "environment variable" => format!("remove {name} from the environment of the server"),
        "client" => format!("remove {name} from the `options` of the URL"),
        "user" => format!("ALTER ROLE {role} SET {name} = {value};"),
        "database" => format!("ALTER DATABASE {database} SET {name} = {value};"),
        "database user" => format!("ALTER ROLE {role} IN DATABASE {database} SET {name} = {value};"),
        _ => format!("ALTER SYSTEM SET {name} = {value}; SELECT pg_reload_conf();"),
    }
}

fn synchronous_commit(server: &PostgresServer) -> Finding {
    let (check, name) = (Check::PostgresSynchronousCommit, "synchronous_commit");
    match server.settings.get(name) {
        Some(setting) if setting.value == "off" => Finding::warning(
            check,
            format!(
                "{name} = off ({}). Sessions of coordinator turn it on; a session of your service under this role does not",
                setting.source
            ),
            set(server, name, setting, "on"),
        ),
        Some(setting) => Finding::ok(check, format!("{name} = {}", setting.value)),
        None => unreadable(check, name),
    }
}

fn standby(server: &PostgresServer) -> Finding {
    let (check, names, level) = (Check::PostgresStandby, "synchronous_standby_names", "synchronous_commit");
    let (Some(listed), Some(commit)) = (server.settings.get(names), server.settings.get(level)) else {
        return unreadable(check, names);
    };
    let Standbys { connected, visible, synchronous } = server.standbys;
    if listed.value.is_empty() {
        return if connected == 0 {
            Finding::warning(
                check,
                "no standby is connected: the loss of this server loses everything since the last backup",
                "add a standby, and name it in synchronous_standby_names",
            )
        } else {
            Finding::warning(
                check,
                format!(
                    "{connected} connected, all asynchronous: a promotion can lose the claims, signals and effects that were \
                     acknowledged last"
                ),
                format!("ALTER SYSTEM SET {names} = 'ANY 1 (*)'; SELECT pg_reload_conf();"),
            )
        };
    }
    if connected == 0 || visible == connected && synchronous == 0 {
        return Finding::failed(
            check,
            format!(
                "{names} = '{}', and no such standby is connected: every commit waits, and no instance can lead",
                listed.value
            ),
            format!("connect the standby, or ALTER SYSTEM SET {names} = ''; SELECT pg_reload_conf();"),
        );
    }
    if visible < connected {
        let change = format!("GRANT pg_read_all_stats TO {};", server.role);
        return Finding::unknown(check, "this role may not see which standbys are synchronous", change);
    }
    match commit.value.as_str() {
        "on" | "remote_apply" | "off" => Finding::ok(
            check,
            format!("{synchronous} of {connected} connected can be waited for ({})", listed.value),
        ),
        other => Finding::warning(
            check,
            format!(
                "{level} = {other} ({}) does not wait until a standby has stored the write",
                commit.source
            ),
            set(server, level, commit, "on"),
        ),
    }
}

fn role(server: &PostgresServer) -> Finding {
    let (check, role) = (Check::PostgresRole, &server.role);
    let change = "run crates/adapter-postgres/sql/roles.sql as the owner, CREATE ROLE ... LOGIN IN ROLE coordinator_app, and \
                  connect as that role; the owner is for `coordinator migrate` only";
    if server.superuser {
        Finding::failed(check, format!("{role} is a superuser: no trigger and no right limits it"), change)
    } else if server.owned > 0 {
        Finding::failed(
            check,
            format!("{role} owns {} of the tables: it can change and drop them", server.owned),
            change,
        )
    } else {
        Finding::ok(check, format!("{role} is neither superuser nor owner of the tables"))
    }
}

/// Without tables there is no guard and no right to check.
fn has_tables(server: &PostgresServer) -> bool {
    matches!(server.tables, Ok(Ok(Schema::Current)))
}

const NO_TABLES: &str = "the tables are not those of this version";
const TABLES_FIRST: &str = "repair postgres.schema first";

fn guards(server: &PostgresServer) -> Finding {
    let check = Check::PostgresGuards;
    if !has_tables(server) {
        return Finding::unknown(check, NO_TABLES, TABLES_FIRST);
    }
    let replication = server.settings.get("session_replication_role");
    if let Some(setting) = replication.filter(|setting| setting.value != "origin") {
        let found = format!(
            "session_replication_role = {} ({}) disables the triggers",
            setting.value, setting.source
        );
        return Finding::failed(check, found, set(server, "session_replication_role", setting, "origin"));
    }
    match server.unguarded.first() {
        None => Finding::ok(check, "all triggers are enabled"),
        Some(first) => {
            let (trigger, table) = first.split_once(" ON ").unwrap_or((first, ""));
            Finding::failed(
                check,
                format!("missing or disabled: {}", server.unguarded.join(", ")),
                format!(
                    "as the owner: ALTER TABLE {table} ENABLE TRIGGER {trigger}; the same for the others. One that is missing comes back with a backup"
                ),
            )
        }
    }
}

fn rights(server: &PostgresServer) -> Finding {
    let check = Check::PostgresRights;
    if !has_tables(server) {
        return Finding::unknown(check, NO_TABLES, TABLES_FIRST);
    }
    if server.lacking.is_empty() {
        return Finding::ok(check, format!("{} has every right that an instance needs", server.role));
    }
    let all: Vec<String> =
        server.lacking.iter().map(|right| format!("GRANT {right} TO {};", server.role)).collect();
    Finding::failed(check, format!("{} lacks {}", server.role, server.lacking.join(", ")), all.join(" "))
}

fn timeouts(server: &PostgresServer) -> Finding {
    let check = Check::PostgresTimeouts;
    for name in ["idle_session_timeout", "transaction_timeout"] {
        if let Some(setting) = server.settings.get(name).filter(|setting| setting.value != "0") {
            let found = format!(
                "{name} = {} ms ({}) ends sessions of an instance, so hints are lost",
                setting.value, setting.source
            );
            return Finding::warning(check, found, set(server, name, setting, "0"));
        }
    }
    match &server.timeouts {
        Ok(Timeouts { ineffective }) if ineffective.is_empty() => {
            Finding::ok(check, "those of an instance are in effect, and the server forces no other")
        }
        Ok(Timeouts { ineffective }) => Finding::failed(
            check,
            format!("a session does not keep {}", ineffective.join(", ")),
            "connect without the pooler or extension that resets the settings of a session",
        ),
        Err(why) => Finding::unknown(
            check,
            why.clone(),
            "repair the fault that is named, then run this command again",
        ),
    }
}

fn connections(server: &PostgresServer) -> Finding {
    let check = Check::PostgresConnections;
    let Room { most, used, limit } = server.room;
    let free = most - used;
    let found = format!("{used} of {most} sessions are in use");
    if free < SESSIONS_OF_AN_INSTANCE {
        let change =
            "ALTER SYSTEM SET max_connections = ... (needs a restart), or end clients that hold too many";
        return Finding::warning(
            check,
            format!("{found}; one instance needs {SESSIONS_OF_AN_INSTANCE}"),
            change,
        );
    }
    match limit {
        Some(limit) if limit < 2 * SESSIONS_OF_AN_INSTANCE => Finding::warning(
            check,
            format!(
                "the role or the database is limited to {limit} sessions; two instances need {}",
                2 * SESSIONS_OF_AN_INSTANCE
            ),
            format!(
                "ALTER ROLE {} CONNECTION LIMIT -1; ALTER DATABASE {} CONNECTION LIMIT -1;",
                server.role, server.database
            ),
        ),
        Some(_) | None => Finding::ok(check, found),
    }
}

fn commits(server: &PostgresServer, ttl: Duration) -> Finding {
    let check = Check::PostgresCommits;
    match &server.commits {
        Ok(latencies) => latencies.judged(check, ttl, check.remedy()),
        Err(why) => {
            let change = format!(
                "GRANT EXECUTE ON FUNCTION pg_logical_emit_message(boolean, text, text) TO {}; if the server did not answer, \
                 repair that first",
                server.role
            );
            Finding::unknown(check, why.clone(), change)
        }
    }
}

fn encryption(server: &PostgresServer) -> Finding {
    let check = Check::PostgresEncryption;
    match (&server.encrypted, server.remote) {
        (Ok(true), true) if !server.verified => Finding::warning(
            check,
            "TLS, but the URL does not require the certificate to be that of the host",
            "put sslmode=verify-full (and sslrootcert) into the URL",
        ),
        (Ok(true), _) => Finding::ok(check, "TLS"),
        (_, false) => Finding::ok(check, "the server is on this host"),
        (Ok(false), true) => Finding::failed(check, "a remote server without TLS", check.remedy()),
        (Err(why), true) => {
            Finding::unknown(check, why.clone(), "GRANT SELECT ON pg_stat_ssl to this role".to_owned())
        }
    }
}
