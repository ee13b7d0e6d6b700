//! A PostgreSQL server of the test's own: a child process on a free port, in a temporary directory.

use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// Where Debian keeps the programs of a version; PATH elsewhere.
const DEBIAN: &str = "/usr/lib/postgresql";
/// Sessions of all processes of all cases that run beside each other.
const CONNECTIONS_MAX: u32 = 400;

/// Stopped, and its directory removed, when dropped.
pub struct Server {
    directory: TempDir,
    postgres: Child,
    port: u16,
}

impl Server {
    /// A new cluster. Everybody is trusted, but the role `guarded` needs its password.
    pub fn start() -> Self {
        let directory = directory();
        let data = directory.path().join("data");
        run(as_postgres("initdb")
            .args(["--no-sync", "--auth=trust", "--username=postgres", "-D"])
            .arg(&data));
        std::fs::write(
            data.join("pg_hba.conf"),
            "host all guarded 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n\
             host replication all 127.0.0.1/32 trust\n",
        )
        .expect("pg_hba.conf");
        Self::on(directory)
    }

    /// A streaming standby of this server.
    pub fn standby(&self) -> Self {
        let directory = directory();
        run(as_postgres("pg_basebackup")
            .args(["--no-sync", "--checkpoint=fast", "--wal-method=stream", "--write-recovery-conf"])
            .args(["-h", "127.0.0.1", "-U", "postgres", "-p"])
            .arg(self.port.to_string())
            .arg("-D")
            .arg(directory.path().join("data")));
        Self::on(directory)
    }

    fn on(directory: TempDir) -> Self {
        let port = free_port();
        let postgres = spawn(directory.path(), port);
        let server = Self { directory, postgres, port };
        server.pg_ctl(&["status"]);
        server
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `user` on `database`.
    pub fn url(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// Makes a standby a primary, on a timeline of its own.
    pub fn promote(&self) {
        self.pg_ctl(&["promote", "--wait"]);
    }

    /// Kills the server as a crash would, and starts it again.
    pub fn crash_and_restart(&mut self) {
        self.stop();
        self.postgres = spawn(self.directory.path(), self.port);
        self.pg_ctl(&["status"]);
    }

    fn stop(&mut self) {
        self.pg_ctl(&["stop", "--mode=immediate", "--wait"]);
        self.postgres.wait().expect("postgres was started here");
    }

    fn pg_ctl(&self, arguments: &[&str]) {
        run(as_postgres("pg_ctl").arg("-D").arg(self.directory.path().join("data")).args(arguments));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port()
}

/// Returns when the server accepts connections.
fn spawn(directory: &Path, port: u16) -> Child {
    let log = std::fs::File::create(directory.join("log")).expect("a log file");
    let mut postgres = as_postgres("postgres")
        .arg("-D")
        .arg(directory.join("data"))
        .args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "wal_level=replica"])
        .args(["-c", &format!("port={port}"), "-c", &format!("max_connections={CONNECTIONS_MAX}")])
        .arg("-c")
        .arg(format!("unix_socket_directories={}", directory.display()))
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("postgres starts");
    // pg_isready waits for nothing itself: ask until it says yes or the server is gone.
    let ready = || {
        let mut asks = as_postgres("pg_isready");
        asks.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]);
        asks.status().expect("pg_isready").success()
    };
    while !ready() {
        if let Some(status) = postgres.try_wait().expect("postgres was started here") {
            let log = std::fs::read_to_string(directory.join("log")).unwrap_or_default();
            panic!("postgres ended with {status}:\n{log}");
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    postgres
}

/// A directory in which the user `postgres` may work.
fn directory() -> TempDir {
    let directory =
        tempfile::Builder::new().prefix("coordinator-pg-").tempdir().expect("a temporary directory");
    if is_root() {
        let uid = id_of_postgres("-u");
        chown(directory.path(), Some(uid), Some(id_of_postgres("-g")))
            .expect("the directory is ours to give");
    }
    directory
}

/// PostgreSQL refuses to run as root.
fn as_postgres(program: &str) -> Command {
    let program = installed(program);
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]).arg(program);
    command
}

fn installed(program: &str) -> PathBuf {
    let mut versions: Vec<PathBuf> = std::fs::read_dir(DEBIAN)
        .map(|entries| entries.flatten().map(|entry| entry.path().join("bin").join(program)).collect())
        .unwrap_or_default();
    versions.retain(|path| path.exists());
    versions.sort();
    versions.pop().unwrap_or_else(|| PathBuf::from(program))
}

fn is_root() -> bool {
    output(Command::new("id").arg("-u")) == "0"
}

fn id_of_postgres(which: &str) -> u32 {
    output(Command::new("id").args([which, "postgres"])).parse().expect("the system user postgres exists")
}

fn output(command: &mut Command) -> String {
    let output = command.output().expect("id runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| {
        panic!("{command:?}: {error} (install PostgreSQL's server, Debian's package is postgresql)")
    });
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
