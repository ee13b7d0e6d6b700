//! `StateStore` and `SignalLedger` on embedded SQLite: the default store of one machine.
//!
//! Several processes share one file, `coordinator-data/coordinator.db`. SQLite lets one connection write
//! at a time, whichever process it belongs to; that lock is what makes every promise of the ports cheap:
//! a write statement takes it before it reads anything, so what the statement compares is what it changes.
//!
//! Map, in reading order:
//! - `migrations/` the tables, and the triggers that write the history and the audit in the statement of the
//!   change itself
//! - `config` where the file is and who opens it
//! - `session` one connection: opened when needed, closed when in doubt, never mid-transaction; it runs
//!   a `statement`, again while the file is busy
//! - `identity` the three files of the database, the same for every process; `lost_files` reports one that is gone
//! - `fence` the condition under which a token may write
//! - `state_store` the port, of `lease`, `members` and `portfolio`
//! - `signal_ledger` the other port; a module for each of its methods that writes
//! - `watch` hints: the kernel reports writes, SQLite whether a commit changed the lease or the signals
//! - `schema` migration; `stored` values read back; `error` what SQLite's codes mean to a caller
//!
//! What it does not do: the file must be on a local disk. On a network share SQLite's locks do not hold,
//! and neither would anything here.

#[cfg(not(target_os = "linux"))]
compile_error!("adapter-sqlite needs Linux: inotify reports the writes of other processes");

mod config;
mod error;
mod fence;
mod identity;
mod lease;
mod lost_files;
mod members;
mod portfolio;
mod schema;
mod session;
mod signal_ledger;
mod state_store;
mod statement;
mod stored;
mod watch;

pub use config::{SchemaNamed, SqliteConfig};
pub use state_store::SqliteStore;
