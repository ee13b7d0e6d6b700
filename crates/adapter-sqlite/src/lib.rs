//! `StateStore` and `SignalLedger` on embedded SQLite: the default store of one machine.
//!
//! Several processes share one file, `coordinator-data/coordinator.db`. SQLite lets only one connection write
//! at a time, whichever process it belongs to. That lock keeps every promise of the ports cheap: a write
//! statement acquires it before it reads, so what the statement compares is what it changes.
//!
//! Modules, in reading order:
//! - `migrations/`: the tables, and the triggers that write the history and the audit in the same statement
//!   as the change
//! - `config`: the file and the identity of the process
//! - `session`: one connection, opened when needed, closed after an unclear failure, never inside a
//!   transaction; it runs a `statement`, again while the file is busy
//! - `identity`: the three files of the database, the same for every process; `lost_files` reports one that
//!   is gone
//! - `fence`: the condition under which a token may write
//! - `state_store`: the port `StateStore`, made of `lease`, `members` and `portfolio`
//! - `signal_ledger`: the port `SignalLedger`; a module for each of its methods that writes
//! - `watch`: hints; the kernel reports writes, SQLite whether a commit changed the lease or the signals
//! - `doctor`: the facts for `coordinator doctor`
//! - `schema`: the migration; `stored`: values read from the file; `error`: the meaning of SQLite's codes
//!
//! The file must be on a local disk. On a network share SQLite's locks do not work, and then no promise of
//! this crate holds.

#[cfg(not(target_os = "linux"))]
compile_error!("adapter-sqlite needs Linux: inotify reports the writes of other processes");

mod config;
mod decisions;
mod doctor;
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
