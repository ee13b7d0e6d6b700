//! Tests of the servers that other tests need: they start, stop, pause, and leave nothing behind.

use sqlx::{Connection, PgConnection};
use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;
use testkit::backend::{self, Reply};
use testkit::browser::{Browser, Extent, Scheme, Scripts};

/// A stop that is followed by a kill reaches at least one of them in time.
const SESSIONS: usize = 20;

fn value(text: &str) -> Reply {
    Reply::Value(text.as_bytes().to_vec())
}

#[test]
fn redis_survives_a_pause_and_forgets_on_a_restart() {
    let redis = backend::redis();
    assert_eq!(redis.command(&["SET", "k", "v"]), Reply::Status("OK".to_owned()));
    redis.pause();
    let mut silent = TcpStream::connect(redis.address()).expect("the kernel accepts for a stopped process");
    silent.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    std::io::Write::write_all(&mut silent, b"PING\r\n").unwrap();
    assert!(silent.read(&mut [0; 8]).is_err(), "a paused server does not answer");
    redis.resume();
    assert_eq!(redis.command(&["GET", "k"]), value("v"));

    redis.stop();
    assert!(TcpStream::connect(redis.address()).is_err());
    redis.start();
    assert_eq!(redis.command(&["GET", "k"]), Reply::Nil, "on the same port, empty");
    redis.kill();
    assert!(TcpStream::connect(redis.address()).is_err());
    redis.start();
    assert_eq!(redis.command(&["PING"]), Reply::Status("PONG".to_owned()));
    let address = redis.address();
    drop(redis);
    assert!(TcpStream::connect(address).is_err(), "gone with its guard");
}

#[test]
fn a_paused_redis_can_be_stopped_killed_and_removed() {
    let redis = backend::redis();
    for end in [backend::Redis::stop, backend::Redis::kill] {
        redis.pause();
        end(&redis);
        redis.resume();
        assert!(TcpStream::connect(redis.address()).is_err());
        redis.start();
        redis.resume();
        assert_eq!(redis.command(&["PING"]), Reply::Status("PONG".to_owned()));
    }
    redis.pause();
    let address = redis.address();
    drop(redis);
    assert!(TcpStream::connect(address).is_err(), "gone with its guard");
}

/// Everything of a browser names its temporary directory, the watchdog of that directory excepted.
fn parts_of(directory: &str) -> Vec<String> {
    let commands = std::fs::read_dir("/proc").unwrap().flatten();
    let commands = commands.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    let commands = commands.map(|command| String::from_utf8_lossy(&command).replace('\0', " "));
    commands.filter(|command| command.contains(directory) && !command.contains("watchdog")).collect()
}

#[test]
fn a_browser_shows_pages_and_leaves_nothing() {
    let browser = Browser::start();
    let profile = browser.profile().to_owned();
    let directory = profile.parent().unwrap().to_owned();
    browser.resize(320, 600);
    browser.prefer(Scheme::Dark);
    browser
        .open("data:text/html,<title>one</title><button>B</button><script>document.title = 'ran'</script>");
    let seen = "return [document.title, innerWidth, matchMedia('(prefers-color-scheme: dark)').matches, arguments[0]]";
    assert_eq!(browser.run(seen, &[7.into()]), serde_json::json!(["ran", 320, true, 7]));
    browser.press("Tab");
    assert_eq!(browser.run("return document.activeElement.tagName", &[]), "BUTTON");
    assert!(browser.screenshot(Extent::Window).starts_with(b"\x89PNG"));
    let first = browser.window();
    browser.switch_to(&browser.new_window());
    browser.scripts(Scripts::Blocked);
    browser.open("data:text/html,<title>other</title><script>document.title = 'ran'</script>");
    assert_eq!(browser.run("return document.title", &[]), "other");
    browser.switch_to(&first);
    assert_eq!(browser.run("return document.title", &[]), "ran");
    let name = directory.to_str().unwrap();
    assert!(!parts_of(name).is_empty() && profile.is_dir());
    drop(browser);
    assert_eq!(parts_of(name), [""; 0]);
    assert!(!directory.exists());
}

#[test]
fn servers_are_open_to_this_machine_only() {
    let (redis, postgres) = (backend::redis(), backend::postgres());
    for address in [redis.address(), postgres.address()] {
        TcpStream::connect(&address).expect("the server listens");
        // Another loopback address stands for every other address of this machine. An engine on another machine opens
        // its own ports to this one.
        if let Some(port) = address.strip_prefix("127.0.0.1:") {
            assert!(TcpStream::connect(format!("127.0.0.2:{port}")).is_err(), "{address} only");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_postgres_sends_its_sessions_no_goodbye() {
    let postgres = backend::postgres();
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        sessions.push(PgConnection::connect(&postgres.url()).await.unwrap());
    }
    postgres.kill();
    for mut session in sessions {
        let error = sqlx::raw_sql("SELECT 1").execute(&mut session).await.expect_err("the server has ended");
        assert!(error.as_database_error().is_none(), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_its_data_over_a_stop_a_kill_and_a_pause() {
    let postgres = backend::postgres();
    let url = postgres.create_database().await;
    backend::execute(&url, "CREATE TABLE t (n INT PRIMARY KEY); INSERT INTO t VALUES (1)").await.unwrap();
    assert!(backend::execute(&url, "INSERT INTO t VALUES (1)").await.is_err(), "a constraint refuses");
    for again in [backend::Postgres::stop, backend::Postgres::kill] {
        again(&postgres);
        assert!(TcpStream::connect(postgres.address()).is_err());
        postgres.start();
        assert_eq!(backend::text(&url, "SELECT n::text FROM t").await.as_deref(), Some("1"));
    }
    postgres.pause();
    let asked = tokio::time::timeout(Duration::from_millis(300), backend::text(&url, "SELECT 'x'")).await;
    assert!(asked.is_err(), "a paused server does not answer");
    postgres.resume();
    assert_eq!(backend::text(&url, "SELECT NULL::text").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_follows_and_is_promoted_to_another_timeline() {
    const TIMELINE: &str = "SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)";
    let primary = backend::native_postgres();
    backend::execute(&primary.url(), "CREATE TABLE t (n INT)").await.unwrap();
    let standby = primary.standby();
    backend::execute(&primary.url(), "INSERT INTO t VALUES (7)").await.unwrap();
    let followed = async {
        while backend::text(&standby.url(), "SELECT n::text FROM t").await.as_deref() != Some("7") {
            // A pause between two polls, because replication does not notify the standby's clients.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), followed).await.expect("a standby follows");
    let before = backend::text(&primary.url(), TIMELINE).await;
    primary.kill();
    standby.promote().await;
    let after = backend::text(&standby.url(), TIMELINE).await;
    assert_eq!((before.as_deref(), after.as_deref()), (Some("00000001"), Some("00000002")));
    backend::execute(&standby.url(), "INSERT INTO t VALUES (8)").await.unwrap();
}
