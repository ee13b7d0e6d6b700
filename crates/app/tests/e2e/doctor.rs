//! `coordinator doctor` on real servers that are configured wrongly: each fault is found by its check, and the statement
//! that a finding names repairs it.

use crate::command::{Said, coordinator};
use crate::wait::block_on;
use adapter_postgres::ROLES;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use testkit::backend::{self, Postgres, Redis, Reply, pgbouncer};

/// Findings that depend on the machine of the test, not on the server.
const OF_THE_MACHINE: [&str; 5] =
    ["store.clock_rate", "postgres.commits", "host.core_dumps", "host.clock", "host.time_service"];

struct Report(Said);

impl Report {
    fn of(arguments: &[&str]) -> Self {
        let said = coordinator(&[&["doctor", "--json"], arguments].concat()).run();
        let report = Self(said);
        let json = report.0.json();
        assert_eq!(json["exit_code"], report.0.code.expect("no signal ended it"), "{json}");
        report
    }

    fn finding(&self, check: &str) -> Value {
        let json = self.0.json();
        let findings = json["findings"].as_array().expect("findings").clone();
        let found = findings.into_iter().find(|finding| finding["check"] == check);
        found.unwrap_or_else(|| panic!("{check} is not in {json:#}"))
    }

    /// Asserts the verdict of a check and a part of what was found. Returns the remedy.
    #[track_caller]
    fn is(&self, check: &str, verdict: &str, found: &str) -> String {
        let finding = self.finding(check);
        assert_eq!(finding["verdict"], verdict, "{finding:#}");
        assert!(finding["found"].as_str().is_some_and(|text| text.contains(found)), "{finding:#}");
        finding["change"].as_str().unwrap_or_default().to_owned()
    }

    /// The checks with another verdict than ok.
    fn wrong(&self) -> BTreeSet<String> {
        let json = self.0.json();
        let findings = json["findings"].as_array().expect("findings").iter();
        let wrong = findings.filter(|finding| finding["verdict"] != "ok");
        let names = wrong.map(|finding| finding["check"].as_str().expect("a name").to_owned());
        names.filter(|name| !OF_THE_MACHINE.contains(&name.as_str())).collect()
    }
}

fn execute(url: &str, statement: &str) {
    block_on(backend::execute(url, statement)).expect("no constraint forbids it");
}

/// ALTER SYSTEM cannot be one of several statements of a message.
fn alter_system(postgres: &Postgres, setting: &str) {
    execute(&postgres.url(), &format!("ALTER SYSTEM SET {setting}"));
    execute(&postgres.url(), "SELECT pg_reload_conf()");
}

fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_server_that_can_lose_what_it_acknowledged_is_found() {
    // The servers of tests do not sync: what testkit sets for speed is what a user must not set.
    let postgres = backend::native_postgres();
    let url = block_on(postgres.create_database());
    let report = Report::of(&["--postgres", &url, "--data-dir", "/nonexistent/data"]);
    assert_eq!(report.0.code, Some(1));
    let change = report.is("postgres.fsync", "failed", "fsync = off (command line)");
    assert!(change.contains("start the server without fsync"), "{change}");
    report.is("postgres.full_page_writes", "failed", "full_page_writes = off");
    report.is("postgres.role", "failed", "postgres is a superuser");
    report.is("postgres.standby", "warning", "no standby is connected");
    report.is("postgres.schema", "warning", "no tables yet");
    report.is("postgres.guards", "unknown", "not those of this version");
    report.is("postgres.encryption", "ok", "on this host");
    report.is("host.data_dir", "warning", "does not exist");
    let tables = "SELECT count(*)::text FROM pg_class WHERE relname LIKE 'coordinator%'";
    assert_eq!(block_on(backend::text(&url, tables)).as_deref(), Some("0"), "it creates nothing");

    execute(
        &postgres.url(),
        "CREATE DATABASE ascii ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0",
    );
    let ascii =
        Report::of(&["--postgres", &format!("{}/ascii", url.rsplit_once('/').expect("a database").0)]);
    let change = ascii.is("postgres.encoding", "failed", "SQL_ASCII");
    assert!(change.contains("ENCODING 'UTF8'"), "{change}");

    let pooler = pgbouncer(&postgres.address(), "transaction");
    let name = url.rsplit('/').next().expect("a database");
    let through_it = Report::of(&["--postgres", &pooler.url(name)]);
    let change = through_it.is("postgres.pooler", "failed", "transaction or statement mode");
    assert!(change.starts_with("set pool_mode = session"), "{change}");
    through_it.is("postgres.schema", "unknown", "pooler");
    through_it.is("group.settings", "unknown", "pooler");

    let standby = postgres.standby();
    let only_standby = Report::of(&["--postgres", &standby.url()]);
    only_standby.is("postgres.session", "failed", "is a standby");
    let asynchronous = Report::of(&["--postgres", &url]);
    let change = asynchronous.is("postgres.standby", "warning", "all asynchronous");
    alter_system(&postgres, "synchronous_standby_names = 'nowhere'");
    let stuck = Report::of(&["--postgres", &url]);
    stuck.is("postgres.standby", "failed", "no instance can lead");
    stuck.is("postgres.commits", "unknown", "no commit was acknowledged");
    let (statement, _) = change.split_once(';').expect("two statements");
    alter_system(&postgres, statement.strip_prefix("ALTER SYSTEM SET ").expect("a setting"));
    Report::of(&["--postgres", &url]).is("postgres.standby", "ok", "1 of 1");

    drop(standby);
    postgres.stop();
    let wrong = url.replace(":testkit@", ":canary-77@");
    let away = Report::of(&["--postgres", &wrong]);
    away.is("postgres.session", "failed", "Nothing else about PostgreSQL");
    assert!(!format!("{:?}", away.0).contains("canary-77"), "{:?}", away.0);
}

/// Everything that can be wrong in one database of a server that is right.
#[test]
fn rights_settings_redis_and_instances_are_checked_and_the_remedies_work() {
    let postgres = backend::native_postgres_with(&["fsync=on", "full_page_writes=on"]);
    let redis = backend::redis();
    let owner = block_on(postgres.create_database());
    let migrated = coordinator(&["migrate", "--postgres", &owner]).run();
    assert_eq!(migrated.code, Some(0), "{migrated:?}");
    execute(&owner, ROLES);
    execute(&owner, "CREATE ROLE desk_1 LOGIN PASSWORD 'p' IN ROLE coordinator_app");
    let url = owner.replace("postgres:testkit@", "desk_1:p@");
    let data = tempfile::tempdir().expect("a directory");
    fs::set_permissions(data.path(), fs::Permissions::from_mode(0o700)).expect("ours");
    let data_dir = data.path().to_str().expect("a text");
    let with = |redis: &str| Report::of(&["--postgres", &url, "--redis", redis, "--data-dir", data_dir]);

    let sound = with(&redis.url());
    assert_eq!(sound.wrong(), BTreeSet::from(["postgres.standby".to_owned()]), "{:#}", sound.0.json());
    sound.is("redis.persistence", "ok", "appendonly is off");
    assert_eq!(names(data.path()).len(), 0, "the probe is gone");

    break_everything(&owner, &redis);
    let as_user = |user: &str| redis.url().replace("redis://", &format!("redis://{user}:p@"));
    let broken = with(&as_user("weak"));
    assert_eq!(broken.0.code, Some(1));
    let repairs = [
        broken.is("postgres.synchronous_commit", "warning", "off (user)"),
        broken.is("postgres.timeouts", "warning", "idle_session_timeout = 600000 ms (user)"),
        broken.is("postgres.connections", "warning", "limited to 9 sessions"),
        broken.is(
            "postgres.rights",
            "failed",
            "DELETE ON public.coordinator_signal, UPDATE (state) ON public.coordinator_signal",
        ),
    ];
    let timeline = broken.is("postgres.timeline", "failed", "pg_current_wal_lsn()");
    let guard =
        broken.is("postgres.guards", "failed", "coordinator_signal_kept ON public.coordinator_signal");
    broken.is("group.settings", "failed", "leader_ttl (a: 10s; b: 5s)");
    broken.is("group.clocks", "warning", "host-b (b) at least");
    broken.is("redis.memory", "warning", "allkeys-lru");
    broken.is("redis.rights", "warning", "PEXPIRE, DEL, PUBLISH, SUBSCRIBE");
    with(&as_user("mute")).is("redis.rights", "warning", "EVAL");

    for repair in &repairs {
        execute(&owner, repair);
    }
    execute(&owner, timeline.split(" (").next().expect("the statement"));
    let statement = guard.strip_prefix("as the owner: ").and_then(|rest| rest.split(';').next());
    execute(&owner, statement.expect("the statement"));
    execute(&owner, "DELETE FROM coordinator_member");
    set(&redis, &["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    let repaired = with(&redis.url());
    assert_eq!(repaired.wrong(), BTreeSet::from(["postgres.standby".to_owned()]), "{:#}", repaired.0.json());

    set(&redis, &["REPLICAOF", "127.0.0.1", "1"]);
    with(&redis.url()).is("redis.session", "warning", "is a replica");
    execute(&owner, "DROP TABLE coordinator_signal CASCADE");
    redis.stop();
    let lost = with(&redis.url());
    let change = lost.is("postgres.schema", "failed", "has lost coordinator_signal");
    assert!(change.starts_with("Stop every instance and restore"), "{change}");
    lost.is("redis.session", "warning", "works without Redis");
}

/// Makes what the test finds: a limited role, two instances that differ, and a Redis that evicts keys and limits users.
fn break_everything(owner: &str, redis: &Redis) {
    for statement in [
        "ALTER ROLE desk_1 SET synchronous_commit = off",
        "ALTER ROLE desk_1 SET idle_session_timeout = '10min'",
        "ALTER ROLE desk_1 CONNECTION LIMIT 9",
        "REVOKE DELETE, UPDATE (state) ON coordinator_signal FROM coordinator_app",
        "ALTER TABLE coordinator_signal DISABLE TRIGGER coordinator_signal_kept",
        "REVOKE EXECUTE ON FUNCTION pg_current_wal_lsn() FROM PUBLIC",
        "INSERT INTO coordinator_member (group_id, id, nonce, host, address, status, epoch, fallback, alerts, version,
                                         started_ms, settings, beat_at)
         SELECT 'default', id, repeat('0', 24), 'host-' || id, '', 'standby', 0, false, 0, '0.1.0', started, ttl, now()
         FROM (VALUES ('a', 0::bigint, 'leader_ttl=10s'), ('b', 4102444800000, 'leader_ttl=5s')) AS v (id, started, ttl)",
    ] {
        execute(owner, statement);
    }
    set(redis, &["CONFIG", "SET", "maxmemory", "100mb"]);
    set(redis, &["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let common = ["on", ">p", "~coordinator:*", "&coordinator:*", "-@all", "+ping", "+client|id", "+info"];
    let weak = ["+eval", "+type", "+strlen", "+getrange", "+pttl", "+set"];
    set(redis, &[&["ACL", "SETUSER", "weak"][..], &common, &weak].concat());
    set(redis, &[&["ACL", "SETUSER", "mute"][..], &common].concat());
}

fn set(redis: &Redis, command: &[&str]) {
    assert_eq!(redis.command(command), Reply::Status("OK".to_owned()), "{command:?}");
}

#[test]
fn an_embedded_store_is_read_without_a_change_and_its_permissions_are_checked() {
    let parent = tempfile::tempdir().expect("a directory");
    let data = parent.path().join("data");
    let data_dir = data.to_str().expect("a text");
    let none = Report::of(&["--data-dir", data_dir]);
    none.is("sqlite.file", "warning", "does not exist yet");
    assert_eq!(names(parent.path()).len(), 0, "it creates no directory");

    let migrated = coordinator(&["migrate", "--data-dir", data_dir]).run();
    assert_eq!(migrated.code, Some(0), "{migrated:?}");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).expect("ours");
    let before = names(&data);
    let sound = Report::of(&["--data-dir", data_dir]);
    sound.is("sqlite.schema", "ok", "version");
    sound.is("sqlite.journal", "ok", "WAL");
    sound.is("host.permissions", "ok", "700");
    assert_eq!(names(&data), before);

    let file = data.join("coordinator.db");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("ours");
    fs::hard_link(&file, parent.path().join("other.db")).expect("one file system");
    let open = Report::of(&["--data-dir", data_dir]);
    assert_eq!(open.0.code, Some(1));
    let change = open.is("host.permissions", "failed", "coordinator.db");
    assert!(change.contains("chmod 600"), "{change}");
    open.is("sqlite.file", "failed", "2 names");
    let mode = fs::metadata(&file).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o644, "it changes nothing");

    let text = coordinator(&["doctor", "--data-dir", data_dir]).run();
    assert_eq!(text.code, Some(1));
    let last = text.stdout.lines().last().unwrap_or_default();
    assert!(last.starts_with("✗ failed: 2 guarantees do not hold"), "{text:?}");
    // A path is one word, which is never broken.
    let wide = text.stdout.lines().filter(|line| line.chars().count() > 80).collect::<Vec<_>>();
    assert!(wide.iter().all(|line| line.contains(data_dir)), "{wide:?}");
}
