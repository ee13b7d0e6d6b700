//! A PgBouncer for one test, in front of a PostgreSQL.

use super::choice::{Kind, Way, native};
use super::free_port;
use super::native::{Directory, Native, Program, User};
use super::postgres::PASSWORD;
use super::server::Server;
use rustix::process::Signal;
use std::fs;
use std::net::TcpStream;

const KIND: Kind = Kind {
    name: "PgBouncer",
    image: "",
    tag: "",
    programs: &["pgbouncer"],
    // Needed in addition to containers, because it always is a child process.
    package: "pgbouncer",
};

/// A running PgBouncer. It ends when it is dropped.
#[derive(Debug)]
pub struct PgBouncer {
    port: u16,
    _server: Server,
}

/// Starts a PgBouncer with its default configuration and that `pool_mode`, in front of the PostgreSQL at
/// `address`. It connects every client as the superuser.
///
/// # Panics
/// If it is not installed, with a sentence that says what to install.
pub fn pgbouncer(address: &str, pool_mode: &str) -> PgBouncer {
    let Way::Native { directory } = native(&KIND).unwrap_or_else(|sentence| panic!("{sentence}")) else {
        unreachable!("a native way is native")
    };
    let port = free_port();
    let (host, server_port) = address.rsplit_once(':').expect("a host and a port");
    let settings = format!(
        "[databases]\n* = host={host} port={server_port} user=postgres password={PASSWORD}\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
         pool_mode = {pool_mode}\n"
    );
    let make = move || {
        let own = Directory::new(User::Postgres)?;
        let file = own.path().join("pgbouncer.ini");
        fs::write(&file, settings).map_err(|error| format!("{}: {error}", file.display()))?;
        let arguments = vec![file.to_string_lossy().into_owned()];
        let path = directory.join(KIND.programs[0]);
        Ok(Native::new(Program { path, arguments, user: User::Postgres, stop: Signal::INT }, own))
    };
    let ready =
        move || TcpStream::connect(("127.0.0.1", port)).map(|_| ()).map_err(|error| error.to_string());
    PgBouncer { port, _server: Server::start(KIND.name, make, ready) }
}

impl PgBouncer {
    /// URL for clients of the database of that name.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }
}
