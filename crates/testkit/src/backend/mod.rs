//! Real servers for tests: [`redis()`], [`postgres()`] and, for failovers, [`native_postgres()`] with
//! [`Postgres::standby`]. [`chromedriver()`] starts the driver of a browser, see [`crate::browser`].
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
mod chromedriver;
mod container;
mod native;
mod pgbouncer;
mod port;
mod postgres;
mod redis;
mod resp;
mod server;
mod watchdog;

pub use chromedriver::{Chromedriver, chromedriver};
pub use pgbouncer::{PgBouncer, pgbouncer};
pub use port::free_port;
pub use postgres::{Postgres, execute, native_postgres, native_postgres_with, postgres, text, tls_postgres};
pub use redis::{Redis, redis, tls_redis};
pub use resp::Reply;
