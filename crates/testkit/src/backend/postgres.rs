//! A PostgreSQL for one test, and its standby.

use super::choice::{Kind, Way, native, way};
use super::container::{Container, Image};
use super::free_port;
use super::native::{Directory, Native, Program, User, command, run};
use super::server::{Order, Server};
use crate::authority::Certificate;
use contract::Refused;
use rustix::process::Signal;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Row};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

static WAY: OnceLock<Way> = OnceLock::new();
const KIND: Kind = Kind {
    name: "PostgreSQL",
    image: "postgres",
    tag: "15",
    programs: &["postgres", "initdb", "pg_basebackup"],
    package: "postgresql",
};
/// Port inside a container.
const PORT: u16 = 5432;
/// Password of the superuser. Not a secret: the server exists for one test, on the loopback interface.
pub(super) const PASSWORD: &str = "testkit";
/// Timeout of one attempt to connect.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(2);
/// Enough for a suite whose cases run in parallel, with several processes each.
const SETTINGS: [&str; 6] = [
    "max_connections=500",
    // No data must survive the test, so no sync is needed.
    "fsync=off",
    "full_page_writes=off",
    "shared_buffers=32MB",
    // In files of the data directory, so that a killed server leaves nothing in /dev/shm.
    "dynamic_shared_memory_type=mmap",
    "max_wal_senders=10",
];

/// A running PostgreSQL.
#[derive(Debug)]
pub struct Postgres {
    host: String,
    port: u16,
    /// Directory of the programs of a native server.
    programs: Option<PathBuf>,
    /// Settings in addition to [`SETTINGS`], for it and its standbys.
    settings: Vec<String>,
    databases: AtomicU32,
    server: Server,
}

/// Starts a PostgreSQL.
///
/// # Panics
/// If none is available, with a sentence that says what to install.
pub fn postgres() -> Postgres {
    start(way(&KIND, &WAY), &[])
}

/// Starts a PostgreSQL as a child process, even if containers are available: for [`Postgres::standby`].
///
/// # Panics
/// If it is not installed, with a sentence that says what to install.
pub fn native_postgres() -> Postgres {
    native_postgres_with(&[])
}

/// As [`native_postgres`], with settings such as `max_connections=40` for it and its standbys.
///
/// # Panics
/// If it is not installed, with a sentence that says what to install.
pub fn native_postgres_with(settings: &[&str]) -> Postgres {
    start(native(&KIND).unwrap_or_else(|sentence| panic!("{sentence}")), settings)
}

/// Starts a PostgreSQL as a child process that accepts only TLS from clients of its network, with this certificate.
///
/// # Panics
/// If it is not installed, with a sentence that says what to install.
pub fn tls_postgres(certificate: &Certificate) -> Postgres {
    let Way::Native { directory } = native(&KIND).unwrap_or_else(|sentence| panic!("{sentence}")) else {
        unreachable!("native was wanted")
    };
    let (programs, certificate) = (directory.clone(), certificate.clone());
    start_native(directory, free_port(), vec!["ssl=on".to_owned()], move |data| {
        initialise(&programs, data)?;
        let own = |name: &str, text: &str| User::Postgres.write(&data.join(name), text);
        own("server.crt", certificate.chain())?;
        own("server.key", certificate.key())?;
        own("pg_hba.conf", "hostssl all all all scram-sha-256\n")
    })
}

fn start(way: Way, settings: &[&str]) -> Postgres {
    let port = free_port();
    let settings: Vec<String> = settings.iter().map(|&setting| setting.to_owned()).collect();
    match way {
        Way::Native { directory } => {
            let programs = directory.clone();
            start_native(directory, port, settings, move |data| initialise(&programs, data))
        }
        Way::Container { host } => {
            let ready = ready(&host, port);
            let arguments = arguments(&settings);
            let engine_host = host.clone();
            let make = move || {
                Container::new(Image {
                    repository: KIND.image,
                    tag: KIND.tag,
                    host: engine_host,
                    port: PORT,
                    host_port: port,
                    environment: vec![("POSTGRES_PASSWORD", PASSWORD)],
                    arguments: ["postgres".to_owned()].into_iter().chain(arguments).collect(),
                })
            };
            let server = Server::start(KIND.name, make, ready);
            Postgres { host, port, programs: None, settings, databases: AtomicU32::new(0), server }
        }
    }
}

/// Starts a child process on the data that `fill` writes into the directory.
fn start_native(
    programs: PathBuf,
    port: u16,
    settings: Vec<String>,
    fill: impl FnOnce(&Path) -> Result<(), String> + Send + 'static,
) -> Postgres {
    let host = "127.0.0.1".to_owned();
    let path = programs.join("postgres");
    let chosen = arguments(&settings);
    let make = move || {
        let directory = Directory::new(User::Postgres)?;
        let data = directory.path().join("data");
        fill(&data)?;
        let listen = ["listen_addresses=127.0.0.1", "unix_socket_directories="];
        let own = [format!("port={port}"), listen[0].to_owned(), listen[1].to_owned()];
        let mut arguments = vec!["-D".to_owned(), data.to_string_lossy().into_owned()];
        arguments.extend(own.into_iter().flat_map(|setting| ["-c".to_owned(), setting]));
        arguments.extend(chosen);
        // SIGINT is the fast shutdown: PostgreSQL closes the connections and writes everything to disk.
        let program = Program { path, arguments, user: User::Postgres, stop: Signal::INT };
        Ok(Native::new(program, directory))
    };
    let server = Server::start(KIND.name, make, ready(&host, port));
    Postgres { host, port, programs: Some(programs), settings, databases: AtomicU32::new(0), server }
}

/// [`SETTINGS`] and `more`. If a name occurs twice, the server uses the later value.
fn arguments(more: &[String]) -> Vec<String> {
    let settings = SETTINGS.into_iter().chain(more.iter().map(String::as_str));
    settings.flat_map(|setting| ["-c".to_owned(), setting.to_owned()]).collect()
}

/// Names a folder in which the processes of one test run share a new data directory: a copy takes a tenth of the time of
/// `initdb`. Without it every server is initialized.
const TEMPLATES: &str = "COORDINATOR_TEST_TEMPLATES";

fn initialise(programs: &Path, data: &Path) -> Result<(), String> {
    let Some(folder) = std::env::var_os(TEMPLATES) else { return initdb(programs, data) };
    let template = Path::new(&folder).join("data");
    if template.exists() {
        return copy_directory(&template, data);
    }
    initdb(programs, data)?;
    // The directory of a server has a random name. The first of several servers wins the race, because no directory can be
    // renamed to one that is not empty.
    let server = data.parent().and_then(Path::file_name).ok_or("a data directory without a parent")?;
    let own = Path::new(&folder).join(server);
    copy_directory(data, &own)?;
    if std::fs::rename(&own, &template).is_err() {
        run(Command::new("rm").arg("-rf").arg("--").arg(&own))?;
    }
    Ok(())
}

/// The copy has the owners and the modes of the original.
fn copy_directory(from: &Path, to: &Path) -> Result<(), String> {
    run(Command::new("cp").arg("--archive").arg("--").arg(from).arg(to))
}

fn initdb(programs: &Path, data: &Path) -> Result<(), String> {
    let password = data.with_file_name("password");
    std::fs::write(&password, PASSWORD).map_err(|error| format!("{}: {error}", password.display()))?;
    let mut initdb = command(&programs.join("initdb"), User::Postgres);
    initdb.args([
        "--no-sync",
        "--encoding=UTF8",
        "--locale=C",
        "--username=postgres",
        "--auth=scram-sha-256",
    ]);
    run(initdb.arg("--pwfile").arg(&password).arg("--pgdata").arg(data))
}

/// Copies a running primary and makes the copy follow it.
fn copy(programs: &Path, primary_port: u16, data: &Path) -> Result<(), String> {
    let mut backup = command(&programs.join("pg_basebackup"), User::Postgres);
    backup.env("PGPASSWORD", PASSWORD).args(["--host=127.0.0.1", "--username=postgres", "--no-sync"]);
    backup.args(["--write-recovery-conf", "--checkpoint=fast", "--wal-method=stream", "--no-password"]);
    run(backup.arg(format!("--port={primary_port}")).arg("--pgdata").arg(data))
}

fn ready(host: &str, port: u16) -> impl Fn() -> Result<(), String> + Send + use<> {
    let url = url(host, port, "postgres");
    move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("a runtime: {error}"))?;
        runtime.block_on(async {
            match tokio::time::timeout(CONNECT_TIME_MAX, PgConnection::connect(&url)).await {
                Ok(Ok(connection)) => connection.close().await.map_err(|error| error.to_string()),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err("it does not answer".to_owned()),
            }
        })
    }
}

fn url(host: &str, port: u16, database: &str) -> String {
    format!("postgres://postgres:{PASSWORD}@{host}:{port}/{database}")
}

impl Postgres {
    /// URL of the database `postgres` for the superuser.
    pub fn url(&self) -> String {
        url(&self.host, self.port, "postgres")
    }

    /// Host and port, for a proxy.
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Creates an empty database and returns its URL.
    ///
    /// # Panics
    /// If the server refuses.
    pub async fn create_database(&self) -> String {
        let name = format!("testkit_{}", self.databases.fetch_add(1, Relaxed) + 1);
        execute(&self.url(), &format!("CREATE DATABASE {name}"))
            .await
            .expect("no constraint forbids a database");
        url(&self.host, self.port, &name)
    }

    /// A hot standby that follows this server asynchronously, as a child process.
    ///
    /// # Panics
    /// If this server is not a child process itself ([`native_postgres`]), or cannot be copied.
    #[must_use]
    pub fn standby(&self) -> Self {
        self.standby_through(self.port)
    }

    /// As [`Self::standby`], but it reaches this server by another port of this machine, for example a
    /// proxy's.
    ///
    /// # Panics
    /// As [`Self::standby`].
    #[must_use]
    pub fn standby_through(&self, port: u16) -> Self {
        let programs = self.programs.clone().expect("a standby is copied from a native_postgres()");
        let from = programs.clone();
        start_native(programs, free_port(), self.settings.clone(), move |data| copy(&from, port, data))
    }

    /// Makes a standby a primary, on the next timeline; returns when it accepts writes.
    ///
    /// # Panics
    /// If it is not a standby.
    pub async fn promote(&self) {
        let promoted = text(&self.url(), "SELECT pg_promote(true, 60)::text").await;
        assert_eq!(promoted.as_deref(), Some("true"), "the standby was promoted in time");
    }

    /// Ends the server in an orderly way, which closes its connections.
    pub fn stop(&self) {
        self.server.order(Order::Stop);
    }

    /// Starts the server again on the same port and data after [`Self::stop`] or [`Self::kill`]; returns when
    /// it answers.
    pub fn start(&self) {
        self.server.order(Order::Start);
    }

    /// Ends the server and its sessions as a power failure would, except that written data remains.
    pub fn kill(&self) {
        self.server.order(Order::Kill);
    }

    /// Stops the server and its sessions from running; connections stay open without answers.
    pub fn pause(&self) {
        self.server.order(Order::Pause);
    }

    /// Lets the server run again; it then processes what was sent during the pause.
    pub fn resume(&self) {
        self.server.order(Order::Resume);
    }
}

/// Executes statements on a separate connection, without any adapter.
///
/// # Errors
/// [`Refused`] if a constraint forbids it (SQLSTATE class 23).
///
/// # Panics
/// If anything else fails: then the test itself is wrong.
pub async fn execute(url: &str, statements: &str) -> Result<(), Refused> {
    let mut connection = PgConnection::connect(url).await.expect("a connection to the test's PostgreSQL");
    let done = sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut connection).await;
    let _ = connection.close().await;
    match done {
        Ok(_) => Ok(()),
        Err(sqlx::Error::Database(error)) if error.code().is_some_and(|code| code.starts_with("23")) => {
            Err(Refused(error.to_string()))
        }
        Err(error) => panic!("{statements}: {error}"),
    }
}

/// The first column of the first row, which is a text or NULL; `None` also if there is no row.
///
/// # Panics
/// If the statement fails.
pub async fn text(url: &str, query: &str) -> Option<String> {
    let mut connection = PgConnection::connect(url).await.expect("a connection to the test's PostgreSQL");
    let row = sqlx::raw_sql(AssertSqlSafe(query)).fetch_optional(&mut connection).await;
    let row = row.unwrap_or_else(|error| panic!("{query}: {error}"));
    let _ = connection.close().await;
    row.and_then(|row| row.try_get(0).unwrap_or_else(|error| panic!("{query}: {error}")))
}
