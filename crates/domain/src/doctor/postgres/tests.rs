//! Each fault of PostgreSQL is found by its check, and by no other.

use super::*;
use crate::doctor::{ClockReading, Verdict, worst};

const TTL: Duration = Duration::from_secs(10);

fn setting(value: &str, source: &str) -> Setting {
    Setting { value: value.into(), source: source.into() }
}

fn sound() -> PostgresServer {
    let settings = [
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("synchronous_commit", "on"),
        ("synchronous_standby_names", "ANY 1 (*)"),
        ("session_replication_role", "origin"),
        ("idle_session_timeout", "0"),
    ];
    let reading = |at: i64| ClockReading { store_us: at, here_us: at, boot_us: at, bound_us: 10 };
    PostgresServer {
        role: "desk_1".into(),
        database: "trading".into(),
        schema: "public".into(),
        version: "15.14".into(),
        version_number: 150_014,
        settings: settings.map(|(name, value)| (name.to_owned(), setting(value, "default"))).into(),
        pooler: Ok(Ok(())),
        encoding: Ok(Ok(())),
        timeline: Ok(Ok(())),
        tables: Ok(Ok(Schema::Current)),
        standbys: Standbys { connected: 1, visible: 1, synchronous: 1 },
        superuser: false,
        owned: 0,
        unguarded: Vec::new(),
        lacking: Vec::new(),
        timeouts: Ok(Timeouts { ineffective: Vec::new() }),
        room: Room { most: 100, used: 10, limit: None },
        commits: Latencies::of(vec![Duration::from_millis(1); 100]).ok_or_else(String::new),
        encrypted: Ok(true),
        verified: true,
        remote: true,
        clock: Ok(ClockWalk { first: reading(0), last: reading(2_000_000) }),
    }
}

fn with(name: &str, value: &str, source: &str) -> PostgresServer {
    let mut server = sound();
    server.settings.insert(name.to_owned(), setting(value, source));
    server
}

fn without(name: &str) -> PostgresServer {
    let mut server = sound();
    server.settings.remove(name);
    server
}

fn standbys(names: &str, connected: i64, visible: i64, synchronous: i64) -> PostgresServer {
    PostgresServer {
        standbys: Standbys { connected, visible, synchronous },
        ..with("synchronous_standby_names", names, "configuration file")
    }
}

#[track_caller]
fn only(server: PostgresServer) -> Finding {
    let findings = judge(&Ok(server), TTL);
    let wrong: Vec<_> = findings.into_iter().filter(|finding| finding.verdict != Verdict::Ok).collect();
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    wrong[0].clone()
}

#[test]
fn a_server_as_the_documentation_wants_it_is_fine() {
    for server in [sound(), PostgresServer { encrypted: Ok(false), remote: false, ..sound() }] {
        assert_eq!(worst(&judge(&Ok(server), TTL)), Verdict::Ok);
    }
}

#[test]
fn no_session_is_a_failure_and_says_that_nothing_else_was_checked() {
    let findings = judge(&Err("h: is a standby (read-only)".into()), TTL);
    assert_eq!((findings.len(), findings[0].verdict), (1, Verdict::Failed));
    assert!(findings[0].found.contains("is a standby (read-only). Nothing else"), "{findings:?}");
}

#[test]
fn each_fault_is_found_by_its_check() {
    use Verdict::{Failed, Unknown, Warning};
    let slow = Latencies::of(vec![Duration::from_secs(2); 2]).ok_or_else(String::new);
    for (server, check, verdict) in [
        (PostgresServer { version_number: 110_000, ..sound() }, Check::PostgresVersion, Failed),
        (
            PostgresServer { pooler: Ok(Err("shared: set it".into())), ..sound() },
            Check::PostgresPooler,
            Failed,
        ),
        (PostgresServer { pooler: Err("cut".into()), ..sound() }, Check::PostgresPooler, Unknown),
        (
            PostgresServer { encoding: Ok(Err("x: create".into())), ..sound() },
            Check::PostgresEncoding,
            Failed,
        ),
        (PostgresServer { timeline: Ok(Err("x: GRANT".into())), ..sound() }, Check::PostgresTimeline, Failed),
        (with("fsync", "off", "command line"), Check::PostgresFsync, Failed),
        (without("fsync"), Check::PostgresFsync, Unknown),
        (with("full_page_writes", "off", "configuration file"), Check::PostgresFullPageWrites, Failed),
        (with("synchronous_commit", "off", "user"), Check::PostgresSynchronousCommit, Warning),
        (with("synchronous_commit", "local", "user"), Check::PostgresStandby, Warning),
        (standbys("", 0, 0, 0), Check::PostgresStandby, Warning),
        (standbys("", 1, 1, 0), Check::PostgresStandby, Warning),
        (standbys("a", 0, 0, 0), Check::PostgresStandby, Failed),
        (standbys("a", 1, 1, 0), Check::PostgresStandby, Failed),
        (standbys("a", 1, 0, 0), Check::PostgresStandby, Unknown),
        (PostgresServer { superuser: true, ..sound() }, Check::PostgresRole, Failed),
        (PostgresServer { owned: 7, ..sound() }, Check::PostgresRole, Failed),
        (PostgresServer { unguarded: vec!["t ON u".into()], ..sound() }, Check::PostgresGuards, Failed),
        (with("session_replication_role", "replica", "user"), Check::PostgresGuards, Failed),
        (PostgresServer { lacking: vec!["SELECT ON u".into()], ..sound() }, Check::PostgresRights, Failed),
        (with("idle_session_timeout", "1000", "database"), Check::PostgresTimeouts, Warning),
        (
            PostgresServer { timeouts: Ok(Timeouts { ineffective: vec!["lock_timeout".into()] }), ..sound() },
            Check::PostgresTimeouts,
            Failed,
        ),
        (PostgresServer { timeouts: Err("cut".into()), ..sound() }, Check::PostgresTimeouts, Unknown),
        (
            PostgresServer { room: Room { most: 100, used: 94, limit: None }, ..sound() },
            Check::PostgresConnections,
            Warning,
        ),
        (
            PostgresServer { room: Room { most: 100, used: 9, limit: Some(7) }, ..sound() },
            Check::PostgresConnections,
            Warning,
        ),
        (PostgresServer { commits: slow, ..sound() }, Check::PostgresCommits, Failed),
        (PostgresServer { commits: Err("denied".into()), ..sound() }, Check::PostgresCommits, Unknown),
        (PostgresServer { encrypted: Ok(false), ..sound() }, Check::PostgresEncryption, Failed),
        (PostgresServer { verified: false, ..sound() }, Check::PostgresEncryption, Warning),
        (PostgresServer { encrypted: Err("hidden".into()), ..sound() }, Check::PostgresEncryption, Unknown),
    ] {
        let finding = only(server);
        assert_eq!((finding.check, finding.verdict), (check, verdict), "{finding:?}");
        assert!(finding.change.is_some(), "{finding:?}");
    }
}

#[test]
fn tables_of_another_version_leave_the_rights_unknown() {
    for (tables, verdict) in [
        (Ok(Ok(Schema::Older { found: 0 })), Verdict::Warning),
        (Ok(Ok(Schema::Older { found: 2 })), Verdict::Failed),
        (Ok(Ok(Schema::Newer { found: 99 })), Verdict::Failed),
        (Ok(Err("lost t: run it".to_owned())), Verdict::Failed),
        (Err("cut".to_owned()), Verdict::Unknown),
    ] {
        let findings = judge(&Ok(PostgresServer { tables, ..sound() }), TTL);
        let of =
            |check| findings.iter().find(|finding| finding.check == check).map(|finding| finding.verdict);
        assert_eq!(of(Check::PostgresSchema), Some(verdict));
        assert_eq!(of(Check::PostgresGuards), Some(Verdict::Unknown));
        assert_eq!(of(Check::PostgresRights), Some(Verdict::Unknown));
    }
}

#[test]
fn a_setting_is_changed_where_it_was_set() {
    for (source, change) in [
        ("user", "ALTER ROLE desk_1 SET fsync = on;"),
        ("database", "ALTER DATABASE trading SET fsync = on;"),
        ("configuration file", "ALTER SYSTEM SET fsync = on; SELECT pg_reload_conf();"),
        (
            "command line",
            "start the server without fsync on its command line, and with fsync = on in postgresql.conf",
        ),
    ] {
        assert_eq!(only(with("fsync", "off", source)).change.as_deref(), Some(change));
    }
}
