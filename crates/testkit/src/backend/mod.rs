//! Real servers for tests: [`redis()`], [`postgres()`] and, for failovers, [`native_postgres()`] with
//! [`Postgres::standby`].
//!
//! Each call starts a server of the test's own, on a port of its own that survives restarts; dropping the
//! guard removes the server and its files, also when the test panics, and the kernel ends it when the test
//! process is killed. The methods that change a server's state return when it is done; they block the
//! calling thread, for some milliseconds up to a second or two.
//!
//! Where the servers come from is decided once per kind and told on stderr: a container engine when one
//! answers and has the image (or nothing else is installed), otherwise the programs of this machine as
//! child processes. `COORDINATOR_TEST_BACKEND=native` or `=containers` forces one of them. When neither can
//! be had the test fails with a sentence that says what to install; it is never skipped.

mod choice;
mod container;
mod native;
mod postgres;
mod redis;
mod resp;
mod server;
mod watchdog;

pub use postgres::{Postgres, execute, native_postgres, native_postgres_with, postgres, text};
pub use redis::{Redis, redis};
pub use resp::Reply;

use std::net::{Ipv4Addr, TcpListener};

/// A TCP port of the loopback interface that nobody has at the moment.
///
/// # Panics
/// When there is none.
pub fn free_port() -> u16 {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port on the loopback interface");
    listener.local_addr().expect("a bound listener has an address").port()
}
