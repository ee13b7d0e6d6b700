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

/// Ports that the kernel gives to nobody by itself: one that was found free stays free until its server has it.
const PORTS: std::ops::Range<u16> = 12_000..32_000;

/// A TCP port of the loopback interface that nobody has at the moment, and that this process gets once.
///
/// # Panics
/// When there is none.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let count = u32::from(PORTS.end - PORTS.start);
    // Processes that run at the same time begin far from each other.
    let first = std::process::id().wrapping_mul(7_919);
    let port =
        |at: u32| PORTS.start + u16::try_from(first.wrapping_add(at) % count).expect("less than a port");
    let mut tries = (0..count).map(|_| port(NEXT.fetch_add(1, Relaxed)));
    tries
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("a free port of loopback")
}
