//! Real servers for tests: [`redis()`], [`postgres()`] and, for failovers, [`native_postgres()`] with
//! [`Postgres::standby`].
//!
//! Each call starts a server for one test, on a separate port that stays the same over restarts. Dropping the
//! guard removes the server and its files, also if the test panics, and the kernel ends the server if the
//! test process is killed. The methods that change a server's state return when the change is complete; they
//! block the calling thread, from some milliseconds up to a second or two.
//!
//! The source of the servers is decided once per kind and printed on stderr: a container engine if one
//! answers and has the image (or nothing else is installed), otherwise the programs of this machine as child
//! processes. `COORDINATOR_TEST_BACKEND=native` or `=containers` forces one of them. If neither is available,
//! the test fails with a sentence that says what to install; it is never skipped.

mod choice;
mod container;
mod native;
mod pgbouncer;
mod postgres;
mod redis;
mod resp;
mod server;
mod watchdog;

pub use pgbouncer::{PgBouncer, pgbouncer};
pub use postgres::{Postgres, execute, native_postgres, native_postgres_with, postgres, text};
pub use redis::{Redis, redis};
pub use resp::Reply;

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Ports that the kernel does not assign automatically, so that a free port stays free until its server uses
/// it.
const PORTS: std::ops::Range<u16> = 12_000..32_000;

/// A TCP port of the loopback interface that no process uses at the moment. This process gets each port only
/// once.
///
/// # Panics
/// If there is none.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let count = u32::from(PORTS.end - PORTS.start);
    // Processes that run at the same time begin at distant ports.
    let first = std::process::id().wrapping_mul(7_919);
    let port =
        |at: u32| PORTS.start + u16::try_from(first.wrapping_add(at) % count).expect("less than a port");
    let mut tries = (0..count).map(|_| port(NEXT.fetch_add(1, Relaxed)));
    tries
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("a free port of loopback")
}
